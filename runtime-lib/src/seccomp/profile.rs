//! `linux.seccomp` checked and resolved: every name, operator and number has a meaning.
//!
//! What is refused and what is ignored follows runc, in runc's order: a rule whose action is the default one is skipped
//! before its arguments are looked at, and so is a name that no architecture knows.

use super::Filter;
use super::arch::Arch;
use super::tables::{Finder, Name};
use super::verdict::Verdict;
use crate::{Error, Result};
use oci_spec::runtime::{
    LinuxSeccomp, LinuxSeccompAction as Action, LinuxSeccompArg, LinuxSeccompFilterFlag as Flag,
    LinuxSeccompOperator as Operator, LinuxSyscall,
};

/// The calls that hand the notification's file descriptor over, after the filter is in force: asking the agent about
/// them would wait for ever.
const NEEDED_TO_HAND_OVER: &[&str] = &["write"];
const ENOSYS: u32 = 38;

/// A profile without faults.
pub(super) struct Profile {
    pub(super) default: Verdict,
    /// The native architecture, then the listed ones, each once.
    pub(super) archs: Vec<Arch>,
    pub(super) rules: Vec<Rule>,
    /// Whether calls above the highest known one answer `ENOSYS` in place of the default.
    pub(super) stub: bool,
    /// Names that no architecture knows.
    pub(super) ignored: Vec<String>,
}

/// One of `linux.seccomp.syscalls`.
pub(super) struct Rule {
    /// Its place, for messages.
    pub(super) index: usize,
    pub(super) verdict: Verdict,
    pub(super) names: Vec<Name>,
    /// Each a set of conditions that must all hold, sorted by argument; one empty set when there are no `args`. No set at
    /// all: the action is the default one, so that the rule has no effect but making its names known.
    pub(super) alternatives: Vec<Vec<Condition>>,
}

/// A condition on one argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Condition {
    /// 0 to 5.
    pub(super) arg: u8,
    pub(super) compare: Compare,
    /// The comparison must fail.
    pub(super) negated: bool,
}

/// A comparison of a 64-bit argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Compare {
    /// `argument & mask == value`; the value has no bit outside the mask.
    Masked { mask: u64, value: u64 },
    /// `argument >= value`.
    AtLeast(u64),
    /// `argument > value`.
    Above(u64),
}

/// Checks a profile and resolves its names.
///
/// # Errors
/// `InvalidConfig` naming the element.
pub(super) fn check(section: &LinuxSeccomp, native: Arch) -> Result<Profile> {
    let default = Verdict::of(section.default_action(), section.default_errno_ret());
    let archs = archs(section, native)?;
    if !default.has_valid_errno() {
        return Err(Error::config("linux.seccomp.defaultErrnoRet", "is not an errno: must be below 4095"));
    }
    let syscalls = section.syscalls().as_deref().unwrap_or(&[]);
    check_notify(section, syscalls)?;
    let mut profile = Profile {
        default,
        archs,
        rules: Vec::with_capacity(syscalls.len()),
        stub: !default.lets_through() && section.default_errno_ret() != Some(ENOSYS),
        ignored: Vec::new(),
    };
    for (index, syscall) in syscalls.iter().enumerate() {
        let rule = rule(index, syscall, default, &mut profile.ignored)?;
        profile.rules.push(rule);
    }
    Ok(profile)
}

/// The flags of `seccomp(2)` that the filter is loaded with. Without a `flags` element runc sets `SPEC_ALLOW` alone.
///
/// # Errors
/// `InvalidConfig` for a flag that has no meaning in this profile.
pub(super) fn flags(section: &LinuxSeccomp) -> Result<u32> {
    let notify = notifies(section);
    let Some(listed) = section.flags() else {
        return Ok(Filter::SPEC_ALLOW | if notify { Filter::NEW_LISTENER } else { 0 });
    };
    let mut flags = if notify { Filter::NEW_LISTENER } else { 0 };
    for (index, flag) in listed.iter().enumerate() {
        flags |= match flag {
            // There is one thread to put under the filter, and the kernel refuses TSYNC beside NEW_LISTENER.
            Flag::SeccompFilterFlagTsync if notify => 0,
            Flag::SeccompFilterFlagTsync => Filter::TSYNC,
            Flag::SeccompFilterFlagLog => Filter::LOG,
            Flag::SeccompFilterFlagSpecAllow => Filter::SPEC_ALLOW,
            Flag::SeccompFilterFlagWaitKillableRecv if notify => Filter::WAIT_KILLABLE_RECV,
            Flag::SeccompFilterFlagWaitKillableRecv => {
                let location = format!("linux.seccomp.flags[{index}]");
                return Err(Error::config(location, "has a meaning only with an SCMP_ACT_NOTIFY rule"));
            }
        };
    }
    Ok(flags)
}

/// Whether a rule asks an agent.
pub(super) fn notifies(section: &LinuxSeccomp) -> bool {
    let syscalls = section.syscalls().as_deref().unwrap_or(&[]);
    syscalls.iter().any(|syscall| syscall.action() == Action::ScmpActNotify && !syscall.names().is_empty())
}

