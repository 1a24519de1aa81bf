//! The cgroup section: where the container's cgroups are, and what is written into them.
//!
//! Paths are chosen as runc does, so that engines find the container where they look for it; limits become writes of
//! the kernel's files (Documentation/admin-guide/cgroup-v1 and cgroup-v2.rst). Whether a file exists is left to the
//! kernel on version 2, whose controllers differ from one cgroup to the next; on version 1 a hierarchy that the host
//! lacks is refused here.

mod change;
mod devices;
mod paths;
mod systemd;
mod v1;
mod v2;

pub use change::{Change, lower_change};
pub use devices::{Access, DevicePolicy, DeviceRule, DeviceType};
pub use paths::{CgroupDirectory, CgroupMount, CgroupPaths};

pub(crate) use systemd::IDLE;
pub use systemd::{SystemdScope, Value, device_properties, properties_of};

use crate::error::{Error, Result};
use crate::host::HostCgroups;
use crate::id::ContainerId;
use crate::spec::{Mount, MountKind, Namespace, ValidSpec};
use oci_spec::runtime::LinuxMemory;
use serde::{Deserialize, Serialize};

/// Who makes the container's cgroups.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Driver {
    /// This library, in the cgroup file systems.
    #[default]
    Cgroupfs,
    /// systemd, asked for a transient scope (`--systemd-cgroup`).
    Systemd,
}

/// What will be done for the container's cgroups.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CgroupPlan {
    /// Where they are.
    pub paths: CgroupPaths,
    /// What systemd is asked for, where it is to make them.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub systemd: Option<SystemdScope>,
    /// Whether the path was left to the runtime (`linux.cgroupsPath` absent or empty). A caller without the right to
    /// make cgroups then does without them, as long as no limit is asked for.
    pub default_path: bool,
    /// Version 2: the controllers that the writes need enabled in the directories above.
    pub enable: Vec<String>,
    /// The limits, in the order in which they are written.
    pub writes: Vec<CgroupWrite>,
    /// Which devices may be used. On version 1 the writes contain it; on version 2 it becomes an eBPF program.
    pub devices: DevicePolicy,
    /// Version 2: whom the container's cgroup is given to, as a user id of the host.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub owner: Option<u32>,
    /// What is ignored as runc does, one line each.
    pub warnings: Vec<String>,
}

impl CgroupPlan {
    /// No cgroup is made and no limit written.
    pub(super) fn empty() -> Result<CgroupPlan> {
        Ok(CgroupPlan {
            systemd: None,
            paths: CgroupPaths::Unmanaged,
            default_path: true,
            enable: Vec::new(),
            writes: Vec::new(),
            devices: DevicePolicy::lower(&[])?,
            owner: None,
            warnings: Vec::new(),
        })
    }
}

/// One value for one file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct CgroupWrite {
    /// Which of [`CgroupPaths::directories`].
    pub directory: usize,
    /// The file, such as `memory.max`.
    pub file: String,
    /// What is written.
    pub value: String,
    /// The element of the configuration that asks for it.
    pub location: String,
    /// What to do when the kernel has no such file.
    #[serde(skip_serializing_if = "IfAbsent::is_failure")]
    pub if_absent: IfAbsent,
}

/// What to do when the kernel has no file of that name in the cgroup.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IfAbsent {
    /// The limit cannot be honoured.
    #[default]
    Fail,
    /// The value is what a kernel without the file does anyway.
    Skip,
    /// Another file takes it.
    Write {
        /// Its name.
        file: String,
        /// What is written to it.
        value: String,
    },
}

impl IfAbsent {
    fn is_failure(&self) -> bool {
        *self == IfAbsent::Fail
    }
}

/// Lowers `linux.cgroupsPath` and `linux.resources` for this host.
///
/// # Errors
/// The path or a limit has no meaning, or the host lacks the version 1 controller for it; each names its element.
pub fn lower(spec: &ValidSpec, host: &HostCgroups, id: &ContainerId, choice: Driver) -> Result<CgroupPlan> {
    if choice == Driver::Systemd {
        return lower_systemd(spec, host, id, None);
    }
    let paths = CgroupPaths::choose(configured(spec), host, id)?;
    lower_at(spec, paths)
}

/// [`lower`] for [`Driver::Systemd`]: the system's manager, or the user's that is on the bus with the socket `user_bus`.
///
/// # Errors
/// Those of [`lower`]; `linux.cgroupsPath` or an annotation means no unit;
/// [`ErrorKind::Unsupported`](crate::ErrorKind::Unsupported) for a user's manager unless the host has version 2 only.
pub fn lower_systemd(
    spec: &ValidSpec,
    host: &HostCgroups,
    id: &ContainerId,
    user_bus: Option<&str>,
) -> Result<CgroupPlan> {
    let (mut scope, paths) = SystemdScope::choose(configured(spec), host, id, user_bus)?;
    scope.properties = systemd::annotated(&spec.annotations)?;
    Ok(CgroupPlan { systemd: Some(scope), ..lower_at(spec, paths)? })
}

fn configured(spec: &ValidSpec) -> Option<&str> {
    spec.cgroups_path.as_deref().filter(|path| !path.is_empty())
}

