//! Values: what flows along the edges.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::ir::uses::Uses;
use crate::ir::{GraphId, NodeId, Sparse, TensorType, ValueType};
use crate::tensor::Tensor;

/// A named value of one graph.
#[derive(Debug, Clone)]
pub struct Value {
    pub(crate) name: SmolStr,
    pub(crate) graph: GraphId,
    /// Boxed: most values declare nothing.
    pub(crate) info: Option<Box<Info>>,
    pub(crate) def: Def,
    pub(crate) uses: Uses,
    pub(crate) alive: bool,
}

/// Declared type of a value, and what else its `ValueInfoProto` said.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Info {
    /// Declared type.
    pub ty: Option<ValueType>,
    /// Entries of `metadata_props`: key and value.
    pub metadata: Vec<(String, String)>,
    /// Encoded `ValueInfoProto` without name, type and metadata.
    pub carried: Bytes,
}

/// Where a value comes from.
#[derive(Debug, Clone)]
pub enum Def {
    /// Output `slot` of a node.
    Output {
        /// Producer.
        node: NodeId,
        /// Position among the producer's outputs.
        slot: usize,
    },
    /// A constant of the file.
    Initializer(Constant),
    /// A graph input; with a default it is an initializer that the caller may override, and
    /// therefore never a constant.
    Input {
        /// The overridable initializer.
        default: Option<Constant>,
    },
    /// Not yet known: only while a model is being read.
    Undefined,
}

/// A constant of the file.
#[derive(Debug, Clone)]
pub enum Constant {
    /// An ordinary tensor.
    Dense(Stored),
    /// One of which only some elements are stored.
    Sparse(Sparse),
}

/// A tensor with how the file stores it.
#[derive(Debug, Clone)]
pub struct Stored {
    /// The numbers.
    pub tensor: Tensor,
    /// Where in the message they stand.
    pub stored_as: StoredAs,
    /// The data lay in another file whose checksum was given; one is given again when the data is
    /// written to another file.
    pub checksum: bool,
    /// Encoded `TensorProto` without type, dims and data (and without the name of an initializer).
    pub carried: Bytes,
}

/// The field of `TensorProto` that holds the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredAs {
    /// `raw_data`.
    Raw,
    /// `float_data`, `int32_data`, … as the element type asks.
    Field,
    /// No field at all: a tensor without elements.
    Absent,
}

impl From<Tensor> for Stored {
    fn from(tensor: Tensor) -> Self {
        let stored_as = if tensor.strings().is_some() { StoredAs::Field } else { StoredAs::Raw };
        Self { tensor, stored_as, checksum: false, carried: Bytes::new() }
    }
}

/// One reason why a value is needed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Use {
    /// Input `slot` of a node, perhaps a node of an inner graph that captures the value.
    Input {
        /// Consumer.
        node: NodeId,
        /// Position among the consumer's inputs.
        slot: usize,
    },
    /// Output `slot` of a graph.
    Output {
        /// The graph.
        graph: GraphId,
        /// Position among its outputs.
        slot: usize,
    },
    /// Named by data the IR carries without modelling, e.g. a quantization annotation.
    Carried {
        /// The graph whose carried data names it.
        graph: GraphId,
    },
}

impl Value {
    /// Name, unique in its graph and the graphs around it.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The graph it belongs to.
    pub fn graph(&self) -> GraphId {
        self.graph
    }

    /// Where it comes from.
    pub fn def(&self) -> &Def {
        &self.def
    }

    /// Why it is needed; empty when it is not.
    pub fn uses(&self) -> &[Use] {
        &self.uses
    }

    /// Declared type and the rest of its declaration.
    pub fn info(&self) -> &Info {
        static NOTHING: Info = Info { ty: None, metadata: Vec::new(), carried: Bytes::new() };
        self.info.as_deref().unwrap_or(&NOTHING)
    }

    /// The declared tensor type.
    pub fn tensor_type(&self) -> Option<&TensorType> {
        match &self.info().ty {
            Some(ValueType::Tensor(ty)) => Some(ty),
            _ => None,
        }
    }

    /// The node that produces it.
    pub fn producer(&self) -> Option<NodeId> {
        match self.def {
            Def::Output { node, .. } => Some(node),
            _ => None,
        }
    }

    /// The tensor of a dense initializer that nobody can override.
    pub fn initializer(&self) -> Option<&Tensor> {
        match &self.def {
            Def::Initializer(Constant::Dense(stored)) => Some(&stored.tensor),
            _ => None,
        }
    }

    /// True when it is an output of some graph.
    pub fn is_output(&self) -> bool {
        self.uses.iter().any(|u| matches!(u, Use::Output { .. }))
    }

    /// True for graph inputs, with or without a default.
    pub fn is_input(&self) -> bool {
        matches!(self.def, Def::Input { .. })
    }

    /// The nodes that read it, with the input slot, in the order of the use list.
    pub fn consumers(&self) -> impl Iterator<Item = (NodeId, usize)> {
        self.uses.iter().filter_map(|u| match *u {
            Use::Input { node, slot } => Some((node, slot)),
            _ => None,
        })
    }

    /// The consumer when there is exactly one use and it is a node's input.
    pub fn only_consumer(&self) -> Option<(NodeId, usize)> {
        match self.uses[..] {
            [Use::Input { node, slot }] => Some((node, slot)),
            _ => None,
        }
    }
}
