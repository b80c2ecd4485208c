//! `fuse-concat`: see `docs/passes/fuse-concat.md`.

use crate::analysis::Shapes;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Makes one Concat of a Concat among the inputs of another one along the same axis.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseConcat;

/// The outer node and its new inputs.
pub struct Plan {
    node: NodeId,
    inputs: Vec<ValueId>,
}

impl Rule for FuseConcat {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-concat"
    }

    fn summary(&self) -> &'static str {
        "Makes one Concat of nested ones along the same axis."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let Some((axis, outer)) = concat(model, shapes, node) else { return Match::No };
        let mut inputs = Vec::with_capacity(outer.len());
        let mut nested = false;
        for &value in &outer {
            let inner = model.value(value).producer().and_then(|p| concat(model, shapes, p));
            let same_graph = model.value(value).graph() == model.node(node).graph();
            match inner {
                Some((other, parts))
                    if other == axis
                        && same_graph
                        && model.value(value).only_consumer().is_some() =>
                {
                    nested = true;
                    inputs.extend(parts);
                }
                _ => inputs.push(value),
            }
        }
        if nested { Match::Yes(Plan { node, inputs }) } else { Match::No }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let count = plan.inputs.len();
        for (slot, input) in plan.inputs.into_iter().enumerate() {
            model.set_input(plan.node, slot, Some(input));
        }
        format!("joins all {count} parts itself")
    }
}

/// Axis, from the front, and parts of a Concat.
fn concat(model: &Model, shapes: &Shapes, node: NodeId) -> Option<(i64, Vec<ValueId>)> {
    let entry = model.node(node);
    let axis = entry.attr_int("axis").filter(|_| entry.is("Concat"))?;
    let parts: Vec<ValueId> = entry.inputs().iter().copied().collect::<Option<_>>()?;
    let rank = i64::try_from(shapes.rank(entry.only_output()?)?).ok()?;
    Some((if axis < 0 { axis + rank } else { axis }, parts))
}
