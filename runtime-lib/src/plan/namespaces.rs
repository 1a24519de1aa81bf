//! Which namespaces are made, which are joined, and whether that takes a fork.

use crate::host::Host;
use crate::spec::{IdMap, Namespace, NamespaceKind, Namespaces, ValidSpec};
use serde::Serialize;

/// The namespaces of the container.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct NamespacePlan {
    /// Made anew.
    pub new: Vec<NamespaceKind>,
    /// Joined, in this order.
    pub join: Vec<Join>,
    /// The init is started outside and forks into the namespaces: a user or pid namespace that exists can be entered
    /// only so, and capabilities in a new user namespace would not survive an exec.
    pub fork: bool,
    /// `linux.uidMappings`.
    pub uid_mappings: Vec<IdMap>,
    /// `linux.gidMappings`.
    pub gid_mappings: Vec<IdMap>,
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
        self.is_new(NamespaceKind::User) || self.join.iter().any(|join| join.kind == NamespaceKind::User)
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
    let fork = user || joins(NamespaceKind::User) || joins(NamespaceKind::Pid);
    // An unprivileged caller may map only itself, and only with setgroups denied, unless newgidmap does it.
    let self_map_only =
        host.euid != 0 && spec.gid_mappings.len() == 1 && spec.gid_mappings.iter().all(|map| map.size == 1);
    NamespacePlan {
        new,
        join,
        fork,
        uid_mappings: spec.uid_mappings.clone(),
        gid_mappings: spec.gid_mappings.clone(),
        set_groups: !self_map_only,
    }
}
