//! What is read of `config.json`: the types of the `oci-spec` crate inside of two of our own.
//!
//! The crate's `Process` checks `execCPUAffinity` with a regular expression, and its `Spec` has
//! the sections of every platform: not to read through them saves a sixth of the program
//! (docs/decisions/0004-binary-size.md).

use oci_spec::runtime as oci;
use serde::Deserialize;
use serde::de::value::StrDeserializer;
use serde::de::{Deserializer, Visitor};
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
    pub(super) process: Option<Process>,
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
            process: spec.process_mut().take().map(Process::from),
            hostname: spec.hostname_mut().take(),
            domainname: spec.domainname_mut().take(),
            hooks: spec.hooks_mut().take(),
            annotations: spec.annotations_mut().take(),
            linux: spec.linux_mut().take(),
        }
    }
}

/// `process`. Its `user` may be left out, as the Go types allow.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Process {
    pub(super) terminal: Option<bool>,
    pub(super) console_size: Option<oci::Box>,
    #[serde(default)]
    pub(super) user: Option<oci::User>,
    pub(super) args: Option<Vec<String>>,
    pub(super) env: Option<Vec<String>>,
    pub(super) cwd: PathBuf,
    pub(super) capabilities: Option<Capabilities>,
    pub(super) rlimits: Option<Vec<oci::PosixRlimit>>,
    pub(super) no_new_privileges: Option<bool>,
    pub(super) apparmor_profile: Option<String>,
    pub(super) oom_score_adj: Option<i32>,
    pub(super) selinux_label: Option<String>,
    pub(super) io_priority: Option<oci::LinuxIOPriority>,
    pub(super) scheduler: Option<Scheduler>,
    #[serde(rename = "execCPUAffinity")]
    pub(super) exec_cpu_affinity: Option<ExecCpuAffinity>,
}

/// `process.scheduler`. The crate's own type does not know all flags by the names of the specification.
#[derive(Debug, Deserialize)]
pub(super) struct Scheduler {
    pub(super) policy: String,
    pub(super) nice: Option<i32>,
    pub(super) priority: Option<i32>,
    pub(super) flags: Option<Vec<String>>,
    pub(super) runtime: Option<u64>,
    pub(super) deadline: Option<u64>,
    pub(super) period: Option<u64>,
}

impl From<&oci::Scheduler> for Scheduler {
    fn from(scheduler: &oci::Scheduler) -> Scheduler {
        use oci::LinuxSchedulerFlag as Flag;
        use oci::LinuxSchedulerPolicy as Policy;
        let policy = match scheduler.policy() {
            Policy::SchedOther => "SCHED_OTHER",
            Policy::SchedFifo => "SCHED_FIFO",
            Policy::SchedRr => "SCHED_RR",
            Policy::SchedBatch => "SCHED_BATCH",
            Policy::SchedIso => "SCHED_ISO",
            Policy::SchedIdle => "SCHED_IDLE",
            Policy::SchedDeadline => "SCHED_DEADLINE",
        };
        let flag = |flag: &Flag| match flag {
            Flag::SchedResetOnFork => "SCHED_FLAG_RESET_ON_FORK",
            Flag::SchedFlagReclaim => "SCHED_FLAG_RECLAIM",
            Flag::SchedFlagDLOverrun => "SCHED_FLAG_DL_OVERRUN",
            Flag::SchedFlagKeepPolicy => "SCHED_FLAG_KEEP_POLICY",
            Flag::SchedFlagKeepParams => "SCHED_FLAG_KEEP_PARAMS",
            Flag::SchedFlagUtilClampMin => "SCHED_FLAG_UTIL_CLAMP_MIN",
            Flag::SchedFlagUtilClampMax => "SCHED_FLAG_UTIL_CLAMP_MAX",
        };
        Scheduler {
            policy: policy.to_owned(),
            nice: *scheduler.nice(),
            priority: *scheduler.priority(),
            flags: scheduler.flags().as_ref().map(|flags| flags.iter().map(|name| flag(name).to_owned()).collect()),
            runtime: *scheduler.runtime(),
            deadline: *scheduler.deadline(),
            period: *scheduler.period(),
        }
    }
}

/// `process.execCPUAffinity`.
#[derive(Debug, Deserialize)]
pub(super) struct ExecCpuAffinity {
    pub(super) initial: Option<String>,
    #[serde(rename = "final")]
    pub(super) last: Option<String>,
}

impl From<&oci::ExecCPUAffinity> for ExecCpuAffinity {
    fn from(affinity: &oci::ExecCPUAffinity) -> ExecCpuAffinity {
        ExecCpuAffinity { initial: affinity.initial().clone(), last: affinity.cpu_affinity_final().clone() }
    }
}

impl From<oci::Process> for Process {
    fn from(process: oci::Process) -> Process {
        Process {
            terminal: process.terminal(),
            console_size: process.console_size(),
            user: Some(process.user().clone()),
            args: process.args().clone(),
            env: process.env().clone(),
            cwd: process.cwd().clone(),
            capabilities: process.capabilities().as_ref().map(Capabilities::from),
            rlimits: process.rlimits().clone(),
            no_new_privileges: process.no_new_privileges(),
            apparmor_profile: process.apparmor_profile().clone(),
            oom_score_adj: process.oom_score_adj(),
            selinux_label: process.selinux_label().clone(),
            io_priority: *process.io_priority(),
            scheduler: process.scheduler().as_ref().map(Scheduler::from),
            exec_cpu_affinity: process.exec_cpu_affinity().as_ref().map(ExecCpuAffinity::from),
        }
    }
}

/// `process.capabilities`: lists, where the crate's own type hashes each name into a set.
#[derive(Debug, Deserialize)]
pub(super) struct Capabilities {
    pub(super) bounding: Option<Vec<Capability>>,
    pub(super) effective: Option<Vec<Capability>>,
    pub(super) inheritable: Option<Vec<Capability>>,
    pub(super) permitted: Option<Vec<Capability>>,
    pub(super) ambient: Option<Vec<Capability>>,
}

impl From<&oci::LinuxCapabilities> for Capabilities {
    fn from(sets: &oci::LinuxCapabilities) -> Capabilities {
        let list = |set: &Option<oci::Capabilities>| {
            set.as_ref().map(|set| set.iter().map(|&capability| Capability(Ok(capability))).collect())
        };
        Capabilities {
            bounding: list(sets.bounding()),
            effective: list(sets.effective()),
            inheritable: list(sets.inheritable()),
            permitted: list(sets.permitted()),
            ambient: list(sets.ambient()),
        }
    }
}

/// A capability, or the name of one that is unknown: that is no fault, it is left out with a warning.
#[derive(Clone, Debug)]
pub(super) struct Capability(pub(super) Result<oci::Capability, String>);

impl<'de> Deserialize<'de> for Capability {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Capability, D::Error> {
        struct Name;
        impl Visitor<'_> for Name {
            type Value = Capability;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a string")
            }

            fn visit_str<E: serde::de::Error>(self, name: &str) -> Result<Capability, E> {
                // The crate also takes `cap_chown` and `CHOWN`, which runc does not know: to grant more than it would is no help.
                let is_exact = name.starts_with("CAP_") && !name.bytes().any(|byte| byte.is_ascii_lowercase());
                let known = oci::Capability::deserialize(StrDeserializer::<E>::new(name));
                Ok(Capability(known.ok().filter(|_| is_exact).ok_or_else(|| name.to_owned())))
            }
        }
        deserializer.deserialize_str(Name)
    }
}
