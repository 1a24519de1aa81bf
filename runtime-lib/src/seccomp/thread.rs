//! Second step of the optimisation: ways through the graph skip the tests whose result they know already.
//!
//! Rules are lowered one by one, so `personality == 0`, `== 8`, `== 0x20000` each test the upper half of the argument. A
//! path that came through one of these tests knows the others' results. [`thread`] walks from the root down with the
//! facts that hold on *every* way to a node, and lets each way on go to the first node that the facts do not decide.
//! Nothing is duplicated: a node only gets fewer ways in, and those that get none are gone.

use super::graph::{ARCH, Graph, NUMBER, Node, NodeId, Test};

/// A test's known result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Fact {
    word: u8,
    test: Test,
    holds: bool,
}

/// Facts kept along a path; forgetting the oldest is safe.
const MOST_FACTS: usize = 32;
/// Decided tests skipped in one go; stopping early is safe.
const MOST_SKIPS: usize = 512;
/// One round opens the way for another only in odd profiles; each round shrinks the graph or is the last.
const MOST_ROUNDS: usize = 4;

/// Rewrites the graph until nothing changes any more.
pub(super) fn optimise(mut graph: Graph, mut root: NodeId) -> (Graph, NodeId) {
    for _ in 0..MOST_ROUNDS {
        let (ways, changed) = thread(&graph, root);
        if !changed {
            break;
        }
        (graph, root) = rebuild(&graph, root, &ways);
    }
    (graph, root)
}

/// For each node the ways on, after skipping; `None` for what is no longer reached.
type Ways = Vec<Option<(NodeId, NodeId)>>;

fn thread(graph: &Graph, root: NodeId) -> (Ways, bool) {
    let mut facts: Vec<Option<Vec<Fact>>> = vec![None; graph.len()];
    let mut ways: Ways = vec![None; graph.len()];
    let mut changed = false;
    if let Some(start) = facts.get_mut(root as usize) {
        *start = Some(Vec::new());
    }
    for id in (0..=root).rev() {
        let known = facts.get_mut(id as usize).and_then(Option::take);
        let (Some(mut known), Some(Node::Branch { word, test, then, otherwise })) = (known, graph.node(id)) else {
            continue;
        };
        // The search for the number is built without detours: only what follows it can gain.
        let learns = word > ARCH;
        if learns && known.len() == MOST_FACTS {
            known.remove(0);
        }
        let mut follow = |way, mut passed: Vec<Fact>, holds| {
            if learns {
                passed.push(Fact { word, test, holds });
            }
            let target = skip(graph, way, &passed);
            changed |= target != way;
            arrive(&mut facts, target, passed);
            target
        };
        let mut copy = Vec::with_capacity(known.len() + usize::from(learns));
        copy.extend_from_slice(&known);
        let next = (follow(then, copy, true), follow(otherwise, known, false));
        if let Some(entry) = ways.get_mut(id as usize) {
            *entry = Some(next);
        }
    }
    (ways, changed)
}

/// The first node from here on that the facts do not decide.
fn skip(graph: &Graph, mut target: NodeId, facts: &[Fact]) -> NodeId {
    if facts.is_empty() {
        return target;
    }
    for _ in 0..MOST_SKIPS {
        let Some(Node::Branch { word, test, then, otherwise }) = graph.node(target) else { break };
        match implied(facts, word, test) {
            Some(holds) => target = if holds { then } else { otherwise },
            None => break,
        }
    }
    target
}

/// Another way into a node: only what holds on all of them holds there. Most ways have begun as the same one.
fn arrive(facts: &mut [Option<Vec<Fact>>], target: NodeId, passed: Vec<Fact>) {
    match facts.get_mut(target as usize) {
        Some(Some(there)) => {
            let mut common = there.iter().zip(&passed).take_while(|(one, other)| one == other).count();
            let rest = passed.get(common..).unwrap_or_default();
            there.retain(|fact| {
                let shared = common > 0;
                common = common.saturating_sub(1);
                shared || rest.contains(fact)
            });
        }
        Some(nothing) => *nothing = Some(passed),
        None => {}
    }
}

/// The result of a test, if the facts give it.
fn implied(facts: &[Fact], word: u8, test: Test) -> Option<bool> {
    let (mut low, mut high) = (0, u32::MAX);
    for fact in facts.iter().filter(|fact| fact.word == word) {
        if fact.test == test {
            return Some(fact.holds);
        }
        match (fact.test, fact.holds) {
            (Test::Equal { mask: u32::MAX, value }, true) => (low, high) = (value, value),
            (Test::AtLeast(value), true) => low = low.max(value),
            (Test::AtLeast(value), false) => high = high.min(value.saturating_sub(1)),
            _ => {}
        }
    }
    match test {
        Test::Equal { mask, value } if low == high => Some(low & mask == value),
        Test::Any(mask) if low == high => Some(low & mask != 0),
        Test::Equal { mask: u32::MAX, value } if value < low || value > high => Some(false),
        Test::AtLeast(value) if low >= value => Some(true),
        Test::AtLeast(value) if high < value => Some(false),
        _ => None,
    }
}

