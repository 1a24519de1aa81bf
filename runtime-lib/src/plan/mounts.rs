//! `mounts` as steps.

use super::cgroup::CgroupPlan;
use crate::Bundle;
use crate::error::{Error, Result};
use crate::host::Host;
use crate::spec::{Mount, MountAttrs, MountIdMap, MountKind, Namespace, Propagation, ValidSpec};
use serde::Serialize;
use std::path::Path;

/// One step: something is done at a place inside the rootfs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountStep {
    /// The element of `mounts` it is for.
    pub index: usize,
    /// Where, inside the rootfs; created if it is missing.
    pub target: String,
    /// What.
    pub action: MountAction,
    /// How the owners of its files are mapped. Without extents it is as in the user namespace that is joined.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id_map: Option<MountIdMap>,
}

/// What a step does.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountAction {
    /// Mounts a new instance of a file system.
    Filesystem {
        /// Its type.
        fstype: String,
        /// Its source.
        source: String,
        /// `MS_*` flags of `mount(2)`.
        flags: u64,
        /// Its options.
        data: String,
        /// It gets the mode of the directory it covers.
        keep_mode: bool,
        /// What it covers is copied into it.
        copy_up: bool,
        /// No component of the target may be a symbolic link.
        no_symlinks: bool,
        /// Attributes for the whole tree.
        recursive_attrs: MountAttrs,
        /// Propagation changes, in order.
        propagation: Vec<Propagation>,
        /// What is bound instead if the kernel refuses the mount: the container's own cgroup.
        #[serde(skip_serializing_if = "Option::is_none")]
        or_bind: Option<String>,
        /// The SELinux context of all its files; of mqueue that of its root, as it takes no other.
        #[serde(skip_serializing_if = "Option::is_none")]
        context: Option<String>,
    },
    /// Binds a file or directory of the host.
    Bind {
        /// An absolute path of the host.
        source: String,
        /// With the mounts below it.
        recursive: bool,
        /// Attributes of the mount.
        attrs: MountAttrs,
        /// Attributes for the whole tree.
        recursive_attrs: MountAttrs,
        /// Propagation changes, in order.
        propagation: Vec<Propagation>,
    },
    /// Makes a symbolic link.
    Symlink {
        /// What it says.
        to: String,
    },
    /// Sets attributes of a mount that an earlier step made.
    Remount {
        /// Which.
        attrs: MountAttrs,
        /// Those that are not set are cleared, as `mount(2)` does with `MS_BIND | MS_REMOUNT`.
        #[serde(skip_serializing_if = "std::ops::Not::not")]
        exact: bool,
    },
    /// Gives the file system that an earlier step mounted other options, and the mount other attributes: `MS_REMOUNT`.
    Reconfigure {
        /// `MS_*` flags of `mount(2)`.
        flags: u64,
        /// Its options.
        data: String,
        /// Attributes for the whole tree.
        recursive_attrs: MountAttrs,
        /// Propagation changes, in order.
        propagation: Vec<Propagation>,
    },
}

/// The files of /proc that may be covered, as runc has them: what LXCFS and the like provide for each container.
const COVERABLE: [&str; 12] = [
    "/proc/cpuinfo",
    "/proc/diskstats",
    "/proc/loadavg",
    "/proc/meminfo",
    "/proc/net/dev",
    "/proc/slabinfo",
    "/proc/stat",
    "/proc/swaps",
    "/proc/sys/crypto/fips_enabled",
    "/proc/sys/kernel/ns_last_pid",
    "/proc/uptime",
    "/proc",
];

impl MountStep {
    /// Whether the target may be in a procfs: `/proc` itself for another procfs, and a few files.
    pub(crate) fn covers_proc(&self) -> bool {
        COVERABLE.contains(&self.target.as_str())
    }
}

/// Nothing goes on the root. A mount in /proc must be of one of the files that may be covered, and on /proc only a procfs goes. Links of the image
/// may lead there as well: that the init refuses.
fn refuse_place(mount: &Mount) -> Result<()> {
    let destination = mount.destination.as_str();
    let refuse = |message: String| Err(Error::config(format!("mounts[{}].destination", mount.index), message));
    if destination == "/" && !mount.remount {
        // It would lie on the root of the container, which every path is walked from: nobody would ever see it.
        return refuse("the root itself cannot be covered".to_owned());
    }
    if destination.starts_with("/proc/") && !COVERABLE.contains(&destination) {
        return refuse(format!("{destination:?} cannot be mounted because it is inside /proc"));
    }
    match &mount.kind {
        MountKind::Filesystem { fstype, .. } if destination == "/proc" && fstype != "proc" => {
            refuse(format!("{destination:?} must be a procfs, not {fstype:?}"))
        }
        _ => Ok(()),
    }
}

