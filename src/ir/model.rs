//! The store: arenas of graphs, nodes and values.

use bytes::Bytes;

use crate::ir::names::Taken;
use crate::ir::schema::canonical;
use crate::ir::{Function, GraphId, Info, Node, NodeId, Value, ValueId};

/// Deepest nesting of bodies. The format's own readers stop at 100 nested messages, of which each
/// body takes three.
pub const BODY_DEPTH: usize = 100 / 3;

/// A model: one main graph, its bodies, and what the file says around them.
#[derive(Debug, Clone, Default)]
pub struct Model {
    /// Versions, producer, metadata.
    pub header: Header,
    pub(crate) graphs: Vec<Graph>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) values: Vec<Value>,
    pub(crate) functions: Vec<Function>,
    pub(super) value_names: Taken,
    pub(super) node_names: Taken,
    /// Nodes that edits touched, in order.
    pub(super) journal: Vec<NodeId>,
}

/// What `ModelProto` says beside graph and functions.
#[derive(Debug, Clone, Default)]
pub struct Header {
    /// Version of the file format; `None` when the file does not say.
    pub ir_version: Option<i64>,
    /// Imported operator sets, in file order: domain as written (`""` is the default) and version.
    pub opsets: Vec<(String, i64)>,
    /// Name of the tool that wrote the file.
    pub producer: String,
    /// Encoded `ModelProto` without graph, functions, versions.
    pub(crate) carried: Bytes,
    /// Encoded remainders of the operator-set imports, in step with `opsets` as read.
    pub(crate) opsets_carried: Vec<Bytes>,
}

/// A graph: the main one or a body.
#[derive(Debug, Clone, Default)]
pub struct Graph {
    pub(crate) name: String,
    pub(crate) parent: Option<NodeId>,
    pub(crate) inputs: Vec<ValueId>,
    pub(crate) outputs: Vec<GraphOutput>,
    pub(crate) initializers: Vec<ValueId>,
    pub(crate) sparse_initializers: Vec<ValueId>,
    pub(crate) declared: Vec<Declared>,
    pub(crate) first: Option<NodeId>,
    pub(crate) last: Option<NodeId>,
    pub(crate) carried: Bytes,
    pub(crate) alive: bool,
}

/// A graph output with its declaration, which may differ from the value's own.
#[derive(Debug, Clone)]
pub struct GraphOutput {
    /// The value returned.
    pub value: ValueId,
    /// Declared type: part of the model's public contract.
    pub info: Info,
}

/// An entry of `GraphProto.value_info`.
#[derive(Debug, Clone)]
pub enum Declared {
    /// The type of a value of this graph; stored at the value.
    Value(ValueId),
    /// An entry for no value of the graph, or a second one that says something else: the encoded
    /// `ValueInfoProto`.
    Carried(Bytes),
}

impl Model {
    /// An empty model of `ir_version` that imports `opset` of the default domain.
    pub fn new(ir_version: i64, opset: i64) -> Self {
        let mut model = Self::default();
        model.header.ir_version = Some(ir_version);
        model.header.opsets.push((String::new(), opset));
        model.add_graph("main", None);
        model
    }

    /// The main graph.
    pub fn main(&self) -> GraphId {
        GraphId::new(0)
    }

    /// A graph.
    pub fn graph(&self, id: GraphId) -> &Graph {
        &self.graphs[id.index()]
    }

    /// A node, dead or alive.
    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.index()]
    }

    /// A value, dead or alive.
    pub fn value(&self, id: ValueId) -> &Value {
        &self.values[id.index()]
    }

    /// Model-local functions.
    pub fn functions(&self) -> &[Function] {
        &self.functions
    }

    /// False once the node was removed, and for a node that only an edited copy has.
    pub fn is_live(&self, node: NodeId) -> bool {
        self.nodes.get(node.index()).is_some_and(|node| node.alive)
    }

    /// False once the value was removed, and for a value that only an edited copy has.
    pub fn is_live_value(&self, value: ValueId) -> bool {
        self.values.get(value.index()).is_some_and(|value| value.alive)
    }

    /// Imported version of the default domain; `None` when it is not imported.
    pub fn opset(&self) -> Option<i64> {
        self.opset_of("")
    }

    /// The version of the default domain by which nodes are read: the imported one, or 1.
    pub fn opset_in_force(&self) -> i64 {
        self.opset().unwrap_or(1)
    }

    /// Imported version of `domain`.
    pub fn opset_of(&self, domain: &str) -> Option<i64> {
        let wanted = canonical(domain);
        self.header.opsets.iter().find(|(d, _)| canonical(d) == wanted).map(|&(_, version)| version)
    }

    /// How messages name a node: ``node `conv1` (Conv)``.
    pub fn label(&self, node: NodeId) -> String {
        let node = self.node(node);
        let output = node.outputs.iter().flatten().next().map(|&v| self.value(v).name());
        node.label(output)
    }

    /// What a node goes by in options and reports: its name, or that of its first output when it has none.
    pub fn name_of(&self, node: NodeId) -> &str {
        let node = self.node(node);
        match (node.name(), node.output(0)) {
            ("", Some(output)) => self.value(output).name(),
            (name, _) => name,
        }
    }

    /// The model-local function a node calls. Linear in the number of functions.
    pub fn function_of(&self, node: &Node) -> Option<&Function> {
        self.functions.iter().find(|function| function.key() == node.callee())
    }
}

impl Graph {
    /// Name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The control-flow node whose body this is; `None` for the main graph.
    pub fn parent(&self) -> Option<NodeId> {
        self.parent
    }

    /// Inputs in order, those with a default included.
    pub fn inputs(&self) -> &[ValueId] {
        &self.inputs
    }

    /// Outputs in order.
    pub fn outputs(&self) -> &[GraphOutput] {
        &self.outputs
    }
}
