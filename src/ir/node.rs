//! Nodes: operators applied to values.

use bytes::Bytes;
use smallvec::SmallVec;
use smol_str::SmolStr;

use crate::ir::{AttrValue, Attribute, GraphId, NodeId, ValueId};
use crate::tensor::Tensor;

/// Inputs or outputs of a node; up to four need no memory of their own.
pub(crate) type Slots = SmallVec<[Option<ValueId>; 4]>;

/// An operator with its inputs, outputs and attributes.
#[derive(Debug, Clone)]
pub struct Node {
    pub(crate) name: SmolStr,
    pub(crate) domain: SmolStr,
    pub(crate) op: SmolStr,
    pub(crate) overload: SmolStr,
    pub(crate) graph: GraphId,
    pub(crate) inputs: Slots,
    pub(crate) outputs: Slots,
    pub(crate) attributes: Vec<Attribute>,
    pub(crate) metadata: Vec<(String, String)>,
    pub(crate) carried: Bytes,
    pub(crate) prev: Option<NodeId>,
    pub(crate) next: Option<NodeId>,
    pub(crate) alive: bool,
}

impl Node {
    /// A node of `graph` of which nothing is known yet.
    pub(crate) fn empty(graph: GraphId) -> Self {
        Self {
            name: SmolStr::default(),
            domain: SmolStr::default(),
            op: SmolStr::default(),
            overload: SmolStr::default(),
            graph,
            inputs: Slots::new(),
            outputs: Slots::new(),
            attributes: Vec::new(),
            metadata: Vec::new(),
            carried: Bytes::new(),
            prev: None,
            next: None,
            alive: true,
        }
    }

    /// Name; may be empty and need not be unique.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Operator type as written.
    pub fn op(&self) -> &str {
        &self.op
    }

    /// Domain as written; both `""` and `ai.onnx` are the default domain.
    pub fn domain(&self) -> &str {
        &self.domain
    }

    /// Which of the model-local functions of this name it calls; mostly empty.
    pub fn overload(&self) -> &str {
        &self.overload
    }

    /// The graph it stands in.
    pub fn graph(&self) -> GraphId {
        self.graph
    }

    /// True for operator `op` of the default domain.
    pub fn is(&self, op: &str) -> bool {
        self.op == op && self.is_standard()
    }

    /// True for operators of the default domain.
    pub fn is_standard(&self) -> bool {
        matches!(self.domain.as_str(), "" | "ai.onnx")
    }

    /// Inputs in order; `None` where an optional input is left out.
    pub fn inputs(&self) -> &[Option<ValueId>] {
        &self.inputs
    }

    /// Outputs in order; `None` where an optional output is left out.
    pub fn outputs(&self) -> &[Option<ValueId>] {
        &self.outputs
    }

    /// Input `slot`, when present.
    pub fn input(&self, slot: usize) -> Option<ValueId> {
        self.inputs.get(slot).copied().flatten()
    }

    /// Output `slot`, when present.
    pub fn output(&self, slot: usize) -> Option<ValueId> {
        self.outputs.get(slot).copied().flatten()
    }

    /// The output of a node that has exactly one.
    pub fn only_output(&self) -> Option<ValueId> {
        let mut present = self.outputs.iter().flatten();
        match (present.next(), present.next()) {
            (Some(&output), None) => Some(output),
            _ => None,
        }
    }

    /// Attributes in order.
    pub fn attributes(&self) -> &[Attribute] {
        &self.attributes
    }

    /// Whether both nodes have the same attributes, in the same order.
    pub fn has_same_attributes(&self, other: &Self) -> bool {
        self.attributes.len() == other.attributes.len()
            && self.attributes.iter().zip(&other.attributes).all(|(a, b)| a.is_same(b))
    }

    /// Value of the attribute `name`.
    pub fn attr(&self, name: &str) -> Option<&AttrValue> {
        self.attributes.iter().find(|a| a.name == name).map(|a| &a.value)
    }

    /// Integer attribute `name`.
    pub fn attr_int(&self, name: &str) -> Option<i64> {
        match self.attr(name)? {
            AttrValue::Int(x) => Some(*x),
            _ => None,
        }
    }

    /// Float attribute `name`.
    pub fn attr_float(&self, name: &str) -> Option<f32> {
        match self.attr(name)? {
            AttrValue::Float(x) => Some(*x),
            _ => None,
        }
    }

    /// Integer list attribute `name`.
    pub fn attr_ints(&self, name: &str) -> Option<&[i64]> {
        match self.attr(name)? {
            AttrValue::Ints(xs) => Some(xs),
            _ => None,
        }
    }

    /// Text attribute `name`, when it is UTF-8.
    pub fn attr_str(&self, name: &str) -> Option<&str> {
        match self.attr(name)? {
            AttrValue::String(bytes) => std::str::from_utf8(bytes).ok(),
            _ => None,
        }
    }

    /// Tensor attribute `name`.
    pub fn attr_tensor(&self, name: &str) -> Option<&Tensor> {
        match self.attr(name)? {
            AttrValue::Tensor(stored) => Some(&stored.tensor),
            _ => None,
        }
    }

    /// Bodies of all attributes, in order.
    pub fn bodies(&self) -> impl Iterator<Item = GraphId> {
        self.attributes.iter().flat_map(|a| a.value.graphs().iter().copied())
    }

    /// How messages name it: ``node `conv1` (Conv)``; without a name, by its first output.
    pub(crate) fn label(&self, output: Option<&str>) -> String {
        label(&self.name, &self.op, output)
    }
}

/// See [`Node::label`]; for nodes that are only being read.
pub(crate) fn label(name: &str, op: &str, output: Option<&str>) -> String {
    match (name, output) {
        ("", Some(output)) => format!("node producing `{output}` ({op})"),
        ("", None) => format!("unnamed node ({op})"),
        (name, _) => format!("node `{name}` ({op})"),
    }
}
