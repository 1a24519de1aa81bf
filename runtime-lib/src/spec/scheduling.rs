//! How the kernel is to treat the program's threads: `process.scheduler`, `process.ioPriority`,
//! `process.execCPUAffinity`, `linux.personality` and `linux.memoryPolicy`, with names turned into the kernel's numbers.

use super::document;
use super::fault::Faults;
use oci_spec::runtime as oci;
use serde::Serialize;
use std::fmt::Display;

/// `process.scheduler`, as `sched_setattr(2)` takes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Scheduler {
    /// The name of the policy, such as `SCHED_FIFO`.
    pub name: String,
    /// Its number.
    pub policy: u32,
    /// `SCHED_FLAG_*`.
    pub flags: u64,
    /// -20 to 19.
    pub nice: i32,
    /// Of the policies `SCHED_FIFO` and `SCHED_RR`.
    pub priority: u32,
    /// Of `SCHED_DEADLINE`, in nanoseconds, as are the next two.
    pub runtime: u64,
    /// See `runtime`.
    pub deadline: u64,
    /// See `runtime`.
    pub period: u64,
}

/// `process.ioPriority`, see `ioprio_set(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct IoPriority {
    /// The name of the class, such as `IOPRIO_CLASS_BE`.
    pub class: String,
    /// 0 (first) to 7.
    pub level: u32,
    /// Both, as the kernel takes them.
    pub value: u32,
}

/// `process.execCPUAffinity`: it concerns the processes that are executed in the container later, not its first one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct ExecCpuAffinity {
    /// `initial`: before the process is in the container's cgroup.
    pub initial: Option<CpuSet>,
    /// `final`: once it is.
    #[serde(rename = "final")]
    pub last: Option<CpuSet>,
}

/// A list such as `0-3,7`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct CpuSet {
    /// As written.
    pub text: String,
    /// One bit for each number, in words of 64.
    #[serde(skip)]
    pub mask: Vec<u64>,
}

/// `linux.personality`, see `personality(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Personality {
    /// `LINUX` or `LINUX32`.
    pub domain: String,
    /// The kernel's number of it.
    pub persona: u64,
}

/// `linux.memoryPolicy`, see `set_mempolicy(2)`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct MemoryPolicy {
    /// The name of the mode, such as `MPOL_BIND`.
    pub name: String,
    /// The kernel's number of the mode and its flags.
    pub mode: u32,
    /// `flags` as written.
    pub flags: Vec<String>,
    /// `nodes`.
    pub nodes: Option<CpuSet>,
}

/// A priority says something in two policies only, as runc has it.
pub(super) fn scheduler(scheduler: &document::Scheduler, faults: &mut Faults) -> Scheduler {
    const AT: &str = "process.scheduler";
    let name = scheduler.policy.as_str();
    let policy = match name {
        "SCHED_OTHER" => 0,
        "SCHED_FIFO" => 1,
        "SCHED_RR" => 2,
        "SCHED_BATCH" => 3,
        "SCHED_ISO" => 4,
        "SCHED_IDLE" => 5,
        "SCHED_DEADLINE" => 6,
        _ => {
            faults.add(format_args!("{AT}.policy"), format!("unknown policy {name:?}"));
            0
        }
    };
    let nice = scheduler.nice.unwrap_or(0);
    if !(-20..=19).contains(&nice) {
        faults.add(format_args!("{AT}.nice"), format!("{nice} is out of range -20-19"));
    }
    let priority = scheduler.priority.unwrap_or(0);
    if priority != 0 && !matches!(policy, 1 | 2) {
        faults.add(format_args!("{AT}.priority"), "is only for the policies SCHED_FIFO and SCHED_RR");
    } else if !(0..=99).contains(&priority) {
        faults.add(format_args!("{AT}.priority"), format!("{priority} is out of range 0-99"));
    }
    for (what, value) in
        [("runtime", scheduler.runtime), ("deadline", scheduler.deadline), ("period", scheduler.period)]
    {
        if value.is_some_and(|value| value != 0) && policy != 6 {
            faults.add(format_args!("{AT}.{what}"), "is only for the policy SCHED_DEADLINE");
        }
    }
    let names = scheduler.flags.iter().flatten().enumerate();
    let flags = names.fold(0, |flags, (i, name)| match scheduler_flag(name) {
        Some(flag) => flags | flag,
        None => {
            faults.add(format_args!("{AT}.flags[{i}]"), format!("unknown flag {name:?}"));
            flags
        }
    });
    Scheduler {
        name: name.to_owned(),
        policy,
        flags,
        nice,
        priority: priority.unsigned_abs(),
        runtime: scheduler.runtime.unwrap_or(0),
        deadline: scheduler.deadline.unwrap_or(0),
        period: scheduler.period.unwrap_or(0),
    }
}

fn scheduler_flag(name: &str) -> Option<u64> {
    Some(match name {
        "SCHED_FLAG_RESET_ON_FORK" => 0x01,
        "SCHED_FLAG_RECLAIM" => 0x02,
        "SCHED_FLAG_DL_OVERRUN" => 0x04,
        "SCHED_FLAG_KEEP_POLICY" => 0x08,
        "SCHED_FLAG_KEEP_PARAMS" => 0x10,
        "SCHED_FLAG_UTIL_CLAMP_MIN" => 0x20,
        "SCHED_FLAG_UTIL_CLAMP_MAX" => 0x40,
        _ => return None,
    })
}

