//! `fuse-cast`: see `docs/passes/fuse-cast.md`.

use crate::analysis::Shapes;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::DType;

/// Bypasses a Cast to a type that holds every element, when another Cast follows it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseCast;

/// The second node and what the first one reads.
pub struct Plan {
    node: NodeId,
    from: ValueId,
}

impl Rule for FuseCast {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-cast"
    }

    fn summary(&self) -> &'static str {
        "Bypasses a Cast to a wider type in front of another Cast."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let is_cast = |node: NodeId| model.node(node).is("Cast");
        let middle = model.node(node).input(0).filter(|_| is_cast(node));
        let Some(first) = middle.and_then(|value| model.value(value).producer()) else {
            return Match::No;
        };
        let Some(from) = model.node(first).input(0).filter(|_| is_cast(first)) else {
            return Match::No;
        };
        let types = (shapes.dtype(from), middle.and_then(|value| shapes.dtype(value)));
        match types {
            (Some(narrow), Some(wide)) if holds(wide, narrow) => Match::Yes(Plan { node, from }),
            (Some(narrow), Some(wide)) => Match::Refused(format!(
                "the Cast from {narrow} to {wide} before it may change elements"
            )),
            _ => Match::No,
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.set_input(plan.node, 0, Some(plan.from));
        "bypassed the Cast before it".into()
    }
}

/// True when every element of `narrow` is an element of `wide`, and any further Cast gives the same
/// for both.
fn holds(wide: DType, narrow: DType) -> bool {
    use DType::{Bfloat16, Bool, Double, Float, Float16};
    if wide == narrow {
        return true;
    }
    match (narrow, wide) {
        (Bool, _) => wide.integer_range().is_some() || matches!(wide, Float16 | Float | Double),
        (Float16 | Bfloat16, Float | Double) | (Float, Double) => true,
        // Whole numbers that the mantissa holds.
        (_, Float) => within(narrow, 1 << 24),
        (_, Double) => within(narrow, 1 << 53),
        _ => match (narrow.integer_range(), wide.integer_range()) {
            (Some((low, high)), Some((least, most))) => {
                // Negative numbers wrap differently into unsigned types of other widths; into a
                // signed wider type they stay what they are.
                least <= low && high <= most
            }
            _ => false,
        },
    }
}

fn within(dtype: DType, limit: i128) -> bool {
    dtype.integer_range().is_some_and(|(low, high)| -limit <= low && high <= limit)
}
