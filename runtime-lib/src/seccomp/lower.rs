//! From policies to one decision graph: dispatch on the architecture, binary search for the number, then arguments.

use super::arch::{Arch, X32_BIT};
use super::graph::{ARCH, Graph, NUMBER, NodeId, Test, argument};
use super::policy::{ArgRule, Decision, Policy};
use super::profile::{Compare, Condition};
use super::verdict::Verdict;
use crate::{Error, Result};

/// More nodes than this do not fit into `BPF_MAXINSNS` instructions, whatever the optimisation finds.
const MOST_NODES: usize = 16384;

/// Numbers from `start` to the next range's start get the decision at `node`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Range {
    start: u32,
    node: NodeId,
}

/// Builds the whole filter; the first policy is that of the native architecture and is asked for first.
///
/// # Errors
/// `InvalidConfig` if the profile is too large for a filter.
pub(super) fn graph(policies: &[Policy]) -> Result<(Graph, NodeId)> {
    let mut graph = Graph::with_room();
    let mut dispatch = Vec::new();
    for policy in policies {
        let audit = policy.arch.audit();
        if dispatch.iter().any(|(known, _)| *known == audit) {
            continue;
        }
        let root = if matches!(policy.arch, Arch::X86_64 | Arch::X32) {
            both_of_x86_64(&mut graph, policies)?
        } else {
            let ranges = ranges(&mut graph, policy, 0)?;
            search(&mut graph, &ranges)
        };
        dispatch.push((audit, root));
    }
    let mut root = graph.verdict(Verdict::KILL_THREAD);
    for (audit, policy) in dispatch.into_iter().rev() {
        root = graph.branch(ARCH, Test::Equal { mask: u32::MAX, value: audit }, policy, root);
    }
    Ok((graph, root))
}

/// x86_64 and x32 share an `AUDIT_ARCH`: the x32 bit of the number tells them apart. A filter for one of them alone
/// kills on calls of the other like on those of any architecture that is not listed. As in libseccomp, -1 is nobody's call but what a
/// tracer writes to skip one, and gets the default.
fn both_of_x86_64(graph: &mut Graph, policies: &[Policy]) -> Result<NodeId> {
    let find = |arch| policies.iter().find(|policy| policy.arch == arch);
    let kill = graph.verdict(Verdict::KILL_THREAD);
    let low = match find(Arch::X86_64) {
        Some(policy) => {
            let ranges = ranges(graph, policy, 0)?;
            search(graph, &ranges)
        }
        None => kill,
    };
    let high = match (find(Arch::X32), find(Arch::X86_64)) {
        (Some(policy), _) => {
            let ranges = ranges(graph, policy, X32_BIT)?;
            search(graph, &ranges)
        }
        (None, Some(policy)) => {
            let default = graph.verdict(policy.default);
            graph.branch(NUMBER, Test::Equal { mask: u32::MAX, value: u32::MAX }, default, kill)
        }
        (None, None) => kill,
    };
    Ok(graph.branch(NUMBER, Test::AtLeast(X32_BIT), high, low))
}

