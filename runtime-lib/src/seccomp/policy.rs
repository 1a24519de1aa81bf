//! A profile seen by one architecture: which number gets which decision.

use super::arch::{Arch, X32_BIT};
use super::profile::{Compare, Condition, Profile, Rule};
use super::tables::{Name, PRIVATE_BASE};
use super::verdict::Verdict;
use crate::{Error, ErrorKind, Result};

/// More rules with conditions than this for one call cannot fit into a filter.
const MOST_RULES: usize = 4096;

/// What one architecture's calls get.
pub(super) struct Policy {
    pub(super) arch: Arch,
    /// For every number that is not below.
    pub(super) default: Verdict,
    pub(super) decisions: Decisions,
    /// The highest number the profile knows; what is above is not the default but `ENOSYS`.
    pub(super) last: Option<u32>,
}

/// What one call gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Always(Verdict),
    /// The first rule that matches, else the default.
    #[allow(clippy::box_collection, reason = "few calls have rules: the indirection keeps the others small")]
    When(Box<Vec<ArgRule>>),
}

/// A verdict under conditions: at least one, sorted by argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArgRule {
    /// Its place in `linux.seccomp.syscalls`, for messages.
    pub(super) index: usize,
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: Verdict,
}

/// Decisions by number. They are made in the profile's order and read in that of the numbers. Numbers are small and lie close
/// together, so each has a place in a table: sorting took longer than all the rest of the compiler.
#[derive(Default)]
pub(super) struct Decisions {
    /// Where a number's decision is, plus one; 0 for none.
    places: Vec<u16>,
    made: Vec<(u32, Decision)>,
}

impl Decisions {
    /// The place of the first number that only ARM has, [`PRIVATE_BASE`]: above all other numbers (those of MIPS n32 begin at
    /// 6000).
    const PRIVATE: u32 = 8192;

    /// What a number's decision is; `first` if this is the first thing that is said of it.
    pub(super) fn of(&mut self, number: u32, first: impl FnOnce() -> Decision) -> Option<&mut Decision> {
        let number_below = number & !X32_BIT;
        let place = number_below.checked_sub(PRIVATE_BASE).map_or(number_below, |private| Decisions::PRIVATE + private);
        let place = place as usize;
        if place >= self.places.len() {
            self.places.resize(place + 64, 0);
        }
        let place = self.places.get_mut(place)?;
        if *place == 0 {
            self.made.push((number, first()));
            *place = u16::try_from(self.made.len()).ok()?;
        }
        self.made.get_mut(usize::from(*place) - 1).map(|(_, decision)| decision)
    }

    /// The numbers that have a decision, in order.
    pub(super) fn iter(&self) -> impl Iterator<Item = (u32, &Decision)> {
        let places = self.places.iter().filter_map(|place| usize::from(*place).checked_sub(1));
        places.filter_map(|place| self.made.get(place).map(|(number, decision)| (*number, decision)))
    }
}

/// The calls that socketcall(2) and ipc(2) do the work of, with their selectors; sorted by name. See linux/net.h and
/// linux/ipc.h.
const MULTIPLEXED: [(Name, Name, u64); 32] = [
    (Name::known("accept"), SOCKETCALL, 5),
    (Name::known("accept4"), SOCKETCALL, 18),
    (Name::known("bind"), SOCKETCALL, 2),
    (Name::known("connect"), SOCKETCALL, 3),
    (Name::known("getpeername"), SOCKETCALL, 7),
    (Name::known("getsockname"), SOCKETCALL, 6),
    (Name::known("getsockopt"), SOCKETCALL, 15),
    (Name::known("listen"), SOCKETCALL, 4),
    (Name::known("msgctl"), IPC, 14),
    (Name::known("msgget"), IPC, 13),
    (Name::known("msgrcv"), IPC, 12),
    (Name::known("msgsnd"), IPC, 11),
    (Name::known("recv"), SOCKETCALL, 10),
    (Name::known("recvfrom"), SOCKETCALL, 12),
    (Name::known("recvmmsg"), SOCKETCALL, 19),
    (Name::known("recvmsg"), SOCKETCALL, 17),
    (Name::known("semctl"), IPC, 3),
    (Name::known("semget"), IPC, 2),
    (Name::known("semop"), IPC, 1),
    (Name::known("semtimedop"), IPC, 4),
    (Name::known("send"), SOCKETCALL, 9),
    (Name::known("sendmmsg"), SOCKETCALL, 20),
    (Name::known("sendmsg"), SOCKETCALL, 16),
    (Name::known("sendto"), SOCKETCALL, 11),
    (Name::known("setsockopt"), SOCKETCALL, 14),
    (Name::known("shmat"), IPC, 21),
    (Name::known("shmctl"), IPC, 24),
    (Name::known("shmdt"), IPC, 22),
    (Name::known("shmget"), IPC, 23),
    (Name::known("shutdown"), SOCKETCALL, 13),
    (Name::known("socket"), SOCKETCALL, 1),
    (Name::known("socketpair"), SOCKETCALL, 8),
];
const SOCKETCALL: Name = Name::known("socketcall");
const IPC: Name = Name::known("ipc");

