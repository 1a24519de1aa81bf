//! The plan: what `create` will do, as data.
//!
//! Lowering is pure: no system calls, no descriptors, no clock. What it needs to know of the machine comes in as
//! [`Host`]. So a plan can be printed, compared with a golden file, and computed for a machine that is not at hand. What
//! only the kernel or the container's files can tell (the cgroup directory's descriptor, the pid, HOME from the
//! container's passwd, where PATH finds the program) is not in it: the launcher and the init fill it in at the hand-off
//! that the wire format's `Phase` names.

pub mod cgroup;
mod devices;
pub(crate) mod exec;
mod explain;
mod mounts;
mod namespaces;
pub(crate) mod resctrl;
mod security;

pub use devices::{DeviceLink, DeviceNode, Devices};
pub use mounts::{MountAction, MountStep};
pub use namespaces::{Join, NamespacePlan};
pub use resctrl::ResctrlPlan;
pub use security::Security;

use crate::error::Result;
use crate::host::Host;
use crate::spec::{Hooks, MemoryPolicy, NetDevice, Personality, Process, PropagationKind, ValidSpec};
use crate::{Bundle, ContainerId};
use serde::Serialize;
use std::collections::BTreeMap;

/// The name of the socket for `sd_notify(3)` in its directory.
pub(crate) const NOTIFY_SOCKET: &str = "notify.sock";

/// The choices of one `create` that are not in the bundle.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Choices {
    /// `--no-pivot`.
    pub no_pivot: bool,
    /// `--no-new-keyring`.
    pub no_new_keyring: bool,
    /// `--systemd-cgroup`.
    pub systemd_cgroup: bool,
    /// The socket of the bus on which the caller's own systemd is: that one is to make the cgroup, not the system's.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd_user_bus: Option<String>,
    /// `--preserve-fds`.
    pub preserve_fds: u32,
    /// How many sockets of socket activation are passed on.
    pub listen_fds: u32,
    /// The directory of the host in which the socket for `sd_notify(3)` is made.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub notify_directory: Option<String>,
}

/// What `create` will do, section by section. Prints as text (`Display`) and serialises.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Who the container is.
    pub identity: Identity,
    /// The namespaces it lives in.
    pub namespaces: NamespacePlan,
    /// Its cgroups and limits.
    pub cgroup: cgroup::CgroupPlan,
    /// Its root file system.
    pub rootfs: Rootfs,
    /// What is mounted, step by step.
    pub mounts: Vec<MountStep>,
    /// Device nodes and links.
    pub devices: Devices,
    /// Paths that become read-only.
    pub readonly_paths: Vec<String>,
    /// Paths that are covered.
    pub masked_paths: Vec<String>,
    /// `linux.mountLabel`: the SELinux context of what covers masked directories.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub mask_context: Option<String>,
    /// `linux.sysctl`: names with dots or slashes as written, and values.
    pub sysctl: BTreeMap<String, String>,
    /// Capabilities and other privileges.
    pub security: Security,
    /// `linux.netDevices`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub net_devices: Vec<NetDevice>,
    /// `linux.intelRdt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub resctrl: Option<ResctrlPlan>,
    /// `linux.personality`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub personality: Option<Personality>,
    /// `linux.memoryPolicy`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_policy: Option<MemoryPolicy>,
    /// The program.
    pub process: Process,
    /// The hooks.
    pub hooks: Hooks,
    /// The choices it was made with.
    pub choices: Choices,
    /// What is ignored, and why.
    pub warnings: Vec<String>,
}

/// Who the container is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Identity {
    /// The id.
    pub id: ContainerId,
    /// The bundle directory.
    pub bundle: String,
    /// The specification's version that the bundle states.
    pub oci_version: String,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// `annotations`.
    pub annotations: BTreeMap<String, String>,
}

/// The root file system.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rootfs {
    /// Its path on the host.
    pub path: String,
    /// How mounts spread between the container and the host.
    pub propagation: PropagationKind,
    /// Whether that holds for all mounts, or only for the root.
    pub propagation_recursive: bool,
    /// `root.readonly`.
    pub readonly: bool,
    /// The steps of `mounts` whose tmpfs is made read-only at the end, when all that goes into it is there.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub readonly_late: Vec<usize>,
}

