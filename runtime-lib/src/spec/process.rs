//! `process`: what runs, as whom, and with which limits.

use super::capabilities::{self, Capabilities};
use super::document;
use super::fault::Faults;
use super::scheduling::{self, ExecCpuAffinity, IoPriority, Scheduler};
use oci_spec::runtime::PosixRlimitType;
use serde::Serialize;
use std::fmt::Display;

/// `process`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Process {
    /// `args`: at least one, no NUL.
    pub args: Vec<String>,
    /// `env`: each `NAME=value`, order kept, no NUL.
    pub env: Vec<String>,
    /// `cwd`: absolute.
    pub cwd: String,
    /// `terminal`.
    pub terminal: bool,
    /// `consoleSize`, only with a terminal.
    pub console_size: Option<ConsoleSize>,
    /// `user`.
    pub user: User,
    /// `capabilities`; without the element the program has none, as with runc.
    pub capabilities: Option<Capabilities>,
    /// `rlimits`.
    pub rlimits: Vec<Rlimit>,
    /// `noNewPrivileges`.
    pub no_new_privileges: bool,
    /// `oomScoreAdj`, -1000 to 1000.
    pub oom_score_adj: Option<i32>,
    /// `apparmorProfile`.
    pub apparmor_profile: Option<String>,
    /// `selinuxLabel`.
    pub selinux_label: Option<String>,
    /// `scheduler`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub scheduler: Option<Scheduler>,
    /// `ioPriority`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub io_priority: Option<IoPriority>,
    /// `execCPUAffinity`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub exec_cpu_affinity: Option<ExecCpuAffinity>,
}

/// `process.consoleSize`, in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ConsoleSize {
    /// Columns.
    pub width: u16,
    /// Rows.
    pub height: u16,
}

/// `process.user`; ids are those inside the container's user namespace.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct User {
    /// `uid`.
    pub uid: u32,
    /// `gid`.
    pub gid: u32,
    /// `umask`, 0 to 0o777; `None` means 0o022, as runc has it.
    pub umask: Option<u32>,
    /// `additionalGids`.
    pub additional_gids: Vec<u32>,
}

/// One of `process.rlimits`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Rlimit {
    /// The specification's name, such as `RLIMIT_NOFILE`.
    pub name: String,
    /// The kernel's number of it, see `getrlimit(2)`.
    pub resource: u32,
    /// `soft`, in the resource's own unit; `u64::MAX` is infinity.
    pub soft: u64,
    /// `hard`.
    pub hard: u64,
}

/// Checks `process`.
pub(super) fn validate(process: &document::Process, faults: &mut Faults) -> Process {
    let terminal = process.terminal.unwrap_or(false);
    Process {
        args: arguments(process.args.as_deref().unwrap_or_default(), faults),
        env: environment(process.env.as_deref().unwrap_or_default(), faults),
        cwd: faults.absolute("process.cwd", &process.cwd),
        terminal,
        console_size: process.console_size.filter(|_| terminal).and_then(|size| console_size(size, faults)),
        user: user(process.user.clone().unwrap_or_default(), faults),
        capabilities: process.capabilities.as_ref().map(|sets| capabilities::masks(sets, faults)),
        rlimits: rlimits(process.rlimits.as_deref().unwrap_or_default(), faults),
        no_new_privileges: process.no_new_privileges.unwrap_or(false),
        oom_score_adj: process.oom_score_adj.inspect(|&score| {
            if !(-1000..=1000).contains(&score) {
                faults.add("process.oomScoreAdj", format!("{score} is out of range -1000-1000"));
            }
        }),
        apparmor_profile: label("process.apparmorProfile", process.apparmor_profile.as_deref(), faults),
        selinux_label: label("process.selinuxLabel", process.selinux_label.as_deref(), faults),
        scheduler: process.scheduler.as_ref().map(|scheduler| scheduling::scheduler(scheduler, faults)),
        io_priority: process.io_priority.as_ref().map(|priority| scheduling::io_priority(priority, faults)),
        exec_cpu_affinity: process
            .exec_cpu_affinity
            .as_ref()
            .map(|affinity| scheduling::exec_cpu_affinity(affinity, faults)),
    }
}

impl Process {
    /// Checks what was changed since [`validate`].
    pub(crate) fn check(&self) -> crate::error::Result<()> {
        let mut faults = Faults::default();
        arguments(&self.args, &mut faults);
        environment(&self.env, &mut faults);
        faults.absolute("process.cwd", self.cwd.as_ref());
        ids(&self.user, &mut faults);
        label("process.apparmorProfile", self.apparmor_profile.as_deref(), &mut faults);
        label("process.selinuxLabel", self.selinux_label.as_deref(), &mut faults);
        faults.first_or(Some(()))
    }
}

/// An empty label is none, as everywhere in the specification's reference types.
pub(super) fn label(location: &str, label: Option<&str>, faults: &mut Faults) -> Option<String> {
    label.filter(|label| !label.is_empty()).map(|label| faults.text(location, label))
}

fn arguments(args: &[String], faults: &mut Faults) -> Vec<String> {
    match args.first() {
        None => faults.add("process.args", "args must not be empty"),
        // In the words by which engines tell that there is no such program (127).
        Some(program) if program.is_empty() => {
            faults.add("process.args[0]", "exec: \"\": executable file not found in $PATH");
        }
        Some(_) => {}
    }
    faults.texts("process.args", args)
}