/// Lowers a profile for one of its architectures.
///
/// # Errors
/// `InvalidConfig` for a rule that contradicts an earlier one, as runc refuses it.
pub(super) fn lower(profile: &Profile, arch: Arch) -> Result<Policy> {
    let mut decisions = Decisions { places: Vec::with_capacity(512), made: Vec::with_capacity(512) };
    let numbers = arch.numbers();
    let mut last = 0;
    for rule in &profile.rules {
        for name in &rule.names {
            let multiplexed = if arch.multiplexes() { multiplexed(*name) } else { None };
            let number = numbers(*name);
            if let (Some(number), None) = (number, multiplexed) {
                last = last.max(number);
            }
            if rule.alternatives.is_empty() {
                continue;
            }
            let targets = [(number, None), (multiplexed.and_then(|(call, _)| numbers(call)), multiplexed)];
            for (number, selector) in targets {
                let selector = selector.map(|(_, selector)| selector);
                if let Some(number) = number {
                    decide(&mut decisions, number, arch, rule, selector, *name)?;
                }
            }
        }
    }
    let last = (profile.stub && last != 0).then_some(last);
    Ok(Policy { arch, default: profile.default, decisions, last })
}

/// Adds what a rule says of a name to the decision for one of the name's numbers.
fn decide(
    decisions: &mut Decisions,
    number: u32,
    arch: Arch,
    rule: &Rule,
    selector: Option<u64>,
    name: Name,
) -> Result<()> {
    // A rule must not get lost, whatever the default is.
    let no_place = || Error::new(ErrorKind::Internal, format!("the system call {number} has no place in the table"));
    for conditions in &rule.alternatives {
        if conditions.is_empty() && selector.is_none() {
            let decision = decisions.of(number, || Decision::Always(rule.verdict));
            decision.ok_or_else(no_place)?.add_always(rule.verdict);
        } else {
            let decision = decisions.of(number, || Decision::When(Box::default()));
            decision.ok_or_else(no_place)?.add(arch_rule(arch, rule, conditions, selector), name)?;
        }
    }
    Ok(())
}

/// One alternative of a rule as the architecture sees it. For socketcall(2) and ipc(2) the selector takes the place of a
/// condition on the first argument; conditions on others are kept as they are, like libseccomp does, although they then
/// concern the multiplexer's arguments.
fn arch_rule(arch: Arch, rule: &Rule, conditions: &[Condition], selector: Option<u64>) -> ArgRule {
    let narrowed = conditions.iter().map(|c| if arch.wide_arguments() { *c } else { c.narrowed() });
    // A mask that leaves nothing is no condition: a rule with only that is one without conditions.
    let narrowed = narrowed.filter(|condition| condition.compare != Compare::Masked { mask: 0, value: 0 });
    let conditions = match selector {
        None => narrowed.collect(),
        Some(value) => {
            let compare = Compare::Masked { mask: u64::MAX, value };
            let selects = Condition { arg: 0, compare, negated: false };
            let selects = if arch.wide_arguments() { selects } else { selects.narrowed() };
            std::iter::once(selects).chain(narrowed.filter(|condition| condition.arg != 0)).collect()
        }
    };
    ArgRule { index: rule.index, conditions, verdict: rule.verdict }
}

