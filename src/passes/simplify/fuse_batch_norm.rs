//! `fuse-batch-norm`: see `docs/passes/fuse-batch-norm.md`.

use crate::analysis::Shapes;
use crate::ir::ops::BatchNorm;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::rewrite::linear::{Absorbed, Affine, Layer, adjacent, parameter};
use crate::passes::{Match, Promise, Rule};

/// Folds an inference-mode BatchNormalization into the layer before it (Conv, ConvTranspose, Gemm,
/// MatMul, or another BatchNormalization):
/// `w' = w · f`, `b' = (b - mean) · f + bias` with `f = scale / sqrt(var + epsilon)` per channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseBatchNorm;

/// The new parameters and where they go.
pub struct Plan {
    norm: NodeId,
    output: ValueId,
    input: ValueId,
    absorbed: Absorbed,
}

impl Rule for FuseBatchNorm {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-batch-norm"
    }

    fn summary(&self) -> &'static str {
        "Folds BatchNormalization into the Conv, ConvTranspose, Gemm or MatMul before it."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn find(&self, model: &Model, norm: NodeId, shapes: &Shapes) -> Match<Plan> {
        let Some(view) = BatchNorm::of(model, norm) else { return Match::No };
        let Some(producer) = model.value(view.x).producer() else { return Match::No };
        let Some(layer) = Layer::of(model, producer) else { return Match::No };
        // The channels of a matrix product are its last axis, those of the norm the second.
        if layer.axis < 0 && shapes.rank(view.x) != Some(2) {
            return Match::No;
        }
        plan(model, norm, layer, &view).into()
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let place = plan.absorbed.apply(model);
        model.substitute(plan.output, plan.input);
        model.remove_node(plan.norm);
        format!("folded into {place}")
    }
}

fn plan(model: &Model, norm: NodeId, layer: Layer, bn: &BatchNorm) -> Result<Plan, String> {
    adjacent(model, &layer, norm, bn.y)?;
    let absorbed = layer.clone().absorb(model, &affine(model, bn, layer.channels)?)?;
    Ok(Plan { norm, output: bn.y, input: layer.y, absorbed })
}

/// What a BatchNormalization computes.
pub(in crate::passes) fn affine(
    model: &Model,
    bn: &BatchNorm,
    channels: usize,
) -> Result<Affine, String> {
    let vector = |value: ValueId| -> Result<Vec<f64>, String> {
        let tensor = parameter(model, value)?;
        if tensor.dims() != [channels] {
            let (name, dims) = (model.value(value).name(), tensor.dims());
            return Err(format!("`{name}` has dims {dims:?}, expected [{channels}]"));
        }
        tensor.to_f64().map_err(|error| error.to_string())
    };
    let (scale, bias) = (vector(bn.scale)?, vector(bn.bias)?);
    let (mean, var) = (vector(bn.mean)?, vector(bn.var)?);
    let deviation = var.iter().map(|v| (v + f64::from(bn.epsilon)).sqrt());
    let factor: Vec<f64> = scale.iter().zip(deviation).map(|(s, d)| s / d).collect();
    let offset = bias.iter().zip(&mean).zip(&factor).map(|((b, m), f)| b - m * f).collect();
    Ok(Affine { factor, offset })
}
