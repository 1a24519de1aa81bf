//! From `config.json` to a specification whose every element has a meaning.
//!
//! [`parse`] reads the JSON into the types of the `oci-spec` crate and [`validate`] turns those into [`ValidSpec`]:
//! options resolved, names turned into kernel values, everything checked that can be checked without looking at the
//! machine. Nothing later re-checks. Every error names its element, such as `process.capabilities.bounding[2]`.

mod capabilities;
mod devices;
mod document;
mod example;
mod fault;
mod hooks;
mod intel_rdt;
mod mount_options;
mod mounts;
mod namespaces;
mod net_devices;
mod process;
mod properties;
mod read;
mod resources;
mod scheduling;
pub(crate) mod strict;
pub(crate) mod sysctl;
#[cfg(test)]
mod tests;

pub use capabilities::{CapSet, Capabilities};
pub use devices::{Device, DeviceKind};
pub use example::example;
pub use hooks::{Hook, Hooks};
pub use intel_rdt::IntelRdt;
pub(crate) use mount_options::mount_options;
pub use mounts::{Mount, MountAttrs, MountIdMap, MountKind, Propagation, PropagationKind};
pub use namespaces::{IdMap, Namespace, NamespaceKind, Namespaces, TimeOffset};
pub use net_devices::NetDevice;
pub(crate) use process::without_repetitions;
pub use process::{ConsoleSize, Process, Rlimit, User};
pub use scheduling::{CpuSet, ExecCpuAffinity, IoPriority, MemoryPolicy, Personality, Scheduler};

use crate::error::{Error, Result};
use document::Document;
use fault::Faults;
use oci_spec::runtime::{Linux, Spec};
use serde::Serialize;
use std::collections::BTreeMap;

/// The version of the runtime specification that is implemented.
pub const VERSION: &str = "1.3.0";

/// A configuration in which every element is known to have a meaning.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ValidSpec {
    /// `ociVersion`, a SemVer 2.0 string of major version 1 (or 0: the drafts before it).
    pub oci_version: String,
    /// `root.path` as written: absolute, or relative to the bundle.
    pub root: Root,
    /// `hostname`.
    pub hostname: Option<String>,
    /// `domainname`.
    pub domainname: Option<String>,
    /// `process`; required, as by runc, although only *start* needs it by the specification.
    pub process: Process,
    /// `linux.namespaces`.
    pub namespaces: Namespaces,
    /// `linux.uidMappings`; empty without a new user namespace.
    pub uid_mappings: Vec<IdMap>,
    /// `linux.gidMappings`.
    pub gid_mappings: Vec<IdMap>,
    /// `linux.timeOffsets`, sorted by clock; only with a new time namespace.
    pub time_offsets: Vec<TimeOffset>,
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
    /// `linux.mountLabel`: the SELinux context of new file systems.
    pub mount_label: Option<String>,
    /// `linux.seccomp` as in the specification.
    pub seccomp: Option<oci_spec::runtime::LinuxSeccomp>,
    /// `linux.netDevices`, by the name on the host.
    pub net_devices: Vec<NetDevice>,
    /// `linux.intelRdt`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub intel_rdt: Option<IntelRdt>,
    /// `linux.personality`.
    pub personality: Option<Personality>,
    /// `linux.memoryPolicy`.
    pub memory_policy: Option<MemoryPolicy>,
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
pub fn parse(text: &[u8]) -> Result<ValidSpec> {
    parse_text(read::utf8(text)?)
}

/// As [`parse`].
pub(crate) fn parse_text(text: &str) -> Result<ValidSpec> {
    check(read::read(text)?)
}

/// Reads and validates the text of a `process` on its own, as engines give it for one more program in a container.
///
/// # Errors
/// As for [`parse`].
pub fn parse_process(text: &[u8]) -> Result<Process> {
    let unreadable = |error: String| Error::config("process", error);
    let text = std::str::from_utf8(text).map_err(|error| unreadable(error.to_string()))?;
    let value: &serde_json::value::RawValue =
        serde_json::from_str(text).map_err(|error| unreadable(error.to_string()))?;
    let document = read::read(&format!("{{\"process\":{value}}}"))?;
    let mut faults = Faults::default();
    let process = document.process.map(|process| process::validate(&process, &mut faults));
    if process.is_none() {
        faults.add("process", "process property must not be empty");
    }
    faults.first_or(process)
}

/// Reads and validates what has the form of `linux.resources`, as an update of a container's limits does.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig), naming the element as if it were in a `config.json`.
pub fn parse_resources(text: &[u8]) -> Result<oci_spec::runtime::LinuxResources> {
    let unreadable =
        |error: &dyn std::fmt::Display| Error::config("linux.resources", format!("cannot be read: {error}"));
    let text = std::str::from_utf8(text).map_err(|error| unreadable(&error))?;
    let resources = strict::from_str(text).map_err(|error| unreadable(&error))?;
    check_resources(&resources)?;
    Ok(resources)
}

