//! BatchNormalization.

use crate::ir::{Model, NodeId, ValueId};

/// `y = scale · (x - mean) / sqrt(var + epsilon) + bias`, per channel (axis 1), in inference mode.
#[derive(Debug, Clone, PartialEq)]
pub struct BatchNorm {
    /// Input `[N, C, d1, …]`.
    pub x: ValueId,
    /// Factor `[C]`.
    pub scale: ValueId,
    /// Offset `[C]`.
    pub bias: ValueId,
    /// Running mean `[C]`.
    pub mean: ValueId,
    /// Running variance `[C]`.
    pub var: ValueId,
    /// Output, same shape as the input.
    pub y: ValueId,
    /// Added to the variance; 1e-5 by default.
    pub epsilon: f32,
}

impl BatchNorm {
    /// The view, when `node` is a BatchNormalization in inference mode: one output, no
    /// `training_mode` (opset 14), no `is_test = 0` (below opset 7), no `spatial = 0` (below 9).
    pub fn of(model: &Model, node: NodeId) -> Option<Self> {
        let n = model.node(node);
        let training = n.attr_int("training_mode").unwrap_or(0) != 0;
        let per_element = n.attr_int("spatial") == Some(0);
        let old = model.opset_in_force() < 7 && n.attr_int("is_test").unwrap_or(0) == 0;
        if !n.is("BatchNormalization") || training || per_element || old {
            return None;
        }
        Some(Self {
            x: n.input(0)?,
            scale: n.input(1)?,
            bias: n.input(2)?,
            mean: n.input(3)?,
            var: n.input(4)?,
            y: n.only_output()?,
            epsilon: n.attr_float("epsilon").unwrap_or(1e-5),
        })
    }
}