/// Whether the file system of `mounts[index]` is to be made read-only only at the end: /dev gets its nodes first, and a tmpfs what is
/// mounted below it. One that a later mount covers cannot be found by its place any more, and is read-only at once.
fn is_readonly_late(mounts: &[Mount], index: usize) -> bool {
    let Some(mount) = mounts.get(index) else { return false };
    let of_memory = matches!(&mount.kind, MountKind::Filesystem { fstype, .. } if fstype == "tmpfs");
    let writable_again = mount.recursive_attrs.clear & libc::MS_RDONLY != 0;
    if mount.remount || writable_again || mount.attrs.set & libc::MS_RDONLY == 0 {
        return false;
    }
    if mount.destination == "/dev" {
        return matches!(mount.kind, MountKind::Filesystem { .. });
    }
    // A remount says itself what the file system is to be.
    let covers = |later: &Mount| match later.remount {
        true => later.destination == mount.destination,
        false => Path::new(&mount.destination).starts_with(&later.destination),
    };
    of_memory && !mounts.iter().skip(index + 1).any(covers)
}

/// The steps, and those of them that are made read-only at the end.
pub(super) fn lower(
    spec: &ValidSpec,
    bundle: &Bundle,
    host: &Host,
    cgroup: &CgroupPlan,
) -> Result<(Vec<MountStep>, Vec<usize>)> {
    let mut steps = Vec::with_capacity(spec.mounts.len());
    let mut readonly_late = Vec::new();
    for (index, mount) in spec.mounts.iter().enumerate() {
        refuse_place(mount)?;
        let mut attrs = mount.attrs;
        let mut withheld = 0;
        if is_readonly_late(&spec.mounts, index) {
            withheld = libc::MS_RDONLY;
            attrs.set &= !withheld;
            readonly_late.push(steps.len());
        }
        match &mount.kind {
            _ if mount.remount => steps.push(remount(mount)),
            MountKind::Bind { source, recursive } => steps.push(step(
                mount,
                MountAction::Bind {
                    source: bundle.path().join(source).to_string_lossy().into_owned(),
                    recursive: *recursive,
                    attrs,
                    recursive_attrs: mount.recursive_attrs,
                    propagation: mount.propagation.clone(),
                },
            )),
            MountKind::Cgroup if host.cgroups.is_unified() => steps.push(cgroup_v2(mount, spec, cgroup)),
            MountKind::Cgroup => cgroup_v1(mount, spec, host, cgroup, &mut steps),
            MountKind::Filesystem { fstype, source, sb_flags, data } => {
                steps.push(step(
                    mount,
                    MountAction::Filesystem {
                        fstype: fstype.clone(),
                        source: source.clone(),
                        flags: (sb_flags | attrs.set) & !withheld,
                        data: data.clone(),
                        keep_mode: fstype == "tmpfs" && !has_option(data, "mode"),
                        copy_up: mount.copy_up && fstype == "tmpfs",
                        // What is mounted where a link points to would not be where the kernel's own paths look for it.
                        no_symlinks: fstype == "proc" || fstype == "sysfs",
                        recursive_attrs: mount.recursive_attrs,
                        propagation: mount.propagation.clone(),
                        or_bind: None,
                        context: context(spec, fstype),
                    },
                ));
            }
        }
        if let (Some(step), Some(id_map)) = (steps.last_mut(), &mount.id_map) {
            step.id_map = Some(own_ids(id_map, spec));
        }
    }
    Ok((steps, readonly_late))
}

/// Where the directory of the socket for `sd_notify(3)` is in the container, as with runc.
pub(super) const NOTIFY: &str = "/run/notify";

/// Its mount, after those of the configuration. The program may connect to the socket, not replace it.
pub(super) fn notify(spec: &ValidSpec, source: String) -> MountStep {
    let set = libc::MS_NOSUID | libc::MS_NOEXEC | libc::MS_NODEV | libc::MS_RDONLY;
    let (attrs, recursive_attrs) = (MountAttrs { set, clear: 0 }, MountAttrs::default());
    let action = MountAction::Bind { source, recursive: false, attrs, recursive_attrs, propagation: Vec::new() };
    MountStep { index: spec.mounts.len(), target: NOTIFY.to_owned(), action, id_map: None }
}

/// A bind changes as one; anything else, with its flags and options, as a file system.
fn remount(mount: &Mount) -> MountStep {
    let action = match &mount.kind {
        MountKind::Filesystem { sb_flags, data, .. } => MountAction::Reconfigure {
            flags: sb_flags | mount.attrs.set,
            data: data.clone(),
            recursive_attrs: mount.recursive_attrs,
            propagation: mount.propagation.clone(),
        },
        MountKind::Bind { .. } | MountKind::Cgroup => {
            MountAction::Remount { attrs: mount.attrs, exact: is_bind(mount) }
        }
    };
    step(mount, action)
}

