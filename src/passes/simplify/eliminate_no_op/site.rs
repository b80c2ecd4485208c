//! What a row of the table sees.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, Node};
use crate::tensor::{DType, Tensor};

/// A node with what is known about its values.
pub(super) struct Site<'a> {
    pub model: &'a Model,
    pub node: &'a Node,
    pub shapes: &'a Shapes,
}

impl Site<'_> {
    /// Version of the default operator set.
    pub fn opset(&self) -> i64 {
        self.model.opset_in_force()
    }

    /// The constant in an input.
    pub fn constant(&self, slot: usize) -> Option<Tensor> {
        constant(self.model, self.node.input(slot)?)
    }

    /// A list of integers: an attribute in older operator sets, a constant input in newer ones.
    pub fn ints(&self, attribute: &str, slot: usize) -> Option<Vec<i64>> {
        match self.node.attr_ints(attribute) {
            Some(ints) => Some(ints.to_vec()),
            None => self.constant(slot)?.to_i64().ok(),
        }
    }

    /// Element type of an input.
    pub fn dtype(&self, slot: usize) -> Option<DType> {
        self.shapes.dtype(self.node.input(slot)?)
    }

    /// True when the output surely has the extents of input `slot`.
    pub fn keeps_extents(&self, slot: usize) -> bool {
        let (Some(input), Some(output)) = (self.node.input(slot), self.node.output(0)) else {
            return false;
        };
        self.shapes.same_dims(input, output)
    }

    /// True when input `slot` is a constant that holds only `wanted`, and broadcasting it leaves the
    /// extents of the other of two operands as they are.
    pub fn neutral(&self, slot: usize, wanted: impl Fn(f64) -> bool) -> bool {
        let other = 1 - slot;
        let Some(tensor) = self.constant(slot) else { return false };
        let all = tensor.to_f64().is_ok_and(|xs| !xs.is_empty() && xs.into_iter().all(wanted));
        let rank = self.node.input(other).and_then(|value| self.shapes.rank(value));
        let scalar = tensor.len() == 1 && rank.is_some_and(|rank| tensor.dims().len() <= rank);
        all && self.opset() >= 7
            && (scalar || tensor.dims().is_empty() || self.keeps_extents(other))
    }
}
