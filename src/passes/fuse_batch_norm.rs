//! `fuse-batch-norm`: see `docs/passes/fuse-batch-norm.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::ops::{BatchNorm, Conv};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::{DType, Tensor};

/// Folds an inference-mode BatchNormalization into the Conv before it:
/// `w' = w · f`, `b' = (b - mean) · f + bias` with `f = scale / sqrt(var + epsilon)` per channel.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseBatchNorm;

/// The new parameters and where they go.
pub struct Plan {
    conv: NodeId,
    norm: NodeId,
    view: Conv,
    output: ValueId,
    weight: Tensor,
    bias: Tensor,
}

impl Rule for FuseBatchNorm {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-batch-norm"
    }

    fn summary(&self) -> &'static str {
        "Folds BatchNormalization into the Conv before it."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn find(&self, model: &Model, norm: NodeId, _: &Shapes) -> Match<Plan> {
        let Some(view) = BatchNorm::of(model, norm) else { return Match::No };
        let Some(conv) = model.value(view.x).producer() else { return Match::No };
        match Conv::of(model, conv) {
            Some(conv_view) if !conv_view.transposed => {
                match plan(model, conv, norm, conv_view, &view) {
                    Ok(plan) => Match::Yes(plan),
                    Err(reason) => Match::Refused(reason),
                }
            }
            _ => Match::No,
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let graph = model.node(plan.conv).graph();
        let place = model.label(plan.conv);
        if model.value(plan.view.w).initializer().is_some() {
            model.set_tensor(plan.view.w, plan.weight);
        } else {
            let name = format!("{}_fused", model.value(plan.view.w).name());
            let weight = model.add_initializer(graph, &name, plan.weight);
            model.set_input(plan.conv, 1, Some(weight));
        }
        let weight = model.value(plan.view.w).name();
        let name = match weight.strip_suffix("weight") {
            Some(layer) => format!("{layer}bias"),
            None => format!("{weight}_bias"),
        };
        let bias = model.add_initializer(graph, &name, plan.bias);
        model.set_input(plan.conv, 2, Some(bias));
        model.substitute(plan.output, plan.view.y);
        model.remove_node(plan.norm);
        format!("folded into {place}")
    }
}

fn plan(
    model: &Model,
    conv: NodeId,
    norm: NodeId,
    view: Conv,
    bn: &BatchNorm,
) -> Result<Plan, String> {
    let name = |value: ValueId| model.value(value).name();
    let graph = model.node(norm).graph();
    if model.node(conv).graph() != graph {
        return Err("the Conv stands in another graph".into());
    }
    if model.value(view.y).is_output() {
        return Err(format!("`{}` before it is an output of the graph", name(view.y)));
    }
    if model.value(view.y).only_consumer().is_none() {
        return Err(format!("`{}` before it is used elsewhere too", name(view.y)));
    }
    if model.value(view.w).only_consumer().is_none() {
        return Err(format!("weight `{}` is shared", name(view.w)));
    }
    if !model.can_substitute(bn.y, view.y) {
        return Err(format!("output `{}` cannot be renamed", name(bn.y)));
    }
    let fetch = |value: ValueId| -> Result<Tensor, String> {
        let tensor =
            constant(model, value).ok_or_else(|| format!("`{}` is not a constant", name(value)))?;
        match tensor.dtype() {
            DType::Float | DType::Double => Ok(tensor),
            dtype => Err(format!("`{}` is {dtype}; folding would round it again", name(value))),
        }
    };
    let vector = |value: ValueId, channels: usize| -> Result<Vec<f64>, String> {
        let tensor = fetch(value)?;
        if tensor.dims() != [channels] {
            return Err(format!(
                "`{}` has dims {:?}, expected [{channels}]",
                name(value),
                tensor.dims()
            ));
        }
        tensor.to_f64().map_err(|error| error.to_string())
    };
    let weight = fetch(view.w)?;
    let channels = weight.dims().first().copied().unwrap_or(0);
    if channels == 0 || weight.is_empty() {
        return Err(format!("weight `{}` has no elements", name(view.w)));
    }
    let [scale, offset, mean, var] =
        [bn.scale, bn.bias, bn.mean, bn.var].map(|v| vector(v, channels));
    let (scale, offset, mean, var) = (scale?, offset?, mean?, var?);
    let before = match view.b {
        Some(bias) => vector(bias, channels)?,
        None => vec![0.0; channels],
    };
    let factor: Vec<f64> =
        scale.iter().zip(&var).map(|(s, v)| s / (v + f64::from(bn.epsilon)).sqrt()).collect();
    let bias: Vec<f64> =
        (0..channels).map(|c| (before[c] - mean[c]) * factor[c] + offset[c]).collect();
    let row = weight.len() / channels;
    let scaled: Vec<f64> = weight
        .to_f64()
        .map_err(|error| error.to_string())?
        .iter()
        .enumerate()
        .map(|(i, w)| w * factor[i / row])
        .collect();
    let store = |dims: &[usize], values: &[f64]| -> Result<Tensor, String> {
        let tensor = match weight.dtype() {
            DType::Double => Tensor::from_f64(dims, values),
            _ => Tensor::from_f32(dims, &values.iter().map(|&x| x as f32).collect::<Vec<_>>()),
        };
        let finite = tensor.to_f64().is_ok_and(|values| values.iter().all(|x| x.is_finite()));
        finite.then_some(tensor).ok_or_else(|| "a folded parameter is not finite".to_owned())
    };
    Ok(Plan {
        conv,
        norm,
        output: bn.y,
        weight: store(weight.dims(), &scaled)?,
        bias: store(&[channels], &bias)?,
        view,
    })
}
