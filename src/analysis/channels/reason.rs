//! Why something cannot be cut.

use std::fmt;

use crate::ir::NodeId;

/// Why a set of elements cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frozen {
    /// The reason.
    pub reason: Reason,
    /// The node that gives it.
    pub node: Option<NodeId>,
}

/// Why something cannot be cut.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// It is an input of the model.
    Input,
    /// It is an output of the model.
    Output,
    /// Only some of its elements are stored.
    Sparse,
    /// A body of a control-flow node reads it.
    Captured,
    /// Carried data mentions it, or the user keeps it.
    Pinned,
    /// An operator without a rule reads or makes it.
    Operator(String),
    /// The operator has a rule, but not for this form of the node, or for open extents.
    Declined(String),
    /// The operator has a rule, which does not carry this axis: it counts positions, not channels.
    Positions(String),
    /// A value along the axis depends on all others: softmax, sorting, sums.
    Mixed(String),
    /// The statistics of a normalisation are taken over the axis, so that the others would change.
    Statistics(String),
    /// The extent is computed in the model, not constant.
    Computed,
    /// The extent is unknown in one place, or too large to be followed.
    Open,
    /// A change of form mixes the axis with others.
    Form,
    /// The axis is a factor of one of which another factor is cut.
    Factor,
    /// All indices hang together.
    Whole,
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Input => f.write_str("an input of the model"),
            Self::Output => f.write_str("an output of the model"),
            Self::Sparse => f.write_str("stored sparsely"),
            Self::Captured => f.write_str("read in a body"),
            Self::Pinned => f.write_str("kept, or mentioned by carried data"),
            Self::Operator(op) => write!(f, "no rule for {op}"),
            Self::Declined(op) => {
                write!(f, "{op} in a form, or with open extents, that has no rule")
            }
            Self::Positions(op) => write!(f, "positions of {op}"),
            Self::Mixed(op) => write!(f, "{op} mixes the elements"),
            Self::Statistics(op) => write!(f, "statistics of {op}"),
            Self::Computed => f.write_str("the extent is computed"),
            Self::Open => f.write_str("the extent is open or too large"),
            Self::Form => f.write_str("a change of form mixes it with other axes"),
            Self::Factor => f.write_str("another factor of the same axis is cut"),
            Self::Whole => f.write_str("all indices hang together"),
        }
    }
}
