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
            if arch.number(name) == Some(data.number) {
                if args.is_empty() {
                    always = always.or(Some(verdict));
                } else if matches(args, arch, data, None) {
                    candidates.push(verdict);
                }
            }
            let multiplexer = selector(arch, name.as_str());
            if let Some((_, selector)) = multiplexer.filter(|(number, _)| *number == data.number) {
                if matches(args, arch, data, Some(selector)) {
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

fn matches(args: &[LinuxSeccompArg], arch: Arch, data: &Data, selector: Option<u64>) -> bool {
    let holds = |arg: &LinuxSeccompArg| {
        let cut = |value: u64| if arch.wide_arguments() { value } else { value & 0xffff_ffff };
        let (given, value, two) = (cut(data.args[arg.index()]), cut(arg.value()), cut(arg.value_two().unwrap_or(0)));
        match arg.op() {
            Op::ScmpCmpNe => given != value,
            Op::ScmpCmpLt => given < value,
            Op::ScmpCmpLe => given <= value,
            Op::ScmpCmpEq => given == value,
            Op::ScmpCmpGe => given >= value,
            Op::ScmpCmpGt => given > value,
            Op::ScmpCmpMaskedEq => given & value == two & value,
        }
    };
    let first = if arch.wide_arguments() { data.args[0] } else { data.args[0] & 0xffff_ffff };
    let selected = selector.is_none_or(|selector| first == selector);
    // A selector takes the place of conditions on the first argument.
    let holds = |arg: &LinuxSeccompArg| (selector.is_some() && arg.index() == 0) || holds(arg);
    let repeated = (0..6).any(|index| args.iter().filter(|arg| arg.index() == index).count() > 1);
    selected && if repeated { args.iter().any(holds) } else { args.iter().all(holds) }
}

/// The multiplexer's number and the selector of a call, from the manual's tables.
fn selector(arch: Arch, name: &str) -> Option<(u32, u64)> {
    const SOCKETCALL: [&str; 20] = [
        "socket", "bind", "connect", "listen", "accept", "getsockname", "getpeername", "socketpair", "send", "recv",
        "sendto", "recvfrom", "shutdown", "setsockopt", "getsockopt", "sendmsg", "recvmsg", "accept4", "recvmmsg",
        "sendmmsg",
    ];
    const IPC: [(&str, u64); 12] = [
        ("semop", 1), ("semget", 2), ("semctl", 3), ("semtimedop", 4), ("msgsnd", 11), ("msgrcv", 12), ("msgget", 13),
        ("msgctl", 14), ("shmat", 21), ("shmdt", 22), ("shmget", 23), ("shmctl", 24),
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
