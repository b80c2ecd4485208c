//! What in a node follows the extent of an axis.

use crate::analysis::channels::extents::Spot;
use crate::analysis::channels::space::AxisId;
use crate::ir::NodeId;

/// Something beside tensors that must follow when an axis is cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Follow {
    /// An element of a shape, e.g. of the target of a Reshape, is the extent of the axis.
    Extent {
        /// The node.
        node: NodeId,
        /// Input with the shape.
        slot: usize,
        /// Where the extent is said.
        spot: Spot,
        /// The axis.
        axis: AxisId,
    },
    /// An attribute shrinks in proportion.
    Attribute {
        /// The node.
        node: NodeId,
        /// Name of the attribute.
        name: &'static str,
        /// Its value when nothing is cut.
        count: i64,
        /// The axis.
        axis: AxisId,
    },
    /// A Split of the axis names the extents of its outputs along it.
    Parts {
        /// The node.
        node: NodeId,
        /// The axis of each output; nothing for one of extent 1, or that is left out.
        parts: Vec<Result<AxisId, usize>>,
    },
    /// A Gather picks constant indices of the axis.
    Indices {
        /// The node.
        node: NodeId,
        /// The axis of the data.
        axis: AxisId,
        /// The axis of the result, index by index.
        result: AxisId,
        /// The indices, at least 0.
        indices: Vec<usize>,
    },
    /// A Slice of step 1 takes the indices `start..end` of the axis.
    Bounds {
        /// The node.
        node: NodeId,
        /// Position among the sliced axes.
        index: usize,
        /// The axis.
        axis: AxisId,
        /// First index taken.
        start: usize,
        /// Index after the last one taken.
        end: usize,
    },
}

impl Follow {
    /// The axes that it depends on.
    pub fn axes(&self) -> Vec<AxisId> {
        match self {
            Self::Extent { axis, .. }
            | Self::Attribute { axis, .. }
            | Self::Bounds { axis, .. } => {
                vec![*axis]
            }
            Self::Parts { parts, .. } => parts.iter().filter_map(|part| part.ok()).collect(),
            Self::Indices { axis, result, .. } => vec![*axis, *result],
        }
    }
}

/// A sum of products over an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Contraction {
    /// The node.
    pub node: NodeId,
    /// What is multiplied; with any of them 0 at an index, the index adds nothing.
    pub operands: Vec<Operand>,
}

/// An input of a sum of products.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Operand {
    /// Input of the node.
    pub slot: usize,
    /// Position of the axis that is summed over.
    pub axis: usize,
    /// The axis, when it is followed.
    pub id: Option<AxisId>,
}
