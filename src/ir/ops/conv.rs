//! Conv and ConvTranspose.

use crate::ir::{Model, NodeId, ValueId};

/// A Conv or ConvTranspose node.
///
/// Weights are `[M, C/group, k1, …]` (output channels, input channels of a group, kernel) for Conv
/// and `[C, M/group, k1, …]` for ConvTranspose.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Conv {
    /// Input `[N, C, d1, …]`.
    pub x: ValueId,
    /// Weights.
    pub w: ValueId,
    /// Bias `[M]`.
    pub b: Option<ValueId>,
    /// Output `[N, M, o1, …]`.
    pub y: ValueId,
    /// Number of groups; 1 by default.
    pub group: usize,
    /// True for ConvTranspose.
    pub transposed: bool,
}

impl Conv {
    /// The view, when `node` is a well-formed Conv or ConvTranspose.
    pub fn of(model: &Model, node: NodeId) -> Option<Self> {
        let n = model.node(node);
        if !n.is("Conv") && !n.is("ConvTranspose") {
            return None;
        }
        Some(Self {
            x: n.input(0)?,
            w: n.input(1)?,
            b: n.input(2),
            y: n.only_output()?,
            group: usize::try_from(n.attr_int("group").unwrap_or(1)).ok().filter(|&g| g > 0)?,
            transposed: n.op() == "ConvTranspose",
        })
    }

    /// The weight axis whose slices belong to one output channel: 0 for Conv. For ConvTranspose
    /// it is 1, and output channel `m` of group `g` is slice `m` of the rows of that group.
    pub fn output_axis(&self) -> usize {
        usize::from(self.transposed)
    }
}
