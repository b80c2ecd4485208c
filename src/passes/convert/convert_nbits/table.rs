//! A Gather of a table in blocks as GatherBlockQuantized.

use crate::analysis::constant;
use crate::ir::ops::MICROSOFT;
use crate::ir::{At, Attribute, Model, NewNode, NodeId, ValueId};
use crate::passes::convert::convert_nbits::product::{Made, reads_rows};
use crate::passes::stored::Unpacking;
use crate::tensor::Tensor;

/// A Gather that becomes a GatherBlockQuantized.
pub(super) struct Table {
    node: NodeId,
    inputs: Vec<Option<ValueId>>,
    /// The axis that is gathered, that of the blocks, and their size.
    attributes: [(&'static str, i64); 3],
    /// Bits of the integers where bytes hold them, the extents of these bytes, and the scales.
    bytes: Option<(usize, [i64; 2], Tensor)>,
}

/// Bits of the integers, and the smallest block.
const BITS: usize = 4;
const SMALLEST_BLOCK: i64 = 16;

impl Table {
    /// What a Gather becomes; nothing when its table is not stored in blocks of integers.
    ///
    /// # Errors
    /// Why GatherBlockQuantized does not read its table.
    pub fn find(model: &Model, node: NodeId, made: &Made) -> Result<Option<Self>, String> {
        let gather = model.node(node);
        let table = gather.input(0).and_then(|table| model.value(table).producer());
        let Some(unpacking) = table.map(|table| model.node(table)) else { return Ok(None) };
        let block = unpacking.attr_int("block_size").unwrap_or(0);
        let stored = unpacking.input(0).and_then(|stored| constant(model, stored));
        let Some(stored) = stored.filter(|_| unpacking.is("DequantizeLinear") && block > 0) else {
            return Ok(None);
        };
        let constants = unpacking.inputs().iter().flatten();
        if constants.copied().any(|value| constant(model, value).is_none()) {
            return Ok(None);
        }
        if let Some(packed) = Self::beside_product(model, node, made) {
            return Ok(Some(packed));
        }
        if stored.dtype().bits() != BITS || !stored.dtype().is_integer() {
            return Err(format!("GatherBlockQuantized reads no table of {}", stored.dtype()));
        }
        if block < SMALLEST_BLOCK || block & (block - 1) != 0 {
            return Err(format!("GatherBlockQuantized has powers of two from 16, not {block}"));
        }
        let rank = stored.dims().len() as i64;
        let along = |axis: i64| if axis < 0 { axis + rank } else { axis };
        let axis = unpacking.attr_int("axis").unwrap_or(1);
        let gathered = gather.attr_int("axis").unwrap_or(0);
        if along(axis) == along(gathered) {
            return Err("GatherBlockQuantized has no blocks along the axis that is gathered".into());
        }
        let mut inputs = vec![unpacking.input(0), gather.input(1), unpacking.input(1)];
        inputs.extend(unpacking.input(2).map(Some));
        let attributes =
            [("gather_axis", gathered), ("quantize_axis", axis), ("block_size", block)];
        Ok(Some(Self { node, inputs, attributes, bytes: None }))
    }

    /// Rows of the integers that were packed for a MatMulNBits, if they were of those.
    fn beside_product(model: &Model, node: NodeId, made: &Made) -> Option<Self> {
        let gather = model.node(node);
        let unpacking = Unpacking::of(model, gather.input(0)?)?;
        let &packed = made.packed.get(&(unpacking.integers, true))?;
        let (product, _) = model
            .value(packed)
            .consumers()
            .find(|&(node, slot)| model.node(node).op() == "MatMulNBits" && slot == 1)?;
        let product = model.node(product);
        let &[rows, blocks, bytes] = model.value(packed).initializer()?.dims() else { return None };
        let attribute = |name: &str| product.attr_int(name);
        let (bits, block) = (attribute("bits")?, attribute("block_size")?);
        let whole = attribute("K")? % block == 0;
        if !reads_rows(model, node) || !whole {
            return None;
        }
        let scales = made.scales.get(&packed)?.clone();
        let mut inputs = vec![Some(packed), gather.input(1), product.input(2)];
        inputs.extend(product.input(3).map(Some));
        let attributes = [("gather_axis", 0), ("quantize_axis", 1), ("block_size", block)];
        let dims = [rows as i64, (blocks * bytes) as i64];
        let bytes = Some((usize::try_from(bits).ok()?, dims, scales));
        Some(Self { node, inputs, attributes, bytes })
    }

    /// What the report says.
    pub fn text(&self) -> String {
        let bits = self.bytes.as_ref().map_or(BITS, |(bits, ..)| *bits);
        let shared = if self.bytes.is_some() { ", which a product reads, too" } else { "" };
        format!("GatherBlockQuantized of {bits} bits in blocks of {}{shared}", self.attributes[2].1)
    }

    /// Puts the operator in the place of the Gather.
    pub fn apply(mut self, model: &mut Model, made: &mut Made) {
        let attributes = self.attributes.map(|(name, value)| Attribute::new(name, value));
        let mut attributes = attributes.to_vec();
        if let Some((bits, dims, scales)) = self.bytes {
            self.inputs[2] = Some(made.constants.value(model, "scale", scales));
            attributes.push(Attribute::new("bits", bits as i64));
            let shape = Tensor::from_i64(&[dims.len()], &dims);
            let shape = made.constants.value(model, "shape", shape);
            self.inputs[0] = self.inputs[0].map(|packed| made.rows(model, packed, shape));
        }
        model.import(MICROSOFT, 1);
        model.turn_into(self.node, MICROSOFT, "GatherBlockQuantized", &self.inputs, attributes);
    }
}

impl Made {
    /// Packed integers with the bytes of each output in a row: a runtime does that once, when it loads the model.
    fn rows(&mut self, model: &mut Model, packed: ValueId, shape: ValueId) -> ValueId {
        *self.rows.entry(packed).or_insert_with(|| {
            let name = format!("{}_rows", model.value(packed).name());
            let node = NewNode::new("Reshape", &[packed, shape], &name);
            let node = NewNode { name: String::new(), ..node };
            let node = model.add_node(model.main(), At::Start, node);
            model.node(node).only_output().unwrap_or(packed)
        })
    }
}
