//! What a DequantizeLinear of constants gives.

use crate::analysis::{constant, moved_constant};
use crate::ir::{self, Model, Node, NodeId};
use crate::tensor::{DType, Tensor};

/// Types that scales have.
const SCALES: [DType; 3] = [DType::Float, DType::Float16, DType::Bfloat16];

/// The floats of a DequantizeLinear whose inputs are all constants: one scale, one for each slice
/// along `axis`, or one for each block (ONNX DequantizeLinear, opset 10 to 25). `None` for anything
/// else. They have the type of the scales.
pub fn dequantized(model: &Model, node: NodeId) -> Option<Tensor> {
    let entry = model.node(node);
    if !entry.is("DequantizeLinear") {
        return None;
    }
    let block = usize::try_from(entry.attr_int("block_size").unwrap_or(0)).ok()?;
    if entry.attr_int("output_dtype").unwrap_or(0) != 0 {
        return None;
    }
    dequantized_from(model, entry, [0, 1, 2], entry.attr_int("axis").unwrap_or(1), block)
}

/// As [`dequantized`], of an operator that has integers, scales and zero points in these slots.
pub(super) fn dequantized_from(
    model: &Model,
    entry: &Node,
    [integers, scale, zero]: [usize; 3],
    axis: i64,
    block: usize,
) -> Option<Tensor> {
    let integers = moved_constant(model, entry.input(integers)?)?;
    let scale = constant(model, entry.input(scale)?)?;
    let zero = entry.input(zero).map(|zero| constant(model, zero));
    if !SCALES.contains(&scale.dtype()) || zero == Some(None) {
        return None;
    }
    let scales = scale.to_f32().ok()?;
    let zeros = match zero.flatten() {
        Some(zero) => zero.to_f64().ok().filter(|zeros| zeros.len() == scales.len())?,
        None => vec![0.0; scales.len()],
    };
    let dims = integers.dims();
    let index = scale_index(dims, scale.dims(), axis, block)?;
    let elements = integers.to_f64().ok()?;
    let float = |(i, q): (usize, f64)| {
        let at = index(i);
        Some((q - zeros.get(at)?) as f32 * scales.get(at)?)
    };
    let floats = elements.into_iter().enumerate().map(float).collect::<Option<Vec<f32>>>()?;
    Tensor::from_f32_as(scale.dtype(), dims, &floats).ok()
}

/// For the flat index of an element of a DequantizeLinear, the flat index of its scale; `None` when the
/// dims do not fit.
pub fn scale_index(
    dims: &[usize],
    scales: &[usize],
    axis: i64,
    block: usize,
) -> Option<impl Fn(usize) -> usize> {
    let axis = ir::position(axis, dims.len());
    let single = block == 0 && scales.iter().product::<usize>() == 1;
    let (extent, inner, blocks) = match axis {
        _ if single => (1, 1, 1),
        Some(axis) => {
            let along = if block == 0 { scales.first() } else { scales.get(axis) };
            (dims[axis].max(1), dims[axis + 1..].iter().product::<usize>().max(1), *along?)
        }
        None => return None,
    };
    let fits = single
        || block == 0 && scales == [extent]
        || block > 0 && scales.len() == dims.len() && blocks == extent.div_ceil(block);
    fits.then_some(move |i: usize| {
        let along = i / inner % extent;
        match block {
            _ if single => 0,
            0 => along,
            size => (i / inner / extent * blocks + along / size) * inner + i % inner,
        }
    })
}
