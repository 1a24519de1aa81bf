//! What the init reported, in the words of the configuration.

use super::wire::{Op, Phase, Report};
use crate::error::{Error, ErrorKind, Result};
use crate::plan::{MountAction, Plan};
use crate::seccomp::Filter;
use crate::sys::seccomp::knows_flag;
use std::os::unix::process::ExitStatusExt;

/// Where in the configuration a step belongs, and what it was about to do.
struct Place {
    location: Option<String>,
    operation: String,
}

fn place(location: impl Into<String>, operation: impl Into<String>) -> Place {
    Place { location: Some(location.into()), operation: operation.into() }
}

/// The error that `report` stands for.
pub(super) fn render(report: &Report, plan: &Plan) -> Error {
    match report.phase {
        Phase::Lookup => return lookup_error(report, &plan.process.args),
        // In the same words as to a start by another process.
        Phase::Exec => return exec_error(report.errno, &plan.process.args),
        _ => {}
    }
    let index = report.index as usize;
    let place = describe(report, index, plan);
    let error = match (report.op, report.errno) {
        (Op::HookFailed, _) => return hook_error(report, place),
        (Op::HookTimeout, _) => Error::new(ErrorKind::Hook, "error running hook: timed out and was killed"),
        (Op::Whole, 0) => Error::new(ErrorKind::Internal, place.operation),
        (op, errno) => {
            let cause = std::io::Error::from_raw_os_error(errno);
            match operation(op) {
                Some(step) => Error::os(step, cause).context(place.operation),
                None => Error::os(place.operation, cause),
            }
        }
    };
    let error = match hint(report).map(str::to_owned).or_else(|| mount_hint(report, plan)) {
        Some(hint) => error.hint(hint),
        None => error,
    };
    match place.location {
        Some(location) => error.at(location),
        None => error,
    }
}

/// The error of an `execve(2)` or hook that failed after create had returned.
pub(super) fn render_late(report: &Report, args: &[String]) -> Error {
    match report.phase {
        Phase::Exec => exec_error(report.errno, args),
        Phase::StartContainerHooks => {
            let location = format!("hooks.startContainer[{}]", report.index);
            hook_error(report, Place { location: Some(location), operation: String::new() })
        }
        Phase::Ready | Phase::Wait => {
            Error::os("wait in the init for the start", std::io::Error::from_raw_os_error(report.errno))
        }
        phase => Error::os(format!("step {phase:?}"), std::io::Error::from_raw_os_error(report.errno)),
    }
}

