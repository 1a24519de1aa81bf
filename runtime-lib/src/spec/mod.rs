//! From `config.json` to a specification whose every element has a meaning.
//!
//! [`parse`] reads the JSON into the types of the `oci-spec` crate and [`validate`] turns those into [`ValidSpec`]:
//! options resolved, names turned into kernel values, everything checked that can be checked without looking at the
//! machine. Nothing later re-checks. Every error names its element, such as `process.capabilities.bounding[2]`.

mod devices;
mod hooks;
mod mounts;
mod namespaces;
mod process;

pub use devices::{Device, DeviceKind};
pub use hooks::{Hook, Hooks};
pub use mounts::{Mount, MountAttrs, MountKind, Propagation, PropagationKind};
pub use namespaces::{IdMap, Namespace, NamespaceKind, Namespaces};
pub use process::{CapSet, Capabilities, ConsoleSize, Process, Rlimit, User};

use serde::Serialize;
use std::collections::BTreeMap;

/// A configuration in which every element is known to have a meaning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidSpec {
    /// `ociVersion`, a SemVer 2.0 string of major version 1.
    pub oci_version: String,
    /// `root.path` as written: absolute, or relative to the bundle.
    pub root: Root,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// `process`; a container can be created without one but not started.
    pub process: Process,
    /// `linux.namespaces`.
    pub namespaces: Namespaces,
    /// `linux.uidMappings`; empty without a new user namespace.
    pub uid_mappings: Vec<IdMap>,
    /// `linux.gidMappings`.
    pub gid_mappings: Vec<IdMap>,
    /// `mounts`, in order.
    pub mounts: Vec<Mount>,
    /// `linux.devices`: those configured, without the default ones.
    pub devices: Vec<Device>,
    /// `linux.maskedPaths`, absolute.
    pub masked_paths: Vec<String>,
    /// `linux.readonlyPaths`, absolute.
    pub readonly_paths: Vec<String>,
    /// `linux.rootfsPropagation`.
    pub rootfs_propagation: Option<Propagation>,
    /// `linux.sysctl`: names with dots or slashes as written, and values.
    pub sysctl: BTreeMap<String, String>,
    /// `linux.cgroupsPath` as written.
    pub cgroups_path: Option<String>,
    /// `linux.resources` as in the specification; lowered by the plan for the host's cgroup version.
    pub resources: Option<oci_spec::runtime::LinuxResources>,
    /// `linux.seccomp` as in the specification.
    pub seccomp: Option<oci_spec::runtime::LinuxSeccomp>,
    /// `hooks`.
    pub hooks: Hooks,
    /// `annotations`.
    pub annotations: BTreeMap<String, String>,
    /// What runc would warn of and ignore, and we do too: one line each.
    pub warnings: Vec<String>,
}

/// `root`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Root {
    /// `root.path` as written.
    pub path: String,
    /// `root.readonly`.
    pub readonly: bool,
}

/// Reads and validates the text of a `config.json`; the first fault ends it.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig), naming the element.
pub fn parse(text: &[u8]) -> crate::Result<ValidSpec> {
    let spec = serde_json::from_slice(text).map_err(|e| crate::Error::config("config.json", e.to_string()))?;
    validate(spec)
}

/// Validates a specification that is in memory; the first fault ends it.
///
/// # Errors
/// As for [`parse`].
pub fn validate(_spec: oci_spec::runtime::Spec) -> crate::Result<ValidSpec> {
    Err(crate::Error::config("config.json", "not yet"))
}

/// Every fault of a `config.json`, in the order of the file's elements.
pub fn faults(_text: &[u8]) -> Vec<crate::Error> {
    Vec::new()
}

/// The specification that `runc spec` writes; with `rootless`, for the user and group ids given;
/// with `unified`, for a machine with cgroup version 2 only.
pub fn example(_rootless: Option<(u32, u32)>, _unified: bool) -> oci_spec::runtime::Spec {
    oci_spec::runtime::Spec::default()
}