/// The reached part of the graph again, with the new ways; the graph's own rules apply anew.
fn rebuild(graph: &Graph, root: NodeId, ways: &Ways) -> (Graph, NodeId) {
    let mut fresh = Graph::with_room();
    let mut moved: Vec<NodeId> = vec![0; graph.len()];
    let mut reached = vec![false; graph.len()];
    mark(&mut reached, root);
    for id in (0..=root).rev() {
        if let (Some(true), Some(Some((then, otherwise)))) = (reached.get(id as usize), ways.get(id as usize)) {
            mark(&mut reached, *then);
            mark(&mut reached, *otherwise);
        }
    }
    for id in 0..=root {
        if reached.get(id as usize) != Some(&true) {
            continue;
        }
        let place = |old: NodeId| moved.get(old as usize).copied().unwrap_or(0);
        let new = match (graph.node(id), ways.get(id as usize)) {
            (Some(Node::Return(verdict)), _) => fresh.verdict(verdict),
            (Some(Node::Branch { word, test, .. }), Some(Some((then, otherwise)))) => {
                let (then, otherwise) = (place(*then), place(*otherwise));
                if word == NUMBER {
                    fresh.unique_branch(word, test, then, otherwise)
                } else {
                    fresh.branch(word, test, then, otherwise)
                }
            }
            _ => continue,
        };
        if let Some(entry) = moved.get_mut(id as usize) {
            *entry = new;
        }
    }
    let root = moved.get(root as usize).copied().unwrap_or(0);
    (fresh, root)
}

fn mark(reached: &mut [bool], id: NodeId) {
    if let Some(entry) = reached.get_mut(id as usize) {
        *entry = true;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::seccomp::verdict::Verdict;

    fn equal(value: u32) -> Test {
        Test::Equal { mask: u32::MAX, value }
    }

    #[test]
    fn facts_give_results() {
        let at = |test, holds| Fact { word: 16, test, holds };
        let range = [at(Test::AtLeast(10), true), at(Test::AtLeast(20), false)];
        assert_eq!(implied(&range, 16, equal(9)), Some(false));
        assert_eq!(implied(&range, 16, equal(20)), Some(false));
        assert_eq!(implied(&range, 16, equal(19)), None);
        assert_eq!(implied(&range, 16, Test::AtLeast(10)), Some(true));
        assert_eq!(implied(&range, 16, Test::AtLeast(20)), Some(false));
        assert_eq!(implied(&range, 16, Test::AtLeast(11)), None);
        assert_eq!(implied(&range, 20, Test::AtLeast(10)), None);
        let point = [at(equal(6), true)];
        assert_eq!(implied(&point, 16, Test::Any(2)), Some(true));
        assert_eq!(implied(&point, 16, Test::Any(1)), Some(false));
        assert_eq!(implied(&point, 16, Test::Equal { mask: 3, value: 2 }), Some(true));
        let single = [at(Test::AtLeast(5), true), at(Test::AtLeast(6), false)];
        assert_eq!(implied(&single, 16, equal(5)), Some(true));
    }

    /// Two rules on one argument, each with a test of the upper half: the second such test is skipped both where the
    /// first held and where it failed.
    #[test]
    fn a_repeated_test_is_skipped() {
        let mut graph = Graph::default();
        let (deny, allow) = (graph.verdict(Verdict(1)), graph.verdict(Verdict(2)));
        let low_two = graph.branch(16, equal(2), allow, deny);
        let high_two = graph.branch(20, equal(0), low_two, deny);
        let low_one = graph.branch(16, equal(1), allow, high_two);
        let high_one = graph.branch(20, equal(0), low_one, high_two);
        assert_eq!(graph.len(), 6);
        let (graph, root) = optimise(graph, high_one);
        assert_eq!(graph.len(), 5, "the second test of the upper half is gone");
        let Some(Node::Branch { word: 20, then, otherwise, .. }) = graph.node(root) else { panic!("{root}") };
        assert_eq!(graph.node(otherwise), Some(Node::Return(Verdict(1))));
        let Some(Node::Branch { word: 16, otherwise, .. }) = graph.node(then) else { panic!("{then}") };
        assert!(matches!(graph.node(otherwise), Some(Node::Branch { word: 16, .. })));
    }

    /// A node that is reached with different facts keeps its test.
    #[test]
    fn what_holds_on_one_way_only_is_not_used() {
        let mut graph = Graph::default();
        let (deny, allow) = (graph.verdict(Verdict(1)), graph.verdict(Verdict(2)));
        let shared = graph.branch(16, equal(1), allow, deny);
        let with_fact = graph.branch(16, Test::AtLeast(5), allow, shared);
        let root = graph.branch(24, equal(0), with_fact, shared);
        let before = graph.len();
        let (graph, _) = optimise(graph, root);
        assert_eq!(graph.len(), before);
    }
}