fn describe(report: &Report, index: usize, plan: &Plan) -> Place {
    let path = |paths: &[String]| paths.get(index).cloned().unwrap_or_default();
    let bare = |operation: &str| Place { location: None, operation: operation.to_owned() };
    match report.phase {
        Phase::Begin => bare("prepare the init"),
        Phase::Orders => bare("read the orders in the init"),
        Phase::OomScore => place("process.oomScoreAdj", "write oom_score_adj"),
        Phase::Join => match plan.namespaces.join.get(index) {
            Some(join) => place("linux.namespaces", format!("join {} namespace {}", join.kind.name(), join.path)),
            None => bare("join the namespaces of the container"),
        },
        Phase::Fork => place("linux.namespaces", "fork into the new namespaces"),
        Phase::Mapped => place("linux.uidMappings", "become root of the user namespace"),
        Phase::TimeOffsets => time(plan),
        Phase::Loopback => place("linux.namespaces", "bring the loopback device up"),
        Phase::Keyring => bare("join a new session keyring"),
        Phase::Cgroup => place("linux.namespaces", "enter a new cgroup namespace"),
        Phase::Rootfs => place("root.path", format!("make {} the root file system", plan.rootfs.path)),
        Phase::Mounts => match plan.mounts.get(index) {
            Some(step) => place(format!("mounts[{}]", step.index), step.operation()),
            None => bare("mount"),
        },
        Phase::Devices => device(index, plan),
        Phase::RuntimeHooks => bare("wait for hooks"),
        Phase::CreateContainerHooks => place(format!("hooks.createContainer[{index}]"), "run hook"),
        Phase::Pivot => place("root.path", format!("change the root to {}", plan.rootfs.path)),
        Phase::Console => place("process.terminal", "set up the terminal"),
        Phase::Hostname => place("hostname", "set the host name"),
        Phase::Domainname => place("domainname", "set the domain name"),
        Phase::Sysctl => match plan.sysctl.iter().nth(index) {
            Some((name, value)) => place(format!("linux.sysctl[\"{name}\"]"), format!("set to {value:?}")),
            None => place("linux.sysctl", "write"),
        },
        Phase::ReadonlyPaths => {
            place(format!("linux.readonlyPaths[{index}]"), format!("make {} read-only", path(&plan.readonly_paths)))
        }
        Phase::MaskedPaths => {
            place(format!("linux.maskedPaths[{index}]"), format!("mask {}", path(&plan.masked_paths)))
        }
        Phase::ReadonlyMounts => readonly_mount(index, plan),
        Phase::ReadonlyRoot => place("root.readonly", "make the root file system read-only"),
        Phase::MakeCwd | Phase::Cwd => place("process.cwd", format!("enter {}", plan.process.cwd)),
        Phase::Rlimits => match plan.process.rlimits.get(index) {
            Some(limit) => place(format!("process.rlimits[{index}]"), limit_text(limit)),
            None => place("process.rlimits", "set limits"),
        },
        Phase::Scheduler => place("process.scheduler", "set the scheduling policy"),
        Phase::IoPriority => place("process.ioPriority", "set the I/O priority"),
        Phase::MemoryPolicy => place("linux.memoryPolicy", "set the memory policy"),
        Phase::Personality => place("linux.personality", "set the execution domain"),
        Phase::Apparmor => apparmor(plan),
        Phase::Selinux => place("process.selinuxLabel", "set the label of the program"),
        Phase::NoNewPrivileges => place("process.noNewPrivileges", "set no_new_privs"),
        Phase::Seccomp => seccomp(report.errno, plan),
        Phase::Capabilities => place("process.capabilities", "unable to apply caps"),
        Phase::User => place("process.user", user(report.op, plan)),
        Phase::Ready | Phase::Wait => bare("hand over to the program"),
        Phase::Lookup | Phase::Exec => place("process.args[0]", "execute the program"),
        Phase::StartContainerHooks => place(format!("hooks.startContainer[{index}]"), "run hook"),
    }
}

fn readonly_mount(index: usize, plan: &Plan) -> Place {
    match plan.readonly_late().nth(index) {
        Some(step) => place(format!("mounts[{}]", step.index), format!("make {} read-only", step.target)),
        None => Place { location: None, operation: "make mounts read-only".to_owned() },
    }
}

fn time(plan: &Plan) -> Place {
    if plan.namespaces.time_offsets.is_empty() {
        return place("linux.namespaces", "enter a new time namespace");
    }
    place("linux.timeOffsets", "set the clocks of the time namespace")
}

fn apparmor(plan: &Plan) -> Place {
    let profile = plan.process.apparmor_profile.as_deref().unwrap_or_default();
    place("process.apparmorProfile", format!("unable to apply apparmor profile {profile:?}"))
}

fn device(index: usize, plan: &Plan) -> Place {
    let devices = &plan.devices;
    if let Some(node) = devices.nodes.get(index) {
        let location = node.index.map(|index| format!("linux.devices[{index}]"));
        return Place { location, operation: format!("create device {}", node.path) };
    }
    let link = devices.links.get(index.saturating_sub(devices.nodes.len()));
    Place { location: None, operation: format!("link {}", link.map_or("/dev", |link| link.path)) }
}

/// The filter; where the kernel does not take it for its flags or for asking an agent, which of them it is.
fn seccomp(errno: i32, plan: &Plan) -> Place {
    refused_filter(errno, plan.security.seccomp.as_ref().map_or(0, |filter| filter.flags), knows_flag)
}