fn archs(section: &LinuxSeccomp, native: Arch) -> Result<Vec<Arch>> {
    let mut archs = vec![native];
    for (index, listed) in section.architectures().as_deref().unwrap_or(&[]).iter().enumerate() {
        let fault = |message: String| Error::config(format!("linux.seccomp.architectures[{index}]"), message);
        let Some(arch) = Arch::from_oci(*listed) else {
            return Err(fault(format!("{listed} is not an architecture of the specification")));
        };
        if arch.little_endian() != native.little_endian() {
            let native = native.oci_name();
            return Err(fault(format!("{listed} and the native {native} differ in byte order")));
        }
        if !archs.contains(&arch) {
            archs.push(arch);
        }
    }
    Ok(archs)
}

fn check_notify(section: &LinuxSeccomp, syscalls: &[LinuxSyscall]) -> Result<()> {
    for (index, syscall) in syscalls.iter().enumerate() {
        let needed = syscall.names().iter().enumerate().find(|(_, name)| NEEDED_TO_HAND_OVER.contains(&name.as_str()));
        if let (Action::ScmpActNotify, Some((place, name))) = (syscall.action(), needed) {
            return Err(Error::config(
                format!("linux.seccomp.syscalls[{index}].names[{place}]"),
                format!("SCMP_ACT_NOTIFY cannot be used for {name}: handing the listener over needs it"),
            ));
        }
    }
    if section.default_action() == Action::ScmpActNotify {
        return Err(Error::config("linux.seccomp.defaultAction", "SCMP_ACT_NOTIFY cannot be the default action"));
    }
    let listener = section.listener_path().as_ref().is_some_and(|path| !path.as_os_str().is_empty());
    if notifies(section) && !listener {
        return Err(Error::config("linux.seccomp.listenerPath", "is required by an SCMP_ACT_NOTIFY rule"));
    }
    Ok(())
}

fn rule(index: usize, syscall: &LinuxSyscall, default: Verdict, ignored: &mut Vec<String>) -> Result<Rule> {
    let verdict = Verdict::of(syscall.action(), syscall.errno_ret());
    let mut names = Vec::with_capacity(syscall.names().len());
    let mut finder = Finder::default();
    for (place, name) in syscall.names().iter().enumerate() {
        if name.is_empty() {
            let location = format!("linux.seccomp.syscalls[{index}].names[{place}]");
            return Err(Error::config(location, "is empty"));
        }
        match finder.find(name) {
            Some(known) => names.push(known),
            None => ignored.push(name.clone()),
        }
    }
    let mut alternatives = Vec::new();
    if verdict != default && !names.is_empty() {
        if !verdict.has_valid_errno() {
            let location = format!("linux.seccomp.syscalls[{index}].errnoRet");
            return Err(Error::config(location, "is not an errno: must be below 4095"));
        }
        alternatives = conditions(index, syscall.args().as_deref().unwrap_or(&[]))?;
    }
    Ok(Rule { index, verdict, names, alternatives })
}

/// The conditions of a rule: all of them together, unless two concern the same argument. Then, as in runc, each stands
/// for itself.
fn conditions(index: usize, args: &[LinuxSeccompArg]) -> Result<Vec<Vec<Condition>>> {
    let mut all = Vec::with_capacity(args.len());
    for (place, arg) in args.iter().enumerate() {
        all.push(condition(arg).ok_or_else(|| {
            let location = format!("linux.seccomp.syscalls[{index}].args[{place}].index");
            Error::config(location, format!("is {}, but calls have arguments 0 to 5", arg.index()))
        })?);
    }
    let mut seen = 0_u8;
    let repeated = all.iter().any(|condition| {
        let bit = 1_u8 << condition.arg;
        let repeated = seen & bit != 0;
        seen |= bit;
        repeated
    });
    if repeated {
        return Ok(all.into_iter().map(|condition| vec![condition]).collect());
    }
    all.sort_by_key(|condition| condition.arg);
    Ok(vec![all])
}

fn condition(arg: &LinuxSeccompArg) -> Option<Condition> {
    let index = u8::try_from(arg.index()).ok().filter(|index| *index < 6)?;
    let value = arg.value();
    let equal = Compare::Masked { mask: u64::MAX, value };
    let (compare, negated) = match arg.op() {
        Operator::ScmpCmpEq => (equal, false),
        Operator::ScmpCmpNe => (equal, true),
        Operator::ScmpCmpGe => (Compare::AtLeast(value), false),
        Operator::ScmpCmpLt => (Compare::AtLeast(value), true),
        Operator::ScmpCmpGt => (Compare::Above(value), false),
        Operator::ScmpCmpLe => (Compare::Above(value), true),
        // `value` is the mask and `valueTwo` what must remain. Like libseccomp, compare only what the mask leaves.
        Operator::ScmpCmpMaskedEq => {
            (Compare::Masked { mask: value, value: arg.value_two().unwrap_or(0) & value }, false)
        }
    };
    Some(Condition { arg: index, compare, negated })
}

impl Condition {
    /// The same condition on the lower half of the argument, as 32-bit architectures see it.
    pub(super) fn narrowed(mut self) -> Condition {
        const LOW: u64 = 0xffff_ffff;
        self.compare = match self.compare {
            Compare::Masked { mask, value } => Compare::Masked { mask: mask & LOW, value: value & LOW },
            Compare::AtLeast(value) => Compare::AtLeast(value & LOW),
            Compare::Above(value) => Compare::Above(value & LOW),
        };
        self
    }
}
