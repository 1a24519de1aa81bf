//! From the decision graph to a program.
//!
//! Jumps of classic BPF only go forward, so the program is written from its end: what a node leads to has its place
//! before the node is written. That makes the rest simple: a conditional jump reaches 255 instructions; for what is
//! further away a copy of the verdict (or a `JA`, whose range is not limited) is put right behind the jump.
//!
//! Third step of the optimisation: a node that is entered with its word already in the accumulator is entered behind its
//! load instruction, and a load that nobody needs is not written.

use super::bpf::{AND, Insn, JA, JEQ, JGE, JSET, LD_ABS, MAX_INSNS, RET};
use super::graph::{Graph, Node, NodeId, Test};
use crate::{Error, Result};
use std::collections::HashMap;

/// What the accumulator holds: the word at an offset, under a mask.
type Accumulator = Option<(u8, u32)>;

/// A place in the program, counted from its end: the last instruction is 1.
type FromEnd = usize;

/// Where a node can be entered.
#[derive(Clone, Copy, Default)]
struct Entry {
    /// With anything in the accumulator.
    load: FromEnd,
    /// With the word in it.
    mask: FromEnd,
    /// With the masked word in it.
    jump: FromEnd,
}

/// What the ways into a node need of it.
#[derive(Clone, Copy, Default)]
struct Needs {
    load: bool,
    mask: bool,
}

struct Emitter<'g> {
    graph: &'g Graph,
    needs: Vec<Needs>,
    entries: Vec<Entry>,
    /// The program, last instruction first.
    reversed: Vec<Insn>,
    /// For places that are too far away: the nearest stand-in.
    near: HashMap<FromEnd, FromEnd>,
}

/// Writes the part of the graph that is reached from `root`.
///
/// # Errors
/// `InvalidConfig` if the program is longer than the kernel takes.
pub(super) fn program(graph: &Graph, root: NodeId) -> Result<Vec<Insn>> {
    let order = children_first(graph, root);
    let mut emitter = Emitter {
        graph,
        needs: vec![Needs::default(); graph.len()],
        entries: vec![Entry::default(); graph.len()],
        reversed: Vec::with_capacity(2 * order.len()),
        near: HashMap::new(),
    };
    emitter.find_needs(&order, root);
    for id in order {
        emitter.node(id);
        if emitter.reversed.len() > MAX_INSNS {
            let message = format!("needs more than the {MAX_INSNS} instructions that the kernel takes");
            return Err(Error::config("linux.seccomp.syscalls", message));
        }
    }
    emitter.reversed.reverse();
    Ok(emitter.reversed)
}

/// The reached nodes, each after all it leads to, and near to them.
fn children_first(graph: &Graph, root: NodeId) -> Vec<NodeId> {
    let mut order = Vec::with_capacity(graph.len());
    let mut seen = vec![false; graph.len()];
    let mut stack = vec![(root, false)];
    while let Some((id, children_done)) = stack.pop() {
        let Some(seen) = seen.get_mut(id as usize) else { continue };
        if children_done {
            order.push(id);
        } else if !*seen {
            *seen = true;
            stack.push((id, true));
            if let Some(Node::Branch { then, otherwise, .. }) = graph.node(id) {
                stack.push((otherwise, false));
                stack.push((then, false));
            }
        }
    }
    order
}

/// What the accumulator holds when a node is done.
fn left_behind(node: Option<Node>) -> Accumulator {
    match node {
        Some(Node::Branch { word, test, .. }) => Some((word, test.premask())),
        _ => None,
    }
}

impl Emitter<'_> {
    fn find_needs(&mut self, order: &[NodeId], root: NodeId) {
        self.need(root, None);
        for id in order {
            let node = self.graph.node(*id);
            if let Some(Node::Branch { then, otherwise, .. }) = node {
                self.need(then, left_behind(node));
                self.need(otherwise, left_behind(node));
            }
        }
    }

    fn need(&mut self, target: NodeId, accumulator: Accumulator) {
        let Some(Node::Branch { word, test, .. }) = self.graph.node(target) else { return };
        let Some(needs) = self.needs.get_mut(target as usize) else { return };
        match accumulator {
            Some(holds) if holds == (word, test.premask()) => {}
            Some(holds) if holds == (word, u32::MAX) => needs.mask = true,
            _ => needs.load = true,
        }
    }

    /// Where to enter a node with this in the accumulator.
    fn entry(&self, target: NodeId, accumulator: Accumulator) -> FromEnd {
        let entry = self.entries.get(target as usize).copied().unwrap_or_default();
        match (self.graph.node(target), accumulator) {
            (Some(Node::Branch { word, test, .. }), Some(holds)) if holds == (word, test.premask()) => entry.jump,
            (Some(Node::Branch { word, .. }), Some(holds)) if holds == (word, u32::MAX) => entry.mask,
            _ => entry.load,
        }
    }

    fn node(&mut self, id: NodeId) {
        let node = self.graph.node(id);
        let needs = self.needs.get(id as usize).copied().unwrap_or_default();
        let entry = match node {
            None => return,
            Some(Node::Return(verdict)) => {
                let place = self.push(Insn::new(RET, verdict.0));
                Entry { load: place, mask: place, jump: place }
            }
            Some(Node::Branch { word, test, then, otherwise }) => {
                let holds = left_behind(node);
                let jump = self.jump(test, self.entry(then, holds), self.entry(otherwise, holds));
                let mut mask = jump;
                if test.premask() != u32::MAX && (needs.mask || needs.load) {
                    mask = self.push(Insn::new(AND, test.premask()));
                }
                let load = if needs.load { self.push(Insn::new(LD_ABS, u32::from(word))) } else { mask };
                Entry { load, mask, jump }
            }
        };
        if let Some(place) = self.entries.get_mut(id as usize) {
            *place = entry;
        }
    }

    fn jump(&mut self, test: Test, then: FromEnd, otherwise: FromEnd) -> FromEnd {
        let (code, k) = match test {
            Test::Equal { value, .. } => (JEQ, value),
            Test::AtLeast(value) => (JGE, value),
            Test::Any(mask) => (JSET, mask),
        };
        // A stand-in for one way moves the jump away from the other, so look at both again.
        for _ in 0..2 {
            for target in [then, otherwise] {
                if self.skip(target).is_none() {
                    self.stand_in(target);
                }
            }
        }
        let (jt, jf) = (self.skip(then).unwrap_or(0), self.skip(otherwise).unwrap_or(0));
        self.push(Insn { code, jt, jf, k })
    }

    /// How many instructions a conditional jump written now skips to get to a place or its stand-in, if it can.
    fn skip(&self, target: FromEnd) -> Option<u8> {
        let distance = |place| u8::try_from(self.reversed.len() - place).ok();
        distance(target).or_else(|| self.near.get(&target).and_then(|near| distance(*near)))
    }

    /// Puts a stand-in for a far place where a jump written now reaches it.
    fn stand_in(&mut self, target: FromEnd) {
        let insn = match self.reversed.get(target - 1) {
            Some(verdict) if verdict.code == RET => *verdict,
            _ => Insn::new(JA, u32::try_from(self.reversed.len() - target).unwrap_or(0)),
        };
        let place = self.push(insn);
        self.near.insert(target, place);
    }

    fn push(&mut self, insn: Insn) -> FromEnd {
        self.reversed.push(insn);
        self.reversed.len()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing, clippy::panic)]
