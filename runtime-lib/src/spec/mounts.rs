//! `mounts`: their types and options, turned into the kernel's flags.

use super::fault::Faults;
use super::mount_options::{self, MountOption};
use super::namespaces::{self, IdMap, Namespace};
use super::process;
use serde::Serialize;

/// One of `mounts`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Mount {
    /// Its place in `mounts`, for messages.
    pub index: usize,
    /// `destination`: absolute, cleaned of `.`, `..` and doubled slashes lexically as runc does.
    pub destination: String,
    /// What is mounted.
    pub kind: MountKind,
    /// Attributes of the mount itself.
    pub attrs: MountAttrs,
    /// The same, for the whole tree (`rro`, `rnosuid`, …).
    pub recursive_attrs: MountAttrs,
    /// Propagation changes to make after mounting, in order.
    pub propagation: Vec<Propagation>,
    /// `tmpcopyup`: the directory below is copied into the new tmpfs.
    pub copy_up: bool,
    /// `remount`: the mount that is at the destination is changed instead of a new one made.
    pub remount: bool,
    /// `idmap`, `ridmap`, `uidMappings` and `gidMappings`.
    pub id_map: Option<MountIdMap>,
}

/// How the owners of a mount's files are mapped, see `mount_setattr(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MountIdMap {
    /// With all mounts below.
    pub recursive: bool,
    /// `uidMappings`; empty, like the other, for those of the container's user namespace.
    pub uids: Vec<IdMap>,
    /// `gidMappings`.
    pub gids: Vec<IdMap>,
}

/// What is mounted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum MountKind {
    /// A directory or file of the host; the source is absolute, or relative to the bundle.
    Bind {
        /// `source`.
        source: String,
        /// `rbind`.
        recursive: bool,
    },
    /// The container's own cgroups (type `cgroup` or `cgroup2`).
    Cgroup,
    /// A new instance of a file system.
    Filesystem {
        /// `type`.
        fstype: String,
        /// `source`; the type's name when none is given.
        source: String,
        /// Superblock flags: `MS_RDONLY`, `MS_SYNCHRONOUS`, `MS_DIRSYNC`, `MS_MANDLOCK`, `MS_I_VERSION`, `MS_SILENT`,
        /// `MS_POSIXACL`, `MS_LAZYTIME` of `mount(2)`.
        sb_flags: u64,
        /// The options that are none of the above, joined with commas.
        data: String,
    },
}

/// Attributes to set and to clear: `MS_RDONLY`, `MS_NOSUID`, `MS_NODEV`, `MS_NOEXEC`, `MS_NOATIME`, `MS_NODIRATIME`,
/// `MS_RELATIME`, `MS_STRICTATIME`, `MS_NOSYMFOLLOW` of `mount(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct MountAttrs {
    /// To set.
    pub set: u64,
    /// To clear.
    pub clear: u64,
}

/// How mounts spread to and from the peers of a mount, see `mount_namespaces(7)`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Propagation {
    /// Which.
    pub kind: PropagationKind,
    /// For all mounts below as well.
    pub recursive: bool,
}

/// The kinds of propagation.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum PropagationKind {
    /// `shared`.
    Shared,
    /// `slave`.
    Slave,
    /// `private`.
    Private,
    /// `unbindable`.
    Unbindable,
}

/// Checks `mounts`.
pub(super) fn validate(mounts: &[oci_spec::runtime::Mount], user: &Namespace, faults: &mut Faults) -> Vec<Mount> {
    mounts.iter().enumerate().filter_map(|(index, mount)| validate_one(index, mount, user, faults)).collect()
}

fn validate_one(
    index: usize,
    mount: &oci_spec::runtime::Mount,
    user: &Namespace,
    faults: &mut Faults,
) -> Option<Mount> {
    let destination = destination(index, mount, faults);
    let options = Options::read(index, mount.options().as_deref().unwrap_or_default(), faults);
    let id_map = id_map(index, mount, &options, user, faults);
    let fstype = mount.typ().as_deref().unwrap_or_default();
    let kind = match options.bind {
        Some(recursive) => bind(index, mount, recursive, &options, faults)?,
        None => new_file_system(index, mount, fstype, &options, faults)?,
    };
    if let Some(option) = options.copy_up.filter(|_| options.bind.is_some() || fstype != "tmpfs") {
        faults.warn(format_args!("mounts[{index}].options[{option}]"), "tmpcopyup is ignored: not a tmpfs");
    }
    let copy_up =
        options.copy_up.is_some() && matches!(&kind, MountKind::Filesystem { fstype, .. } if fstype == "tmpfs");
    Some(Mount {
        index,
        destination,
        kind,
        attrs: options.attrs,
        recursive_attrs: options.recursive_attrs,
        propagation: options.propagation,
        copy_up,
        remount: options.remount,
        id_map,
    })
}

