//! The filter as a decision graph: tests on the 32-bit words of `struct seccomp_data`, each with two ways on, and
//! verdicts at the ends.
//!
//! A node is only ever made after the nodes it leads to, so a lower id is never above a higher one and counting ids down
//! goes from the root to the verdicts. [`Graph::branch`] is also the first step of the optimisation: a test whose result is
//! known is not made, a test whose two ways lead to the same place is not made, and the same test with the same ways is
//! made only once (hash-consing), so that rules, calls and architectures share their tails.

use super::verdict::Verdict;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

/// A node's place in its graph.
pub(super) type NodeId = u32;

/// The offset of `seccomp_data.nr`.
pub(super) const NUMBER: u8 = 0;
/// The offset of `seccomp_data.arch`.
pub(super) const ARCH: u8 = 4;

/// The offset of one half of an argument.
pub(super) fn argument(index: u8, high: bool, little_endian: bool) -> u8 {
    16 + 8 * index + if high == little_endian { 4 } else { 0 }
}

/// A test of one word.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Test {
    /// `word & mask == value`.
    Equal { mask: u32, value: u32 },
    /// `word >= value`.
    AtLeast(u32),
    /// `word & mask != 0`.
    Any(u32),
}

impl Test {
    /// The mask that the test puts on the word before it is compared; all ones for none.
    pub(super) fn premask(self) -> u32 {
        match self {
            Test::Equal { mask, .. } => mask,
            Test::AtLeast(_) | Test::Any(_) => u32::MAX,
        }
    }
}

/// A node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Node {
    Return(Verdict),
    /// Look at the word at this offset.
    Branch {
        word: u8,
        test: Test,
        then: NodeId,
        otherwise: NodeId,
    },
}

/// Hashes nodes, which are a few small numbers: a multiplication for each. The standard library's hasher, made for keys that an
/// attacker chooses, takes several times as long. The number of nodes is bounded where they are made.
#[derive(Default)]
struct NodeHasher(u64);

impl Hasher for NodeHasher {
    fn finish(&self) -> u64 {
        // The table looks at the upper bits and at the lower ones.
        self.0 ^ (self.0 >> 32)
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u64(u64::from(*byte)));
    }

    fn write_u8(&mut self, number: u8) {
        self.write_u64(u64::from(number));
    }

    fn write_u32(&mut self, number: u32) {
        self.write_u64(u64::from(number));
    }

    fn write_u64(&mut self, number: u64) {
        self.0 = (self.0.rotate_left(5) ^ number).wrapping_mul(0x517c_c1b7_2722_0a95);
    }

    fn write_isize(&mut self, number: isize) {
        self.write_u64(number.unsigned_abs() as u64);
    }
}

/// The nodes, lower ids below.
#[derive(Default)]
pub(super) struct Graph {
    nodes: Vec<Node>,
    known: HashMap<Node, NodeId, BuildHasherDefault<NodeHasher>>,
}

impl Graph {
    /// With room for what the profiles of engines need.
    pub(super) fn with_room() -> Graph {
        Graph {
            nodes: Vec::with_capacity(512),
            known: HashMap::with_capacity_and_hasher(200, BuildHasherDefault::default()),
        }
    }

    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    pub(super) fn node(&self, id: NodeId) -> Option<Node> {
        self.nodes.get(id as usize).copied()
    }

    pub(super) fn verdict(&mut self, verdict: Verdict) -> NodeId {
        self.intern(Node::Return(verdict))
    }

    /// A test, or whatever simpler thing means the same.
    pub(super) fn branch(&mut self, word: u8, test: Test, then: NodeId, otherwise: NodeId) -> NodeId {
        if then == otherwise {
            return then;
        }
        let (test, then, otherwise) = match test {
            Test::Equal { mask, value } if value & !mask != 0 => return otherwise,
            Test::Equal { mask: 0, .. } | Test::AtLeast(0) => return then,
            Test::Any(0) => return otherwise,
            // Without a mask before it, the comparison leaves the word in the accumulator for the next test.
            Test::Equal { mask, value: 0 } if mask != u32::MAX => (Test::Any(mask), otherwise, then),
            Test::Equal { mask, value } if mask == value && mask.is_power_of_two() => {
                (Test::Any(mask), then, otherwise)
            }
            test => (test, then, otherwise),
        };
        self.intern(Node::Branch { word, test, then, otherwise })
    }

    /// A test that is known to be like no other: skips the look-up.
    pub(super) fn unique_branch(&mut self, word: u8, test: Test, then: NodeId, otherwise: NodeId) -> NodeId {
        if then == otherwise { then } else { self.push(Node::Branch { word, test, then, otherwise }) }
    }

    fn intern(&mut self, node: Node) -> NodeId {
        if let Some(id) = self.known.get(&node) {
            return *id;
        }
        let id = self.push(node);
        self.known.insert(node, id);
        id
    }

    fn push(&mut self, node: Node) -> NodeId {
        // The lowering stops far below 2^32 nodes.
        let id = u32::try_from(self.nodes.len()).unwrap_or(u32::MAX);
        self.nodes.push(node);
        id
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph() -> (Graph, NodeId, NodeId) {
        let mut graph = Graph::default();
        let yes = graph.verdict(Verdict(1));
        let no = graph.verdict(Verdict(2));
        (graph, yes, no)
    }

    #[test]
    fn known_results_make_no_node() {
        let (mut graph, yes, no) = graph();
        assert_eq!(graph.branch(16, Test::AtLeast(0), yes, no), yes);
        assert_eq!(graph.branch(16, Test::Any(0), yes, no), no);
        assert_eq!(graph.branch(16, Test::Equal { mask: 0, value: 0 }, yes, no), yes);
        assert_eq!(graph.branch(16, Test::Equal { mask: 0xf0, value: 0x0f }, yes, no), no);
        assert_eq!(graph.branch(16, Test::Equal { mask: u32::MAX, value: 7 }, yes, yes), yes);
        assert_eq!(graph.len(), 2);
    }

    #[test]
    fn equal_nodes_are_one_node() {
        let (mut graph, yes, no) = graph();
        let test = Test::Equal { mask: u32::MAX, value: 7 };
        let first = graph.branch(16, test, yes, no);
        assert_eq!(graph.branch(16, test, yes, no), first);
        assert_ne!(graph.branch(20, test, yes, no), first);
        assert_ne!(graph.branch(16, test, no, yes), first);
    }

    #[test]
    fn masks_of_one_bit_and_masks_of_zero_become_bit_tests() {
        let (mut graph, yes, no) = graph();
        let one = graph.branch(16, Test::Equal { mask: 8, value: 8 }, yes, no);
        assert_eq!(graph.node(one), Some(Node::Branch { word: 16, test: Test::Any(8), then: yes, otherwise: no }));
        let zero = graph.branch(16, Test::Equal { mask: 6, value: 0 }, yes, no);
        assert_eq!(graph.node(zero), Some(Node::Branch { word: 16, test: Test::Any(6), then: no, otherwise: yes }));
    }
}
