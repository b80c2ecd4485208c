//! Iteration: graphs, nodes and values in a deterministic order, without recursion.

use crate::ir::{Declared, GraphId, Model, Node, NodeId, Use, Value, ValueId};

impl Model {
    /// Live graphs, the main one first, then bodies in the order they were made.
    pub fn graphs(&self) -> impl Iterator<Item = GraphId> {
        (0..self.graphs.len()).filter(|&i| self.graphs[i].alive).map(GraphId::new)
    }

    /// Nodes of one graph in execution order.
    pub fn nodes_of(&self, graph: GraphId) -> impl Iterator<Item = (NodeId, &Node)> {
        let mut next = self.graph(graph).first;
        std::iter::from_fn(move || {
            let id = next?;
            next = self.node(id).next;
            Some((id, self.node(id)))
        })
    }

    /// Ids of the nodes of all graphs, graph by graph in execution order: a snapshot that stays
    /// usable while the model is edited (check [`Model::is_live`]).
    pub fn all_nodes(&self) -> Vec<NodeId> {
        self.graphs().flat_map(|g| self.nodes_of(g).map(|(id, _)| id)).collect()
    }

    /// What a node and its bodies read, values of the bodies themselves among it.
    pub fn reads(&self, node: NodeId) -> Vec<ValueId> {
        let (mut values, mut pending) = (Vec::new(), vec![node]);
        while let Some(node) = pending.pop() {
            values.extend(self.node(node).inputs().iter().flatten());
            for body in self.node(node).bodies() {
                pending.extend(self.nodes_of(body).map(|(inner, _)| inner));
                values.extend(self.graph(body).outputs().iter().map(|output| output.value));
            }
        }
        values
    }

    /// Number of node ids ever given out: the length of a table indexed by them.
    pub fn node_count(&self) -> usize {
        self.nodes.len()
    }

    /// Live values in the order they were made.
    pub fn values(&self) -> impl Iterator<Item = (ValueId, &Value)> {
        let live = self.values.iter().enumerate().filter(|(_, value)| value.alive);
        live.map(|(i, value)| (ValueId::new(i), value))
    }

    /// Live dense initializers of a graph in file order, overridable ones included.
    pub fn initializers_of(&self, graph: GraphId) -> impl Iterator<Item = ValueId> {
        self.graph(graph).initializers.iter().copied().filter(|&v| self.is_live_value(v))
    }

    /// Live sparse initializers of a graph in file order.
    pub fn sparse_initializers_of(&self, graph: GraphId) -> impl Iterator<Item = ValueId> {
        self.graph(graph).sparse_initializers.iter().copied().filter(|&v| self.is_live_value(v))
    }

    /// Entries of `value_info` of a graph in file order, without those of removed values.
    pub fn declared_of(&self, graph: GraphId) -> impl Iterator<Item = &Declared> {
        self.graph(graph).declared.iter().filter(|entry| match entry {
            Declared::Value(value) => self.is_live_value(*value),
            Declared::Carried(_) => true,
        })
    }

    /// The value `name` of `graph` itself (not of the graphs around it). Linear.
    pub fn find_value(&self, graph: GraphId, name: &str) -> Option<ValueId> {
        self.values().find(|(_, v)| v.graph == graph && v.name == name).map(|(id, _)| id)
    }

    /// The graphs whose outputs include `value`, with the slot.
    pub fn output_slots(&self, value: ValueId) -> impl Iterator<Item = (GraphId, usize)> {
        self.value(value).uses.iter().filter_map(|u| match *u {
            Use::Output { graph, slot } => Some((graph, slot)),
            _ => None,
        })
    }
}