/// What `idmap`, `ridmap` and the mappings say together. Mappings without the options are meant as `idmap`, as runc has it.
fn id_map(
    index: usize,
    mount: &oci_spec::runtime::Mount,
    options: &Options<'_>,
    user: &Namespace,
    faults: &mut Faults,
) -> Option<MountIdMap> {
    let uids = mount.uid_mappings().as_deref().unwrap_or_default();
    let gids = mount.gid_mappings().as_deref().unwrap_or_default();
    let (given, recursive) = (!uids.is_empty() || !gids.is_empty(), options.id_map.map(|(_, recursive)| recursive));
    if !given && recursive.is_none() {
        return None;
    }
    let at = |name: &str| format!("mounts[{index}].{name}");
    let place = options.id_map.map_or(at("uidMappings"), |(option, _)| at(&format!("options[{option}]")));
    if matches!(mount.typ().as_deref(), Some("cgroup" | "cgroup2")) && options.bind.is_none() {
        faults.add(&place, "the ids of a cgroup mount cannot be mapped");
    }
    if options.remount {
        faults.add(&place, "the ids of a mount that exists cannot be mapped");
    }
    let mut map = MountIdMap { recursive: recursive == Some(true), uids: Vec::new(), gids: Vec::new() };
    if given {
        for (name, other, mappings) in [("uidMappings", "gidMappings", uids), ("gidMappings", "uidMappings", gids)] {
            if mappings.is_empty() {
                faults.add(at(name), format!("must be specified along with {other}"));
            }
        }
        map.uids = namespaces::extents(&at("uidMappings"), uids, faults);
        map.gids = namespaces::extents(&at("gidMappings"), gids, faults);
    } else if *user == Namespace::Host {
        faults.add(&place, "needs uidMappings and gidMappings: the container has no user namespace");
    }
    Some(map)
}

/// runc 1.1 takes a relative destination as below the root and warns, and so do we.
fn destination(index: usize, mount: &oci_spec::runtime::Mount, faults: &mut Faults) -> String {
    let written = faults.path(format_args!("mounts[{index}].destination"), mount.destination());
    if !written.is_empty() && !written.starts_with('/') {
        faults.warn(
            format_args!("mounts[{index}].destination"),
            format_args!("mount destination {written} is not absolute"),
        );
    }
    clean(&written)
}

/// The absolute path without `.`, `..` and doubled slashes. Only a name: links are followed when it is opened.
fn clean(path: &str) -> String {
    let mut parts: Vec<&str> = Vec::new();
    for part in path.split('/') {
        match part {
            "" | "." => {}
            ".." => {
                parts.pop();
            }
            part => parts.push(part),
        }
    }
    format!("/{}", parts.join("/"))
}

fn bind(
    index: usize,
    mount: &oci_spec::runtime::Mount,
    recursive: bool,
    options: &Options<'_>,
    faults: &mut Faults,
) -> Option<MountKind> {
    for &(option, ref name) in &options.of_the_file_system {
        faults.warn(
            format_args!("mounts[{index}].options[{option}]"),
            format_args!("{name:?} is ignored: a bind mount shares the file system of its source"),
        );
    }
    match mount.source() {
        Some(source) => {
            let source = faults.path(format_args!("mounts[{index}].source"), source);
            Some(MountKind::Bind { source, recursive })
        }
        None => {
            faults.add(format_args!("mounts[{index}].source"), "a bind mount needs a source");
            None
        }
    }
}

