//! `fuse-softmax`: see `docs/passes/fuse-softmax.md`.

use crate::analysis::Shapes;
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::rewrite::look::Look;
use crate::passes::{Match, Promise, Rule};

/// Makes a Softmax of `exp(x - max(x)) / sum(exp(x - max(x)))`.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseSoftmax;

/// The division, what it is of, and along which axis.
pub struct Plan {
    node: NodeId,
    x: ValueId,
    axis: usize,
}

/// Since then Softmax works along one axis; before, along all from one on.
const ONE_AXIS_SINCE: i64 = 13;

impl Rule for FuseSoftmax {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-softmax"
    }

    fn summary(&self) -> &'static str {
        "Makes a Softmax of its decomposed form."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn reach(&self) -> usize {
        /// ReduceMax, Sub, Exp, ReduceSum, Div.
        const LONGEST: usize = 5;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        plan(model, node, shapes).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let axis = AttrValue::Int(i64::try_from(plan.axis).unwrap_or(-1));
        model.turn_into(
            plan.node,
            "",
            "Softmax",
            &[Some(plan.x)],
            vec![Attribute::new("axis", axis)],
        );
        format!("became Softmax along axis {} with the nodes before it", plan.axis)
    }
}

fn plan(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let look = Look::new(model, shapes);
    let [powers, total] = look.operands(model.node(node).only_output()?, "Div")?;
    let (summed, axes) = look.kept_reduction(total, "ReduceSum")?;
    let shifted = look.operand(powers, "Exp")?;
    let [x, largest] = look.operands(shifted, "Sub")?;
    let (reduced, max_axes) = look.kept_reduction(largest, "ReduceMax")?;
    let &[axis] = &axes[..] else { return None };
    let last = shapes.rank(x)? == axis + 1;
    let fits = summed == powers && reduced == x && max_axes == axes;
    let version = model.opset_in_force();
    (fits && (last || version >= ONE_AXIS_SINCE) && look.is_closed(node)).then_some(Plan {
        node,
        x,
        axis,
    })
}