impl Decision {
    fn add_always(&mut self, verdict: Verdict) {
        if let Decision::When(_) = self {
            *self = Decision::Always(verdict);
        }
    }

    /// Adds a rule that comes after all that are there. A verdict without conditions replaces all others and is never
    /// replaced. A rule that an earlier one covers adds nothing.
    fn add(&mut self, rule: ArgRule, name: Name) -> Result<()> {
        if rule.conditions.is_empty() {
            self.add_always(rule.verdict);
            return Ok(());
        }
        let Decision::When(rules) = self else { return Ok(()) };
        for earlier in rules.iter() {
            let same = earlier.conditions == rule.conditions;
            let agree = earlier.verdict == rule.verdict;
            if rule.conditions.starts_with(&earlier.conditions) && (agree || !same) {
                return Ok(());
            }
            if earlier.conditions.starts_with(&rule.conditions) && !agree && !covered(earlier, rules) {
                return Err(contradiction(earlier, &rule, name));
            }
        }
        if rules.len() == MOST_RULES {
            let location = format!("linux.seccomp.syscalls[{}]", rule.index);
            return Err(Error::config(location, format!("more than {MOST_RULES} rules for {}", name.as_str())));
        }
        rules.push(rule);
        Ok(())
    }
}

/// Whether a rule says only what a wider one says too; libseccomp takes such a rule out of its tree.
fn covered(rule: &ArgRule, rules: &[ArgRule]) -> bool {
    rules.iter().any(|other| {
        other.verdict == rule.verdict
            && other.conditions.len() < rule.conditions.len()
            && other.conditions.iter().all(|condition| rule.conditions.contains(condition))
    })
}

/// libseccomp refuses with `EEXIST` what it would have to answer in two ways at once.
fn contradiction(earlier: &ArgRule, rule: &ArgRule, name: Name) -> Error {
    Error::config(
        format!("linux.seccomp.syscalls[{}]", rule.index),
        format!(
            "contradicts syscalls[{}] on {}: {} and {} under the same conditions",
            earlier.index,
            name.as_str(),
            earlier.verdict,
            rule.verdict
        ),
    )
}

/// The multiplexer of a call, and the call's selector.
fn multiplexed(name: Name) -> Option<(Name, u64)> {
    let place = MULTIPLEXED.binary_search_by_key(&name, |(call, _, _)| *call).ok()?;
    MULTIPLEXED.get(place).map(|(_, multiplexer, selector)| (*multiplexer, *selector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplexed_calls_are_sorted() {
        assert!(MULTIPLEXED.is_sorted());
    }

    #[test]
    fn decisions_are_read_in_the_order_of_the_numbers() {
        let mut decisions = Decisions::default();
        for number in [X32_BIT + 3, PRIVATE_BASE + 2, 7, 6400, PRIVATE_BASE, 0] {
            decisions.of(number, || Decision::Always(Verdict(number))).unwrap();
        }
        let seven = decisions.of(7, || Decision::Always(Verdict(1))).unwrap();
        assert_eq!(*seven, Decision::Always(Verdict(7)));
        let found: Vec<_> = decisions.iter().map(|(number, decision)| (number, decision.clone())).collect();
        let expected = [0, X32_BIT + 3, 7, 6400, PRIVATE_BASE, PRIVATE_BASE + 2];
        assert_eq!(found, expected.map(|number| (number, Decision::Always(Verdict(number)))));
        // No architecture has a number that would take another's place.
        for arch in crate::trials::thinned(Arch::ALL, 2) {
            for (name, number) in arch.calls() {
                let below = number & !X32_BIT;
                assert!(!(Decisions::PRIVATE..PRIVATE_BASE).contains(&below), "{arch:?}: {name}");
            }
        }
    }
}
