//! A body that always runs moves into the graph around it.

use crate::ir::{At, Declared, Def, GraphId, Model, NewNode, NodeId, Use, ValueId};

impl Model {
    /// Whether [`Model::hoist`] can take `body` out of `node`: it has no inputs, returns as many
    /// values as the node has outputs, carries nothing that is not modelled, and the node's outputs
    /// can be made by other nodes.
    pub fn can_hoist(&self, node: NodeId, body: GraphId) -> bool {
        let (entry, graph) = (self.node(node), self.graph(body));
        graph.inputs.is_empty()
            && self.is_plain(body)
            && graph.outputs.len() >= entry.outputs.len()
            && !self.is_kept(node)
    }

    /// Whether everything in a graph is modelled: no annotations, no sparse initializers.
    pub(super) fn is_plain(&self, body: GraphId) -> bool {
        let graph = self.graph(body);
        graph.carried.is_empty() && graph.sparse_initializers.is_empty()
    }

    /// Replaces a control-flow node by the nodes of `body`, one of its bodies; its outputs keep
    /// their names. See [`Model::can_hoist`].
    pub fn hoist(&mut self, node: NodeId, body: GraphId) {
        let graph = self.node(node).graph;
        let nodes: Vec<NodeId> = self.nodes_of(body).map(|(id, _)| id).collect();
        for id in nodes {
            self.unlink(id);
            self.nodes[id.index()].graph = graph;
            self.link(id, At::Before(node));
            self.touch(id);
            for output in self.node(id).outputs.clone().into_iter().flatten() {
                self.adopt(output, graph);
            }
        }
        self.hoist_initializers(body, graph);
        let declared = std::mem::take(&mut self.graphs[body.index()].declared);
        let known = declared.into_iter().filter(|entry| matches!(entry, Declared::Value(_)));
        self.graphs[graph.index()].declared.extend(known);
        for slot in 0..self.node(node).outputs.len() {
            let Some(output) = self.node(node).output(slot) else { continue };
            let value = self.graph(body).outputs[slot].value;
            // A copy makes the output, whatever the value is; `eliminate-identity` knows when it
            // is not needed.
            let name = self.node(node).name.to_string();
            let mut copy = NewNode::new("Identity", &[value], "");
            copy.outputs = vec![self.value(output).name.to_string()];
            copy.name = name;
            let copy = self.add_node(graph, At::Before(node), copy);
            if let Some(made) = self.node(copy).output(0) {
                self.substitute(output, made);
            }
        }
        self.remove_node(node);
    }

    /// The initializers of a body become those of the graph around it.
    pub(super) fn hoist_initializers(&mut self, body: GraphId, graph: GraphId) {
        for value in std::mem::take(&mut self.graphs[body.index()].initializers) {
            if self.is_live_value(value) {
                self.adopt(value, graph);
                self.graphs[graph.index()].initializers.push(value);
            }
        }
    }

    /// An initializer of a body becomes one of `graph`, which is around it; false, and nothing changes, when it is
    /// no plain one, or the body returns or mentions it.
    pub fn move_out(&mut self, value: ValueId, graph: GraphId) -> bool {
        let entry = self.value(value);
        let read = entry.uses.iter().all(|u| matches!(u, Use::Input { .. }));
        if !read || entry.initializer().is_none() {
            return false;
        }
        let body = entry.graph;
        self.graphs[body.index()].initializers.retain(|&kept| kept != value);
        self.adopt(value, graph);
        self.graphs[graph.index()].initializers.push(value);
        self.touch_value(value);
        true
    }

    /// The innermost graph that is around both, or is one of them.
    pub fn common_graph(&self, a: GraphId, b: GraphId) -> GraphId {
        let outer = |graph: &GraphId| Some(self.node(self.graph(*graph).parent?).graph);
        let around: Vec<GraphId> = std::iter::successors(Some(a), outer).collect();
        let mut all = std::iter::successors(Some(b), outer);
        all.find(|graph| around.contains(graph)).unwrap_or(self.main())
    }

    /// A value of a body becomes one of the graph around it, under a name that nothing else has.
    fn adopt(&mut self, value: ValueId, graph: GraphId) {
        debug_assert!(!matches!(self.value(value).def, Def::Input { .. }));
        let name = self.value(value).name.clone();
        self.values[value.index()].name = self.fresh_name(&name);
        self.values[value.index()].graph = graph;
    }
}