/// The numbers from `first` on, cut where the decision changes: neighbours with the same decision are one range.
fn ranges(graph: &mut Graph, policy: &Policy, first: u32) -> Result<Vec<Range>> {
    let default = graph.verdict(policy.default);
    let beyond = if policy.last.is_some() { graph.verdict(Verdict::ENOSYS) } else { default };
    let mut ranges: Vec<Range> = Vec::with_capacity(128);
    let mut push = |start: u32, node: NodeId| match ranges.last_mut() {
        Some(last) if last.node == node => {}
        Some(last) if last.start == start => last.node = node,
        _ => ranges.push(Range { start, node }),
    };
    push(first, default);
    let mut next = first;
    // The kernel shows unknown numbers as 0 there, so 0 stands for what is beyond the last.
    let hidden = policy.arch.hides_unknown_numbers() && policy.last.is_some();
    if hidden {
        push(0, beyond);
        next = 1;
    }
    // Most numbers get what the one before gets: the look-up of its node is spared.
    let mut latest = (policy.default, default);
    for (number, decision) in policy.decisions.iter() {
        // runc asks for the highest number first: what the profile says of a number above (through socketcall) is lost.
        if (hidden && number == 0) || policy.last.is_some_and(|last| number > last) {
            continue;
        }
        if number != next {
            push(next, default);
        }
        let node = match decision {
            Decision::Always(verdict) => {
                if latest.0 != *verdict {
                    latest = (*verdict, graph.verdict(*verdict));
                }
                latest.1
            }
            Decision::When(rules) => arguments(graph, policy, rules)?,
        };
        push(number, node);
        next = number.saturating_add(1);
    }
    let last = policy.last.map_or(next, |last| last.saturating_add(1));
    push(next, default);
    push(last, beyond);
    Ok(ranges)
}

/// Balanced binary search. Three ranges of which the middle one is a single number between equal ones take one test for
/// equality in place of two for order.
fn search(graph: &mut Graph, ranges: &[Range]) -> NodeId {
    match ranges {
        [] => graph.verdict(Verdict::KILL_THREAD),
        [only] => only.node,
        [before, single, after] if before.node == after.node && after.start - single.start == 1 => {
            let test = Test::Equal { mask: u32::MAX, value: single.start };
            graph.unique_branch(NUMBER, test, single.node, before.node)
        }
        _ => {
            let (low, high) = ranges.split_at(middle(ranges));
            let start = high.first().map_or(0, |range| range.start);
            let otherwise = search(graph, low);
            let then = search(graph, high);
            graph.unique_branch(NUMBER, Test::AtLeast(start), then, otherwise)
        }
    }
}

/// Where to cut: in the middle, but not so that the upper part begins with a single number between equal ranges, which
/// would tear apart a group of three that one test decides.
fn middle(ranges: &[Range]) -> usize {
    let half = ranges.len() / 2;
    match ranges.get(half - 1..half + 2) {
        Some([before, single, after]) if before.node == after.node && after.start - single.start == 1 => {
            if ranges.len() % 2 == 0 { half - 1 } else { half + 1 }
        }
        _ => half,
    }
}

/// The first rule whose conditions all hold decides, else the default.
fn arguments(graph: &mut Graph, policy: &Policy, rules: &[ArgRule]) -> Result<NodeId> {
    let mut fail = graph.verdict(policy.default);
    for rule in rules.iter().rev() {
        let mut node = graph.verdict(rule.verdict);
        for condition in rule.conditions.iter().rev() {
            node = test(graph, policy.arch, condition, node, fail);
        }
        fail = node;
        if graph.len() > MOST_NODES {
            let location = format!("linux.seccomp.syscalls[{}]", rule.index);
            return Err(Error::config(location, "the rules up to here are too many for one filter"));
        }
    }
    Ok(fail)
}

/// One condition, in tests of 32-bit halves.
fn test(graph: &mut Graph, arch: Arch, condition: &Condition, yes: NodeId, no: NodeId) -> NodeId {
    let (then, otherwise) = if condition.negated { (no, yes) } else { (yes, no) };
    let low = argument(condition.arg, false, arch.little_endian());
    let high = arch.wide_arguments().then(|| argument(condition.arg, true, arch.little_endian()));
    match condition.compare {
        Compare::Masked { mask, value } => {
            let (mask, value) = (halves(mask), halves(value));
            let inner = graph.branch(low, Test::Equal { mask: mask.1, value: value.1 }, then, otherwise);
            match high {
                Some(high) => graph.branch(high, Test::Equal { mask: mask.0, value: value.0 }, inner, otherwise),
                None => inner,
            }
        }
        Compare::AtLeast(value) => at_least(graph, high, low, value, then, otherwise),
        Compare::Above(value) => {
            let most = if high.is_some() { u64::MAX } else { u64::from(u32::MAX) };
            if value >= most { otherwise } else { at_least(graph, high, low, value + 1, then, otherwise) }
        }
    }
}

