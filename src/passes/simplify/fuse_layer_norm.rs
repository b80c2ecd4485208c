//! `fuse-layer-norm`: see `docs/passes/fuse-layer-norm.md`.

use crate::analysis::{Shapes, Term, constant};
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::rewrite::look::Look;
use crate::passes::{Match, Promise, Rule};

/// Makes LayerNormalization and RMSNormalization of what exporters decompose them into, where the
/// operator set has them (17 and 23).
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseLayerNorm;

/// The last node of the pattern and what it becomes.
pub struct Plan {
    node: NodeId,
    op: &'static str,
    inputs: Vec<Option<ValueId>>,
    axis: i64,
    epsilon: f32,
}

/// `(x - mean) / sqrt(variance + epsilon)`, or without the mean.
struct Normalized {
    x: ValueId,
    centred: bool,
    axes: Vec<usize>,
    epsilon: f64,
}

impl Rule for FuseLayerNorm {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-layer-norm"
    }

    fn summary(&self) -> &'static str {
        "Makes LayerNormalization and RMSNormalization of their decomposed forms."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn reach(&self) -> usize {
        /// ReduceMean, Sub, Pow, ReduceMean, Add, Sqrt, Div, Mul, Add.
        const LONGEST: usize = 9;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let found = with_bias(model, node, shapes).or_else(|| {
            // With a bias behind it, that Add is the end of the pattern.
            let y = model.node(node).only_output()?;
            let next = model.value(y).only_consumer().map(|(user, _)| user);
            let longer = next.is_some_and(|next| with_bias(model, next, shapes).is_some());
            without_bias(model, node, shapes).filter(|_| !longer)
        });
        found.map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let attributes = vec![
            Attribute::new("axis", AttrValue::Int(plan.axis)),
            Attribute::new("epsilon", AttrValue::Float(plan.epsilon)),
        ];
        model.turn_into(plan.node, "", plan.op, &plan.inputs, attributes);
        format!("became {} with the nodes before it", plan.op)
    }
}

fn with_bias(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let look = Look::new(model, shapes);
    let y = model.node(node).only_output()?;
    let [a, b] = look.operands(y, "Add")?;
    let (scaled, bias) = if constant(model, b).is_some() { (a, b) } else { (b, a) };
    plan(&look, node, scaled, Some(bias))
}

fn without_bias(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let look = Look::new(model, shapes);
    plan(&look, node, model.node(node).only_output()?, None)
}

fn plan(look: &Look<'_>, node: NodeId, scaled: ValueId, bias: Option<ValueId>) -> Option<Plan> {
    let model = look.model;
    let [a, b] = look.operands(scaled, "Mul")?;
    let (norm, scale) = if constant(model, b).is_some() { (a, b) } else { (b, a) };
    let found = normalized(look, norm)?;
    let (op, since) = match found.centred {
        true => ("LayerNormalization", 17),
        false => ("RMSNormalization", 23),
    };
    let dims = look.shapes.dims(found.x)?;
    let first = *found.axes.first()?;
    let trailing = found.axes.iter().copied().eq(first..dims.len());
    let whole: Vec<usize> = dims[first..].iter().map(Term::extent).collect::<Option<_>>()?;
    let fits = |value: ValueId| constant(model, value).is_some_and(|t| t.dims() == whole);
    if !trailing
        || !fits(scale)
        || bias.is_some_and(|bias| !fits(bias) || !found.centred)
        || model.opset_in_force() < since
        || !look.is_closed(node)
    {
        return None;
    }
    let inputs = [Some(found.x), Some(scale), bias];
    let count = if bias.is_some() { 3 } else { 2 };
    let axis = -i64::try_from(found.axes.len()).ok()?;
    Some(Plan { node, op, inputs: inputs[..count].to_vec(), axis, epsilon: found.epsilon as f32 })
}

/// `d / sqrt(mean(d²) + epsilon)`, where `d` may be `x - mean(x)`.
fn normalized(look: &Look<'_>, value: ValueId) -> Option<Normalized> {
    let model = look.model;
    let op = model.node(model.value(value).producer()?).op();
    let (d, deviation) = match op {
        "Div" => {
            let [d, deviation] = look.operands(value, "Div")?;
            (d, deviation)
        }
        "Mul" => {
            let inverse = |v: ValueId| look.operand(v, "Reciprocal");
            let (deviation, d) = look.either(value, "Mul", inverse)?;
            (d, deviation)
        }
        _ => return None,
    };
    let (variance, epsilon) = look.plus(look.operand(deviation, "Sqrt")?)?;
    let (squares, axes) = look.kept_reduction(variance, "ReduceMean")?;
    if look.square(squares)? != d {
        return None;
    }
    let centred = centre(look, d).filter(|(_, other)| *other == axes);
    let x = centred.as_ref().map_or(d, |(x, _)| *x);
    Some(Normalized { x, centred: centred.is_some(), axes, epsilon })
}

/// `x` and axes of `x - mean(x)`.
fn centre(look: &Look<'_>, value: ValueId) -> Option<(ValueId, Vec<usize>)> {
    let is_sub = look.model.value(value).producer().is_some_and(|p| look.model.node(p).is("Sub"));
    let [x, mean] = look.operands(value, "Sub").filter(|_| is_sub)?;
    let (reduced, axes) = look.kept_reduction(mean, "ReduceMean")?;
    (reduced == x).then_some((x, axes))
}
