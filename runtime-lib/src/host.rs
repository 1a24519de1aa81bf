//! Facts about the machine, probed once and given to the plan, so that a plan can be computed for any machine in a test.

use serde::Serialize;

/// What the plan needs to know about the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Host {
    /// The cgroup hierarchies.
    pub cgroups: HostCgroups,
    /// The caller's effective user id.
    pub euid: u32,
    /// The caller's effective group id.
    pub egid: u32,
    /// Whether the caller itself is in a user namespace other than the first (device nodes must be bound then).
    pub in_user_namespace: bool,
    /// The caller's permitted capabilities, as the kernel's bit mask.
    pub capabilities: u64,
}

/// The cgroup hierarchies of the machine.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct HostCgroups {
    /// The version 1 hierarchies, in the order of `/proc/self/cgroup`; empty on a pure version 2 machine.
    pub v1: Vec<Hierarchy>,
    /// The version 2 hierarchy, if mounted.
    pub v2: Option<Hierarchy>,
}

/// One cgroup hierarchy.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Hierarchy {
    /// Version 1: the controllers, such as `["cpu", "cpuacct"]`, or `["name=systemd"]`. Version 2: empty.
    pub controllers: Vec<String>,
    /// Where it is mounted, such as `/sys/fs/cgroup/memory`.
    pub mount_point: String,
    /// The caller's own cgroup in it, such as `/user.slice`.
    pub own_path: String,
}

impl HostCgroups {
    /// Whether only version 2 is in use.
    pub fn is_unified(&self) -> bool {
        self.v1.is_empty() && self.v2.is_some()
    }
}
