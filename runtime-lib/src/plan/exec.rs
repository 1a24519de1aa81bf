//! The plan of one more program in a container that is there: the sections of a start that build a root are empty.

use super::{Choices, Devices, Identity, Join, NamespacePlan, Plan, Rootfs, cgroup, security};
use crate::ContainerId;
use crate::error::{Error, ErrorKind, Result};
use crate::spec::{Namespace, NamespaceKind, Process, PropagationKind, ValidSpec};
use std::collections::BTreeMap;

/// The container that the program is added to.
pub(crate) struct Existing<'a> {
    pub(crate) id: &'a ContainerId,
    pub(crate) rootfs: &'a str,
    /// Its first process.
    pub(crate) pid: i32,
    /// The caller is not root.
    pub(crate) unprivileged: bool,
    /// The container has its caller's user namespace although its configuration names one.
    pub(crate) same_user_namespace: bool,
}

/// Computes what running `process` in a container of the configuration `spec` takes.
///
/// # Errors
/// What cannot be honoured, naming the element.
pub(crate) fn lower(mut spec: ValidSpec, process: Process, existing: &Existing<'_>, choices: Choices) -> Result<Plan> {
    spec.process = process;
    if spec.namespaces.mount == Namespace::Host {
        // Its root comes with its mount namespace; without one the program would run among the host's files.
        let message = "exec in a container without a mount namespace is not supported by this version of corten";
        return Err(Error::config("linux.namespaces", message).with_kind(ErrorKind::Unsupported));
    }
    let namespaces = namespaces(&spec, existing);
    super::namespaces::check_groups(namespaces.set_groups, &spec.process)?;
    Ok(Plan {
        identity: Identity {
            id: existing.id.clone(),
            bundle: String::new(),
            oci_version: spec.oci_version.clone(),
            hostname: None,
            domainname: None,
            annotations: BTreeMap::new(),
        },
        namespaces,
        cgroup: cgroup::CgroupPlan::empty()?,
        rootfs: Rootfs {
            path: existing.rootfs.to_owned(),
            propagation: PropagationKind::Private,
            propagation_recursive: false,
            readonly: false,
            readonly_late: Vec::new(),
        },
        mounts: Vec::new(),
        devices: Devices { nodes: Vec::new(), links: Vec::new(), bind: false },
        readonly_paths: Vec::new(),
        masked_paths: Vec::new(),
        mask_context: None,
        sysctl: BTreeMap::new(),
        security: security::lower(&spec, &choices)?,
        process: super::process(&spec, &choices),
        net_devices: Vec::new(),
        resctrl: None,
        personality: spec.personality.clone(),
        memory_policy: spec.memory_policy.clone(),
        hooks: Default::default(),
        choices,
        warnings: Vec::new(),
    })
}

/// All kinds that the container does not share with the host, wherever its own came from.
fn namespaces(spec: &ValidSpec, existing: &Existing<'_>) -> NamespacePlan {
    let kinds = super::namespaces::in_order(&spec.namespaces).into_iter();
    let kinds = kinds.filter(|(_, namespace)| **namespace != Namespace::Host).map(|(kind, _)| kind);
    let kinds: Vec<_> = kinds.filter(|kind| *kind != NamespaceKind::User || !existing.same_user_namespace).collect();
    let path = |kind: NamespaceKind| match kind {
        NamespaceKind::Network => format!("/proc/{}/ns/net", existing.pid),
        NamespaceKind::Mount => format!("/proc/{}/ns/mnt", existing.pid),
        kind => format!("/proc/{}/ns/{}", existing.pid, kind.name()),
    };
    let self_map_only = existing.unprivileged && spec.gid_mappings.iter().map(|map| map.size).eq([1]);
    NamespacePlan {
        fork: kinds.contains(&NamespaceKind::User) || kinds.contains(&NamespaceKind::Pid),
        join: kinds.into_iter().map(|kind| Join { index: 0, kind, path: path(kind) }).collect(),
        new: Vec::new(),
        uid_mappings: Vec::new(),
        gid_mappings: Vec::new(),
        time_offsets: Vec::new(),
        set_groups: !self_map_only,
        root_uid: super::namespaces::root(&spec.uid_mappings, spec.process.user.uid),
        root_gid: super::namespaces::root(&spec.gid_mappings, spec.process.user.gid),
    }
}
