//! The body of a loop, copied into the graph around it once for each iteration.

use std::collections::HashMap;

use crate::ir::inline::copy::{copy_nodes, prefix};
use crate::ir::{At, AttrValue, GraphId, Model, NodeId, Use, ValueId};

/// What a copy of a body adds to a model.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct BodySize {
    /// Nodes, those of nested bodies included.
    pub nodes: usize,
    /// Bytes of the constants that each copy has for itself.
    pub bytes: usize,
}

impl Model {
    /// What each copy of `body` by [`Model::unroll`] adds; `None` when it cannot be copied, because
    /// it carries what is not modelled. Linear in the size of the body.
    pub fn body_size(&self, body: GraphId) -> Option<BodySize> {
        let mut size = BodySize::default();
        let mut pending = vec![body];
        while let Some(graph) = pending.pop() {
            if !self.is_plain(graph) {
                return None;
            }
            for (_, node) in self.nodes_of(graph) {
                size.nodes += 1;
                pending.extend(node.bodies());
                let mentioned = |u: &Use| matches!(u, Use::Carried { .. });
                let mut outputs = node.outputs().iter().flatten();
                if outputs.any(|&output| self.value(output).uses.iter().any(mentioned)) {
                    return None;
                }
                for attribute in node.attributes() {
                    size.bytes += match &attribute.value {
                        AttrValue::Tensor(stored) => stored.tensor.byte_size(),
                        AttrValue::Tensors(all) => all.iter().map(|s| s.tensor.byte_size()).sum(),
                        _ => attribute.carried.len(),
                    };
                }
            }
            // Those of the body itself move out of it and serve all copies.
            let inner = self.initializers_of(graph).filter(|_| graph != body);
            let tensors = inner.filter_map(|value| self.value(value).initializer());
            size.bytes += tensors.map(|tensor| tensor.byte_size()).sum::<usize>();
        }
        Some(size)
    }

    /// Puts a copy of the nodes of `body`, a body of `node`, in front of it for each iteration.
    /// `given` are the values that stand for the inputs of the body, which it makes from the number
    /// of the iteration and the outputs of the one before (at first an empty list). Returns the
    /// values that stand for the outputs of the body, iteration by iteration. The initializers of
    /// the body move to the graph around it, so the node must be removed afterwards.
    pub fn unroll(
        &mut self,
        node: NodeId,
        body: GraphId,
        iterations: usize,
        mut given: impl FnMut(&mut Self, usize, &[ValueId]) -> Vec<ValueId>,
    ) -> Vec<Vec<ValueId>> {
        let site = self.node(node).clone();
        let name = prefix(self, &site);
        self.hoist_initializers(body, site.graph);
        let inputs = self.graph(body).inputs().to_vec();
        let outputs: Vec<ValueId> = self.graph(body).outputs().iter().map(|o| o.value).collect();
        let mut all: Vec<Vec<ValueId>> = Vec::with_capacity(iterations);
        for iteration in 0..iterations {
            let last = all.last().map(Vec::as_slice).unwrap_or_default();
            let given = given(self, iteration, last);
            let mut values: HashMap<ValueId, Option<ValueId>> =
                inputs.iter().copied().zip(given.into_iter().map(Some)).collect();
            let place = (&site, format!("{name}/{iteration}"));
            for made in copy_nodes(self, place, body, site.graph, &mut values) {
                self.link(made, At::Before(node));
                self.touch(made);
            }
            let stands = |output: &ValueId| values.get(output).copied().flatten();
            all.push(outputs.iter().map(|output| stands(output).unwrap_or(*output)).collect());
        }
        all
    }
}