/// Computes what `create` of `bundle` will do on `host`.
///
/// # Errors
/// What this host cannot honour, naming the element.
pub fn lower(bundle: &Bundle, id: &ContainerId, host: &Host, choices: &Choices) -> Result<Plan> {
    let spec = bundle.spec();
    let cgroup = match choices.systemd_cgroup {
        true => cgroup::lower_systemd(spec, &host.cgroups, id, choices.systemd_user_bus.as_deref())?,
        false => cgroup::lower(spec, &host.cgroups, id, cgroup::Driver::Cgroupfs)?,
    };
    let namespaces = namespaces::lower(spec, host);
    namespaces::check_groups(namespaces.set_groups, &spec.process)?;
    let (mut mounts, readonly_late) = mounts::lower(spec, bundle, host, &cgroup)?;
    mounts.extend(choices.notify_directory.clone().map(|source| mounts::notify(spec, source)));
    let propagation = spec.rootfs_propagation;
    let resctrl = spec.intel_rdt.as_ref().map(|rdt| resctrl::lower(rdt, host.resctrl.as_ref(), id)).transpose()?;
    Ok(Plan {
        identity: Identity {
            id: id.clone(),
            bundle: bundle.path().to_string_lossy().into_owned(),
            oci_version: spec.oci_version.clone(),
            hostname: spec.hostname.clone(),
            domainname: spec.domainname.clone(),
            annotations: spec.annotations.clone(),
        },
        rootfs: Rootfs {
            path: bundle.rootfs().to_string_lossy().into_owned(),
            propagation: propagation.map_or(PropagationKind::Slave, |propagation| propagation.kind),
            propagation_recursive: propagation.is_none_or(|propagation| propagation.recursive),
            readonly: spec.root.readonly,
            readonly_late,
        },
        devices: devices::lower(spec, &namespaces),
        namespaces,
        mounts,
        readonly_paths: spec.readonly_paths.clone(),
        masked_paths: spec.masked_paths.clone(),
        mask_context: mounts::context(spec, "tmpfs").filter(|_| !spec.masked_paths.is_empty()),
        sysctl: spec.sysctl.clone(),
        security: security::lower(spec, choices)?,
        net_devices: spec.net_devices.clone(),
        resctrl,
        personality: spec.personality.clone(),
        memory_policy: spec.memory_policy.clone(),
        process: process(spec, choices),
        hooks: spec.hooks.clone(),
        choices: choices.clone(),
        warnings: spec.warnings.iter().chain(&cgroup.warnings).cloned().collect(),
        cgroup,
    })
}

impl Plan {
    /// The steps of [`Rootfs::readonly_late`].
    pub(crate) fn readonly_late(&self) -> impl Iterator<Item = &MountStep> {
        self.rootfs.readonly_late.iter().filter_map(|place| self.mounts.get(*place))
    }

    /// The container gets no cgroup of its own: it sees the one that the caller is in, which by default is right above.
    pub(crate) fn stay_in_own_cgroup(&mut self) {
        let own: Vec<_> = self.cgroup.paths.directories().map(|directory| directory.absolute()).collect();
        for step in &mut self.mounts {
            let source = match &mut step.action {
                MountAction::Bind { source, .. } => Some(source),
                MountAction::Filesystem { or_bind, .. } => or_bind.as_mut(),
                MountAction::Symlink { .. } | MountAction::Remount { .. } | MountAction::Reconfigure { .. } => None,
            };
            if let Some(source) = source {
                let above = own.iter().find(|path| path.as_os_str() == source.as_str()).and_then(|path| path.parent());
                if let Some(above) = above {
                    *source = above.to_string_lossy().into_owned();
                }
            }
        }
    }
}

fn process(spec: &ValidSpec, choices: &Choices) -> Process {
    let mut process = spec.process.clone();
    if choices.listen_fds > 0 {
        // The program cannot know its pid outside, so inside it is taken to be the first one, as runc has it.
        process.env.extend([format!("LISTEN_FDS={}", choices.listen_fds), "LISTEN_PID=1".to_owned()]);
        process.env = crate::spec::without_repetitions(process.env);
    }
    if choices.notify_directory.is_some() {
        process.env.retain(|variable| !variable.starts_with("NOTIFY_SOCKET="));
        process.env.push(format!("NOTIFY_SOCKET={}/{}", mounts::NOTIFY, NOTIFY_SOCKET));
    }
    process
}
