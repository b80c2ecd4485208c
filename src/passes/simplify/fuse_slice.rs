//! `fuse-slice`: see `docs/passes/fuse-slice.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes one Slice of two in a row that cut different axes.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseSlice;

/// The second node, what the first one reads, and what both cut.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    cut: Cut,
}

/// `starts`, `ends`, `axes`, `steps` of a Slice.
struct Cut([Vec<i64>; 4]);

/// Since then starts, ends, axes and steps are inputs.
const INPUTS_SINCE: i64 = 10;

impl Rule for FuseSlice {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-slice"
    }

    fn summary(&self) -> &'static str {
        "Makes one Slice of two in a row that cut different axes."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        if model.opset_in_force() < INPUTS_SINCE {
            return Match::No;
        }
        let Some((middle, outer)) = slice(model, shapes, node) else { return Match::No };
        let Some(first) = model.value(middle).producer() else { return Match::No };
        let Some((from, inner)) = slice(model, shapes, first) else { return Match::No };
        // The first one goes only when all that read it can do without.
        let value = model.value(middle);
        let apart = |(node, slot): (NodeId, usize)| {
            slot == 0 && slice(model, shapes, node).is_some_and(|(_, cut)| inner.is_apart(&cut))
        };
        if value.uses().len() != value.consumers().count() || !value.consumers().all(apart) {
            return Match::No;
        }
        Match::Yes(Plan { node, from, cut: inner.and(outer) })
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let (graph, name) =
            (model.node(plan.node).graph(), model.node(plan.node).name().to_owned());
        model.set_input(plan.node, 0, Some(plan.from));
        let names = ["starts", "ends", "axes", "steps"];
        for (i, (list, what)) in plan.cut.0.iter().zip(names).enumerate() {
            let tensor = Tensor::from_i64(&[list.len()], list);
            let input = model.add_initializer(graph, &format!("{name}_{what}"), tensor);
            model.set_input(plan.node, i + 1, Some(input));
        }
        "joined with the one before it".into()
    }
}

impl Cut {
    fn is_apart(&self, other: &Self) -> bool {
        self.0[2].iter().all(|axis| !other.0[2].contains(axis))
    }

    fn and(self, other: Self) -> Self {
        let mut lists = self.0;
        for (list, more) in lists.iter_mut().zip(other.0) {
            list.extend(more);
        }
        Self(lists)
    }
}

/// Input and cut of a Slice by constants; axes count from the front.
fn slice(model: &Model, shapes: &Shapes, node: NodeId) -> Option<(ValueId, Cut)> {
    let entry = model.node(node);
    let input = entry.input(0).filter(|_| entry.is("Slice"))?;
    let list = |slot: usize| constant(model, entry.input(slot)?)?.to_i64().ok();
    let (starts, ends) = (list(1)?, list(2)?);
    let axes = match entry.input(3) {
        Some(_) => list(3)?,
        None => (0..i64::try_from(starts.len()).ok()?).collect(),
    };
    let steps = match entry.input(4) {
        Some(_) => list(4)?,
        None => vec![1; starts.len()],
    };
    let rank = i64::try_from(shapes.rank(input)?).ok()?;
    let axes: Vec<i64> =
        axes.iter().map(|&axis| if axis < 0 { axis + rank } else { axis }).collect();
    let same = [ends.len(), axes.len(), steps.len()].iter().all(|&len| len == starts.len());
    same.then_some((input, Cut([starts, ends, axes, steps])))
}
