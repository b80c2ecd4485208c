//! `fuse-group-norm`: see `docs/passes/fuse-group-norm.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::rewrite::look::Look;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes a GroupNormalization of Reshape, InstanceNormalization over the groups, Reshape back, Mul
/// and Add, which is how exporters write it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseGroupNorm;

/// The last node and what it becomes.
pub struct Plan {
    node: NodeId,
    x: ValueId,
    scale: Tensor,
    bias: Tensor,
    groups: usize,
    epsilon: f32,
}

/// Since then scale and bias are given for each channel.
const PER_CHANNEL_SINCE: i64 = 21;

impl Rule for FuseGroupNorm {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-group-norm"
    }

    fn summary(&self) -> &'static str {
        "Makes a GroupNormalization of its decomposed form."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn reach(&self) -> usize {
        /// Reshape, InstanceNormalization, Reshape, Mul, Add.
        const LONGEST: usize = 5;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        if model.opset_in_force() < PER_CHANNEL_SINCE {
            return Match::No;
        }
        plan(model, node, shapes).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let (graph, name) =
            (model.node(plan.node).graph(), model.node(plan.node).name().to_owned());
        let scale = model.add_initializer(graph, &format!("{name}_scale"), plan.scale);
        let bias = model.add_initializer(graph, &format!("{name}_bias"), plan.bias);
        let groups = i64::try_from(plan.groups).unwrap_or(i64::MAX);
        let attributes = vec![
            Attribute::new("num_groups", AttrValue::Int(groups)),
            Attribute::new("epsilon", AttrValue::Float(plan.epsilon)),
        ];
        let inputs = [Some(plan.x), Some(scale), Some(bias)];
        model.turn_into(plan.node, "", "GroupNormalization", &inputs, attributes);
        format!("became GroupNormalization of {} groups with the nodes before it", plan.groups)
    }
}

fn plan(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let look = Look::new(model, shapes);
    let y = model.node(node).only_output()?;
    let fixed = |value: ValueId| constant(model, value);
    let (bias, scaled) = look.either(y, "Add", fixed)?;
    let (scale, back) = look.either(scaled, "Mul", fixed)?;
    let normalized = look.operand(back, "Reshape")?;
    let norm = look.made_by(normalized, "InstanceNormalization")?;
    let split = norm.input(0)?;
    let x = look.operand(split, "Reshape")?;
    // One number for each group, and they change nothing.
    let all = |slot: usize, wanted: f64| {
        let xs = fixed(norm.input(slot)?)?.to_f64().ok()?;
        xs.iter().all(|&x| x == wanted).then_some(xs.len())
    };
    let groups = all(1, 1.0)?;
    all(2, 0.0)?;
    let (outer, inner) = (shapes.dims(x)?, shapes.dims(split)?);
    let channels = outer.get(1)?.extent()?;
    // [N, C, …] became [N, groups, all the rest].
    let fits = inner.len() == 3
        && inner[1].extent() == Some(groups)
        && channels.is_multiple_of(groups.max(1))
        && shapes.same_dims(x, back)
        && (outer[0].is_determined() && outer[0] == inner[0]
            || target(model, split)?.first() == Some(&0));
    let column = |tensor: Tensor| {
        // [C, 1, 1] in front of the spatial axes.
        let dims = tensor.dims();
        let spatial = outer.len() - 2;
        let fits =
            dims.len() == spatial + 1 && dims[0] == channels && dims[1..].iter().all(|&d| d == 1);
        let batch = dims.len() == spatial + 2
            && dims[0] == 1
            && dims[1] == channels
            && dims[2..].iter().all(|&d| d == 1);
        (fits || batch).then(|| tensor.reshaped(vec![channels]).ok()).flatten()
    };
    let (scale, bias) = (column(scale)?, column(bias)?);
    let epsilon = norm.attr_float("epsilon").unwrap_or(1e-5);
    (fits && look.is_closed(node)).then_some(Plan { node, x, scale, bias, groups, epsilon })
}

/// The constant target of the Reshape that makes `value`; a first 0 copies the batch.
fn target(model: &Model, value: ValueId) -> Option<Vec<i64>> {
    let reshape = model.node(model.value(value).producer()?);
    constant(model, reshape.input(1)?)?.to_i64().ok()
}
