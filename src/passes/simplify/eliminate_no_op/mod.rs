//! `eliminate-no-op`: see `docs/passes/eliminate-no-op.md`.

mod arithmetic;
mod data;
mod site;

use crate::analysis::Shapes;
use crate::ir::{Model, NodeId};
use crate::passes::rewrite::bypass::Bypass;
use crate::passes::simplify::eliminate_no_op::site::Site;
use crate::passes::{Match, Promise, Rule};

/// Removes nodes that return one of their inputs unchanged, bit by bit.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateNoOp;

/// The input slot that a node returns unchanged.
type Returned = Option<usize>;

/// When an operator does nothing.
type NoOp = fn(&Site<'_>) -> Returned;

/// For each operator, when it does nothing.
const TABLE: &[(&str, NoOp)] = &[
    ("Add", arithmetic::add),
    ("And", arithmetic::and),
    ("BitwiseAnd", arithmetic::bitwise_and),
    ("BitwiseOr", arithmetic::zero),
    ("BitwiseXor", arithmetic::zero),
    ("Cast", data::cast),
    ("CastLike", data::cast_like),
    ("Concat", data::single),
    ("DepthToSpace", data::block),
    ("Div", arithmetic::div),
    ("Dropout", data::dropout),
    ("Expand", data::same_extents),
    ("Flatten", data::same_extents),
    ("Gather", data::gather),
    ("Max", data::single),
    ("MaxPool", data::pool),
    ("Mean", data::single),
    ("Min", data::single),
    ("Mul", arithmetic::mul),
    ("Or", arithmetic::or),
    ("Pad", data::pad),
    ("Pow", arithmetic::pow),
    ("ReduceMax", data::reduce),
    ("ReduceMean", data::reduce),
    ("ReduceMin", data::reduce),
    ("ReduceProd", data::reduce),
    ("ReduceSum", data::reduce),
    ("Reshape", data::same_extents),
    ("Slice", data::slice),
    ("SpaceToDepth", data::block),
    ("Split", data::split),
    ("Squeeze", data::same_extents),
    ("Sub", arithmetic::sub),
    ("Sum", data::single),
    ("Tile", data::same_extents),
    ("Transpose", data::transpose),
    ("Unsqueeze", data::same_extents),
    ("Where", data::select),
];

impl Rule for EliminateNoOp {
    type Plan = Bypass;

    fn name(&self) -> &'static str {
        "eliminate-no-op"
    }

    fn summary(&self) -> &'static str {
        "Removes nodes that return an input unchanged: Dropout, same-type Cast, Mul by 1, …"
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Bypass> {
        let entry = model.node(node);
        if !entry.is_standard() || model.function_of(entry).is_some() {
            return Match::No;
        }
        let Ok(row) = TABLE.binary_search_by_key(&entry.op(), |&(op, _)| op) else {
            return Match::No;
        };
        let site = Site { model, node: entry, shapes };
        let returned = TABLE[row].1(&site).and_then(|slot| entry.input(slot));
        match returned {
            Some(to) => Bypass::find(model, node, to),
            None => Match::No,
        }
    }

    fn apply(&self, model: &mut Model, plan: Bypass) -> String {
        plan.apply(model);
        "removed: it returns its input unchanged".into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted() {
        assert!(TABLE.is_sorted_by_key(|&(op, _)| op));
    }
}
