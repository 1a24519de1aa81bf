//! A profile seen by one architecture: which number gets which decision.

use super::arch::Arch;
use super::profile::{Compare, Condition, Profile, Rule};
use super::tables::Name;
use super::verdict::Verdict;
use crate::{Error, Result};

/// More rules with conditions than this for one call cannot fit into a filter.
const MOST_RULES: usize = 4096;

/// What one architecture's calls get.
pub(super) struct Policy {
    pub(super) arch: Arch,
    /// For every number that is not below.
    pub(super) default: Verdict,
    /// Sorted by number.
    pub(super) decisions: Vec<(u32, Decision)>,
    /// The highest number the profile knows; what is above is not the default but `ENOSYS`.
    pub(super) last: Option<u32>,
}

/// What one call gets.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Decision {
    Always(Verdict),
    /// The first rule that matches, else the default.
    When(Vec<ArgRule>),
}

/// A verdict under conditions: at least one, sorted by argument.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct ArgRule {
    /// Its place in `linux.seccomp.syscalls`, for messages.
    pub(super) index: usize,
    pub(super) conditions: Vec<Condition>,
    pub(super) verdict: Verdict,
}

/// A rule's effect on one number.
struct Entry {
    number: u32,
    /// Keeps the profile's order among entries for one number.
    order: usize,
    name: Name,
    rule: usize,
    /// The first argument of socketcall(2) or ipc(2) that stands for the call.
    selector: Option<u64>,
}

/// The calls that socketcall(2) and ipc(2) do the work of, with their selectors; sorted by name. See linux/net.h and
/// linux/ipc.h.
const MULTIPLEXED: [(&str, &str, u64); 32] = [
    ("accept", SOCKETCALL, 5),
    ("accept4", SOCKETCALL, 18),
    ("bind", SOCKETCALL, 2),
    ("connect", SOCKETCALL, 3),
    ("getpeername", SOCKETCALL, 7),
    ("getsockname", SOCKETCALL, 6),
    ("getsockopt", SOCKETCALL, 15),
    ("listen", SOCKETCALL, 4),
    ("msgctl", IPC, 14),
    ("msgget", IPC, 13),
    ("msgrcv", IPC, 12),
    ("msgsnd", IPC, 11),
    ("recv", SOCKETCALL, 10),
    ("recvfrom", SOCKETCALL, 12),
    ("recvmmsg", SOCKETCALL, 19),
    ("recvmsg", SOCKETCALL, 17),
    ("semctl", IPC, 3),
    ("semget", IPC, 2),
    ("semop", IPC, 1),
    ("semtimedop", IPC, 4),
    ("send", SOCKETCALL, 9),
    ("sendmmsg", SOCKETCALL, 20),
    ("sendmsg", SOCKETCALL, 16),
    ("sendto", SOCKETCALL, 11),
    ("setsockopt", SOCKETCALL, 14),
    ("shmat", IPC, 21),
    ("shmctl", IPC, 24),
    ("shmdt", IPC, 22),
    ("shmget", IPC, 23),
    ("shutdown", SOCKETCALL, 13),
    ("socket", SOCKETCALL, 1),
    ("socketpair", SOCKETCALL, 8),
];
const SOCKETCALL: &str = "socketcall";
const IPC: &str = "ipc";

/// Lowers a profile for one of its architectures.
///
/// # Errors
/// `InvalidConfig` for a rule that contradicts an earlier one, as runc refuses it.
pub(super) fn lower(profile: &Profile, arch: Arch) -> Result<Policy> {
    let mut entries = Vec::with_capacity(512);
    let mut last = 0;
    for (place, rule) in profile.rules.iter().enumerate() {
        for name in &rule.names {
            let multiplexed = if arch.multiplexes() { multiplexed(*name) } else { None };
            let number = arch.number(*name);
            if let (Some(number), None) = (number, multiplexed) {
                last = last.max(number);
            }
            if rule.alternatives.is_empty() {
                continue;
            }
            let targets = [(number, None), (multiplexed.and_then(|(call, _)| arch.number(call)), multiplexed)];
            for (number, selector) in targets {
                let selector = selector.map(|(_, selector)| selector);
                if let Some(number) = number {
                    entries.push(Entry { number, order: entries.len(), name: *name, rule: place, selector });
                }
            }
        }
    }
    entries.sort_unstable_by_key(|entry| (entry.number, entry.order));
    let decisions = decide(profile, arch, &entries)?;
    let last = (profile.stub && last != 0).then_some(last);
    Ok(Policy { arch, default: profile.default, decisions, last })
}

fn decide(profile: &Profile, arch: Arch, entries: &[Entry]) -> Result<Vec<(u32, Decision)>> {
    let mut decisions: Vec<(u32, Decision)> = Vec::with_capacity(entries.len());
    for entry in entries {
        let Some(rule) = profile.rules.get(entry.rule) else { continue };
        if decisions.last().is_none_or(|(number, _)| *number != entry.number) {
            decisions.push((entry.number, Decision::When(Vec::new())));
        }
        let Some((_, decision)) = decisions.last_mut() else { continue };
        for conditions in &rule.alternatives {
            decision.add(arch_rule(arch, rule, conditions, entry.selector), entry.name)?;
        }
    }
    Ok(decisions)
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
    /// Adds a rule that comes after all that are there. A verdict without conditions replaces all others and is never
    /// replaced. A rule that an earlier one covers adds nothing.
    fn add(&mut self, rule: ArgRule, name: Name) -> Result<()> {
        let Decision::When(rules) = self else { return Ok(()) };
        if rule.conditions.is_empty() {
            *self = Decision::Always(rule.verdict);
            return Ok(());
        }
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
    let place = MULTIPLEXED.binary_search_by_key(&name.as_str(), |(call, _, _)| call).ok()?;
    let (_, multiplexer, selector) = MULTIPLEXED.get(place)?;
    Some((Name::find(multiplexer)?, *selector))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_multiplexed_calls_are_sorted_and_known() {
        assert!(MULTIPLEXED.is_sorted());
        for (call, multiplexer, _) in MULTIPLEXED {
            assert!(Name::find(call).is_some(), "{call}");
            assert!(Name::find(multiplexer).is_some(), "{multiplexer}");
        }
    }
}
