//! Which nodes were edited: what lets passes look again only where something changed.

use std::collections::HashSet;

use crate::ir::{Model, NodeId, ValueId};

/// Consumers of a value that count as touched when one of its uses goes: rules ask for the only
/// consumer or for a few, and a constant that thousands of nodes read must not make edits slow.
const FEW: usize = 4;

/// Inputs up to which the nodes that make them are near an edited node: what makes the input of a wider one
/// that changed is noted by itself, and looking at all of them for each edit would be quadratic.
const WIDE: usize = 64;

impl Model {
    /// A mark in the journal of edits; see [`Model::edited_since`].
    pub fn edits(&self) -> usize {
        self.journal.len()
    }

    /// Live nodes that were edited since `mark`, and those around them: up to `reach` nodes
    /// downstream, one upstream, and the control-flow nodes around them. In the order of their ids.
    pub fn edited_since(&self, mark: usize, reach: usize) -> Vec<NodeId> {
        let mut seen: HashSet<NodeId> = HashSet::new();
        let mut front: Vec<NodeId> = Vec::new();
        for &node in &self.journal[mark.min(self.journal.len())..] {
            if self.is_live(node) && seen.insert(node) {
                front.push(node);
            }
        }
        let narrow = front.iter().filter(|&&node| self.node(node).inputs.len() <= WIDE);
        let upstream = narrow.flat_map(|&node| self.node(node).inputs.iter().flatten());
        let upstream: Vec<NodeId> = upstream.filter_map(|&v| self.value(v).producer()).collect();
        for _ in 0..reach {
            let mut next = Vec::new();
            for &node in &front {
                let parent = self.graph(self.node(node).graph).parent;
                let outputs = self.node(node).outputs.iter().flatten();
                let consumers = outputs.flat_map(|&v| self.value(v).consumers().map(|(n, _)| n));
                next.extend(consumers.chain(parent).filter(|&n| seen.insert(n)));
            }
            front = next;
        }
        seen.extend(upstream);
        let mut nodes: Vec<NodeId> = seen.into_iter().filter(|&n| self.is_live(n)).collect();
        nodes.sort_unstable();
        nodes
    }

    /// Notes that a node was edited.
    pub(super) fn touch(&mut self, node: NodeId) {
        self.journal.push(node);
    }

    /// Notes that a value gained or lost a use, or means something else.
    pub(super) fn touch_value(&mut self, value: ValueId) {
        let entry = &self.values[value.index()];
        let producer = entry.producer();
        let consumers = entry.consumers().map(|(node, _)| node).take(FEW);
        self.journal.extend(producer.into_iter().chain(consumers));
    }
}
