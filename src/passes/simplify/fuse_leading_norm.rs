//! `fuse-leading-norm`: see `docs/passes/fuse-leading-norm.md`.

use crate::analysis::Shapes;
use crate::ir::ops::{BatchNorm, Conv, Gemm};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::rewrite::linear::{Affine, BIAS_SLOT, WEIGHT_SLOT, parameter, put, store};
use crate::passes::simplify::fuse_batch_norm::affine;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Folds an inference-mode BatchNormalization into the Conv or Gemm behind it: `w' = w · f` per input
/// channel, `b' = b + Σ w · offset`. With padding that is right only where the offset is 0, because
/// the border is padded after the normalization.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseLeadingNorm;

/// The layer, what it reads instead, and its new parameters.
pub struct Plan {
    layer: NodeId,
    from: ValueId,
    weight: (ValueId, Tensor),
    bias: (Option<ValueId>, Tensor),
}

impl Rule for FuseLeadingNorm {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-leading-norm"
    }

    fn summary(&self) -> &'static str {
        "Folds BatchNormalization into the Conv or Gemm behind it."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn find(&self, model: &Model, layer: NodeId, _: &Shapes) -> Match<Plan> {
        let conv = Conv::of(model, layer).filter(|conv| !conv.transposed);
        let gemm = Gemm::of(model, layer).filter(|g| !g.trans_a && g.alpha == 1.0 && g.beta == 1.0);
        let Some(x) = conv.as_ref().map(|c| c.x).or(gemm.as_ref().map(|g| g.a)) else {
            return Match::No;
        };
        let Some(norm) = model.value(x).producer().and_then(|p| BatchNorm::of(model, p)) else {
            return Match::No;
        };
        if model.value(x).only_consumer().is_none() {
            return Match::Refused(format!(
                "`{}` before it is used elsewhere too",
                model.value(x).name()
            ));
        }
        match (conv, gemm) {
            (Some(conv), _) => before_conv(model, layer, &norm, &conv).into(),
            (None, Some(gemm)) => before_gemm(model, layer, &norm, &gemm).into(),
            (None, None) => Match::No,
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let (old, tensor) = plan.weight;
        put(model, plan.layer, WEIGHT_SLOT, old, tensor);
        match plan.bias {
            (Some(old), tensor) => put(model, plan.layer, BIAS_SLOT, old, tensor),
            (None, tensor) => {
                let name = format!("{}_bias", model.value(old).name());
                let bias = model.add_initializer(model.node(plan.layer).graph(), &name, tensor);
                model.set_input(plan.layer, BIAS_SLOT, Some(bias));
            }
        }
        model.set_input(plan.layer, 0, Some(plan.from));
        "took over the BatchNormalization before it".into()
    }
}

/// Parameters that nobody else reads.
fn own(model: &Model, values: &[Option<ValueId>]) -> Result<(), String> {
    match values.iter().flatten().find(|&&v| model.value(v).only_consumer().is_none()) {
        Some(&value) => Err(format!("parameter `{}` is shared", model.value(value).name())),
        None => Ok(()),
    }
}

fn before_conv(
    model: &Model,
    layer: NodeId,
    norm: &BatchNorm,
    conv: &Conv,
) -> Result<Plan, String> {
    own(model, &[Some(conv.w), conv.b])?;
    let weight = parameter(model, conv.w)?;
    let dims = weight.dims().to_vec();
    if dims.len() < 3 || weight.is_empty() || !dims[0].is_multiple_of(conv.group) {
        return Err("its weight is not well-formed".into());
    }
    let (outputs, inputs) = (dims[0], dims[1]);
    let affine = affine(model, norm, inputs * conv.group)?;
    let node = model.node(layer);
    let unpadded = node.attr_ints("pads").is_none_or(|pads| pads.iter().all(|&pad| pad == 0))
        && matches!(node.attr_str("auto_pad").unwrap_or("NOTSET"), "NOTSET" | "VALID");
    if !unpadded && affine.offset.iter().any(|&x| x != 0.0) {
        return Err("it pads with zeros after the normalization, whose offset is not 0".into());
    }
    let taps = weight.len() / (outputs * inputs);
    let channel = |output: usize, input: usize| output / (outputs / conv.group) * inputs + input;
    let at = |i: usize| channel(i / (inputs * taps), i / taps % inputs);
    finish(model, layer, norm.x, (conv.w, weight), conv.b, &affine, outputs, |i| {
        (i / (inputs * taps), at(i))
    })
}

fn before_gemm(
    model: &Model,
    layer: NodeId,
    norm: &BatchNorm,
    gemm: &Gemm,
) -> Result<Plan, String> {
    own(model, &[Some(gemm.b), gemm.c])?;
    let weight = parameter(model, gemm.b)?;
    let &[rows, columns] = weight.dims() else { return Err("its weight is not a matrix".into()) };
    let (inputs, outputs) = if gemm.trans_b { (columns, rows) } else { (rows, columns) };
    let affine = affine(model, norm, inputs)?;
    let at = |i: usize| match gemm.trans_b {
        true => (i / columns.max(1), i % columns.max(1)),
        false => (i % columns.max(1), i / columns.max(1)),
    };
    finish(model, layer, norm.x, (gemm.b, weight), gemm.c, &affine, outputs, at)
}

/// The plan; `at` gives output and input channel of each element of the weight.
#[expect(clippy::too_many_arguments, reason = "the two callers have nothing else in common")]
fn finish(
    model: &Model,
    layer: NodeId,
    from: ValueId,
    (old, weight): (ValueId, Tensor),
    bias: Option<ValueId>,
    affine: &Affine,
    outputs: usize,
    at: impl Fn(usize) -> (usize, usize),
) -> Result<Plan, String> {
    let mut sums = match bias {
        None => vec![0.0; outputs],
        Some(bias) => {
            let tensor = parameter(model, bias)?;
            if tensor.dims() != [outputs] {
                return Err(format!(
                    "bias `{}` is not one number for each output",
                    model.value(bias).name()
                ));
            }
            tensor.to_f64().map_err(|error| error.to_string())?
        }
    };
    let mut values = weight.to_f64().map_err(|error| error.to_string())?;
    for (i, value) in values.iter_mut().enumerate() {
        let (output, input) = at(i);
        sums[output] += *value * affine.offset[input];
        *value *= affine.factor[input];
    }
    let tensor = store(&weight, weight.dims(), &values)?;
    let sums = store(&weight, &[outputs], &sums)?;
    Ok(Plan { layer, from, weight: (old, tensor), bias: (bias, sums) })
}
