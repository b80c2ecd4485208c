//! `fuse-gather`: see `docs/passes/fuse-gather.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{self, AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes a Gather with one index of a Slice of one element and the Squeeze behind it, and moves such a
/// Gather in front of a Transpose that only brings its axis elsewhere.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseGather;

/// The last node, what the first one reads, and what is taken along an axis.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    axis: usize,
    index: Index,
}

/// One index.
#[derive(Clone, Copy)]
enum Index {
    /// To be stored.
    Number(i64),
    /// The input of a Gather that is there already.
    Value(ValueId),
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

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let found = slice_and_squeeze(model, node, shapes);
        found.or_else(|| behind_transpose(model, node, shapes)).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let node = plan.node;
        let (graph, name) = (model.node(node).graph(), model.node(node).name().to_owned());
        let index = match plan.index {
            Index::Value(value) => value,
            Index::Number(index) => {
                let index = Tensor::from_i64(&[], &[index]);
                model.add_initializer(graph, &format!("{name}_index"), index)
            }
        };
        let axis = AttrValue::Int(i64::try_from(plan.axis).unwrap_or(0));
        let inputs = [Some(plan.from), Some(index)];
        model.turn_into(node, "", "Gather", &inputs, vec![Attribute::new("axis", axis)]);
        format!("became a Gather along axis {} of what the node before it read", plan.axis)
    }
}

/// A Gather of one index behind a Transpose that keeps the order of the other axes.
fn behind_transpose(model: &Model, gather: NodeId, shapes: &Shapes) -> Option<Plan> {
    let node = model.node(gather);
    let middle = node.input(0).filter(|_| node.is("Gather"))?;
    let index = node.input(1).filter(|&index| shapes.rank(index) == Some(0))?;
    model.value(middle).only_consumer()?;
    let transpose = model.node(model.value(middle).producer()?);
    let from = transpose.input(0).filter(|_| transpose.is("Transpose"))?;
    let perm = transpose.attr_ints("perm")?;
    let axis = ir::position(node.attr_int("axis").unwrap_or(0), perm.len())?;
    let others = perm.iter().enumerate().filter(|&(i, _)| i != axis).map(|(_, &axis)| axis);
    let axis = usize::try_from(perm[axis]).ok()?;
    others.is_sorted().then_some(Plan { node: gather, from, axis, index: Index::Value(index) })
}

/// A Slice of one element of one axis, and the Squeeze of that axis.
fn slice_and_squeeze(model: &Model, squeeze: NodeId, shapes: &Shapes) -> Option<Plan> {
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
    let position = |axis: i64| ir::position(axis, rank);
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
    (squeezed == axis && step == 1 && end - start == 1).then_some(Plan {
        node: squeeze,
        from,
        axis,
        index: Index::Number(start),
    })
}
