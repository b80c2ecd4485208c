//! A product with a stored matrix as MatMulNBits.

use std::collections::HashMap;

use crate::analysis::{Shapes, turned};
use crate::ir::ops::{Gemm, MICROSOFT};
use crate::ir::{At, Attribute, Model, NewNode, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::rewrite::shared_constants::SharedConstants;
use crate::passes::rewrite::summand::Summand;
use crate::passes::stored::Gridded;
use crate::tensor::{DType, Tensor, pack};

/// A layer that becomes a MatMulNBits.
pub(super) struct Product {
    node: NodeId,
    x: ValueId,
    summand: Option<Summand>,
    /// Extents of the matrix: what is summed, and outputs.
    extents: [usize; 2],
    bits: usize,
    block: usize,
    name: String,
    /// The integers, and whether they stand output by output.
    stored: (ValueId, bool),
    /// `[outputs, blocks, bytes of a block]`.
    packed: Tensor,
    /// `[outputs, blocks]`.
    scales: Tensor,
    /// The same without the factor of the product.
    own_scales: Tensor,
    /// `[outputs, bytes]`; nothing when all are in the middle.
    zero_points: Option<Tensor>,
}

/// What was made so far: what several operators read is made once.
#[derive(Default)]
pub(super) struct Made {
    /// Packed integers by those before, and whether these stood output by output.
    pub packed: HashMap<(ValueId, bool), ValueId>,
    /// Scales of packed integers, without factors of products.
    pub scales: HashMap<ValueId, Tensor>,
    /// Packed integers with the bytes of each output in a row.
    pub rows: HashMap<ValueId, ValueId>,
    /// Scales and zero points.
    pub constants: SharedConstants,
}

/// Blocks that MatMulNBits has.
const BLOCKS: std::ops::RangeInclusive<usize> = 16..=256;
/// Blocks of 2 bits for which ONNX Runtime has a kernel; others it unpacks in every run.
const BLOCKS_OF_2_BITS: std::ops::RangeInclusive<usize> = 32..=128;
/// What ONNX Runtime sets for the same product behind a DequantizeLinear: inputs are rounded to 8 bits for
/// each block. Without, it has kernels that compute with floats for 4 bits alone.
const ACCURACY_LEVEL: (&str, i64) = ("accuracy_level", 4);
/// Elements of a matrix from which rounding inputs is worth it for 4 bits: from one third of the time for large
/// ones to one and a half for small ones, with 1 to 128 rows.
const WORTH_ROUNDING: usize = 1 << 16;

impl Product {
    /// What a layer becomes; nothing when it has no matrix that is stored as integers of few bits.
    ///
    /// # Errors
    /// Why its matrix is nothing for MatMulNBits.
    pub fn find(model: &Model, node: NodeId, shapes: &Shapes) -> Result<Option<Self>, String> {
        let gemm = Gemm::of(model, node);
        let entry = model.node(node);
        let (Some(x), Some(floats)) = (entry.input(0), entry.input(1)) else { return Ok(None) };
        let turned = turned(model, floats).filter(|_| gemm.is_none());
        let floats = turned.map_or(floats, |(_, before)| before);
        let Some(stored) = Gridded::of(model, floats)? else { return Ok(None) };
        let dtype = stored.tensor.dtype();
        let bits = dtype.bits();
        if bits > 8 || bits == 8 && stored.block == 0 {
            return Ok(None);
        }
        let &[first, second] = stored.tensor.dims() else {
            return Err("MatMulNBits multiplies with matrices".into());
        };
        if gemm.as_ref().is_some_and(|gemm| gemm.trans_a) || shapes.rank(x) == Some(1) {
            return Err("MatMulNBits reads rows".into());
        }
        if ![DType::Float, DType::Float16].contains(&stored.dtype) {
            return Err(format!("MatMulNBits multiplies no {}", stored.dtype));
        }
        let by_rows = gemm.as_ref().is_some_and(|gemm| gemm.trans_b) || turned.is_some();
        let extents = if by_rows { [second, first] } else { [first, second] };
        let [inputs, outputs] = extents;
        let block = match stored.block {
            0 => inputs.next_power_of_two().max(*BLOCKS.start()),
            block => block,
        };
        if !block.is_power_of_two() || !BLOCKS.contains(&block) {
            return Err(format!("MatMulNBits has blocks of 16 to 256, powers of two, not {block}"));
        }
        if bits == 2 && !BLOCKS_OF_2_BITS.contains(&block) {
            return Err(format!("MatMulNBits is slow for 2 bits in blocks of {block}"));
        }
        let input_axis = usize::from(by_rows);
        let shared = stored.grids.len() == 1 || stored.block == 0 && stored.axis != input_axis;
        if !shared && (stored.axis != input_axis || stored.block != block) {
            return Err("its scales are not those of blocks of inputs".into());
        }
        let blocks = inputs.div_ceil(block);
        if !all_packed(model, floats, by_rows, inputs.is_multiple_of(block) && bits >= 4) {
            return Err(
                "its integers are read by other nodes, too, and would be in the file twice".into(),
            );
        }
        let index = stored.index()?;
        let at = |input: usize, output: usize| match by_rows {
            true => output * inputs + input,
            false => input * outputs + output,
        };
        let grid = |i: usize| stored.grids[index(at(i % blocks * block, i / blocks))];
        let grids: Vec<Grid> = (0..outputs * blocks).map(grid).collect();
        let middle = 1i32 << (bits - 1);
        // The lowest number becomes 0: the sign bit is turned.
        let signed = [DType::Int8, DType::Int4, DType::Int2].contains(&dtype);
        let raise = if signed { middle } else { 0 };
        let zeros: Vec<u8> = grids.iter().map(|grid| (grid.zero_point + raise) as u8).collect();
        let layout = Layout { by_rows, extents, block, turn: raise as u8 };
        let packed = match layout.nibbles(&stored.tensor) {
            Some(packed) => packed,
            None => layout.packed(&stored.tensor, &zeros).ok_or("its integers cannot be read")?,
        };
        let alpha = gemm.as_ref().map_or(1.0, |gemm| gemm.alpha);
        let scales = |factor: f32| {
            let scales: Vec<f32> = grids.iter().map(|grid| grid.scale * factor).collect();
            let stored = Tensor::from_f32_as(stored.dtype, &[outputs, blocks], &scales);
            stored.map_err(|_| "its scales cannot be stored")
        };
        let (own_scales, scales) = (scales(1.0)?, scales(alpha)?);
        let centred = zeros.iter().all(|&zero| i32::from(zero) == middle);
        let of_rows = |row: &[u8]| pack(row, bits);
        let zeros: Vec<u8> = zeros.chunks(blocks).flat_map(of_rows).collect();
        Ok(Some(Self {
            node,
            x,
            summand: gemm.and_then(|gemm| Summand::of_gemm(model, &gemm)),
            extents,
            bits,
            block,
            name: model.value(stored.value).name().to_owned(),
            stored: (stored.value, by_rows),
            packed: Tensor::from_u8(&[outputs, blocks, block * bits / 8], &packed),
            scales,
            own_scales,
            zero_points: (!centred)
                .then(|| Tensor::from_u8(&[outputs, zeros.len() / outputs], &zeros)),
        }))
    }

    /// What the report says.
    pub fn text(&self) -> String {
        format!("MatMulNBits of {} bits in blocks of {}", self.bits, self.block)
    }

    /// Puts the operator in the place of the layer; the last node has its name and output.
    pub fn apply(self, model: &mut Model, made: &mut Made) {
        let main = model.main();
        let packed = *made.packed.entry(self.stored).or_insert_with(|| {
            model.add_initializer(main, &format!("{}_packed", self.name), self.packed)
        });
        made.scales.insert(packed, self.own_scales);
        let scales = made.constants.value(model, "scale", self.scales);
        let mut inputs = vec![Some(self.x), Some(packed), Some(scales)];
        let zeros = self.zero_points;
        inputs.extend(zeros.map(|zeros| Some(made.constants.value(model, "zero_point", zeros))));
        let [sums, columns] = self.extents;
        let mut attributes = vec![
            ("K", sums as i64),
            ("N", columns as i64),
            ("bits", self.bits as i64),
            ("block_size", self.block as i64),
        ];
        if self.bits != 4 || sums * columns >= WORTH_ROUNDING {
            attributes.push(ACCURACY_LEVEL);
        }
        let attributes: Vec<Attribute> =
            attributes.into_iter().map(|(name, value)| Attribute::new(name, value)).collect();
        model.import(MICROSOFT, 1);
        let Some(summand) = self.summand else {
            return model.turn_into(self.node, MICROSOFT, "MatMulNBits", &inputs, attributes);
        };
        let summand = summand.value(model, self.node);
        let graph = model.node(self.node).graph();
        let name = model.node(self.node).output(0).map(|y| model.value(y).name().to_owned());
        let product = NewNode {
            op: "MatMulNBits".to_owned(),
            domain: MICROSOFT.to_owned(),
            inputs,
            outputs: vec![format!("{}_product", name.unwrap_or_default())],
            attributes,
            ..NewNode::default()
        };
        let product = model.add_node(graph, At::Before(self.node), product);
        let product = model.node(product).only_output();
        model.turn_into(self.node, "", "Add", &[product, Some(summand)], Vec::new());
    }
}

/// Whether all that read a matrix of floats can read the same packed integers: products in which outputs are the
/// same axis, and, where blocks are whole and outputs come first, a Gather of rows.
fn all_packed(model: &Model, floats: ValueId, by_rows: bool, whole: bool) -> bool {
    let entry = model.value(floats);
    let reads = |(node, slot): (NodeId, usize)| {
        let reader = model.node(node);
        match reader.op() {
            "Gather" => by_rows && whole && slot == 0 && reads_rows(model, node),
            "MatMul" => slot == 1 && !by_rows,
            "Gemm" => {
                let turned = Gemm::of(model, node).map(|gemm| (gemm.trans_a, gemm.trans_b));
                slot == 1 && turned == Some((false, by_rows))
            }
            "Transpose" => reader.only_output().is_some_and(|output| {
                let mut readers = model.value(output).consumers();
                let alone = !model.value(output).is_output();
                by_rows
                    && alone
                    && readers.all(|(node, slot)| model.node(node).is("MatMul") && slot == 1)
            }),
            _ => false,
        }
    };
    entry.consumers().count() == entry.uses().len() && entry.consumers().all(reads)
}

/// A Gather of rows in the main graph.
pub(super) fn reads_rows(model: &Model, gather: NodeId) -> bool {
    let node = model.node(gather);
    node.graph() == model.main() && node.attr_int("axis").unwrap_or(0) == 0
}

/// How the integers of a matrix are stored, and how MatMulNBits wants them: output by output.
struct Layout {
    /// They are stored that way.
    by_rows: bool,
    /// What is summed, and outputs.
    extents: [usize; 2],
    block: usize,
    /// Bits that are turned, so that the lowest number becomes 0.
    turn: u8,
}

impl Layout {
    /// Packed; the last block of each output is filled up with its zero point.
    fn packed(&self, stored: &Tensor, zeros: &[u8]) -> Option<Vec<u8>> {
        let [inputs, outputs] = self.extents;
        let mut integers = stored.small_integers()?;
        integers.iter_mut().for_each(|q| *q ^= self.turn);
        let rows = if self.by_rows { integers } else { transposed(&integers, inputs, outputs) };
        Some(pack(&padded(rows, inputs, self.block, zeros), stored.dtype().bits()))
    }

    /// The same of 4 bits without unpacking them; nothing when rows do not begin with bytes, or blocks are to be
    /// filled up.
    fn nibbles(&self, stored: &Tensor) -> Option<Vec<u8>> {
        let [inputs, outputs] = self.extents;
        let whole = inputs.is_multiple_of(self.block);
        let even = self.by_rows || outputs.is_multiple_of(2);
        if stored.dtype().bits() != 4
            || !whole
            || !even
            || stored.bytes().len() * 2 != inputs * outputs
        {
            return None;
        }
        let mut bytes = match self.by_rows {
            true => stored.bytes().to_vec(),
            false => transposed_nibbles(stored.bytes(), inputs, outputs),
        };
        let turn = self.turn << 4 | self.turn;
        bytes.iter_mut().for_each(|byte| *byte ^= turn);
        Some(bytes)
    }
}

/// Like [`transposed`], of two elements in each byte, the first in its low half; both extents are even.
fn transposed_nibbles(bytes: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let (height, width) = (rows / 2, columns / 2);
    let mut turned = vec![0; bytes.len()];
    for first in (0..height).step_by(TILE) {
        let end = height.min(first + TILE);
        for start in (0..width).step_by(TILE) {
            for column in start..width.min(start + TILE) {
                let (even, odd) = turned[2 * column * height..][..2 * height].split_at_mut(height);
                let mut from = bytes[2 * first * width + column..].iter().step_by(width);
                for (even, odd) in even[first..end].iter_mut().zip(&mut odd[first..end]) {
                    let (Some(&upper), Some(&lower)) = (from.next(), from.next()) else { break };
                    *even = upper & 0xf | lower << 4;
                    *odd = upper >> 4 | lower & 0xf0;
                }
            }
        }
    }
    turned
}

/// Elements of a tile that is turned at once: it stays in the nearest cache.
const TILE: usize = 64;

/// A matrix of `rows` and `columns`, column by column.
fn transposed(elements: &[u8], rows: usize, columns: usize) -> Vec<u8> {
    let mut turned = vec![0; elements.len()];
    for first in (0..rows).step_by(TILE) {
        let end = rows.min(first + TILE);
        for start in (0..columns).step_by(TILE) {
            for column in start..columns.min(start + TILE) {
                let to = &mut turned[column * rows + first..column * rows + end];
                let from = elements[first * columns + column..].iter().step_by(columns);
                to.iter_mut().zip(from).for_each(|(to, &from)| *to = from);
            }
        }
    }
    turned
}

/// Rows of `inputs` elements, the last block of each filled up with its zero point.
fn padded(rows: Vec<u8>, inputs: usize, block: usize, zeros: &[u8]) -> Vec<u8> {
    let blocks = inputs.div_ceil(block);
    if inputs == blocks * block {
        return rows;
    }
    let last = zeros.iter().skip(blocks - 1).step_by(blocks);
    let fill = |(row, &zero): (&[u8], &u8)| {
        let missing = blocks * block - inputs;
        row.iter().copied().chain(std::iter::repeat_n(zero, missing)).collect::<Vec<u8>>()
    };
    rows.chunks(inputs).zip(last).flat_map(fill).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn matrices_are_turned_and_filled_up() {
        let (rows, columns) = (TILE + 3, 2 * TILE + 1);
        let elements: Vec<u8> = (0..rows * columns).map(|i| (i * 7 % 251) as u8).collect();
        let turned = transposed(&elements, rows, columns);
        let at = |i: usize| elements[i % rows * columns + i / rows];
        assert_eq!(turned, (0..rows * columns).map(at).collect::<Vec<u8>>());
        assert_eq!(padded(vec![1, 2, 3, 4, 5, 6], 3, 2, &[7, 8, 9, 10]), [1, 2, 3, 8, 4, 5, 6, 10]);
    }
    #[test]
    fn nibbles_are_packed_as_other_integers() {
        for (inputs, outputs) in [(160, 2 * TILE + 2), (2 * TILE + 32, 6), (32, 2)] {
            for (by_rows, dtype) in [(false, DType::Int4), (true, DType::Uint4)] {
                let dims = if by_rows { [outputs, inputs] } else { [inputs, outputs] };
                let elements: Vec<u8> = (0..inputs * outputs).map(|i| (i * 7 % 16) as u8).collect();
                let stored = Tensor::from_small_integers(dtype, &dims, &elements);
                let layout = Layout { by_rows, extents: [inputs, outputs], block: 32, turn: 8 };
                let found = layout.nibbles(&stored);
                assert_eq!(found, layout.packed(&stored, &[]), "{inputs} {outputs} {dtype}");
                assert!(found.is_some());
            }
        }
        let odd = Tensor::from_small_integers(DType::Int4, &[32, 3], &[1; 96]);
        let layout = Layout { by_rows: false, extents: [32, 3], block: 32, turn: 8 };
        assert_eq!(layout.nibbles(&odd), None);
    }
}
