//! `fuse-gather`: see `docs/passes/fuse-gather.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes a Gather with one index of a Slice of one element and the Squeeze behind it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseGather;

/// The Squeeze, what the Slice reads, and the element.
pub struct Plan {
    squeeze: NodeId,
    from: ValueId,
    axis: usize,
    index: usize,
}

impl Rule for FuseGather {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-gather"
    }

    fn summary(&self) -> &'static str {
        "Makes a Gather of a Slice of one element and the Squeeze behind it."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, squeeze: NodeId, shapes: &Shapes) -> Match<Plan> {
        plan(model, squeeze, shapes).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let node = plan.squeeze;
        let (graph, name) = (model.node(node).graph(), model.node(node).name().to_owned());
        let index = i64::try_from(plan.index).unwrap_or(0);
        let index =
            model.add_initializer(graph, &format!("{name}_index"), Tensor::from_i64(&[], &[index]));
        let axis = AttrValue::Int(i64::try_from(plan.axis).unwrap_or(0));
        let inputs = [Some(plan.from), Some(index)];
        model.turn_into(node, "", "Gather", &inputs, vec![Attribute::new("axis", axis)]);
        format!("became a Gather of element {} along axis {}", plan.index, plan.axis)
    }
}

fn plan(model: &Model, squeeze: NodeId, shapes: &Shapes) -> Option<Plan> {
    let node = model.node(squeeze);
    let middle = node.input(0).filter(|_| node.is("Squeeze"))?;
    model.value(middle).only_consumer()?;
    let slice = model.node(model.value(middle).producer()?);
    let from = slice.input(0).filter(|_| slice.is("Slice"))?;
    let rank = shapes.rank(from)?;
    let list = |node: &crate::ir::Node, name: &str, slot: usize| match node.attr_ints(name) {
        Some(list) => Some(list.to_vec()),
        None => constant(model, node.input(slot)?)?.to_i64().ok(),
    };
    let position = |axis: i64| {
        let axis = if axis < 0 { axis + i64::try_from(rank).ok()? } else { axis };
        usize::try_from(axis).ok().filter(|&axis| axis < rank)
    };
    let one = |list: Vec<i64>| match list[..] {
        [x] => Some(x),
        _ => None,
    };
    let axis = match slice.attr_ints("axes").is_some() || slice.input(3).is_some() {
        true => position(one(list(slice, "axes", 3)?)?)?,
        false => 0,
    };
    let step = slice.input(4).map_or(Some(1), |_| one(list(slice, "steps", 4)?))?;
    let (start, end) = (one(list(slice, "starts", 1)?)?, one(list(slice, "ends", 2)?)?);
    let squeezed = position(one(list(node, "axes", 1)?)?)?;
    // A Slice clamps its bounds, a Gather does not: the element must surely be there.
    let extent = shapes.dims(from)?.get(axis)?.known()?;
    let bound =
        |x: i64| if x < 0 { x.checked_add(extent).map(|x| x.max(0)) } else { Some(x.min(extent)) };
    let (start, end) = (bound(start)?, bound(end)?);
    let index = usize::try_from(start).ok()?;
    (squeezed == axis && step == 1 && end - start == 1).then_some(Plan {
        squeeze,
        from,
        axis,
        index,
    })
}
