//! A profile's decisions in readable form, one architecture after the other.

use super::Backend;
use super::arch::Arch;
use super::policy::{ArgRule, Decision, Policy};
use super::profile::{Compare, Condition};
use super::tables::Name;
use crate::Result;
use oci_spec::runtime::LinuxSeccomp;
use std::collections::BTreeMap;
use std::fmt::Write as _;

/// Says what each architecture's calls get: calls with a verdict of their own by verdict, conditional ones with their
/// conditions, and the rest.
///
/// # Errors
/// As for [`compile`](super::compile), except that the length of the program does not matter.
pub fn explain(section: &LinuxSeccomp, native: Arch) -> Result<String> {
    let (profile, policies) = super::resolve(section, native, Backend::BUILT_IN)?;
    let mut text = String::new();
    policies.iter().for_each(|policy| describe(&mut text, policy));
    text.push_str("any other architecture: kill-thread\n");
    if !profile.ignored.is_empty() {
        line(&mut text, 0, "unknown names, ignored", &profile.ignored);
    }
    Ok(text)
}

fn describe(text: &mut String, policy: &Policy) {
    let names: BTreeMap<u32, &str> =
        Name::all().filter_map(|name| Some((policy.arch.number(name)?, name.as_str()))).collect();
    let called = |number: u32| names.get(&number).map_or_else(|| number.to_string(), |name| (*name).to_owned());
    let mut always: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let mut conditional = Vec::new();
    for (number, decision) in policy.decisions.iter() {
        match decision {
            Decision::Always(verdict) => always.entry(verdict.to_string()).or_default().push(called(number)),
            Decision::When(rules) => conditional.push((called(number), rules)),
        }
    }
    _ = writeln!(text, "{} (audit {:#010x})", policy.arch.oci_name(), policy.arch.audit());
    for (verdict, mut calls) in always {
        calls.sort_unstable();
        line(text, 2, &format!("{verdict}, {} calls", calls.len()), &calls);
    }
    conditional.sort_by(|one, other| one.0.cmp(&other.0));
    for (call, rules) in conditional {
        let rules = rules.iter().map(|r| rule(policy.arch, r)).collect::<Vec<_>>().join("; ");
        _ = writeln!(text, "  {call}: {rules}; else {}", policy.default);
    }
    match policy.last {
        Some(last) => {
            _ = writeln!(text, "  others up to {}: {}\n  above: errno ENOSYS", called(last), policy.default);
        }
        None => _ = writeln!(text, "  others: {}", policy.default),
    }
}

fn rule(arch: Arch, rule: &ArgRule) -> String {
    let conditions = rule.conditions.iter().map(|c| condition(arch, c)).collect::<Vec<_>>().join(" and ");
    format!("{} if {conditions}", rule.verdict)
}

fn condition(arch: Arch, condition: &Condition) -> String {
    let whole = if arch.wide_arguments() { u64::MAX } else { u64::from(u32::MAX) };
    let arg = format!("args[{}]", condition.arg);
    match (condition.compare, condition.negated) {
        (Compare::Masked { mask, value }, false) if mask == whole => format!("{arg} == {value:#x}"),
        (Compare::Masked { mask, value }, true) if mask == whole => format!("{arg} != {value:#x}"),
        (Compare::Masked { mask, value }, false) => format!("{arg} & {mask:#x} == {value:#x}"),
        (Compare::Masked { mask, value }, true) => format!("{arg} & {mask:#x} != {value:#x}"),
        (Compare::AtLeast(value), false) => format!("{arg} >= {value:#x}"),
        (Compare::AtLeast(value), true) => format!("{arg} < {value:#x}"),
        (Compare::Above(value), false) => format!("{arg} > {value:#x}"),
        (Compare::Above(value), true) => format!("{arg} <= {value:#x}"),
    }
}

/// A heading and a list of words, wrapped.
fn line(text: &mut String, indent: usize, heading: &str, words: &[String]) {
    const WIDTH: usize = 110;
    _ = write!(text, "{:indent$}{heading}:", "");
    let mut column = usize::MAX;
    for word in words {
        if column.saturating_add(word.len() + 1) > WIDTH {
            _ = write!(text, "\n{:1$}", "", indent + 1);
            column = indent + 1;
        }
        _ = write!(text, " {word}");
        column += word.len() + 1;
    }
    text.push('\n');
}