/// Priority 0 of the idle class means nothing to the kernel; the others are taken as they are, as runc does.
pub(super) fn io_priority(priority: &oci::LinuxIOPriority, faults: &mut Faults) -> IoPriority {
    let (class, number) = match priority.class() {
        oci::IOPriorityClass::IoprioClassRt => ("IOPRIO_CLASS_RT", 1),
        oci::IOPriorityClass::IoprioClassBe => ("IOPRIO_CLASS_BE", 2),
        oci::IOPriorityClass::IoprioClassIdle => ("IOPRIO_CLASS_IDLE", 3),
    };
    let level = priority.priority();
    let level = u32::try_from(level).ok().filter(|level| *level <= 7).unwrap_or_else(|| {
        faults.add("process.ioPriority.priority", format!("{level} is out of range 0-7"));
        0
    });
    IoPriority { class: class.to_owned(), level, value: number << 13 | level }
}

pub(super) fn exec_cpu_affinity(affinity: &document::ExecCpuAffinity, faults: &mut Faults) -> ExecCpuAffinity {
    let mut set = |name: &str, text: &Option<String>| {
        let text = text.as_deref().filter(|text| !text.is_empty())?;
        set(format_args!("process.execCPUAffinity.{name}"), text, faults)
    };
    ExecCpuAffinity { initial: set("initial", &affinity.initial), last: set("final", &affinity.last) }
}

pub(super) fn personality(personality: &oci::LinuxPersonality, faults: &mut Faults) -> Personality {
    if personality.flags().as_ref().is_some_and(|flags| !flags.is_empty()) {
        // The specification has no value for them.
        faults.add("linux.personality.flags", "no flags are known");
    }
    let (domain, persona) = match personality.domain() {
        oci::LinuxPersonalityDomain::PerLinux => ("LINUX", 0),
        oci::LinuxPersonalityDomain::PerLinux32 => ("LINUX32", 8),
    };
    Personality { domain: domain.to_owned(), persona }
}

/// What of modes, flags and nodes goes together is for the kernel to say; it is told as an error of the element.
pub(super) fn memory_policy(policy: &oci::LinuxMemoryPolicy, faults: &mut Faults) -> MemoryPolicy {
    use oci::{MemoryPolicyFlagType as Flag, MemoryPolicyModeType as Mode};
    let (name, mode) = match policy.mode() {
        Mode::MpolDefault => ("MPOL_DEFAULT", 0),
        Mode::MpolPreferred => ("MPOL_PREFERRED", 1),
        Mode::MpolBind => ("MPOL_BIND", 2),
        Mode::MpolInterleave => ("MPOL_INTERLEAVE", 3),
        Mode::MpolLocal => ("MPOL_LOCAL", 4),
        Mode::MpolPreferredMany => ("MPOL_PREFERRED_MANY", 5),
        Mode::MpolWeightedInterleave => ("MPOL_WEIGHTED_INTERLEAVE", 6),
    };
    let flag = |flag: &Flag| match flag {
        Flag::MpolFNumaBalancing => ("MPOL_F_NUMA_BALANCING", 1 << 13),
        Flag::MpolFRelativeNodes => ("MPOL_F_RELATIVE_NODES", 1 << 14),
        Flag::MpolFStaticNodes => ("MPOL_F_STATIC_NODES", 1 << 15),
    };
    let flags: Vec<(&str, u32)> = policy.flags().iter().flatten().map(flag).collect();
    let nodes = policy.nodes().as_deref().filter(|nodes| !nodes.is_empty());
    MemoryPolicy {
        name: name.to_owned(),
        mode: flags.iter().fold(mode, |mode, (_, flag)| mode | flag),
        flags: flags.iter().map(|(name, _)| (*name).to_owned()).collect(),
        nodes: nodes.and_then(|nodes| set("linux.memoryPolicy.nodes", nodes, faults)),
    }
}

/// The kernel's own limit of CPUs is 8192, that of nodes 1024.
const MOST: u32 = 8192;

/// Reads a list such as `0-3,7`.
fn set(location: impl Display, text: &str, faults: &mut Faults) -> Option<CpuSet> {
    let mut mask: Vec<u64> = Vec::new();
    for part in text.split(',') {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let number = |text: &str| text.trim().bytes().all(|c| c.is_ascii_digit()).then(|| text.trim().parse::<u32>());
        let (Some(Ok(first)), Some(Ok(last))) = (number(first), number(last)) else {
            faults.add(location, format!("{text:?} is not a list of numbers and ranges such as 0-3,7"));
            return None;
        };
        if first > last || last >= MOST {
            let why = if first > last { "ends before it begins" } else { "is too large" };
            faults.add(location, format!("{part:?} {why}"));
            return None;
        }
        for number in first..=last {
            let word = (number / 64) as usize;
            if mask.len() <= word {
                mask.resize(word + 1, 0);
            }
            if let Some(word) = mask.get_mut(word) {
                *word |= 1 << (number % 64);
            }
        }
    }
    Some(CpuSet { text: text.to_owned(), mask })
}
