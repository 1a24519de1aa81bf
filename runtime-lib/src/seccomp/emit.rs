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