fn refused_filter(errno: i32, flags: u32, known: impl Fn(u32) -> bool) -> Place {
    let notify = flags & Filter::NEW_LISTENER != 0;
    match errno {
        libc::EINVAL if notify && !known(Filter::NEW_LISTENER) => {
            return place("linux.seccomp.syscalls", "load the filter: this kernel does not know SCMP_ACT_NOTIFY");
        }
        // A task has one listener at most, in all its filters.
        libc::EBUSY if notify => {
            return place("linux.seccomp.syscalls", "load the filter with SCMP_ACT_NOTIFY below one that has it too");
        }
        _ => {}
    }
    let unknown = Filter::FLAGS.iter().filter(|(_, flag)| flags & flag == *flag && !known(*flag));
    let unknown: Vec<&str> = unknown.map(|(name, _)| *name).collect();
    if errno != libc::EINVAL || unknown.is_empty() {
        return place("linux.seccomp", "load the filter");
    }
    place("linux.seccomp.flags", format!("load the filter: this kernel does not know {}", unknown.join(", ")))
}

/// What setting a limit is called.
pub(super) fn limit_text(limit: &crate::spec::Rlimit) -> String {
    format!("set {} to soft {} hard {}", limit.name, limit.soft, limit.hard)
}

fn user(op: Op, plan: &Plan) -> String {
    let user = &plan.process.user;
    match op {
        Op::Groups => format!("set groups {:?}", user.additional_gids),
        Op::Gid => format!("become group {}", user.gid),
        Op::Uid => format!("become user {}", user.uid),
        _ => format!("become user {}:{}", user.uid, user.gid),
    }
}

/// What failed within the step, where that is not the step itself.
fn operation(op: Op) -> Option<&'static str> {
    Some(match op {
        Op::Whole | Op::Groups | Op::Gid | Op::Uid => return None,
        Op::Link => "hand-off with the launcher",
        Op::Decode => "decode the orders",
        Op::OpenSource => "open source",
        Op::CheckSource => "check source",
        Op::OpenTarget => "open target",
        Op::CreateTarget => "create target",
        Op::CheckTarget => "check target",
        Op::Mount => "mount",
        Op::Attach => "attach the mount",
        Op::SetAttributes => "set mount attributes",
        Op::SetPropagation => "set propagation",
        Op::CopyUp => "copy up",
        Op::Label => "label with linux.mountLabel",
        Op::MakeNode => "mknod",
        Op::Chown => "change owner",
        Op::Write => "write",
        Op::Detach => "detach the old root",
        Op::Fork => "fork",
        Op::HookFailed | Op::HookTimeout => "run",
        Op::Bounding => "drop from the bounding set",
        Op::Ambient => "raise the ambient set",
        Op::Outside => "the directory is outside of the root",
        Op::Send => "send the terminal",
        Op::InsideProc => "the target is inside /proc",
        Op::NotInPath => "search PATH",
    })
}

fn hint(report: &Report) -> Option<&'static str> {
    match (report.phase, report.op, report.errno) {
        (Phase::Mounts, Op::Attach, libc::EINVAL | libc::ENOTDIR) => {
            Some("a directory can be mounted on a directory only, and a file on a file")
        }
        (Phase::Rlimits, _, libc::EPERM) => {
            Some("raising a hard limit takes CAP_SYS_RESOURCE, and RLIMIT_NOFILE ends at /proc/sys/fs/nr_open")
        }
        (Phase::Mounts, Op::CheckTarget, libc::ELOOP) => Some("proc and sysfs must be mounted on ordinary directories"),
        (Phase::Console, Op::OpenTarget, libc::ENOENT) => Some("a terminal needs a devpts mount on /dev/pts"),
        (
            Phase::Fork | Phase::Mapped | Phase::TimeOffsets | Phase::Cgroup,
            Op::Fork | Op::Whole,
            libc::ENOSPC | libc::EUSERS,
        ) => Some("see /proc/sys/user/max_*_namespaces"),
        (Phase::Capabilities, _, libc::EPERM) => Some("the runtime itself does not have all of them"),
        (Phase::Scheduler | Phase::IoPriority, _, libc::EPERM) => {
            Some("it takes CAP_SYS_NICE, and realtime policies a budget: linux.resources.cpu.realtimeRuntime")
        }
        (Phase::Apparmor, Op::Write, libc::ENOENT) => Some("no such profile is loaded"),
        (Phase::Pivot, Op::Whole, libc::EINVAL) => Some("is the host's root a ramdisk? Then use --no-pivot"),
        _ => None,
    }
}

