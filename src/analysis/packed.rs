//! Weights that operators of com.microsoft read as packed integers, as floats.

use crate::analysis::dequantize::dequantized_from;
use crate::analysis::{constant, moved_constant};
use crate::ir::ops::MICROSOFT;
use crate::ir::{Model, NodeId};
use crate::tensor::{DType, Tensor, element_count, unpack};

/// Types that scales have; the floats have the same.
const SCALES: [DType; 2] = [DType::Float, DType::Float16];

/// The matrix `[K, N]` of a MatMulNBits whose weights are constants: blocks of unsigned integers, each
/// with a scale and a zero point, the middle by default (ONNX Runtime, `com.microsoft.MatMulNBits`).
/// `None` for anything else, and for columns in another order (`g_idx`).
pub fn unpacked_matrix(model: &Model, node: NodeId) -> Option<Tensor> {
    /// The order of columns.
    const ORDER: usize = 4;
    let entry = model.node(node);
    if entry.domain() != MICROSOFT || entry.op() != "MatMulNBits" || entry.input(ORDER).is_some() {
        return None;
    }
    let attribute = |name: &str| usize::try_from(entry.attr_int(name)?).ok().filter(|&n| n > 0);
    let (inputs, outputs, block) = (attribute("K")?, attribute("N")?, attribute("block_size")?);
    let bits = attribute("bits").unwrap_or(4);
    if ![2, 4, 8].contains(&bits) {
        return None;
    }
    let blocks = inputs.div_ceil(block);
    let numbers = |slot: usize| constant(model, entry.input(slot)?);
    let packed = numbers(1).filter(|tensor| tensor.dtype() == DType::Uint8)?;
    let bytes_of_block = block.checked_mul(bits)?.div_ceil(8);
    if element_count(&[outputs, blocks, bytes_of_block]) != Some(packed.len()) {
        return None;
    }
    let scales = numbers(2).filter(|tensor| SCALES.contains(&tensor.dtype()))?;
    let (dtype, scales) = (scales.dtype(), scales.to_f32().ok()?);
    let zeros = match entry.input(3).map(|zeros| constant(model, zeros)) {
        None => vec![(1u32 << (bits - 1)) as f32; scales.len()],
        Some(zeros) => zero_points(&zeros?, outputs, blocks, bits)?,
    };
    if scales.len() != outputs.checked_mul(blocks)? || zeros.len() != scales.len() {
        return None;
    }
    let mut floats = vec![0f32; element_count(&[inputs, outputs])?];
    for (i, bytes) in packed.bytes().chunks(bytes_of_block).enumerate() {
        let (output, start) = (i / blocks, i % blocks * block);
        let integers = unpack(bytes, bits, block.min(inputs - start));
        for (j, q) in integers.into_iter().enumerate() {
            floats[(start + j) * outputs + output] = (f32::from(q) - zeros[i]) * scales[i];
        }
    }
    Tensor::from_f32_as(dtype, &[inputs, outputs], &floats).ok()
}

/// One zero point for each block: packed, each output beginning with a byte of its own, or floats.
fn zero_points(zeros: &Tensor, outputs: usize, blocks: usize, bits: usize) -> Option<Vec<f32>> {
    if zeros.dtype() != DType::Uint8 {
        return zeros.to_f32().ok();
    }
    let bytes_of_row = blocks.checked_mul(bits)?.div_ceil(8);
    if outputs.checked_mul(bytes_of_row) != Some(zeros.len()) {
        return None;
    }
    let rows = zeros.bytes().chunks(bytes_of_row);
    Some(rows.flat_map(|row| unpack(row, bits, blocks)).map(f32::from).collect())
}

/// The table that a GatherBlockQuantized reads, when it is a constant of 4-bit integers, or of bytes that hold
/// several, with constant scales (ONNX Runtime, `com.microsoft.GatherBlockQuantized`). `None` for anything else.
pub fn unpacked_table(model: &Model, node: NodeId) -> Option<Tensor> {
    /// Unless `block_size` says otherwise.
    const USUAL_BLOCK: i64 = 128;
    let entry = model.node(node);
    if entry.domain() != MICROSOFT || entry.op() != "GatherBlockQuantized" {
        return None;
    }
    let packed = moved_constant(model, entry.input(0)?)?;
    if packed.dtype() == DType::Uint8 {
        return table_of_bytes(model, node, &packed);
    }
    if ![DType::Int4, DType::Uint4].contains(&packed.dtype()) {
        return None;
    }
    let block = usize::try_from(entry.attr_int("block_size").unwrap_or(USUAL_BLOCK)).ok()?;
    let axis = entry.attr_int("quantize_axis").unwrap_or(1);
    dequantized_from(model, entry, [0, 2, 3], axis, block).filter(|_| block > 0)
}

/// The table of a GatherBlockQuantized whose rows are bytes of unsigned integers, as those of MatMulNBits are: the zero
/// point is the middle unless there are others.
fn table_of_bytes(model: &Model, node: NodeId, packed: &Tensor) -> Option<Tensor> {
    let entry = model.node(node);
    let attribute = |name: &str, usual: i64| entry.attr_int(name).unwrap_or(usual);
    let &[rows, bytes_of_row] = packed.dims() else { return None };
    let bits = usize::try_from(attribute("bits", 4)).ok().filter(|bits| [4, 8].contains(bits))?;
    let block = usize::try_from(attribute("block_size", 128)).ok().filter(|&block| block > 0)?;
    if attribute("gather_axis", 0) != 0 || ![1, -1].contains(&attribute("quantize_axis", 1)) {
        return None;
    }
    let columns = bytes_of_row.checked_mul(8)? / bits;
    let blocks = columns.div_ceil(block);
    let scales = constant(model, entry.input(2)?).filter(|s| SCALES.contains(&s.dtype()))?;
    let (dtype, scales) = (scales.dtype(), scales.to_f32().ok()?);
    let zeros = match entry.input(3).map(|zeros| constant(model, zeros)) {
        None => vec![(1u32 << (bits - 1)) as f32; scales.len()],
        Some(zeros) => zero_points(&zeros?, rows, blocks, bits)?,
    };
    if scales.len() != rows.checked_mul(blocks)? || zeros.len() != scales.len() {
        return None;
    }
    let mut floats = Vec::with_capacity(rows.checked_mul(columns)?);
    for (row, bytes) in packed.bytes().chunks(bytes_of_row.max(1)).enumerate() {
        let integers = unpack(bytes, bits, columns);
        floats.extend(integers.into_iter().enumerate().map(|(column, q)| {
            let part = row * blocks + column / block;
            (f32::from(q) - zeros[part]) * scales[part]
        }));
    }
    Tensor::from_f32_as(dtype, &[rows, columns], &floats).ok()
}
