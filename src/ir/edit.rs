//! Edits: the only way to change a model. Each keeps uses, definitions and order consistent.

use std::collections::HashSet;

use smol_str::SmolStr;

use crate::ir::{
    AttrValue, Attribute, Constant, Declared, Def, GraphId, Info, Model, NodeId, Stored, StoredAs,
    TensorType, Use, ValueId, ValueType,
};
use crate::tensor::Tensor;

/// Where a new node stands in the execution order of its graph.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum At {
    /// Before all nodes.
    Start,
    /// After all nodes.
    End,
    /// Right before a node of the same graph.
    Before(NodeId),
    /// Right after a node of the same graph.
    After(NodeId),
}

impl Model {
    /// Puts `value` (or nothing) into input `slot`, lengthening the list when needed.
    pub fn set_input(&mut self, node: NodeId, slot: usize, value: Option<ValueId>) {
        let inputs = &mut self.nodes[node.index()].inputs;
        if inputs.len() <= slot {
            inputs.resize(slot + 1, None);
        }
        if let Some(old) = std::mem::replace(&mut inputs[slot], value) {
            self.drop_use(old, Use::Input { node, slot });
            self.touch_value(old);
        }
        if let Some(new) = value {
            self.push_use(new, Use::Input { node, slot });
        }
        self.touch(node);
    }

    /// Cuts trailing inputs that are left out.
    pub fn trim_inputs(&mut self, node: NodeId) {
        let inputs = &mut self.nodes[node.index()].inputs;
        while inputs.last() == Some(&None) {
            inputs.pop();
        }
    }

    /// Every node that reads `from` reads `to` instead; graph outputs and carried mentions stay.
    pub fn replace_uses(&mut self, from: ValueId, to: ValueId) {
        self.replace_uses_where(from, to, |_, _| true);
    }

    /// As [`Model::replace_uses`], for those consumers (node, slot) that `wanted` accepts.
    pub fn replace_uses_where(
        &mut self,
        from: ValueId,
        to: ValueId,
        mut wanted: impl FnMut(NodeId, usize) -> bool,
    ) {
        if from == to {
            return;
        }
        let uses = std::mem::take(&mut self.values[from.index()].uses);
        let (moved, kept) = uses.split(|u| match *u {
            Use::Input { node, slot } => wanted(node, slot),
            _ => false,
        });
        for u in moved.iter() {
            if let Use::Input { node, slot } = *u {
                self.nodes[node.index()].inputs[slot] = Some(to);
                self.touch(node);
            }
        }
        self.values[from.index()].uses = kept;
        self.values[to.index()].uses.extend(moved.iter().copied());
        self.touch_value(from);
        self.touch_value(to);
    }

    /// Lets `to` stand for `from` everywhere, graph outputs included: there `to` takes over the
    /// name of `from`, so that the model's outputs keep their names. Returns false, and changes
    /// nothing, when that is impossible: `to` is a graph input or itself an output, it belongs to
    /// another graph, it is no node's output, or `from` is mentioned by carried data.
    pub fn substitute(&mut self, from: ValueId, to: ValueId) -> bool {
        if !self.can_substitute(from, to) {
            return false;
        }
        self.replace_uses(from, to);
        if self.value(from).is_output() {
            self.hand_over_outputs(from, to);
        }
        true
    }

    /// Whether [`Model::substitute`] would succeed.
    pub fn can_substitute(&self, from: ValueId, to: ValueId) -> bool {
        let special = self.value(from).uses.iter().any(|u| !matches!(u, Use::Input { .. }));
        !special || self.can_take_over(from, to)
    }