/// What the kernel was given where it says no more than that it is wrong.
fn mount_hint(report: &Report, plan: &Plan) -> Option<String> {
    let unknown = |label: &String| format!("does SELinux know linux.mountLabel {label}?");
    match (report.phase, report.op, report.errno) {
        (Phase::MaskedPaths, Op::Mount, libc::EINVAL) => return plan.mask_context.as_ref().map(unknown),
        (Phase::Mounts, Op::Mount, _) => {}
        _ => return None,
    }
    let MountAction::Filesystem { fstype, data, context, .. } = &plan.mounts.get(report.index as usize)?.action else {
        return None;
    };
    match (report.errno, context) {
        (libc::EINVAL, Some(label)) => Some(unknown(label)),
        (libc::ENODEV, _) => Some(format!("the kernel has no file system {fstype:?}: see /proc/filesystems")),
        (libc::EINVAL, None) if !data.is_empty() => Some(format!("are these options that {fstype} has? {data}")),
        _ => None,
    }
}

fn hook_error(report: &Report, place: Place) -> Error {
    let status = std::process::ExitStatus::from_raw(report.detail as i32);
    let message = match report.op {
        Op::HookFailed => format!("error running hook: {}", super::hooks::describe(status)),
        Op::HookTimeout => "error running hook: timed out and was killed".to_owned(),
        _ => format!("error running hook: {}", std::io::Error::from_raw_os_error(report.errno)),
    };
    Error::new(ErrorKind::Hook, message).at(place.location.unwrap_or_default())
}

/// Engines match on these texts to tell "not found" (127) from "not executable" (126).
fn lookup_error(report: &Report, args: &[String]) -> Error {
    if report.op == Op::NotInPath && report.errno == libc::ENOENT {
        let name = args.first().map(String::as_str).unwrap_or_default();
        let message = format!("exec: {name:?}: executable file not found in $PATH");
        return Error::new(ErrorKind::ProgramNotFound, message).at("process.args[0]");
    }
    let name = args.first().map(String::as_str).unwrap_or_default();
    let operation = if report.errno == libc::ENOENT { format!("stat {name}: ") } else { String::new() };
    not_executable(report.errno, args, &operation)
}

/// The program was found and could not be executed. `execve(2)` says the same of an interpreter or loader that is missing as
/// of the program itself.
fn exec_error(errno: i32, args: &[String]) -> Error {
    let hint = match errno {
        libc::ENOENT => "the file is there: the interpreter of its #! line, or the loader it is linked for, is not",
        libc::ENOEXEC => "made for another architecture, or a script without a #! line",
        _ => return not_executable(errno, args, ""),
    };
    not_executable(errno, args, "").hint(hint)
}

/// `operation` is what found out, with a colon.
fn not_executable(errno: i32, args: &[String], operation: &str) -> Error {
    let name = args.first().map(String::as_str).unwrap_or_default();
    let (kind, why) = match errno {
        libc::ENOENT => (ErrorKind::ProgramNotFound, "no such file or directory".to_owned()),
        libc::EACCES => (ErrorKind::ProgramNotExecutable, "permission denied".to_owned()),
        // What execve(2) says of a directory, and what Docker 20.10 makes 126 of.
        libc::EISDIR => (ErrorKind::ProgramNotExecutable, "is a directory: permission denied".to_owned()),
        libc::ENOEXEC => (ErrorKind::ProgramNotExecutable, "exec format error".to_owned()),
        _ => {
            let text = crate::error::errno_in_words(errno).to_lowercase();
            (ErrorKind::ProgramNotExecutable, text)
        }
    };
    Error::new(kind, format!("exec: {name:?}: {operation}{why}")).at("process.args[0]")
}