/// `linux.mountLabel`, which runc leaves away from procfs and sysfs.
pub(super) fn context(spec: &ValidSpec, fstype: &str) -> Option<String> {
    let label = spec.mount_label.as_ref().filter(|label| !label.is_empty())?;
    (fstype != "proc" && fstype != "sysfs").then(|| label.clone())
}

/// What says nothing of its own means the container's mappings.
fn own_ids(id_map: &MountIdMap, spec: &ValidSpec) -> MountIdMap {
    match id_map.uids.is_empty() {
        true => MountIdMap { uids: spec.uid_mappings.clone(), gids: spec.gid_mappings.clone(), ..*id_map },
        false => id_map.clone(),
    }
}

fn step(mount: &Mount, action: MountAction) -> MountStep {
    MountStep { index: mount.index, target: mount.destination.clone(), action, id_map: None }
}

fn is_bind(mount: &Mount) -> bool {
    matches!(mount.kind, MountKind::Bind { .. })
}

fn has_option(data: &str, name: &str) -> bool {
    data.split(',').any(|option| option.split('=').next() == Some(name))
}

fn filesystem(fstype: &str, source: &str, flags: u64, data: &str) -> MountAction {
    MountAction::Filesystem {
        fstype: fstype.to_owned(),
        source: source.to_owned(),
        flags,
        data: data.to_owned(),
        keep_mode: false,
        copy_up: false,
        no_symlinks: false,
        recursive_attrs: MountAttrs::default(),
        propagation: Vec::new(),
        or_bind: None,
        context: None,
    }
}

fn bind(source: String, attrs: MountAttrs) -> MountAction {
    let (recursive_attrs, propagation) = (MountAttrs::default(), Vec::new());
    MountAction::Bind { source, recursive: true, attrs, recursive_attrs, propagation }
}

/// Version 2: the hierarchy itself, which a cgroup namespace roots at the container's cgroup. Where the kernel refuses
/// that in a user namespace, which may be the caller's, the container's own directory is bound, as runc does.
fn cgroup_v2(mount: &Mount, spec: &ValidSpec, cgroup: &CgroupPlan) -> MountStep {
    let mut action = filesystem("cgroup2", "cgroup", mount.attrs.set, "");
    if let MountAction::Filesystem { recursive_attrs, propagation, or_bind, .. } = &mut action {
        (*recursive_attrs, *propagation) = (mount.recursive_attrs, mount.propagation.clone());
        if spec.namespaces.user != Namespace::Host || spec.namespaces.cgroup == Namespace::Host {
            *or_bind = cgroup.paths.unified().map(|directory| directory.absolute().to_string_lossy().into_owned());
        }
    }
    step(mount, action)
}

/// Version 1: a tmpfs with a directory for each hierarchy, in which the hierarchy is mounted (in a cgroup namespace) or
/// the container's own directory is bound, and a link for each name of a hierarchy with several controllers.
fn cgroup_v1(mount: &Mount, spec: &ValidSpec, host: &Host, cgroup: &CgroupPlan, steps: &mut Vec<MountStep>) {
    let below = |name: &str| format!("{}/{name}", mount.destination.trim_end_matches('/'));
    let flags = libc::MS_NOSUID | libc::MS_NODEV | libc::MS_NOEXEC;
    let mut tmpfs = filesystem("tmpfs", "tmpfs", flags, "mode=755");
    if let MountAction::Filesystem { context: of_tmpfs, .. } = &mut tmpfs {
        *of_tmpfs = context(spec, "tmpfs");
    }
    steps.push(step(mount, tmpfs));
    let attrs = MountAttrs { set: mount.attrs.set | flags, ..mount.attrs };
    for hierarchy in cgroup.paths.mounts(&host.cgroups) {
        if hierarchy.controllers.is_empty() {
            continue; // the version 2 side of a hybrid host: runc leaves it out as well
        }
        let name = hierarchy.mount_point.rsplit('/').next().unwrap_or_default();
        let action = if spec.namespaces.cgroup == Namespace::Host {
            bind(hierarchy.directory.to_string_lossy().into_owned(), attrs)
        } else {
            let named = hierarchy.controllers.iter().any(|controller| controller.starts_with("name="));
            let data = hierarchy.controllers.join(",");
            filesystem("cgroup", "cgroup", attrs.set, &if named { format!("none,{data}") } else { data })
        };
        steps.push(MountStep { target: below(name), ..step(mount, action) });
        for controller in hierarchy.controllers.iter().filter(|controller| *controller != name) {
            if hierarchy.controllers.len() > 1 {
                let action = MountAction::Symlink { to: name.to_owned() };
                steps.push(MountStep { target: below(controller), ..step(mount, action) });
            }
        }
    }
    if mount.attrs.set & libc::MS_RDONLY != 0 {
        let attrs = MountAttrs { set: libc::MS_RDONLY, clear: 0 };
        steps.push(step(mount, MountAction::Remount { attrs, exact: false }));
    }
}
