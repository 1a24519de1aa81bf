//! What is read of `config.json`: the types of the `oci-spec` crate inside of two of our own.
//!
//! The crate's `Process` checks `execCPUAffinity`, which is refused anyway, with a regular expression, and its `Spec` has
//! the sections of every platform: not to read through them saves a sixth of the program
//! (docs/decisions/0004-binary-size.md).

use oci_spec::runtime as oci;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, IgnoredAny, Visitor};
use std::collections::HashMap;
use std::fmt;
use std::path::PathBuf;

/// The elements of `config.json` that a runtime for Linux looks at.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Document {
    #[serde(default, rename = "ociVersion")]
    pub(super) version: String,
    pub(super) root: Option<oci::Root>,
    pub(super) mounts: Option<Vec<oci::Mount>>,
    #[serde(default, deserialize_with = "process")]
    pub(super) process: Option<oci::Process>,
    pub(super) hostname: Option<String>,
    pub(super) domainname: Option<String>,
    pub(super) hooks: Option<oci::Hooks>,
    pub(super) annotations: Option<HashMap<String, String>>,
    pub(super) linux: Option<oci::Linux>,
}

impl From<oci::Spec> for Document {
    fn from(mut spec: oci::Spec) -> Document {
        Document {
            version: std::mem::take(spec.version_mut()),
            root: spec.root_mut().take(),
            mounts: spec.mounts_mut().take(),
            process: spec.process_mut().take(),
            hostname: spec.hostname_mut().take(),
            domainname: spec.domainname_mut().take(),
            hooks: spec.hooks_mut().take(),
            annotations: spec.annotations_mut().take(),
            linux: spec.linux_mut().take(),
        }
    }
}

fn process<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<oci::Process>, D::Error> {
    Ok(Option::<Process>::deserialize(deserializer)?.map(oci::Process::from))
}

/// `process`. Its `user` may be left out, as the Go types allow.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Process {
    terminal: Option<bool>,
    console_size: Option<oci::Box>,
    #[serde(default)]
    user: oci::User,
    args: Option<Vec<String>>,
    env: Option<Vec<String>>,
    cwd: PathBuf,
    capabilities: Option<Capabilities>,
    rlimits: Option<Vec<oci::PosixRlimit>>,
    no_new_privileges: Option<bool>,
    apparmor_profile: Option<String>,
    oom_score_adj: Option<i32>,
    selinux_label: Option<String>,
    io_priority: Option<oci::LinuxIOPriority>,
    scheduler: Option<oci::Scheduler>,
    #[serde(rename = "execCPUAffinity")]
    exec_cpu_affinity: Option<IgnoredAny>,
}

impl From<Process> for oci::Process {
    fn from(read: Process) -> oci::Process {
        let mut process = oci::Process::default();
        process
            .set_terminal(read.terminal)
            .set_console_size(read.console_size)
            .set_user(read.user)
            .set_args(read.args)
            .set_env(read.env)
            .set_cwd(read.cwd)
            .set_capabilities(read.capabilities.map(oci::LinuxCapabilities::from))
            .set_rlimits(read.rlimits)
            .set_no_new_privileges(read.no_new_privileges)
            .set_apparmor_profile(read.apparmor_profile)
            .set_oom_score_adj(read.oom_score_adj)
            .set_selinux_label(read.selinux_label)
            .set_io_priority(read.io_priority)
            .set_scheduler(read.scheduler)
            // Only whether it is there matters.
            .set_exec_cpu_affinity(read.exec_cpu_affinity.map(|IgnoredAny| oci::ExecCPUAffinity::default()));
        process
    }
}

/// `process.capabilities`.
#[derive(Deserialize)]
struct Capabilities {
    bounding: Option<Vec<Capability>>,
    effective: Option<Vec<Capability>>,
    inheritable: Option<Vec<Capability>>,
    permitted: Option<Vec<Capability>>,
    ambient: Option<Vec<Capability>>,
}

impl From<Capabilities> for oci::LinuxCapabilities {
    fn from(read: Capabilities) -> oci::LinuxCapabilities {
        let set = |names: Option<Vec<Capability>>| names.map(|names| names.into_iter().map(|name| name.0).collect());
        let mut sets = oci::LinuxCapabilities::default();
        sets.set_bounding(set(read.bounding))
            .set_effective(set(read.effective))
            .set_inheritable(set(read.inheritable))
            .set_permitted(set(read.permitted))
            .set_ambient(set(read.ambient));
        sets
    }
}

/// The name of a capability. The crate's own type finds an unknown one only when the parser is already behind it, so
/// that the place of the error would be that of its neighbour.
struct Capability(oci::Capability);

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Capability, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Capability;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Capability, E> {
                oci::Capability::deserialize(StrDeserializer::new(name)).map(Capability)
            }
        }
        deserializer.deserialize_str(Name)
    }
}
