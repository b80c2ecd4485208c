//! How far the engine gets in a model that it does not run: the nodes that stop it are found on one sample, and what
//! does not depend on them is measured all the same.

use std::collections::HashSet;

use crate::calibrate::Calibration;
use crate::calibrate::view::{Look, View};
use crate::exec::Runner;
use crate::ir::{Model, NodeId, ValueId};

/// Most nodes that may stop the engine. Each is found with some ten runs of a part of the model.
const MOST_OBSTACLES: usize = 8;

impl Calibration<'_> {
    /// A view of what the engine computes on its way, when it does not run the whole; `None` when that is nothing
    /// that was asked for.
    pub(super) fn reached<'m>(&self, model: &'m Model, wanted: &[Look]) -> Option<View<'m>> {
        let nodes: Vec<NodeId> = model.nodes_of(model.main()).map(|(id, _)| id).collect();
        let mut stopped: HashSet<NodeId> = HashSet::new();
        for _ in 0..MOST_OBSTACLES {
            let free = free(model, &nodes, &stopped);
            if self.runs(model, &free) {
                let seen: HashSet<ValueId> = outputs(model, &free).collect();
                let asked = wanted.iter().filter(|(value, _)| {
                    seen.contains(value) || model.graph(model.main()).inputs().contains(value)
                });
                let asked: Vec<ValueId> = asked.map(|(value, _)| *value).collect();
                return (!asked.is_empty()).then(|| View::of_part(model, wanted, &asked));
            }
            // The engine runs the first `low` nodes, and not the first `high`.
            let (mut low, mut high) = (0, free.len());
            while high - low > 1 {
                let middle = usize::midpoint(low, high);
                if self.runs(model, &free[..middle]) { low = middle } else { high = middle }
            }
            stopped.insert(*free.get(low)?);
        }
        None
    }

    /// Whether the engine runs these nodes, of which each one's inputs are made by others or given.
    fn runs(&self, model: &Model, nodes: &[NodeId]) -> bool {
        let among: HashSet<NodeId> = nodes.iter().copied().collect();
        let last = |value: &ValueId| {
            !model.value(*value).consumers().any(|(node, _)| among.contains(&node))
        };
        let ends: Vec<ValueId> = outputs(model, nodes).filter(last).collect();
        if ends.is_empty() {
            return true;
        }
        let part = model.part(&[], &ends);
        let Ok(run) = self.samples.run(0) else { return false };
        let inputs = part.graph(part.main()).inputs();
        let given = |name: &str| inputs.iter().any(|&input| part.value(input).name() == name);
        let inputs: Vec<_> = run.inputs.iter().filter(|(name, _)| given(name)).cloned().collect();
        Runner::new(self.engine, &part, Vec::new()).run(&inputs).is_ok()
    }
}

/// The nodes that read nothing of those that stop the engine, in their order.
fn free(model: &Model, nodes: &[NodeId], stopped: &HashSet<NodeId>) -> Vec<NodeId> {
    let mut behind: HashSet<ValueId> = HashSet::new();
    let mut free = Vec::with_capacity(nodes.len());
    for &id in nodes {
        let reads = model.reads(id).iter().any(|value| behind.contains(value));
        if reads || stopped.contains(&id) {
            behind.extend(model.node(id).outputs().iter().flatten());
        } else {
            free.push(id);
        }
    }
    free
}

fn outputs<'a>(model: &'a Model, nodes: &'a [NodeId]) -> impl Iterator<Item = ValueId> + 'a {
    nodes.iter().flat_map(|&id| model.node(id).outputs().iter().flatten().copied())
}
