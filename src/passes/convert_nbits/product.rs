//! A product with a stored matrix as MatMulNBits.

use crate::analysis::Shapes;
use crate::ir::ops::{Gemm, MICROSOFT};
use crate::ir::{At, Attribute, Model, NewNode, NodeId, ValueId};
use crate::passes::stored::StoredWeight;
use crate::passes::summand::Summand;
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
    /// `[outputs, blocks, bytes of a block]`.
    packed: Tensor,
    /// `[outputs, blocks]`.
    scales: Tensor,
    /// `[outputs, bytes]`; nothing when all are in the middle.
    zero_points: Option<Tensor>,
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
        let Some(stored) = StoredWeight::behind(model, floats)? else { return Ok(None) };
        let Some((value, dtype)) = stored.on_grids() else { return Ok(None) };
        let bits = dtype.bits();
        if bits > 8 || bits == 8 && stored.block == 0 {
            return Ok(None);
        }
        let &[first, second] = &stored.dims[..] else {
            return Err("MatMulNBits multiplies with matrices".into());
        };
        if gemm.as_ref().is_some_and(|gemm| gemm.trans_a) || shapes.rank(x) == Some(1) {
            return Err("MatMulNBits reads rows".into());
        }
        let by_rows = gemm.as_ref().is_some_and(|gemm| gemm.trans_b);
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
        let at = |input: usize, output: usize| match by_rows {
            true => output * inputs + input,
            false => input * outputs + output,
        };
        let grids = grids(&stored, extents, block, at)?;
        let middle = 1i32 << (bits - 1);
        let signed = [DType::Int8, DType::Int4, DType::Int2].contains(&dtype);
        let raise = if signed { middle } else { 0 };
        let zeros: Vec<u8> = grids
            .iter()
            .map(|&grid| (stored.points.grids()[grid].zero_point + raise) as u8)
            .collect();
        let blocks = inputs.div_ceil(block);
        let integer = |i: usize| {
            let (output, input) = (i / (blocks * block), i % (blocks * block));
            match input < inputs {
                true => (stored.integers[at(input, output)] + raise) as u8,
                false => zeros[output * blocks + input / block],
            }
        };
        let integers: Vec<u8> = (0..outputs * blocks * block).map(integer).collect();
        let alpha = gemm.as_ref().map_or(1.0, |gemm| gemm.alpha);
        let scales: Vec<f32> =
            grids.iter().map(|&grid| stored.points.grids()[grid].scale * alpha).collect();
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
            name: model.value(value).name().to_owned(),
            packed: Tensor::from_u8(&[outputs, blocks, block * bits / 8], &pack(&integers, bits)),
            scales: Tensor::from_f32(&[outputs, blocks], &scales),
            zero_points: (!centred)
                .then(|| Tensor::from_u8(&[outputs, zeros.len() / outputs], &zeros)),
        }))
    }

    /// What the report says.
    pub fn text(&self) -> String {
        format!("MatMulNBits of {} bits in blocks of {}", self.bits, self.block)
    }

    /// Puts the operator in the place of the layer; the last node has its name and output.
    pub fn apply(self, model: &mut Model) {
        let main = model.main();
        let mut inputs = vec![
            Some(self.x),
            Some(model.add_initializer(main, &format!("{}_packed", self.name), self.packed)),
            Some(model.add_initializer(main, "scale", self.scales)),
        ];
        let zeros = self.zero_points;
        inputs.extend(zeros.map(|zeros| Some(model.add_initializer(main, "zero_point", zeros))));
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

/// For each output and block the index of its grid.
fn grids(
    stored: &StoredWeight,
    [inputs, outputs]: [usize; 2],
    block: usize,
    at: impl Fn(usize, usize) -> usize,
) -> Result<Vec<usize>, String> {
    let mut grids = Vec::with_capacity(outputs * inputs.div_ceil(block));
    for output in 0..outputs {
        for start in (0..inputs).step_by(block) {
            let grid = stored.part_of[at(start, output)];
            let end = inputs.min(start + block);
            if (start..end).any(|input| stored.part_of[at(input, output)] != grid) {
                return Err("its scales are not those of blocks of inputs".into());
            }
            grids.push(grid as usize);
        }
    }
    Ok(grids)
}