/// Decodes a report from bytes.
pub(super) fn decode(bytes: &[u8]) -> Result<Report> {
    use super::wire::{Reader, Wire};
    let garbled = Error::new(ErrorKind::Internal, "the init sent something that is not a report");
    Report::get(&mut Reader::new(bytes)).map_err(|_| garbled)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::host::{Hierarchy, Host, HostCgroups};
    use crate::plan::{self, Choices};
    use crate::{Bundle, ContainerId};

    #[test]
    fn a_label_that_is_refused_is_told_wherever_it_is_used() {
        let mut config = serde_json::to_value(crate::spec::example(None, true)).unwrap();
        config["linux"]["mountLabel"] = serde_json::json!("no_such_label");
        let bundle = Bundle::with_config("/bundle", config.to_string().as_bytes()).unwrap();
        let v2 = Hierarchy { controllers: vec![], mount_point: "/sys/fs/cgroup".into(), own_path: "/".into() };
        let host = Host { cgroups: HostCgroups { v1: vec![], v2: Some(v2) }, euid: 0, resctrl: None };
        let mut plan = plan::lower(&bundle, &ContainerId::new("label").unwrap(), &host, &Choices::default()).unwrap();
        let is_labelled =
            |step: &plan::MountStep| matches!(&step.action, MountAction::Filesystem { context: Some(_), .. });
        let mount = plan.mounts.iter().position(is_labelled).unwrap();
        let told = |plan: &Plan, phase: Phase, index: usize, op: Op, errno: i32| {
            let report = Report { phase, op, index: index as u32, errno, detail: 0 };
            format!("{:#}", render(&report, plan)).contains("does SELinux know linux.mountLabel no_such_label?")
        };
        assert!(told(&plan, Phase::MaskedPaths, 0, Op::Mount, libc::EINVAL));
        assert!(told(&plan, Phase::Mounts, mount, Op::Mount, libc::EINVAL));
        assert!(!told(&plan, Phase::MaskedPaths, 0, Op::Mount, libc::ENOMEM));
        assert!(!told(&plan, Phase::MaskedPaths, 0, Op::Attach, libc::EINVAL));
        plan.mask_context = None;
        assert!(!told(&plan, Phase::MaskedPaths, 0, Op::Mount, libc::EINVAL));
    }

    #[test]
    fn a_filter_that_the_kernel_refuses_names_flag_or_action() {
        let all = Filter::LOG | Filter::SPEC_ALLOW | Filter::WAIT_KILLABLE_RECV | Filter::NEW_LISTENER;
        let cases = [
            (libc::EINVAL, all, Filter::LOG, "linux.seccomp.flags", "SECCOMP_FILTER_FLAG_LOG"),
            (
                libc::EINVAL,
                all,
                Filter::WAIT_KILLABLE_RECV,
                "linux.seccomp.flags",
                "SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV",
            ),
            (libc::EINVAL, all, Filter::NEW_LISTENER, "linux.seccomp.syscalls", "SCMP_ACT_NOTIFY"),
            (libc::EBUSY, all, 0, "linux.seccomp.syscalls", "SCMP_ACT_NOTIFY"),
            (libc::EINVAL, Filter::LOG, 0, "linux.seccomp", "load the filter"),
            (libc::EACCES, all, Filter::LOG, "linux.seccomp", "load the filter"),
        ];
        for (errno, flags, missing, location, word) in cases {
            let Place { location: found, operation } = refused_filter(errno, flags, |flag| flag & missing == 0);
            assert_eq!(found.as_deref(), Some(location), "{operation}");
            assert!(operation.ends_with(word) || operation.contains(&format!("{word} ")), "{operation}");
        }
    }
}
