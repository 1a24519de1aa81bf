//! `mounts`: their types and options, turned into the kernel's flags.

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
        /// `MS_LAZYTIME` of `mount(2)`.
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