fn environment(env: &[String], faults: &mut Faults) -> Vec<String> {
    for (i, variable) in env.iter().enumerate() {
        match variable.find('=') {
            // The value is not shown: it may be a secret.
            None => faults.add(format_args!("process.env[{i}]"), "is not of the form NAME=value"),
            Some(0) => faults.add(format_args!("process.env[{i}]"), "has no name before the \"=\""),
            Some(_) => {}
        }
    }
    without_repetitions(faults.texts("process.env", env))
}

/// Of variables of one name the last value counts, at the place of the first.
pub(crate) fn without_repetitions(env: Vec<String>) -> Vec<String> {
    let mut unique: Vec<String> = Vec::with_capacity(env.len());
    let mut places = std::collections::HashMap::new();
    for variable in env {
        let name = variable.split('=').next().unwrap_or_default().to_owned();
        match places.get(&name).and_then(|place: &usize| unique.get_mut(*place)) {
            Some(earlier) => *earlier = variable,
            None => {
                places.insert(name, unique.len());
                unique.push(variable);
            }
        }
    }
    unique
}

/// With runc a size without a width or a height is none.
fn console_size(size: oci_spec::runtime::Box, faults: &mut Faults) -> Option<ConsoleSize> {
    let mut extent = |location: &str, extent: u64| {
        u16::try_from(extent).unwrap_or_else(|_| {
            faults.add(location, format!("{extent} is out of range 0-{}", u16::MAX));
            0
        })
    };
    let size = ConsoleSize {
        width: extent("process.consoleSize.width", size.width()),
        height: extent("process.consoleSize.height", size.height()),
    };
    Some(size).filter(|size| size.width != 0 && size.height != 0)
}

fn user(user: oci_spec::runtime::User, faults: &mut Faults) -> User {
    let additional_gids = user.additional_gids().clone().unwrap_or_default();
    if let Some(umask) = user.umask().filter(|&umask| umask > 0o777) {
        faults.add("process.user.umask", format!("{umask:#o} is out of range 0-0o777"));
    }
    let user = User { uid: user.uid(), gid: user.gid(), umask: user.umask(), additional_gids };
    ids(&user, faults);
    user
}

/// (uid_t) -1 means "leave as it is" to setresuid(2).
fn ids(user: &User, faults: &mut Faults) {
    let mut id = |location: &dyn Display, id: u32| {
        if id == u32::MAX {
            faults.add(location, format!("{id} is not a valid id"));
        }
    };
    id(&"process.user.uid", user.uid);
    id(&"process.user.gid", user.gid);
    for (i, &gid) in user.additional_gids.iter().enumerate() {
        id(&format_args!("process.user.additionalGids[{i}]"), gid);
    }
}

fn rlimits(rlimits: &[oci_spec::runtime::PosixRlimit], faults: &mut Faults) -> Vec<Rlimit> {
    let mut valid: Vec<Rlimit> = Vec::with_capacity(rlimits.len());
    for (i, rlimit) in rlimits.iter().enumerate() {
        let (name, resource, soft, hard) =
            (rlimit.typ().to_string(), resource(rlimit.typ()), rlimit.soft(), rlimit.hard());
        if valid.iter().any(|earlier| earlier.resource == resource) {
            faults.add(format_args!("process.rlimits[{i}].type"), format!("{name} is given twice"));
        }
        if soft > hard {
            faults.add(
                format_args!("process.rlimits[{i}].soft"),
                format!("{soft} is greater than the hard limit {hard}"),
            );
        }
        valid.push(Rlimit { name, resource, soft, hard });
    }
    valid
}

#[allow(clippy::unnecessary_cast, reason = "the constants' type differs between C libraries")]
fn resource(rlimit: PosixRlimitType) -> u32 {
    (match rlimit {
        PosixRlimitType::RlimitCpu => libc::RLIMIT_CPU,
        PosixRlimitType::RlimitFsize => libc::RLIMIT_FSIZE,
        PosixRlimitType::RlimitData => libc::RLIMIT_DATA,
        PosixRlimitType::RlimitStack => libc::RLIMIT_STACK,
        PosixRlimitType::RlimitCore => libc::RLIMIT_CORE,
        PosixRlimitType::RlimitRss => libc::RLIMIT_RSS,
        PosixRlimitType::RlimitNproc => libc::RLIMIT_NPROC,
        PosixRlimitType::RlimitNofile => libc::RLIMIT_NOFILE,
        PosixRlimitType::RlimitMemlock => libc::RLIMIT_MEMLOCK,
        PosixRlimitType::RlimitAs => libc::RLIMIT_AS,
        PosixRlimitType::RlimitLocks => libc::RLIMIT_LOCKS,
        PosixRlimitType::RlimitSigpending => libc::RLIMIT_SIGPENDING,
        PosixRlimitType::RlimitMsgqueue => libc::RLIMIT_MSGQUEUE,
        PosixRlimitType::RlimitNice => libc::RLIMIT_NICE,
        PosixRlimitType::RlimitRtprio => libc::RLIMIT_RTPRIO,
        PosixRlimitType::RlimitRttime => libc::RLIMIT_RTTIME,
    }) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_value_of_a_variable_counts_at_the_place_of_the_first() {
        let env = |list: &[&str]| list.iter().map(|v| (*v).to_owned()).collect::<Vec<_>>();
        let merged = without_repetitions(env(&["PATH=/bin", "A=1", "TERM=x", "A=2", "PATH=/sbin"]));
        assert_eq!(merged, env(&["PATH=/sbin", "A=2", "TERM=x"]));
    }
}
