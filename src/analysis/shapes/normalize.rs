//! Normalisations with more than one output, and the operators of quantized models.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::{Dims, Fact, broadcast};
use crate::analysis::shapes::term::Term;
use crate::ir::position;
use crate::tensor::DType;

/// BatchNormalization: the data, then statistics per channel.
pub(super) fn batch_norm(call: &Call<'_>) -> Vec<Fact> {
    let mut facts = vec![call.fact(4).without_content(); call.node.outputs().len()];
    if let Some(first) = facts.first_mut() {
        *first = call.fact(0).without_content();
    }
    facts
}

/// LayerNormalization: the data, then mean and inverse deviation with normalised axes of extent 1.
pub(super) fn layer_norm(call: &Call<'_>) -> Vec<Fact> {
    let statistics: Option<Dims> = call.shape(0).and_then(|mut dims| {
        let axis = position(call.int("axis", -1), dims.len())?;
        dims[axis..].fill(Term::ONE);
        Some(dims)
    });
    let dtype = call.dtype_attr("stash_type").unwrap_or(DType::Float);
    let statistics = Fact::new(Some(dtype), statistics);
    vec![call.fact(0).without_content(), statistics.clone(), statistics]
}

/// The data in the first output; nothing about the others.
pub(super) fn first_only(call: &Call<'_>) -> Vec<Fact> {
    let mut facts = call.unknown_outputs();
    if let Some(first) = facts.first_mut() {
        *first = call.fact(0).without_content();
    }
    facts
}

/// Dropout: the data and a mask of the same extents.
pub(super) fn dropout(call: &Call<'_>) -> Vec<Fact> {
    // Before operator set 10 the mask had the type of the data.
    let mask = if call.opset < 10 { call.dtype(0) } else { Some(DType::Bool) };
    vec![call.fact(0).without_content(), Fact::new(mask, call.shape(0))]
}

/// QuantizeLinear: the type of the zero point, or of an attribute, or `uint8`.
pub(super) fn quantize(call: &Call<'_>) -> Fact {
    let dtype = if call.has(2) {
        call.dtype(2)
    } else {
        Some(call.dtype_attr("output_dtype").unwrap_or(DType::Uint8))
    };
    Fact::new(dtype, call.shape(0))
}

/// DequantizeLinear: the type of the scale, or of an attribute.
pub(super) fn dequantize(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype_attr("output_dtype").or(call.dtype(1)), call.shape(0))
}

/// DynamicQuantizeLinear: the data as `uint8`, its scale, its zero point.
pub(super) fn dynamic_quantize(call: &Call<'_>) -> Vec<Fact> {
    vec![
        Fact::new(Some(DType::Uint8), call.shape(0)),
        Fact::fixed(DType::Float, &[]),
        Fact::fixed(DType::Uint8, &[]),
    ]
}

/// QLinearAdd and QLinearMul: `a, a_scale, a_zero, b, b_scale, b_zero, c_scale, c_zero`.
pub(super) fn qlinear_binary(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).zip(call.dims(3));
    let dims = dims.map(|(a, b)| broadcast(a, b));
    Fact::new(call.dtype(0), dims)
}

/// QLinearWhere: `condition, x, x_scale, x_zero, y, …`.
pub(super) fn qlinear_where(call: &Call<'_>) -> Fact {
    let operands = call.dims(0).zip(call.dims(1)).zip(call.dims(4));
    let dims = operands.map(|((condition, x), y)| broadcast(&broadcast(condition, x), y));
    Fact::new(call.dtype(1), dims)
}
