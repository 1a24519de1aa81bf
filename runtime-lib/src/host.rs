//! Facts about the machine, probed once and given to the plan, so that a plan can be computed for any machine in a test.

mod cgroups;

pub use cgroups::{Hierarchy, HostCgroups};

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
