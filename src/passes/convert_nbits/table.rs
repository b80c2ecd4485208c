//! A Gather of a table in blocks as GatherBlockQuantized.

use crate::analysis::constant;
use crate::ir::ops::MICROSOFT;
use crate::ir::{Attribute, Model, NodeId, ValueId};

/// A Gather that becomes a GatherBlockQuantized.
pub(super) struct Table {
    node: NodeId,
    inputs: Vec<Option<ValueId>>,
    /// The axis that is gathered, that of the blocks, and their size.
    attributes: [(&'static str, i64); 3],
}

/// Bits of the integers, and the smallest block.
const BITS: usize = 4;
const SMALLEST_BLOCK: i64 = 16;

impl Table {
    /// What a Gather becomes; nothing when its table is not stored in blocks of 4-bit integers.
    ///
    /// # Errors
    /// Why GatherBlockQuantized does not read its table.
    pub fn find(model: &Model, node: NodeId) -> Result<Option<Self>, String> {
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
        if stored.dtype().bits() != BITS || !stored.dtype().is_integer() {
            return Err(format!("GatherBlockQuantized reads no table of {}", stored.dtype()));
        }
        if block < SMALLEST_BLOCK || block & (block - 1) != 0 {
            return Err(format!("GatherBlockQuantized has powers of two from 16, not {block}"));
        }
        let axis = unpacking.attr_int("axis").unwrap_or(1);
        let mut inputs = vec![unpacking.input(0), gather.input(1), unpacking.input(1)];
        inputs.extend(unpacking.input(2).map(Some));
        let gathered = gather.attr_int("axis").unwrap_or(0);
        let attributes =
            [("gather_axis", gathered), ("quantize_axis", axis), ("block_size", block)];
        Ok(Some(Self { node, inputs, attributes }))
    }

    /// What the report says.
    pub fn text(&self) -> String {
        format!("GatherBlockQuantized of 4 bits in blocks of {}", self.attributes[2].1)
    }

    /// Puts the operator in the place of the Gather.
    pub fn apply(self, model: &mut Model) {
        let attributes = self.attributes.map(|(name, value)| Attribute::new(name, value));
        let attributes = attributes.to_vec();
        model.import(MICROSOFT, 1);
        model.turn_into(self.node, MICROSOFT, "GatherBlockQuantized", &self.inputs, attributes);
    }
}