    /// Graph outputs return `to` instead of `from`; the two swap names, so that the outputs keep
    /// theirs.
    pub fn hand_over_outputs(&mut self, from: ValueId, to: ValueId) {
        let uses = std::mem::take(&mut self.values[from.index()].uses);
        let (outputs, rest) = uses.split(|u| matches!(u, Use::Output { .. }));
        for u in outputs.iter() {
            if let Use::Output { graph, slot } = *u {
                self.graphs[graph.index()].outputs[slot].value = to;
            }
        }
        self.values[from.index()].uses = rest;
        self.values[to.index()].uses.extend(outputs.iter().copied());
        let public = std::mem::take(&mut self.values[from.index()].name);
        let private = std::mem::replace(&mut self.values[to.index()].name, public);
        self.values[from.index()].name = private;
        self.touch_value(from);
        self.touch_value(to);
    }

    /// Turns the outputs of a node into initializers with the given tensors and removes the node.
    /// Outputs keep their names.
    ///
    /// # Panics
    /// When a tensor is missing for an output that is used (a bug of the caller).
    pub fn fold_node(&mut self, node: NodeId, tensors: Vec<Option<Tensor>>) {
        let (graph, outputs) = (self.node(node).graph, self.node(node).outputs.clone());
        for (slot, tensor) in tensors.into_iter().enumerate() {
            if let (Some(Some(value)), Some(tensor)) = (outputs.get(slot), tensor) {
                let constant = Constant::Dense(Stored::from(tensor));
                self.values[value.index()].def = Def::Initializer(constant);
                self.graphs[graph.index()].initializers.push(*value);
                self.touch_value(*value);
                self.nodes[node.index()].outputs[slot] = None;
            }
        }
        self.remove_node(node);
    }

    fn can_take_over(&self, from: ValueId, to: ValueId) -> bool {
        let (old, new) = (self.value(from), self.value(to));
        let carried = |u: &Use| matches!(u, Use::Carried { .. });
        new.producer().is_some()
            && new.graph == old.graph
            && old.producer().is_some()
            && !new.is_output()
            && !old.uses.iter().any(carried)
            && !new.uses.iter().any(carried)
    }

    /// Removes a node, its bodies, and its outputs.
    ///
    /// # Panics
    /// When an output is still used outside the node (a bug of the caller).
    pub fn remove_node(&mut self, node: NodeId) {
        let mut pending = vec![node];
        let mut removed_graphs = Vec::new();
        let mut inside: Vec<ValueId> = Vec::new();
        while let Some(id) = pending.pop() {
            for slot in 0..self.node(id).inputs.len() {
                self.set_input(id, slot, None);
            }
            let bodies: Vec<GraphId> = self.node(id).bodies().collect();
            for body in bodies {
                pending.extend(self.nodes_of(body).map(|(inner, _)| inner));
                let graph = self.graph(body);
                inside.extend(graph.inputs.iter().chain(&graph.initializers));
                inside.extend(&graph.sparse_initializers);
                removed_graphs.push(body);
            }
            if id != node {
                inside.extend(self.node(id).outputs.iter().flatten());
            }
            self.nodes[id.index()].alive = false;
        }
        self.unlink(node);
        for &graph in &removed_graphs {
            for slot in 0..self.graph(graph).outputs.len() {
                let value = self.graph(graph).outputs[slot].value;
                self.drop_use(value, Use::Output { graph, slot });
            }
            self.graphs[graph.index()].alive = false;
        }
        inside.into_iter().for_each(|value| self.values[value.index()].alive = false);
        for slot in 0..self.node(node).outputs.len() {
            if let Some(output) = self.node(node).outputs[slot] {
                assert!(self.value(output).uses.is_empty(), "removed a node that is still needed");
                self.values[output.index()].alive = false;
            }
        }
    }

    /// Removes an unused initializer. Returns false, and changes nothing, for anything else.
    pub fn remove_initializer(&mut self, value: ValueId) -> bool {
        let entry = &self.values[value.index()];
        if !matches!(entry.def, Def::Initializer(_)) || !entry.uses.is_empty() || !entry.alive {
            return false;
        }
        self.values[value.index()].alive = false;
        true
    }