/// Lowers the limits, for these directories.
fn lower_at(spec: &ValidSpec, paths: CgroupPaths) -> Result<CgroupPlan> {
    let none = oci_spec::runtime::LinuxResources::default();
    let resources = spec.resources.as_ref().unwrap_or(&none);
    let devices = DevicePolicy::lower(resources.devices().as_deref().unwrap_or_default())?;
    let mut plan = CgroupPlan {
        systemd: None,
        default_path: configured(spec).is_none(),
        enable: Vec::new(),
        writes: Vec::new(),
        owner: owner(spec, &paths),
        warnings: Vec::new(),
        paths,
        devices,
    };
    lower_limits(resources, &mut plan)?;
    Ok(plan)
}

/// The specification's *cgroup ownership*: a container that sees nothing but its own cgroup, and may write there, can make
/// more in it as the user that its program runs as. Version 1 is not safe to hand out.
fn owner(spec: &ValidSpec, paths: &CgroupPaths) -> Option<u32> {
    let own_view = matches!(paths, CgroupPaths::V2 { .. }) && spec.namespaces.cgroup == Namespace::New;
    let is_cgroups = |mount: &&Mount| mount.kind == MountKind::Cgroup && mount.destination == "/sys/fs/cgroup";
    let mount = spec.mounts.iter().rfind(is_cgroups).filter(|_| own_view)?;
    if mount.attrs.set & libc::MS_RDONLY != 0 {
        return None;
    }
    let uid = spec.process.user.uid;
    match spec.namespaces.user {
        Namespace::Host => Some(uid),
        Namespace::New => spec.uid_mappings.iter().find_map(|map| map.outside(uid)),
        // Its mappings are not known here.
        Namespace::Join { .. } => None,
    }
}

fn lower_limits(resources: &oci_spec::runtime::LinuxResources, plan: &mut CgroupPlan) -> Result<()> {
    if resources.memory().is_some_and(|memory| memory.kernel().or(memory.kernel_tcp()).is_some()) {
        plan.warnings.push("Kernel memory settings are ignored and will be removed".to_owned());
    }
    match plan.paths {
        CgroupPaths::V2 { .. } => v2::lower(resources, plan),
        CgroupPaths::V1 { .. } | CgroupPaths::Hybrid { .. } => v1::lower(resources, plan),
        CgroupPaths::Unmanaged => Ok(()),
    }
}

/// `linux.resources.memory.limit` and `.swap`, where zero counts as absent and -1 is no limit.
#[derive(Clone, Copy)]
struct MemoryLimits {
    limit: Option<i64>,
    swap: Option<i64>,
    reservation: Option<i64>,
}

impl MemoryLimits {
    /// What no version of the kernel's interface can express is refused for both.
    fn of(memory: &LinuxMemory) -> Result<MemoryLimits> {
        let positive_or_none = |value: Option<i64>, name: &str| match value {
            Some(value) if value < -1 => {
                Err(Error::config(format!("linux.resources.memory.{name}"), format!("invalid memory value: {value}")))
            }
            value => Ok(value.filter(|&value| value != 0)),
        };
        let limits = MemoryLimits {
            limit: positive_or_none(memory.limit(), "limit")?,
            swap: positive_or_none(memory.swap(), "swap")?,
            reservation: positive_or_none(memory.reservation(), "reservation")?,
        };
        let fault = match (limits.limit, limits.swap) {
            (_, None | Some(-1)) => return Ok(limits),
            (None | Some(-1), _) => "unable to set swap limit without memory limit",
            (Some(limit), Some(swap)) if swap < limit => "memory+swap limit should be >= memory limit",
            _ => return Ok(limits),
        };
        Err(Error::config("linux.resources.memory.swap", fault))
    }
}

/// Huge page sizes become part of a file name: only the kernel's own form is let through (CVE-2022-1708's class).
fn checked_page_size<'a>(size: &'a str, location: &str) -> Result<&'a str> {
    let number = size.strip_suffix("KB").or(size.strip_suffix("MB")).or(size.strip_suffix("GB"));
    match number {
        Some(digits) if !digits.is_empty() && digits.bytes().all(|byte| byte.is_ascii_digit()) => Ok(size),
        _ => Err(Error::config(format!("{location}.pageSize"), format!("invalid huge page size {size:?}"))
            .hint("such as 2MB or 1GB")),
    }
}

/// A name that goes into a line of words separated by blanks.
fn checked_word<'a>(word: &'a str, location: &str) -> Result<&'a str> {
    if word.is_empty() || word.bytes().any(|byte| byte.is_ascii_whitespace() || byte == 0) {
        return Err(Error::config(location, format!("invalid name {word:?}")));
    }
    Ok(word)
}

/// `rdma.max`'s lines, by device name: the same on both versions.
fn rdma_lines(resources: &oci_spec::runtime::LinuxResources) -> Result<Vec<(String, String)>> {
    let mut lines = Vec::new();
    for (device, limits) in resources.rdma().iter().flatten() {
        let location = format!("linux.resources.rdma.{device}");
        let mut line = checked_word(device, &location)?.to_owned();
        for (name, limit) in [("hca_handle", limits.hca_handles()), ("hca_object", limits.hca_objects())] {
            if let Some(limit) = limit {
                line.push_str(&format!(" {name}={limit}"));
            }
        }
        lines.push((location, line));
    }
    lines.sort();
    Ok(lines)
}

#[cfg(test)]
mod tests;
