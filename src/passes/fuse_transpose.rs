//! `fuse-transpose`: see `docs/passes/fuse-transpose.md`.

use crate::analysis::Shapes;
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Makes one Transpose of two in a row.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseTranspose;

/// The second node, what the first one reads, and the order of both together.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    perm: Vec<i64>,
}

impl Rule for FuseTranspose {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-transpose"
    }

    fn summary(&self) -> &'static str {
        "Makes one Transpose of two in a row."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let Some((middle, outer)) = transpose(model, shapes, node) else { return Match::No };
        let Some(first) = model.value(middle).producer() else { return Match::No };
        let Some((from, inner)) = transpose(model, shapes, first) else { return Match::No };
        let at = |&axis: &i64| inner.get(usize::try_from(axis).ok()?).copied();
        let Some(perm) = outer.iter().map(at).collect() else { return Match::No };
        Match::Yes(Plan { node, from, perm })
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.set_input(plan.node, 0, Some(plan.from));
        let text = format!("joined with the one before it: perm = {:?}", plan.perm);
        model.set_attr(plan.node, Attribute::new("perm", AttrValue::Ints(plan.perm)));
        text
    }
}

/// Input and order of a Transpose.
fn transpose(model: &Model, shapes: &Shapes, node: NodeId) -> Option<(ValueId, Vec<i64>)> {
    let entry = model.node(node);
    let input = entry.input(0).filter(|_| entry.is("Transpose"))?;
    let perm = match entry.attr_ints("perm") {
        Some(perm) => perm.to_vec(),
        None => (0..i64::try_from(shapes.rank(input)?).ok()?).rev().collect(),
    };
    Some((input, perm))
}
