//! The meaning of a profile, written down a second time in the most direct way: no tables of decisions, no search, no
//! graph. It reads the OCI types and answers for one call.

use super::machine::Data;
use super::*;
use oci_spec::runtime::{LinuxSeccompArg, LinuxSeccompOperator as Op};
use tables::Name;

/// The verdict, and those of all rules that match: with several different ones the profile's order decides, and
/// libseccomp may decide otherwise.
pub(super) struct Answer {
    pub(super) verdict: Verdict,
    #[cfg_attr(not(feature = "libseccomp"), allow(dead_code, reason = "for the comparison with libseccomp"))]
    pub(super) candidates: Vec<Verdict>,
}

impl Answer {
    fn only(verdict: Verdict) -> Answer {
        Answer { verdict, candidates: vec![verdict] }
    }
}

/// Answers for a call. `data.arch` tells x86_64 from x32 only by the number, as in the kernel.
pub(super) fn answer(section: &LinuxSeccomp, native: Arch, data: &Data) -> Answer {
    let default = Verdict::of(section.default_action(), section.default_errno_ret());
    let listed = section.architectures().iter().flatten().filter_map(|arch| Arch::from_oci(*arch));
    let archs: Vec<Arch> = std::iter::once(native).chain(listed).collect();
    let Some(arch) = abi(data).filter(|arch| archs.contains(arch)) else {
        let tracer_skips = data.number == u32::MAX && archs.contains(&Arch::X86_64) && data.arch.audit() == 0xc000_003e;
        return Answer::only(if tracer_skips { default } else { KILL_THREAD });
    };
    if beyond(section, arch, data.number) {
        return Answer::only(ENOSYS);
    }
    let mut candidates = Vec::new();
    let mut always = None;
    for syscall in section.syscalls().iter().flatten() {
        let verdict = Verdict::of(syscall.action(), syscall.errno_ret());
        for name in syscall.names() {
            let Some(name) = Name::find(name).filter(|_| verdict != default) else { continue };
            let args = syscall.args().as_deref().unwrap_or(&[]);
            for alternative in alternatives(args) {
                // A mask that leaves nothing of the argument is no condition.
                let counts = |arg: &&LinuxSeccompArg| arg.op() != Op::ScmpCmpMaskedEq || cut(arch, arg.value()) != 0;
                let conditions: Vec<&LinuxSeccompArg> = alternative.iter().filter(counts).collect();
                if arch.number(name) == Some(data.number) {
                    if conditions.is_empty() {
                        always = always.or(Some(verdict));
                    } else if conditions.iter().all(|arg| holds(arg, arch, data)) {
                        candidates.push(verdict);
                    }
                }
                // A selector takes the place of conditions on the first argument.
                let selector = selector(arch, name.as_str()).filter(|(number, _)| *number == data.number);
                let others = || conditions.iter().filter(|arg| arg.index() != 0);
                if selector.is_some_and(|(_, selector)| cut(arch, data.args[0]) == selector)
                    && others().all(|arg| holds(arg, arch, data))
                {
                    candidates.push(verdict);
                }
            }
        }
    }
    if let Some(verdict) = always {
        return Answer::only(verdict);
    }
    Answer { verdict: candidates.first().copied().unwrap_or(default), candidates }
}

/// Whether the answer is `ENOSYS` because the profile does not know so high a number.
#[cfg(feature = "libseccomp")]
pub(super) fn is_beyond(section: &LinuxSeccomp, native: Arch, data: &Data) -> bool {
    let listed = section.architectures().iter().flatten().filter_map(|arch| Arch::from_oci(*arch));
    let archs: Vec<Arch> = std::iter::once(native).chain(listed).collect();
    abi(data).is_some_and(|arch| archs.contains(&arch) && beyond(section, arch, data.number))
}

fn abi(data: &Data) -> Option<Arch> {
    Some(match data.arch {
        Arch::X86_64 | Arch::X32 if data.number == u32::MAX => Arch::X32,
        Arch::X86_64 | Arch::X32 if data.number & 0xc000_0000 != 0 => Arch::X32,
        Arch::X86_64 | Arch::X32 => Arch::X86_64,
        arch => arch,
    })
}

fn beyond(section: &LinuxSeccomp, arch: Arch, number: u32) -> bool {
    let default = section.default_action();
    use oci_spec::runtime::LinuxSeccompAction as Action;
    if matches!(default, Action::ScmpActAllow | Action::ScmpActLog | Action::ScmpActTrace)
        || section.default_errno_ret() == Some(38)
    {
        return false;
    }
    let names = section.syscalls().iter().flatten().flat_map(|syscall| syscall.names());
    let numbers = names.filter(|name| selector(arch, name).is_none()).filter_map(|name| arch.number(Name::find(name)?));
    let last = numbers.max().unwrap_or(0);
    last > 0 && (number > last || number == 0 && matches!(arch, Arch::S390 | Arch::S390x))
}

fn cut(arch: Arch, value: u64) -> u64 {
    if arch.wide_arguments() { value } else { value & 0xffff_ffff }
}

/// Sets of conditions: one of all, or one for each if two are on the same argument.
fn alternatives(args: &[LinuxSeccompArg]) -> Vec<&[LinuxSeccompArg]> {
    let repeated = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
    if repeated { args.chunks(1).collect() } else { vec![args] }
}

fn holds(arg: &LinuxSeccompArg, arch: Arch, data: &Data) -> bool {
    let (given, value) = (cut(arch, data.args[arg.index()]), cut(arch, arg.value()));
    match arg.op() {
        Op::ScmpCmpNe => given != value,
        Op::ScmpCmpLt => given < value,
        Op::ScmpCmpLe => given <= value,
        Op::ScmpCmpEq => given == value,
        Op::ScmpCmpGe => given >= value,
        Op::ScmpCmpGt => given > value,
        Op::ScmpCmpMaskedEq => given & value == cut(arch, arg.value_two().unwrap_or(0)) & value,
    }
}

/// The multiplexer's number and the selector of a call, from the manual's tables.
fn selector(arch: Arch, name: &str) -> Option<(u32, u64)> {
    const SOCKETCALL: [&str; 20] = [
        "socket",
        "bind",
        "connect",
        "listen",
        "accept",
        "getsockname",
        "getpeername",
        "socketpair",
        "send",
        "recv",
        "sendto",
        "recvfrom",
        "shutdown",
        "setsockopt",
        "getsockopt",
        "sendmsg",
        "recvmsg",
        "accept4",
        "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u64); 12] = [
        ("semop", 1),
        ("semget", 2),
        ("semctl", 3),
        ("semtimedop", 4),
        ("msgsnd", 11),
        ("msgrcv", 12),
        ("msgget", 13),
        ("msgctl", 14),
        ("shmat", 21),
        ("shmdt", 22),
        ("shmget", 23),
        ("shmctl", 24),
    ];
    if !arch.multiplexes() {
        return None;
    }
    let number = |call| arch.number(Name::find(call).unwrap()).unwrap();
    if let Some(place) = SOCKETCALL.iter().position(|call| *call == name) {
        return Some((number("socketcall"), place as u64 + 1));
    }
    IPC.iter().find(|(call, _)| *call == name).map(|(_, selector)| (number("ipc"), *selector))
}
