//! Which namespaces are made, which are joined, and whether that takes a fork.

use crate::error::{Error, ErrorKind, Result};
use crate::host::Host;
use crate::spec::{IdMap, Namespace, NamespaceKind, Namespaces, Process, TimeOffset, ValidSpec};
use serde::Serialize;

/// The namespaces of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespacePlan {
    /// Made anew.
    pub new: Vec<NamespaceKind>,
    /// Joined, in this order.
    pub join: Vec<Join>,
    /// The init is started outside and forks into the namespaces: a user or pid namespace that exists, and a time
    /// namespace that gets offsets, can be entered only so, and capabilities in a new user namespace would not survive an exec.
    pub fork: bool,
    /// `linux.uidMappings`.
    pub uid_mappings: Vec<IdMap>,
    /// `linux.gidMappings`.
    pub gid_mappings: Vec<IdMap>,
    /// `linux.timeOffsets`.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub time_offsets: Vec<TimeOffset>,
    /// The user that the init works as in the container's user namespace; not 0 only where that is not mapped.
    #[serde(skip_serializing_if = "is_root")]
    pub root_uid: u32,
    /// The same of the group.
    #[serde(skip_serializing_if = "is_root")]
    pub root_gid: u32,
    /// Whether `setgroups(2)` is possible: an unprivileged user's own mapping rules it out, see `user_namespaces(7)`.
    pub set_groups: bool,
}

/// One namespace to join.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Join {
    /// Its place in `linux.namespaces`.
    pub index: usize,
    /// Its kind.
    pub kind: NamespaceKind,
    /// Its path on the host.
    pub path: String,
}

/// See [`NamespacePlan::forks`].
pub(crate) struct Forks {
    /// Out of the launcher's namespaces.
    pub(crate) first: Option<u64>,
    /// Without a fork, in a new user namespace whose ids are mapped.
    pub(crate) late: u64,
    /// Into the time namespace.
    pub(crate) time: Option<u64>,
}

impl NamespaceKind {
    /// The `CLONE_NEW*` flag, see `clone(2)`.
    pub fn flag(self) -> u64 {
        let flag = match self {
            NamespaceKind::User => libc::CLONE_NEWUSER,
            NamespaceKind::Pid => libc::CLONE_NEWPID,
            NamespaceKind::Network => libc::CLONE_NEWNET,
            NamespaceKind::Ipc => libc::CLONE_NEWIPC,
            NamespaceKind::Uts => libc::CLONE_NEWUTS,
            NamespaceKind::Mount => libc::CLONE_NEWNS,
            NamespaceKind::Cgroup => libc::CLONE_NEWCGROUP,
            NamespaceKind::Time => 0x80,
        };
        u64::from(flag.unsigned_abs())
    }

    /// The specification's name.
    pub fn name(self) -> &'static str {
        match self {
            NamespaceKind::User => "user",
            NamespaceKind::Pid => "pid",
            NamespaceKind::Network => "network",
            NamespaceKind::Ipc => "ipc",
            NamespaceKind::Uts => "uts",
            NamespaceKind::Mount => "mount",
            NamespaceKind::Cgroup => "cgroup",
            NamespaceKind::Time => "time",
        }
    }
}

impl NamespacePlan {
    /// Whether a namespace of this kind is made anew.
    pub fn is_new(&self, kind: NamespaceKind) -> bool {
        self.new.contains(&kind)
    }

    /// Whether the container has a user namespace other than the caller's.
    pub fn has_user_namespace(&self) -> bool {
        self.has(NamespaceKind::User)
    }

    /// Whether the container has a mount namespace other than the caller's.
    pub fn has_mount_namespace(&self) -> bool {
        self.has(NamespaceKind::Mount)
    }

    fn has(&self, kind: NamespaceKind) -> bool {
        self.is_new(kind) || self.join.iter().any(|join| join.kind == kind)
    }

