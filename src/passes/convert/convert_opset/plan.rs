//! Plans: what is to be done to a node, decided without editing, carried out without failing.

use std::collections::{HashMap, HashSet};

use bytes::Bytes;

use crate::ir::{At, AttrValue, Attribute, GraphId, Model, NewNode, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// A plan, nothing to do, or the reason why the node cannot be carried over.
pub(super) type Planned = Result<Option<Plan>, String>;

/// Edits of one node. The node itself always remains, with its outputs and their names; what else
/// is needed is put before it.
#[derive(Debug)]
pub(super) struct Plan {
    /// What was done, for the report.
    pub text: &'static str,
    edits: Vec<Edit>,
}

#[derive(Debug)]
enum Edit {
    Op(&'static str),
    Attr(&'static str, AttrValue),
    Drop(&'static str),
    Input(usize, Feed),
    ClearOutput(usize),
}

/// What goes into an input.
#[derive(Debug)]
pub(super) enum Feed {
    /// Left out.
    Nothing,
    /// A value of the model.
    Value(ValueId),
    /// An initializer of the node's graph; equal ones are shared. The text names it.
    Constant(&'static str, Tensor),
    /// The first output of a new node.
    Made(Made),
}

/// A node to be made.
#[derive(Debug)]
pub(super) struct Made {
    op: &'static str,
    inputs: Vec<Feed>,
    attributes: Vec<Attribute>,
}

impl Plan {
    /// A plan without edits.
    pub fn new(text: &'static str) -> Self {
        Self { text, edits: Vec::new() }
    }

    fn with(mut self, edit: Edit) -> Self {
        self.edits.push(edit);
        self
    }

    /// Changes the operator.
    pub fn op(self, op: &'static str) -> Self {
        self.with(Edit::Op(op))
    }

    /// Sets or replaces an attribute.
    pub fn attr(self, name: &'static str, value: impl Into<AttrValue>) -> Self {
        self.with(Edit::Attr(name, value.into()))
    }

    /// Removes an attribute.
    pub fn drop(self, name: &'static str) -> Self {
        self.with(Edit::Drop(name))
    }

    /// Sets an input.
    pub fn input(self, slot: usize, feed: impl Into<Feed>) -> Self {
        self.with(Edit::Input(slot, feed.into()))
    }

    /// Leaves out an unused output.
    pub fn clear_output(self, slot: usize) -> Self {
        self.with(Edit::ClearOutput(slot))
    }

    /// The plan, or nothing to do when it has no edits.
    pub fn unless_empty(self) -> Planned {
        Ok(if self.edits.is_empty() { None } else { Some(self) })
    }

    /// Carries it out.
    pub fn apply(self, model: &mut Model, node: NodeId, additions: &mut Additions) {
        for edit in self.edits {
            match edit {
                Edit::Op(op) => model.set_op(node, op),
                Edit::Attr(name, value) => model.set_attr(node, Attribute::new(name, value)),
                Edit::Drop(name) => model.remove_attr(node, name),
                Edit::Input(slot, feed) => {
                    let value = feed.into_value(model, node, additions);
                    model.set_input(node, slot, value);
                }
                Edit::ClearOutput(slot) => model.clear_output(node, slot),
            }
        }
        model.trim_inputs(node);
    }
}

impl From<Plan> for Planned {
    fn from(plan: Plan) -> Self {
        Ok(Some(plan))
    }
}

impl Made {
    /// Operator `op` of the default domain on `inputs`.
    pub fn new(op: &'static str, inputs: impl IntoIterator<Item = Feed>) -> Self {
        Self { op, inputs: inputs.into_iter().collect(), attributes: Vec::new() }
    }

    /// Adds an attribute.
    pub fn attr(mut self, name: &str, value: impl Into<AttrValue>) -> Self {
        self.attributes.push(Attribute::new(name, value));
        self
    }
}

impl From<Made> for Feed {
    fn from(made: Made) -> Self {
        Self::Made(made)
    }
}

impl From<ValueId> for Feed {
    fn from(value: ValueId) -> Self {
        Self::Value(value)
    }
}

impl Feed {
    /// An `int64` list.
    pub fn ints(role: &'static str, values: &[i64]) -> Self {
        Self::Constant(role, Tensor::from_i64(&[values.len()], values))
    }

    /// An `int64` scalar.
    pub fn int(role: &'static str, value: i64) -> Self {
        Self::Constant(role, Tensor::from_i64(&[], &[value]))
    }

    /// A `float` list.
    pub fn floats(role: &'static str, values: &[f32]) -> Self {
        Self::Constant(role, Tensor::from_f32(&[values.len()], values))
    }

    /// The scalar `value` stored as `dtype`.
    pub fn scalar(role: &'static str, dtype: DType, value: f32) -> Result<Self, String> {
        let tensor = Tensor::from_f32_as(dtype, &[], &[value]).map_err(|e| e.message)?;
        Ok(Self::Constant(role, tensor))
    }

    fn into_value(
        self,
        model: &mut Model,
        at: NodeId,
        additions: &mut Additions,
    ) -> Option<ValueId> {
        match self {
            Self::Nothing => None,
            Self::Value(value) => Some(value),
            Self::Constant(role, tensor) => {
                Some(additions.constant(model, model.node(at).graph(), role, tensor))
            }
            Self::Made(made) => {
                let feeds = made.inputs.into_iter();
                let inputs = feeds.map(|feed| feed.into_value(model, at, additions)).collect();
                let (graph, output) = (model.node(at).graph(), model.node(at).output(0));
                let base = output.map_or_else(String::new, |y| model.value(y).name().to_owned());
                let name = additions.node_name(&format!("{base}_{}", made.op.to_lowercase()));
                let new = NewNode {
                    inputs,
                    attributes: made.attributes,
                    ..NewNode::new(made.op, &[], &name)
                };
                let made = model.add_node(graph, At::Before(at), new);
                model.node(made).output(0)
            }
        }
    }
}

/// What was added so far.
#[derive(Debug)]
pub(super) struct Additions {
    /// Initializers, so that equal ones of a graph are one.
    constants: HashMap<(GraphId, DType, Vec<usize>, Bytes), ValueId>,
    /// Names of all nodes: ONNX Runtime refuses a model in which two have the same.
    names: HashSet<String>,
}

impl Additions {
    /// Nothing was added to `model` yet.
    pub fn to(model: &Model) -> Self {
        let nodes = model.all_nodes().into_iter();
        let names = nodes.map(|node| model.node(node).name().to_owned()).collect();
        Self { constants: HashMap::new(), names }
    }

    fn constant(
        &mut self,
        model: &mut Model,
        graph: GraphId,
        role: &str,
        tensor: Tensor,
    ) -> ValueId {
        let key = (graph, tensor.dtype(), tensor.dims().to_vec(), tensor.bytes().clone());
        let entry = self.constants.entry(key);
        *entry.or_insert_with(|| model.add_initializer(graph, role, tensor))
    }

    fn node_name(&mut self, base: &str) -> String {
        let mut name = base.to_owned();
        for suffix in 1.. {
            if self.names.insert(name.clone()) {
                break;
            }
            name = format!("{base}_{suffix}");
        }
        name
    }
}

/// An optional integer attribute.
pub(super) fn int(node: &Node, name: &str) -> Result<Option<i64>, String> {
    read(node, name, "an integer", |value| match value {
        AttrValue::Int(x) => Some(*x),
        _ => None,
    })
}

/// An optional float attribute.
pub(super) fn float(node: &Node, name: &str) -> Result<Option<f32>, String> {
    read(node, name, "a float", |value| match value {
        AttrValue::Float(x) => Some(*x),
        _ => None,
    })
}

/// An optional integer list attribute.
pub(super) fn ints<'a>(node: &'a Node, name: &str) -> Result<Option<&'a [i64]>, String> {
    read(node, name, "a list of integers", |value| match value {
        AttrValue::Ints(xs) => Some(xs.as_slice()),
        _ => None,
    })
}

/// An optional float list attribute.
pub(super) fn floats<'a>(node: &'a Node, name: &str) -> Result<Option<&'a [f32]>, String> {
    read(node, name, "a list of floats", |value| match value {
        AttrValue::Floats(xs) => Some(xs.as_slice()),
        _ => None,
    })
}

/// An optional text attribute.
pub(super) fn text<'a>(node: &'a Node, name: &str) -> Result<Option<&'a [u8]>, String> {
    read(node, name, "a string", |value| match value {
        AttrValue::String(x) => Some(&x[..]),
        _ => None,
    })
}

fn read<'a, T>(
    node: &'a Node,
    name: &str,
    kind: &str,
    pick: impl Fn(&'a AttrValue) -> Option<T>,
) -> Result<Option<T>, String> {
    let Some(value) = node.attr(name) else { return Ok(None) };
    pick(value).map(Some).ok_or_else(|| format!("attribute `{name}` is not {kind}"))
}

/// The value of an attribute or input that the operator cannot do without.
pub(super) fn required<T>(value: Option<T>, name: &str) -> Result<T, String> {
    value.ok_or_else(|| format!("`{name}` is missing"))
}