fn at_least(graph: &mut Graph, high: Option<u8>, low: u8, value: u64, then: NodeId, otherwise: NodeId) -> NodeId {
    let value = halves(value);
    let inner = graph.branch(low, Test::AtLeast(value.1), then, otherwise);
    let Some(high) = high else { return inner };
    // Where the upper halves are equal the lower ones decide; a larger upper half is enough.
    let larger = graph.branch(high, Test::Equal { mask: u32::MAX, value: value.0 }, inner, then);
    graph.branch(high, Test::AtLeast(value.0), larger, otherwise)
}

/// Upper and lower half.
fn halves(value: u64) -> (u32, u32) {
    let low = u32::try_from(value & 0xffff_ffff).unwrap_or(0);
    (u32::try_from(value >> 32).unwrap_or(0), low)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::graph::Node;
    use crate::seccomp::policy::Decisions;

    const ERRNO: Verdict = Verdict(0x0005_0001);
    const ALLOW: Verdict = Verdict(0x7fff_0000);
    const TRAP: Verdict = Verdict(0x0003_0000);

    fn policy(verdicts: &[(u32, Verdict)], last: Option<u32>) -> Policy {
        let mut decisions = Decisions::default();
        for (number, verdict) in verdicts {
            decisions.of(*number, || Decision::Always(*verdict)).unwrap();
        }
        Policy { arch: Arch::Aarch64, default: ERRNO, decisions, last }
    }

    fn starts(graph: &mut Graph, policy: &Policy) -> Vec<(u32, Option<Node>)> {
        let ranges = ranges(graph, policy, 0).unwrap_or_default();
        ranges.iter().map(|range| (range.start, graph.node(range.node))).collect()
    }

    #[test]
    fn neighbours_with_one_decision_are_one_range() {
        let to = |verdict| Some(Node::Return(verdict));
        let decisions = [(5, ALLOW), (6, ALLOW), (7, TRAP), (9, ALLOW), (10, ALLOW)];
        let expected =
            [(0, ERRNO), (5, ALLOW), (7, TRAP), (8, ERRNO), (9, ALLOW), (11, ERRNO)].map(|(n, v)| (n, to(v)));
        assert_eq!(starts(&mut Graph::default(), &policy(&decisions, None)), expected);
        // A call that gets what the rest gets begins no range.
        let quiet = [(5, ALLOW), (6, ERRNO), (7, ERRNO)];
        let expected = [(0, ERRNO), (5, ALLOW), (6, ERRNO), (13, Verdict::ENOSYS)].map(|(n, v)| (n, to(v)));
        assert_eq!(starts(&mut Graph::default(), &policy(&quiet, Some(12))), expected);
    }

    #[test]
    fn a_single_number_between_equal_ranges_takes_one_test() {
        let mut graph = Graph::default();
        let ranges = ranges(&mut graph, &policy(&[(7, TRAP)], None), 0).unwrap_or_default();
        let verdicts = graph.len();
        let root = search(&mut graph, &ranges);
        assert_eq!(graph.len(), verdicts + 1);
        let seven = Test::Equal { mask: u32::MAX, value: 7 };
        assert!(matches!(graph.node(root), Some(Node::Branch { word: NUMBER, test, .. }) if test == seven));
        // The cut in the middle does not tear such a group apart: two groups take three tests, not five.
        let mut graph = Graph::default();
        let ranges = super::ranges(&mut graph, &policy(&[(7, TRAP), (20, TRAP)], None), 0).unwrap_or_default();
        let verdicts = graph.len();
        search(&mut graph, &ranges);
        assert_eq!(graph.len() - verdicts, 3);
    }
}
