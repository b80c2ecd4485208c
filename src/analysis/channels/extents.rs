//! Where a shape that is an operand says an extent.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, ValueId};

/// Nested Concat nodes that are looked through; exporters use one.
const MAX_NESTING: usize = 8;

/// Where a constant says an element of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Spot {
    /// Inputs of Concat nodes, from the one that makes the shape to the one that reads the constant.
    pub slots: Vec<usize>,
    /// The element of the constant.
    pub index: usize,
}

/// Where element `index` of `operand` is said: in a constant, or in a part of a Concat that is one.
pub(super) fn spot(model: &Model, shapes: &Shapes, operand: ValueId, index: usize) -> Option<Spot> {
    let (mut value, mut spot) = (operand, Spot { slots: Vec::new(), index });
    while spot.slots.len() <= MAX_NESTING {
        if let Some(tensor) = constant(model, value) {
            return (tensor.dims().len() == 1 && spot.index < tensor.len()).then_some(spot);
        }
        let node = model.node(model.value(value).producer()?);
        if !node.is("Concat") || shapes.rank(value) != Some(1) {
            return None;
        }
        for slot in 0.. {
            let input = node.input(slot)?;
            let length = shapes.elements(input)?;
            if spot.index < length {
                spot.slots.push(slot);
                value = input;
                break;
            }
            spot.index -= length;
        }
    }
    None
}
