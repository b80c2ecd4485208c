//! A node that returns one of its inputs unchanged goes; those that read it read the input.

use crate::ir::{Model, NodeId, ValueId};
use crate::passes::Match;

/// The node, what it makes, and what stands for it.
pub struct Bypass {
    node: NodeId,
    from: ValueId,
    to: ValueId,
}

impl Bypass {
    /// The plan for a node with one output, which is its input `to`; refused where the output must
    /// keep a name that the input cannot take.
    pub(in crate::passes) fn find(model: &Model, node: NodeId, to: ValueId) -> Match<Self> {
        let Some(from) = model.node(node).only_output() else { return Match::No };
        if !model.can_substitute(from, to) {
            return Match::Refused(format!(
                "`{}` must keep its name, and `{}` cannot take it",
                model.value(from).name(),
                model.value(to).name()
            ));
        }
        Match::Yes(Self { node, from, to })
    }

    /// Removes the node.
    pub(in crate::passes) fn apply(self, model: &mut Model) {
        model.substitute(self.from, self.to);
        model.remove_node(self.node);
    }
}