    /// Leaves out the unused output `slot` of a node.
    pub fn clear_output(&mut self, node: NodeId, slot: usize) {
        if let Some(value) = self.node(node).output(slot)
            && self.value(value).uses.is_empty()
        {
            self.values[value.index()].alive = false;
            let outputs = &mut self.nodes[node.index()].outputs;
            outputs[slot] = None;
            while outputs.last() == Some(&None) {
                outputs.pop();
            }
            self.touch(node);
        }
    }

    /// Replaces an initializer; what is declared about its type follows.
    ///
    /// # Panics
    /// When `value` is not an initializer (a bug of the caller).
    pub fn set_tensor(&mut self, value: ValueId, tensor: Tensor) {
        let def = &self.values[value.index()].def;
        assert!(matches!(def, Def::Initializer(_)), "only initializers have tensors");
        if let Some(info) = &mut self.values[value.index()].info
            && info.ty.is_some()
        {
            let ty = TensorType::with_dims(tensor.dtype(), tensor.dims());
            info.ty = Some(ValueType::Tensor(ty));
        }
        self.values[value.index()].def = Def::Initializer(Constant::Dense(Stored::from(tensor)));
        self.touch_value(value);
    }

    /// Stores the elements of every dense tensor, strings apart, in `raw_data`.
    pub fn store_raw(&mut self) {
        let attributes = self.nodes.iter_mut().flat_map(|node| &mut node.attributes);
        let inside = attributes.flat_map(|attribute| match &mut attribute.value {
            AttrValue::Tensor(stored) => std::slice::from_mut(stored),
            AttrValue::Tensors(stored) => stored,
            _ => &mut [],
        });
        let constants = self.values.iter_mut().filter_map(|value| match &mut value.def {
            Def::Initializer(constant) | Def::Input { default: Some(constant) } => Some(constant),
            _ => None,
        });
        let dense = constants.filter_map(|constant| match constant {
            Constant::Dense(stored) => Some(stored),
            Constant::Sparse(_) => None,
        });
        for stored in dense.chain(inside) {
            if stored.stored_as == StoredAs::Field && stored.tensor.strings().is_none() {
                stored.stored_as = StoredAs::Raw;
            }
        }
    }

    /// Makes an input with a default a plain initializer, so that nobody can override it.
    /// Returns false for anything else.
    pub fn freeze_input(&mut self, value: ValueId) -> bool {
        let entry = &mut self.values[value.index()];
        let Def::Input { default } = &mut entry.def else { return false };
        let Some(constant) = default.take() else { return false };
        entry.def = Def::Initializer(constant);
        let graph = entry.graph;
        self.graphs[graph.index()].inputs.retain(|&input| input != value);
        self.touch_value(value);
        true
    }

    /// Takes the default from an input, so that callers must give it. Returns false for anything
    /// else.
    pub fn drop_default(&mut self, value: ValueId) -> bool {
        let entry = &mut self.values[value.index()];
        let Def::Input { default } = &mut entry.def else { return false };
        if default.take().is_none() {
            return false;
        }
        let graph = &mut self.graphs[entry.graph.index()];
        graph.initializers.retain(|&initializer| initializer != value);
        graph.sparse_initializers.retain(|&initializer| initializer != value);
        true
    }

    /// Gives a value that a node makes a name that nothing else has. False, and nothing changes, when the
    /// name is one that callers or carried data know.
    pub fn rename(&mut self, value: ValueId, base: &str) -> bool {
        let entry = self.value(value);
        let known = |u: &Use| matches!(u, Use::Output { .. } | Use::Carried { .. });
        if !matches!(entry.def, Def::Output { .. }) || entry.uses.iter().any(known) {
            return false;
        }
        self.values[value.index()].name = self.fresh_name(base);
        true
    }

    /// Replaces what is declared about a value.
    pub fn set_info(&mut self, value: ValueId, info: Info) {
        let info = (info != Info::default()).then(|| Box::new(info));
        self.values[value.index()].info = info;
    }

    /// Replaces what is declared about an output of a graph.
    pub fn set_output_info(&mut self, graph: GraphId, slot: usize, info: Info) {
        self.graphs[graph.index()].outputs[slot].info = info;
    }