fn new_file_system(
    index: usize,
    mount: &oci_spec::runtime::Mount,
    fstype: &str,
    options: &Options<'_>,
    faults: &mut Faults,
) -> Option<MountKind> {
    match fstype {
        "" => faults.add(format_args!("mounts[{index}].type"), "is missing, and no option says bind or rbind"),
        // Neither runc nor crun makes a bind mount of it: the kernel knows no file system of that name.
        "bind" | "rbind" => {
            let message = format!("type {fstype:?} without the option bind or rbind");
            faults.add(format_args!("mounts[{index}].type"), message);
        }
        "cgroup" | "cgroup2" => return Some(MountKind::Cgroup),
        _ => {
            let fstype = faults.text(format_args!("mounts[{index}].type"), fstype);
            let source = match mount.source().as_deref() {
                Some(source) if !source.as_os_str().is_empty() => {
                    faults.path(format_args!("mounts[{index}].source"), source)
                }
                _ => fstype.clone(),
            };
            // Read-only is both: of this mount, and of the file system, as mount(2) makes it.
            let sb_flags = options.sb_flags | (options.attrs.set & libc::MS_RDONLY);
            return Some(MountKind::Filesystem { fstype, source, sb_flags, data: options.data.join(",") });
        }
    }
    None
}

/// The options of one mount, sorted by whom they concern.
#[derive(Default)]
struct Options<'a> {
    attrs: MountAttrs,
    recursive_attrs: MountAttrs,
    sb_flags: u64,
    propagation: Vec<Propagation>,
    /// Whether it is a bind mount, and with all mounts below.
    bind: Option<bool>,
    remount: bool,
    /// Where the last of `idmap` and `ridmap` stands, and whether there is a `ridmap`.
    id_map: Option<(usize, bool)>,
    /// Where `tmpcopyup` stands.
    copy_up: Option<usize>,
    data: Vec<&'a str>,
    /// The options, with their places, that only a new file system can have.
    of_the_file_system: Vec<(usize, &'a str)>,
}

impl<'a> Options<'a> {
    fn read(index: usize, options: &'a [String], faults: &mut Faults) -> Options<'a> {
        let mut read = Options::default();
        for (i, option) in options.iter().enumerate() {
            if option.contains('\0') {
                faults.add(format_args!("mounts[{index}].options[{i}]"), "contains a NUL byte");
            }
            match mount_options::look_up(option) {
                Some(MountOption::Attribute(set, flag)) => read.attrs.change(set, flag),
                Some(MountOption::RecursiveAttribute(set, flag)) => read.recursive_attrs.change(set, flag),
                Some(MountOption::Superblock(set, flag)) => {
                    read.sb_flags = if set { read.sb_flags | flag } else { read.sb_flags & !flag };
                    if set {
                        read.of_the_file_system.push((i, option));
                    }
                }
                Some(MountOption::Propagation(propagation)) => read.propagation.push(propagation),
                Some(MountOption::Bind(recursive)) => read.bind = Some(recursive || read.bind == Some(true)),
                Some(MountOption::Remount) => read.remount = true,
                Some(MountOption::CopyUp) => read.copy_up = Some(i),
                Some(MountOption::IdMap(recursive)) => {
                    read.id_map = Some((i, recursive || read.id_map.is_some_and(|(_, recursive)| recursive)));
                }
                Some(MountOption::Default) => {}
                None if option.is_empty() => {}
                None => {
                    read.data.push(option);
                    read.of_the_file_system.push((i, option));
                }
            }
        }
        read
    }
}

/// Reads `linux.mountLabel`.
pub(super) fn label(written: Option<&str>, faults: &mut Faults) -> Option<String> {
    let label = process::label("linux.mountLabel", written, faults);
    if label.as_ref().is_some_and(|label| label.contains('"')) {
        // It goes to the kernel between two of them.
        faults.add("linux.mountLabel", "contains a quotation mark");
    }
    label
}

/// Reads `linux.rootfsPropagation`.
pub(super) fn rootfs_propagation(written: Option<&str>, faults: &mut Faults) -> Option<Propagation> {
    let written = written.filter(|written| !written.is_empty())?;
    match mount_options::look_up(written) {
        Some(MountOption::Propagation(propagation)) => Some(propagation),
        _ => {
            faults.add("linux.rootfsPropagation", format!("{written:?} is not supported"));
            None
        }
    }
}
