//! Biases as int32, in units of the product of both scales.

use crate::analysis::{constant, dequantized};
use crate::ir::{Model, ValueId};
use crate::passes::convert::convert_qoperator::Input;
use crate::passes::convert::convert_qoperator::operand::Integers;
use crate::tensor::{DType, Tensor};

/// Largest magnitude of a bias: half of what int32 holds, so that the sum keeps room for the
/// products.
const LIMIT: f64 = (i32::MAX / 2) as f64;

/// How far the scale of a stored bias may be from the product of the other two: roundings of `float`.
const TOLERANCE: f32 = 4.0 * f32::EPSILON;

/// The bias that is added to the products of `a` and `b`.
pub(super) fn integers(
    model: &Model,
    bias: ValueId,
    a: &Integers,
    b: &Integers,
) -> Result<Input, String> {
    let name = model.value(bias).name();
    let Some((input, _)) = a.single() else { return Err("its input has several scales".into()) };
    let scale = |channel: usize| input * b.scales[channel % b.scales.len()];
    let producer = model.value(bias).producer();
    if let Some(stored) = producer.and_then(|node| stored(model, node, &scale)) {
        return Ok(Input::Value(stored));
    }
    let floats = match producer {
        Some(node) => dequantized(model, node),
        None => constant(model, bias).filter(|tensor| tensor.dtype() == DType::Float),
    };
    let Some(floats) = floats else { return Err(format!("its bias `{name}` is not a constant")) };
    let Ok(mut elements) = floats.to_f32() else {
        return Err(format!("its bias `{name}` cannot be read"));
    };
    if elements.len() == 1 {
        elements = vec![elements[0]; b.scales.len()];
    }
    let flat = floats.dims().iter().rev().skip(1).all(|&extent| extent == 1);
    if !flat || b.scales.len() > 1 && elements.len() != b.scales.len() {
        return Err(format!("its bias `{name}` is not one number for each output channel"));
    }
    let mut integers = Vec::with_capacity(elements.len());
    for (channel, &x) in elements.iter().enumerate() {
        let q = (f64::from(x) / f64::from(scale(channel))).round_ties_even();
        if !q.is_finite() || q.abs() > LIMIT {
            return Err(format!("its bias `{name}` does not fit int32 beside the products"));
        }
        integers.push(q as i32);
    }
    Ok(Input::Constant("bias", Tensor::from_i32(&[integers.len()], &integers)))
}

/// The int32 behind a DequantizeLinear that has the scales already.
fn stored(model: &Model, node: crate::ir::NodeId, scale: &dyn Fn(usize) -> f32) -> Option<ValueId> {
    let entry = model.node(node);
    let integers = entry.input(0).filter(|_| entry.is("DequantizeLinear"))?;
    let tensor = constant(model, integers)?;
    let scales = constant(model, entry.input(1)?)?.to_f32().ok()?;
    let centred = match entry.input(2) {
        Some(zero) => constant(model, zero)?.to_i64().ok()?.iter().all(|&zero| zero == 0),
        None => true,
    };
    let flat = tensor.dims().len() == 1 && [1, tensor.len()].contains(&scales.len());
    let near = |channel: usize| {
        let found = scales[channel % scales.len()];
        (found - scale(channel)).abs() <= TOLERANCE * scale(channel).abs()
    };
    let fits = tensor.dtype() == DType::Int32 && flat && centred && (0..tensor.len()).all(near);
    fits.then_some(integers)
}
