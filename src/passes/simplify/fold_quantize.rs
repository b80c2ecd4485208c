//! `fold-quantize`: see `docs/passes/fold-quantize.md`.

use crate::analysis::{Shapes, constant, constant_floats, origin, scale_index};
use crate::ir::{Model, NodeId, Use, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::{DType, Tensor};

/// Computes QuantizeLinear of a constant: the integers are stored in the place of the floats.
#[derive(Debug, Clone, Copy, Default)]
pub struct FoldQuantize;

/// The node and its integers.
pub struct Plan {
    node: NodeId,
    integers: Tensor,
}

impl Rule for FoldQuantize {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fold-quantize"
    }

    fn summary(&self) -> &'static str {
        "Stores the integers that QuantizeLinear makes of a constant."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, _: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let Some(floats) = entry.input(0).filter(|_| entry.is("QuantizeLinear")) else {
            return Match::No;
        };
        let Some((root, path)) = origin(model, floats) else { return Match::No };
        let Some(output) = entry.only_output() else { return Match::No };
        if model.value(output).is_output() {
            return Match::Refused("its integers are an output of the model".into());
        }
        let made = path.iter().filter_map(|&step| model.node(step).output(0));
        if !std::iter::once(root).chain(made).all(|value| is_only_quantized(model, value, &path)) {
            return Match::Refused("its floats are read by other nodes, too, and stay".into());
        }
        let integers = integers(model, node, floats);
        Match::from(integers.map(|integers| Plan { node, integers }))
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.fold_node(plan.node, vec![Some(plan.integers)]);
        "its integers are stored".into()
    }
}

/// Whether nothing reads a value but QuantizeLinear of constants, and what stands on the way to one.
fn is_only_quantized(model: &Model, value: ValueId, path: &[NodeId]) -> bool {
    model.value(value).uses().iter().all(|by| match *by {
        Use::Input { node, slot } => {
            let reader = model.node(node);
            let mut parameters = reader.inputs().iter().skip(1).flatten();
            let folds = reader.is("QuantizeLinear")
                && parameters.all(|&parameter| constant(model, parameter).is_some());
            slot == 0 && (path.contains(&node) || folds)
        }
        _ => false,
    })
}

/// The integers of a QuantizeLinear (ONNX, opset 10 to 25): `saturate(round_half_to_even(x / scale) + zero point)`.
fn integers(model: &Model, node: NodeId, floats: ValueId) -> Result<Tensor, String> {
    let entry = model.node(node);
    let constant_in = |slot: usize| match entry.input(slot) {
        None => Ok(None),
        Some(value) => {
            constant(model, value).map(Some).ok_or("its scale or zero point is computed")
        }
    };
    let scale = constant_in(1)?.ok_or("it has no scale")?;
    let zero = constant_in(2)?;
    if entry.attr_int("precision").unwrap_or(0) != 0 {
        return Err("it divides in a precision of its own".into());
    }
    let asked = entry.attr_int("output_dtype").filter(|&dtype| dtype != 0);
    let asked = asked.and_then(|dtype| DType::from_onnx(i32::try_from(dtype).ok()?));
    let dtype = zero.as_ref().map(Tensor::dtype).or(asked).unwrap_or(DType::Uint8);
    let (low, high) = dtype
        .integer_range()
        .filter(|_| dtype.bits() <= 16)
        .ok_or_else(|| format!("{dtype} is no integer type of at most 16 bits"))?;
    let found = constant_floats(model, floats).ok_or("its input is made of no floats")?;
    if ![DType::Float, DType::Float16].contains(&found.dtype) || scale.dtype() != found.dtype {
        return Err(format!("its input is {}, its scale {}", found.dtype, scale.dtype()));
    }
    let odd = |_| "its constants cannot be read".to_owned();
    let elements = found.tensor.to_f32().map_err(odd)?;
    let scales = scale.to_f32().map_err(odd)?;
    let zeros = match &zero {
        Some(zero) => zero.to_i64().map_err(odd)?,
        None => vec![0; scales.len()],
    };
    let usable = |x: &f32| x.is_finite() && *x > 0.0;
    if zeros.len() != scales.len() || !scales.iter().all(usable) {
        return Err("its scales are no positive numbers, or do not fit its zero points".into());
    }
    if !elements.iter().all(|x| x.is_finite()) {
        return Err("its input holds NaN or infinity".into());
    }
    let block = usize::try_from(entry.attr_int("block_size").unwrap_or(0)).unwrap_or(0);
    let axis = entry.attr_int("axis").unwrap_or(1);
    let dims = found.tensor.dims();
    let index =
        scale_index(dims, scale.dims(), axis, block).ok_or("its scales do not fit its input")?;
    let (low, high) = (low as i64, high as i64);
    let integer = |(i, x): (usize, &f32)| {
        let part = index(i);
        // Saturates where it is beyond all integers, too.
        let steps = (x / scales[part]).round_ties_even() as i64;
        steps.saturating_add(zeros[part]).clamp(low, high) as i32
    };
    let integers: Vec<i32> = elements.iter().enumerate().map(integer).collect();
    Ok(Tensor::from_integers(dtype, dims, &integers))
}