mod tests {
    use super::*;
    use crate::seccomp::machine::verify;
    use crate::seccomp::verdict::Verdict;

    fn equal(value: u32) -> Test {
        Test::Equal { mask: u32::MAX, value }
    }

    fn count(program: &[Insn], code: u16) -> usize {
        program.iter().filter(|insn| insn.code == code).count()
    }

    /// The program of a graph, which the kernel would take.
    fn written(graph: &Graph, root: NodeId) -> Vec<Insn> {
        let program = program(graph, root).unwrap();
        verify(&program).unwrap_or_else(|fault| panic!("{fault}: {program:?}"));
        program
    }

    #[test]
    fn a_word_is_loaded_once_on_a_path() {
        let mut graph = Graph::default();
        let (allow, deny) = (graph.verdict(Verdict(1)), graph.verdict(Verdict(2)));
        let second = graph.branch(16, equal(2), allow, deny);
        let root = graph.branch(16, equal(1), allow, second);
        assert_eq!(count(&written(&graph, root), LD_ABS), 1);
        // Another word in between is another load, of both.
        let between = graph.branch(24, equal(3), second, deny);
        let root = graph.branch(16, equal(1), allow, between);
        assert_eq!(count(&written(&graph, root), LD_ABS), 3);
        // Entered behind the load by one way and before it by another.
        let other = graph.branch(24, equal(3), second, deny);
        let same = graph.branch(16, equal(1), allow, second);
        let root = graph.branch(32, equal(0), other, same);
        assert_eq!(count(&written(&graph, root), LD_ABS), 4);
    }

    #[test]
    fn a_mask_is_put_on_once() {
        let mut graph = Graph::default();
        let (allow, deny) = (graph.verdict(Verdict(1)), graph.verdict(Verdict(2)));
        let masked = |value| Test::Equal { mask: 6, value };
        let second = graph.branch(16, masked(4), allow, deny);
        let root = graph.branch(16, masked(2), allow, second);
        let program = written(&graph, root);
        assert_eq!((count(&program, AND), count(&program, LD_ABS)), (1, 1));
        // After a test of the whole word only the mask is missing; after another mask the word has to be loaded again.
        let root = graph.branch(16, equal(9), allow, second);
        let program = written(&graph, root);
        assert_eq!((count(&program, AND), count(&program, LD_ABS)), (1, 1));
        let other = graph.branch(16, Test::Equal { mask: 12, value: 8 }, allow, second);
        let program = written(&graph, other);
        assert_eq!((count(&program, AND), count(&program, LD_ABS)), (2, 2));
    }

    #[test]
    #[cfg_attr(miri, ignore = "a thousand tests in a row")]
    fn far_verdicts_are_copied_and_far_tests_reached_by_one_jump() {
        const TESTS: u32 = 1000;
        let mut graph = Graph::default();
        let (allow, deny) = (graph.verdict(Verdict(1)), graph.verdict(Verdict(2)));
        let chain = |graph: &mut Graph, hit: NodeId| {
            (0..TESTS).fold(deny, |next, value| graph.branch(16, equal(value), hit, next))
        };
        let root = chain(&mut graph, allow);
        let program = written(&graph, root);
        let length = TESTS as usize;
        assert_eq!(count(&program, JA), 0);
        let copies = count(&program, RET) - 2;
        assert!((2..=length / 200).contains(&copies), "{copies}");
        let shared = graph.branch(24, equal(7), allow, deny);
        let root = chain(&mut graph, shared);
        let program = written(&graph, root);
        let jumps = count(&program, JA);
        assert!((2..=length / 200).contains(&jumps), "{jumps}");
        for value in [0, 1, TESTS / 2, TESTS - 1, TESTS] {
            for second in [7, 8] {
                let args = [u64::from(value), second, 0, 0, 0, 0];
                let call = crate::seccomp::machine::Call { arch: crate::seccomp::Arch::X86_64, number: 0, args };
                let expected = if value < TESTS && second == 7 { 1 } else { 2 };
                assert_eq!(crate::seccomp::machine::run(&program, &call).unwrap().0, Verdict(expected));
            }
        }
    }
}
