//! `fold-shape`: see `docs/passes/fold-shape.md`.

use crate::analysis::Shapes;
use crate::ir::{Model, NodeId};
use crate::passes::simplify::folding::NEVER;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Replaces numbers that are computed from shapes, and are the same in every run, by constants: what exporters write to find the target of a Reshape.
#[derive(Debug, Clone, Copy, Default)]
pub struct FoldShape;

/// The node and its outputs.
pub struct Plan {
    node: NodeId,
    tensors: Vec<Option<Tensor>>,
}

impl Rule for FoldShape {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fold-shape"
    }

    fn summary(&self) -> &'static str {
        "Replaces what is computed from known extents by constants."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let plain = entry.is_standard()
            && !NEVER.contains(&entry.op())
            && entry.bodies().next().is_none()
            && model.function_of(entry).is_none();
        let used = entry.outputs().iter().flatten().any(|&v| !model.value(v).uses().is_empty());
        if !plain || !used {
            return Match::No;
        }
        let outputs = entry.outputs().iter();
        let tensors = outputs.map(|output| match output {
            Some(value) if model.value(*value).is_output() => None,
            Some(value) => shapes.tensor(*value).map(Some),
            None => Some(None),
        });
        match tensors.collect() {
            Some(tensors) => Match::Yes(Plan { node, tensors }),
            None => Match::No,
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.fold_node(plan.node, plan.tensors);
        "replaced by a constant".into()
    }
}