    /// Whether carried data or [`Model::pin`] mentions an output of a node: no rule may change it.
    pub fn is_kept(&self, node: NodeId) -> bool {
        let mentioned = |u: &Use| matches!(u, Use::Carried { .. });
        let outputs = self.node(node).outputs.iter().flatten();
        outputs.into_iter().any(|&output| self.value(output).uses.iter().any(mentioned))
    }

    /// A value that must stay, with its name, until [`Model::unpin`].
    pub fn pin(&mut self, value: ValueId) {
        let graph = self.value(value).graph;
        self.push_use(value, Use::Carried { graph });
    }

    /// Takes back one [`Model::pin`].
    pub fn unpin(&mut self, value: ValueId) {
        let graph = self.value(value).graph;
        self.drop_use(value, Use::Carried { graph });
    }

    /// Replaces what is declared about values, and lists those in `value_info` of their graphs that
    /// were not listed.
    pub fn declare(&mut self, infos: Vec<(ValueId, Info)>) {
        let entries = self.graphs.iter().flat_map(|graph| &graph.declared);
        let listed = |entry: &Declared| match entry {
            Declared::Value(value) => Some(*value),
            Declared::Carried(_) => None,
        };
        let listed: HashSet<ValueId> = entries.filter_map(listed).collect();
        for (value, info) in infos {
            if !listed.contains(&value) {
                let graph = self.values[value.index()].graph;
                self.graphs[graph.index()].declared.push(Declared::Value(value));
            }
            self.set_info(value, info);
        }
    }

    /// Keeps only the metadata of nodes and declarations whose key `wanted` accepts, in functions,
    /// too; returns the number of bytes of text removed.
    pub fn retain_metadata(&mut self, wanted: &dyn Fn(&str) -> bool) -> usize {
        let mut removed = 0;
        let mut retain = |entries: &mut Vec<(String, String)>| {
            entries.retain(|(key, value)| {
                let keep = wanted(key);
                removed += if keep { 0 } else { key.len() + value.len() };
                keep
            });
        };
        self.nodes.iter_mut().filter(|n| n.alive).for_each(|n| retain(&mut n.metadata));
        let declared = self.values.iter_mut().filter(|v| v.alive).filter_map(|v| v.info.as_mut());
        declared.for_each(|info| retain(&mut info.metadata));
        for graph in self.graphs.iter_mut().filter(|graph| graph.alive) {
            graph.outputs.iter_mut().for_each(|o| retain(&mut o.info.metadata));
        }
        for function in &mut self.functions {
            removed += function.body.retain_metadata(wanted);
        }
        removed
    }

    /// Sets or replaces an attribute.
    pub fn set_attr(&mut self, node: NodeId, attribute: Attribute) {
        let attributes = &mut self.nodes[node.index()].attributes;
        match attributes.iter_mut().find(|a| a.name == attribute.name) {
            Some(existing) => *existing = attribute,
            None => attributes.push(attribute),
        }
        self.touch(node);
    }

    /// Removes an attribute that holds no body.
    pub fn remove_attr(&mut self, node: NodeId, name: &str) {
        let attributes = &mut self.nodes[node.index()].attributes;
        attributes.retain(|a| a.name != name || !a.value.graphs().is_empty());
        self.touch(node);
    }

    /// Changes the name of a node.
    pub fn set_node_name(&mut self, node: NodeId, name: &str) {
        let name = SmolStr::from(name);
        self.node_names.note(&name);
        self.nodes[node.index()].name = name;
    }

    /// Changes the operator of a node within its domain.
    pub fn set_op(&mut self, node: NodeId, op: &str) {
        self.nodes[node.index()].op = op.into();
        self.touch(node);
    }

