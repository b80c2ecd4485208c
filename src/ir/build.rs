//! Making graphs, values and nodes.

use smol_str::SmolStr;

use crate::ir::uses::Uses;
use crate::ir::{
    At, Attribute, Constant, Declared, Def, Function, Graph, GraphId, GraphOutput, Info, Model,
    Node, NodeId, Stored, TensorType, Use, Value, ValueId, ValueType,
};
use crate::tensor::Tensor;

/// A node to be added; outputs are named, and made as values of the graph.
#[derive(Debug, Clone, Default)]
pub struct NewNode {
    /// Operator type.
    pub op: String,
    /// Domain; empty for the default one.
    pub domain: String,
    /// Which of the model-local functions of this name is called; mostly empty.
    pub overload: String,
    /// Node name, made unique; may be empty.
    pub name: String,
    /// Inputs in order.
    pub inputs: Vec<Option<ValueId>>,
    /// Names of the outputs; made unique.
    pub outputs: Vec<String>,
    /// Attributes in order.
    pub attributes: Vec<Attribute>,
}

impl NewNode {
    /// Operator `op` of the default domain on `inputs` with one output named after `output`.
    pub fn new(op: &str, inputs: &[ValueId], output: &str) -> Self {
        Self {
            op: op.to_owned(),
            name: output.to_owned(),
            inputs: inputs.iter().copied().map(Some).collect(),
            outputs: vec![output.to_owned()],
            ..Self::default()
        }
    }

    /// Adds an attribute.
    #[must_use]
    pub fn attr(mut self, name: &str, value: impl Into<crate::ir::AttrValue>) -> Self {
        self.attributes.push(Attribute::new(name, value));
        self
    }
}

impl Model {
    /// A name that no value of the model has: `base`, or `base_1`, `base_2`, …
    pub(in crate::ir) fn fresh_name(&mut self, base: &str) -> SmolStr {
        self.value_names.fresh(base, self.values.iter().map(|value| value.name.clone()))
    }

    /// A node name that is empty or that no other node has.
    pub(in crate::ir) fn fresh_node_name(&mut self, base: &str) -> SmolStr {
        if base.is_empty() {
            return SmolStr::default();
        }
        self.node_names.fresh(base, self.nodes.iter().map(|node| node.name.clone()))
    }

    /// A new graph: the body of `parent`, or the main graph of an empty model.
    pub fn add_graph(&mut self, name: &str, parent: Option<NodeId>) -> GraphId {
        let id = GraphId::new(self.graphs.len());
        let graph = Graph { name: name.to_owned(), parent, alive: true, ..Graph::default() };
        self.graphs.push(graph);
        id
    }

    /// A value with exactly this name (the reader's door: names arrive as they are).
    pub(crate) fn add_value(&mut self, graph: GraphId, name: SmolStr, def: Def) -> ValueId {
        let id = ValueId::new(self.values.len());
        self.value_names.note(&name);
        self.values.push(Value { name, graph, info: None, def, uses: Uses::new(), alive: true });
        id
    }

    /// A graph input `name` of type `ty`, after the existing ones.
    pub fn add_input(&mut self, graph: GraphId, name: &str, ty: TensorType) -> ValueId {
        let name = self.fresh_name(name);
        let id = self.add_value(graph, name, Def::Input { default: None });
        self.set_info(id, Info { ty: Some(ValueType::Tensor(ty)), ..Info::default() });
        self.graphs[graph.index()].inputs.push(id);
        id
    }

    /// An initializer named after `name`.
    pub fn add_initializer(&mut self, graph: GraphId, name: &str, tensor: Tensor) -> ValueId {
        let name = self.fresh_name(name);
        let constant = Constant::Dense(Stored::from(tensor));
        let id = self.add_value(graph, name, Def::Initializer(constant));
        self.graphs[graph.index()].initializers.push(id);
        id
    }

    /// Makes `value` the next output of `graph`, declared as `ty`.
    pub fn add_output(&mut self, graph: GraphId, value: ValueId, ty: Option<TensorType>) {
        let info = Info { ty: ty.map(ValueType::Tensor), ..Info::default() };
        self.push_output(graph, GraphOutput { value, info });
    }

    /// Adds `node` to `graph` at a place; its outputs become values of the graph.
    pub fn add_node(&mut self, graph: GraphId, at: At, node: NewNode) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        let outputs = node.outputs.iter().enumerate().map(|(slot, base)| {
            let name = self.fresh_name(base);
            Some(self.add_value(graph, name, Def::Output { node: id, slot }))
        });
        let outputs = outputs.collect();
        let name = self.fresh_node_name(&node.name);
        self.push_node(Node {
            name,
            domain: node.domain.into(),
            op: node.op.into(),
            inputs: node.inputs.into(),
            overload: node.overload.into(),
            outputs,
            attributes: node.attributes,
            ..Node::empty(graph)
        });
        self.link(id, at);
        self.touch(id);
        id
    }

    /// Appends a node as read, with values made before; uses are registered, order is not.
    pub(crate) fn push_node(&mut self, node: Node) -> NodeId {
        let id = NodeId::new(self.nodes.len());
        for (slot, input) in node.inputs.iter().enumerate() {
            if let Some(value) = input {
                self.values[value.index()].uses.push(Use::Input { node: id, slot });
            }
        }
        for (slot, output) in node.outputs.iter().enumerate() {
            if let Some(value) = output {
                self.values[value.index()].def = Def::Output { node: id, slot };
            }
        }
        for body in node.bodies() {
            self.graphs[body.index()].parent = Some(id);
        }
        self.node_names.note(&node.name);
        self.nodes.push(node);
        id
    }

    pub(crate) fn push_output(&mut self, graph: GraphId, output: GraphOutput) {
        let slot = self.graph(graph).outputs.len();
        self.values[output.value.index()].uses.push(Use::Output { graph, slot });
        self.graphs[graph.index()].outputs.push(output);
    }

    pub(crate) fn push_use(&mut self, value: ValueId, use_: Use) {
        self.values[value.index()].uses.push(use_);
    }

    pub(crate) fn push_declared(&mut self, graph: GraphId, entry: Declared) {
        self.graphs[graph.index()].declared.push(entry);
    }

    /// Adds a model-local function, after the existing ones.
    pub fn push_function(&mut self, function: Function) {
        self.functions.push(function);
    }

    pub(crate) fn def_mut(&mut self, value: ValueId) -> &mut Def {
        &mut self.values[value.index()].def
    }

    pub(crate) fn graph_mut(&mut self, graph: GraphId) -> &mut Graph {
        &mut self.graphs[graph.index()]
    }
}