    /// The `CLONE_NEW*` flags of the init's forks. A new time namespace is entered by a fork of its own, once its
    /// offsets are written, and it belongs to the user namespace, which therefore takes a fork before.
    pub(crate) fn forks(&self) -> Forks {
        let flags = self.clone_flags();
        let (user, time) = (NamespaceKind::User.flag(), NamespaceKind::Time.flag());
        if !self.fork {
            Forks { first: None, late: 0, time: None }
        } else if flags & time == 0 {
            let late = if flags & user != 0 { flags & NamespaceKind::Ipc.flag() } else { 0 };
            Forks { first: Some(flags & !late), late, time: None }
        } else {
            Forks { first: (flags & user != 0).then_some(user), late: 0, time: Some(flags & !(user | time)) }
        }
    }

    /// The flags of all that is made by a clone. A cgroup namespace is not: see the init.
    pub(crate) fn clone_flags(&self) -> u64 {
        let made = self.new.iter().filter(|kind| **kind != NamespaceKind::Cgroup);
        made.fold(0, |flags, kind| flags | kind.flag())
    }
}

/// The kinds in the order in which they are joined: the user namespace first, it gives the right to the others; the
/// mount namespace last, the others may be given as paths of the host's.
pub(super) fn in_order(namespaces: &Namespaces) -> [(NamespaceKind, &Namespace); 8] {
    [
        (NamespaceKind::User, &namespaces.user),
        (NamespaceKind::Pid, &namespaces.pid),
        (NamespaceKind::Network, &namespaces.network),
        (NamespaceKind::Ipc, &namespaces.ipc),
        (NamespaceKind::Uts, &namespaces.uts),
        (NamespaceKind::Time, &namespaces.time),
        (NamespaceKind::Cgroup, &namespaces.cgroup),
        (NamespaceKind::Mount, &namespaces.mount),
    ]
}

pub(super) fn lower(spec: &ValidSpec, host: &Host) -> NamespacePlan {
    let (mut new, mut join) = (Vec::new(), Vec::new());
    for (kind, namespace) in in_order(&spec.namespaces) {
        match namespace {
            Namespace::Host => {}
            Namespace::New => new.push(kind),
            Namespace::Join { index, path } => join.push(Join { index: *index, kind, path: path.clone() }),
        }
    }
    let user = new.contains(&NamespaceKind::User);
    let joins = |kind| join.iter().any(|join: &Join| join.kind == kind);
    let time = new.contains(&NamespaceKind::Time);
    let fork = user || time || joins(NamespaceKind::User) || joins(NamespaceKind::Pid);
    // An unprivileged caller may map only itself, and only with setgroups denied, unless newgidmap does it.
    let self_map_only =
        host.euid != 0 && spec.gid_mappings.len() == 1 && spec.gid_mappings.iter().all(|map| map.size == 1);
    NamespacePlan {
        new,
        join,
        fork,
        uid_mappings: spec.uid_mappings.clone(),
        gid_mappings: spec.gid_mappings.clone(),
        time_offsets: spec.time_offsets.clone(),
        set_groups: !self_map_only,
        root_uid: root(&spec.uid_mappings, spec.process.user.uid),
        root_gid: root(&spec.gid_mappings, spec.process.user.gid),
    }
}

/// Without the right to `setgroups(2)` groups that the program is to have are an error, not left out.
pub(super) fn check_groups(set_groups: bool, process: &Process) -> Result<()> {
    if set_groups || process.user.additional_gids.is_empty() {
        return Ok(());
    }
    let message = "cannot set any additional groups in a rootless container";
    let hint = "a range of linux.gidMappings, which newgidmap writes, makes it possible";
    Err(Error::config("process.user.additionalGids", message).with_kind(ErrorKind::Unsupported).hint(hint))
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde's signature")]
fn is_root(id: &u32) -> bool {
    *id == 0
}

/// Who does what is root's to do: root, or if it is not mapped the program's own user, who is.
pub(super) fn root(maps: &[IdMap], user: u32) -> u32 {
    if maps.is_empty() || maps.iter().any(|map| map.inside == 0) { 0 } else { user }
}