/// Checks what an update gives as a new `l3CacheSchema` and `memBwSchema`.
///
/// # Errors
/// [`ErrorKind::InvalidConfig`](crate::ErrorKind::InvalidConfig).
pub fn check_schemas(l3_cache: Option<&str>, memory_bandwidth: Option<&str>) -> Result<()> {
    let mut faults = Faults::default();
    intel_rdt::l3("linux.intelRdt.l3CacheSchema", l3_cache, &mut faults);
    intel_rdt::bandwidth("linux.intelRdt.memBwSchema", memory_bandwidth, &mut faults);
    faults.first_or(Some(()))
}

pub(crate) fn check_resources(resources: &oci_spec::runtime::LinuxResources) -> Result<()> {
    let mut faults = Faults::default();
    resources::validate(resources, &mut faults);
    faults.first_or(Some(()))
}

/// Validates a specification that is in memory; the first fault is returned.
///
/// # Errors
/// As for [`parse`].
pub fn validate(spec: Spec) -> Result<ValidSpec> {
    check(Document::from(spec))
}

fn check(document: Document) -> Result<ValidSpec> {
    let mut faults = Faults::default();
    let valid = meaning(document, &mut faults);
    faults.first_or(valid)
}

/// Every fault of a `config.json`: first the elements of a wrong type, then those without a valid meaning, in the order
/// of [`ValidSpec`]. Empty when [`parse`] accepts it.
pub fn faults(text: &[u8]) -> Vec<Error> {
    let text = match read::utf8(text) {
        Ok(text) => text,
        Err(fault) => return vec![Error::from(fault)],
    };
    let (document, mut misread) = read::read_all(text);
    if let Some(document) = document {
        let mut faults = Faults::default();
        meaning(document, &mut faults);
        misread.extend(faults.into_found());
    }
    misread.into_found().into_iter().map(Error::from).collect()
}

/// Every element of a `config.json` that the specification does not have, one line each. It is ignored, as the
/// specification demands; mostly it is a misspelt one. Empty for what is not JSON, which [`faults`] tells.
pub fn unknown(text: &[u8]) -> Vec<String> {
    let text = read::utf8(text).unwrap_or_default();
    serde_json::from_str(text).map_or(Vec::new(), |config| properties::unknown(&config))
}

/// The meaning of `document`. `None` only when a required element is missing, but with any fault it must not be used.
fn meaning(document: Document, faults: &mut Faults) -> Option<ValidSpec> {
    version(&document.version, faults);
    let root = root(document.root.as_ref(), faults);
    let process = document.process.as_ref().map(|process| process::validate(process, faults));
    if process.is_none() {
        faults.add("process", "process property must not be empty");
    }
    let mut linux = document.linux.unwrap_or_else(empty_linux);
    let namespaces = Namespaces::validate(linux.namespaces().as_deref().unwrap_or_default(), faults);
    let (hostname, domainname) = (document.hostname.as_deref(), document.domainname.as_deref());
    let hostname = host_name("hostname", hostname, &namespaces, faults);
    let domainname = host_name("domainname", domainname, &namespaces, faults);
    let (uid_mappings, gid_mappings) = mappings(&linux, &namespaces, process.as_ref(), faults);
    let time_offsets = namespaces::time_offsets(linux.time_offsets().as_ref(), &namespaces, faults);
    let mounts = mounts::validate(document.mounts.as_deref().unwrap_or_default(), &namespaces.user, faults);
    without_mount_namespace(&linux, &mounts, root.as_ref(), &namespaces, faults);
    let devices = devices::validate(linux.devices().as_deref().unwrap_or_default(), faults);
    let masked_paths = restricted("linux.maskedPaths", linux.masked_paths().as_deref(), &namespaces, faults);
    let readonly_paths = restricted("linux.readonlyPaths", linux.readonly_paths().as_deref(), &namespaces, faults);
    let rootfs_propagation = mounts::rootfs_propagation(linux.rootfs_propagation().as_deref(), faults);
    let sysctl = linux.sysctl().as_ref().map(|sysctl| sysctl::validate(sysctl, &namespaces, faults));
    let cgroups_path = linux.cgroups_path().as_deref().filter(|path| !path.as_os_str().is_empty());
    let cgroups_path = cgroups_path.map(|path| faults.path("linux.cgroupsPath", path));
    if let Some(resources) = linux.resources() {
        resources::validate(resources, faults);
    }
    let mount_label = mounts::label(linux.mount_label().as_deref(), faults);
    let net_devices = linux.net_devices().as_ref().map(|devices| net_devices::validate(devices, &namespaces, faults));
    let personality = linux.personality().as_ref().map(|personality| scheduling::personality(personality, faults));
    let memory_policy = linux.memory_policy().as_ref().map(|policy| scheduling::memory_policy(policy, faults));
    let intel_rdt = linux.intel_rdt().as_ref().map(|rdt| intel_rdt::validate(rdt, faults));
    let hooks = document.hooks.as_ref().map(|hooks| hooks::validate(hooks, faults)).unwrap_or_default();
    Some(ValidSpec {
        oci_version: document.version,
        root: root?,
        hostname,
        domainname,
        process: process?,
        namespaces,
        uid_mappings,
        gid_mappings,
        time_offsets,
        mounts,
        devices,
        masked_paths,
        readonly_paths,
        rootfs_propagation,
        sysctl: sysctl.unwrap_or_default(),
        cgroups_path,
        resources: linux.resources_mut().take(),
        mount_label,
        seccomp: linux.seccomp_mut().take(),
        net_devices: net_devices.unwrap_or_default(),
        intel_rdt,
        personality,
        memory_policy,
        hooks,
        annotations: document.annotations.unwrap_or_default().into_iter().collect(),
        warnings: faults.take_warnings(),
    })
}

