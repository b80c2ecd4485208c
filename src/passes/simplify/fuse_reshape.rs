//! `fuse-reshape`: see `docs/passes/fuse-reshape.md`.

use crate::analysis::{Shapes, Term, constant};
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes one Reshape of two operators in a row that only change extents: Reshape, Flatten, Squeeze,
/// Unsqueeze, and a Transpose that moves only axes of one element.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseReshape;

/// The second node, what the first one reads, and the extents after both.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    /// `None` where the node itself may stay: its target means the same for the new input.
    target: Option<Vec<i64>>,
}

impl Rule for FuseReshape {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-reshape"
    }

    fn summary(&self) -> &'static str {
        "Makes one Reshape of two operators in a row that only change extents."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let Some(middle) = reshaped(model, shapes, node) else { return Match::No };
        let Some(first) = model.value(middle).producer() else { return Match::No };
        let Some(from) = reshaped(model, shapes, first) else { return Match::No };
        // Otherwise the first one stays, and nothing is gained.
        if model.value(middle).only_consumer().is_none() {
            return Match::No;
        }
        if keeps_meaning(model, node) {
            return Match::Yes(Plan { node, from, target: None });
        }
        let output = model.node(node).only_output();
        match output.and_then(|output| shapes.reshape_target(output)) {
            Some(target) if model.opset_in_force() >= 5 => {
                Match::Yes(Plan { node, from, target: Some(target) })
            }
            _ => Match::Refused("the extents of its result are not known".into()),
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let Some(target) = plan.target else {
            model.set_input(plan.node, 0, Some(plan.from));
            return "reads what the operator before it read".into();
        };
        let text = format!("became one Reshape to {target:?} with the operator before it");
        become_reshape(model, plan.node, plan.from, &target);
        text
    }
}

/// Turns a node with one output into a Reshape of `from`; its output stays as it is.
fn become_reshape(model: &mut Model, node: NodeId, from: ValueId, target: &[i64]) {
    let (graph, name) = (model.node(node).graph(), model.node(node).name().to_owned());
    let tensor = Tensor::from_i64(&[target.len()], target);
    let shape = model.add_initializer(graph, &format!("{name}_shape"), tensor);
    model.turn_into(node, "", "Reshape", &[Some(from), Some(shape)], Vec::new());
}

/// The input of a node that only changes extents.
fn reshaped(model: &Model, shapes: &Shapes, node: NodeId) -> Option<ValueId> {
    let entry = model.node(node);
    let kind = ["Reshape", "Flatten", "Squeeze", "Unsqueeze"].iter().any(|op| entry.is(op));
    entry.input(0).filter(|&input| kind || keeps_order(entry, shapes.dims(input)))
}

/// A Transpose that moves only axes of one element.
fn keeps_order(node: &Node, dims: Option<&[Term]>) -> bool {
    let (true, Some(dims)) = (node.is("Transpose"), dims) else { return false };
    let reversed: Vec<i64> = (0..dims.len() as i64).rev().collect();
    let perm = node.attr_ints("perm").unwrap_or(&reversed);
    let long = perm.iter().filter_map(|&axis| usize::try_from(axis).ok());
    let mut long = long.filter(|&axis| dims.get(axis).is_none_or(|dim| *dim != Term::ONE));
    let mut last = None;
    perm.len() == dims.len() && long.all(|axis| last.replace(axis).is_none_or(|last| last < axis))
}

/// A Reshape to a constant target without zeros: it does not look at the extents of its input.
fn keeps_meaning(model: &Model, node: NodeId) -> bool {
    let entry = model.node(node);
    let target = entry.input(1).and_then(|shape| constant(model, shape)?.to_i64().ok());
    let zeros = target.as_ref().is_some_and(|target| target.contains(&0));
    entry.is("Reshape") && target.is_some() && !zeros
}