    /// Makes another operator of a node without bodies; its name, place and outputs stay.
    ///
    /// # Panics
    /// When the node has bodies (a bug of the caller).
    pub fn turn_into(
        &mut self,
        node: NodeId,
        domain: &str,
        op: &str,
        inputs: &[Option<ValueId>],
        attributes: Vec<Attribute>,
    ) {
        assert!(self.node(node).bodies().next().is_none(), "bodies would be lost");
        let entry = &mut self.nodes[node.index()];
        entry.domain = domain.into();
        entry.op = op.into();
        entry.attributes = attributes;
        let slots = entry.inputs.len().max(inputs.len());
        for slot in 0..slots {
            self.set_input(node, slot, inputs.get(slot).copied().flatten());
        }
        self.nodes[node.index()].inputs.truncate(inputs.len());
    }

    /// Imports a domain, unless it is imported already.
    pub fn import(&mut self, domain: &str, version: i64) {
        if self.opset_of(domain).is_none() {
            self.header.opsets.push((domain.to_owned(), version));
        }
    }

    /// Imports `version` of the default domain, and raises the IR version to what it asks for.
    pub fn set_opset(&mut self, version: i64) {
        let default = |domain: &str| matches!(domain, "" | "ai.onnx");
        let mut imported = false;
        // It may be imported under both its names.
        for entry in self.header.opsets.iter_mut().filter(|(domain, _)| default(domain)) {
            (entry.1, imported) = (version, true);
        }
        if !imported {
            self.header.opsets.push((String::new(), version));
        }
        let needed = ir_version_for(version);
        if self.header.ir_version.is_none_or(|ir| ir < needed) {
            self.header.ir_version = Some(needed);
        }
    }

    /// Puts the nodes of `graph` into this order.
    pub(crate) fn set_order(&mut self, graph: GraphId, order: &[NodeId]) {
        for (i, &id) in order.iter().enumerate() {
            let node = &mut self.nodes[id.index()];
            node.prev = i.checked_sub(1).map(|p| order[p]);
            node.next = order.get(i + 1).copied();
        }
        let graph = &mut self.graphs[graph.index()];
        (graph.first, graph.last) = (order.first().copied(), order.last().copied());
    }

    pub(super) fn link(&mut self, node: NodeId, at: At) {
        let graph = self.node(node).graph;
        let (prev, next) = match at {
            At::Start => (None, self.graph(graph).first),
            At::End => (self.graph(graph).last, None),
            At::Before(next) => (self.node(next).prev, Some(next)),
            At::After(prev) => (Some(prev), self.node(prev).next),
        };
        let entry = &mut self.nodes[node.index()];
        (entry.prev, entry.next) = (prev, next);
        self.join(graph, prev, Some(node), node);
        self.join(graph, Some(node), next, node);
    }

    pub(super) fn unlink(&mut self, node: NodeId) {
        let (graph, prev, next) =
            (self.node(node).graph, self.node(node).prev, self.node(node).next);
        self.join(graph, prev, next, node);
        if prev.is_none() {
            self.graphs[graph.index()].first = next;
        }
        if next.is_none() {
            self.graphs[graph.index()].last = prev;
        }
    }

    fn join(&mut self, graph: GraphId, prev: Option<NodeId>, next: Option<NodeId>, edge: NodeId) {
        match prev {
            Some(prev) => self.nodes[prev.index()].next = next,
            None => self.graphs[graph.index()].first = Some(next.unwrap_or(edge)),
        }
        match next {
            Some(next) => self.nodes[next.index()].prev = prev,
            None => self.graphs[graph.index()].last = Some(prev.unwrap_or(edge)),
        }
    }

    pub(super) fn drop_use(&mut self, value: ValueId, use_: Use) {
        self.values[value.index()].uses.remove(use_);
    }
}

/// The first IR version whose specification knows this version of the default operator set
/// (table "Versioning" of the ONNX specification).
pub(crate) fn ir_version_for(opset: i64) -> i64 {
    match opset {
        ..=8 => 3,
        9 => 4,
        10 => 5,
        11 => 6,
        12..=14 => 7,
        15..=18 => 8,
        19..=20 => 9,
        21..=22 => 10,
        23 => 11,
        24 => 12,
        _ => 13,
    }
}