/// `Linux::default()` is not empty: it holds an example.
fn empty_linux() -> Linux {
    let mut linux = Linux::default();
    linux.set_namespaces(None).set_resources(None).set_masked_paths(None).set_readonly_paths(None);
    linux
}

/// runc does not look at the version at all. We take every minor version, as the specification promises them to be
/// compatible, and the drafts before 1.0, which old bundles and the specification's own example still state.
fn version(version: &str, faults: &mut Faults) {
    let core = version.split(['-', '+']).next().unwrap_or_default();
    let numbers: Vec<&str> = core.split('.').collect();
    let is_number = |text: &&str| {
        !text.is_empty()
            && text.bytes().all(|byte| byte.is_ascii_digit())
            && (text.len() == 1 || !text.starts_with('0'))
    };
    if version.is_empty() {
        faults.add("ociVersion", "is missing");
    } else if numbers.len() != 3 || !numbers.iter().all(is_number) || version.contains('\0') {
        faults.add("ociVersion", format!("{version:?} is not a semantic version such as 1.3.0"));
    } else if !matches!(numbers.first(), Some(&("0" | "1"))) {
        faults.add("ociVersion", format!("version {version} of the specification is not supported"));
    }
}

fn root(root: Option<&oci_spec::runtime::Root>, faults: &mut Faults) -> Option<Root> {
    match root {
        Some(root) => {
            Some(Root { path: faults.path("root.path", root.path()), readonly: root.readonly().unwrap_or(false) })
        }
        None => {
            faults.add("root", "root must be specified");
            None
        }
    }
}

/// `hostname` or `domainname`. The kernel takes 64 bytes, see `uts_namespaces(7)` and `sethostname(2)`.
fn host_name(location: &str, name: Option<&str>, namespaces: &Namespaces, faults: &mut Faults) -> Option<String> {
    let name = name.filter(|name| !name.is_empty())?;
    if namespaces.uts == Namespace::Host {
        faults.add(location, format!("unable to set {location} without a private UTS namespace"));
    }
    if name.len() > 64 {
        faults.add(location, "is longer than 64 bytes");
    }
    Some(faults.text(location, name))
}

/// The mappings, if a user namespace is made: one that is joined has its own, and engines repeat them.
fn mappings(
    linux: &Linux,
    namespaces: &Namespaces,
    process: Option<&Process>,
    faults: &mut Faults,
) -> (Vec<IdMap>, Vec<IdMap>) {
    if namespaces.user != Namespace::New {
        return (Vec::new(), Vec::new());
    }
    let uids = linux.uid_mappings().as_deref().unwrap_or_default();
    let uids = namespaces::id_maps("linux.uidMappings", uids, faults);
    let gids = linux.gid_mappings().as_deref().unwrap_or_default();
    let gids = namespaces::id_maps("linux.gidMappings", gids, faults);
    namespaces::mapped(&uids, &gids, process.map(|process| &process.user), faults);
    (uids, gids)
}

/// What would change the caller's own mounts when the container has none of its own.
fn without_mount_namespace(
    linux: &Linux,
    mounts: &[Mount],
    root: Option<&Root>,
    namespaces: &Namespaces,
    faults: &mut Faults,
) {
    if namespaces.mount != Namespace::Host {
        return;
    }
    if !mounts.is_empty() {
        faults.add("mounts", "unable to mount without a private mount namespace");
    }
    if root.is_some_and(|root| root.readonly) {
        faults.add("root.readonly", "unable to make the root read-only without a private mount namespace");
    }
    if linux.rootfs_propagation().as_deref().is_some_and(|propagation| !propagation.is_empty()) {
        faults.add("linux.rootfsPropagation", "unable to set the propagation without a private mount namespace");
    }
    if namespaces.user != Namespace::Host {
        let message = "a user namespace needs a mount namespace of its own: its devices are bound from the host";
        faults.add("linux.namespaces", message);
    }
}

/// `linux.maskedPaths` or `linux.readonlyPaths`.
fn restricted(location: &str, paths: Option<&[String]>, namespaces: &Namespaces, faults: &mut Faults) -> Vec<String> {
    let paths = paths.unwrap_or_default();
    if namespaces.mount == Namespace::Host && !paths.is_empty() {
        faults.add(location, "unable to restrict paths without a private mount namespace");
    }
    let valid = |(i, path): (usize, &String)| faults.absolute(format_args!("{location}[{i}]"), path.as_ref());
    paths.iter().enumerate().map(valid).collect()
}
