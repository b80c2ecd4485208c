//! What passes did to a model, as pairs of values that must be equal.
//!
//! A node that stands in both models with the same attributes *survives*. If its inputs in both are
//! equal, so are its outputs. So it is enough to ask of each input of a surviving node, and of each
//! output of the model, whether what stood there and what stands there are equal, for whatever the
//! outputs of surviving nodes are.

use std::collections::{HashMap, HashSet};

use crate::ir::{Constant, Def, GraphId, Model, Node, NodeId, Stored, ValueId, schema};
use crate::tensor::Tensor;

/// A value before and one after.
pub(crate) type Pair = (ValueId, ValueId);

/// The nodes that two models share, of which one is an edited clone of the other, and the values
/// that differ.
pub(crate) struct Edits<'a> {
    pub before: &'a Model,
    pub after: &'a Model,
    /// By position of the node: it survives.
    survives: Vec<bool>,
    /// By position of the value: it depends on an input of the model.
    varies: Vec<bool>,
    /// Values before and after that must be equal, in the order of the nodes that read them.
    pub pairs: Vec<Pair>,
}

impl<'a> Edits<'a> {
    pub fn between(before: &'a Model, after: &'a Model) -> Self {
        let mut survives = vec![false; before.node_count()];
        for node in before.all_nodes() {
            survives[node.index()] = after.is_live(node) && same(before, after, node);
        }
        let varies = varying(before);
        let mut edits = Self { before, after, survives, varies, pairs: Vec::new() };
        edits.drop_reweighted();
        edits.look_into_bodies();
        edits.ask();
        edits
    }

    /// Whether nothing that runs was edited: all nodes are there, mean what they meant, and read what they read.
    pub fn are_none(&self) -> bool {
        let nodes = self.before.all_nodes();
        self.pairs.is_empty()
            && nodes.len() == self.after.all_nodes().len()
            && nodes.into_iter().all(|node| self.survives[node.index()])
    }

    /// Takes the nodes that read these pairs, by position, for rewritten: perhaps what follows makes
    /// up for the difference. Pairs that follow upon such a node wait: perhaps they are the ones that
    /// do. False when that is no way out, because an output of the model differs.
    pub fn widen(&mut self, differing: &[usize]) -> bool {
        let found = self.collect();
        let differing: Vec<_> = differing.iter().filter_map(|&pair| found.get(pair)).collect();
        let readers: HashSet<NodeId> =
            differing.iter().flat_map(|(_, readers)| readers).copied().flatten().collect();
        let mut lost = Vec::new();
        for ((old, new), read_by) in differing {
            let follows = |model, value| {
                self.sources(model, value).iter().any(|source| readers.contains(source))
            };
            if follows(self.before, *old) || follows(self.after, *new) {
                continue;
            }
            for reader in read_by {
                let Some(node) = reader else { return false };
                lost.push(*node);
            }
        }
        lost.iter().for_each(|node| self.survives[node.index()] = false);
        self.look_into_bodies();
        self.ask();
        !lost.is_empty()
    }

    /// Notes the pairs that follow from what survives.
    fn ask(&mut self) {
        self.pairs = self.collect().into_iter().map(|(pair, _)| pair).collect();
    }

    /// The surviving nodes that a value is made from by rewritten ones.
    fn sources(&self, model: &Model, value: ValueId) -> Vec<NodeId> {
        let (mut pending, mut seen, mut sources) = (vec![value], HashSet::new(), Vec::new());
        while let Some(value) = pending.pop() {
            let Some(node) = model.value(value).producer().filter(|&node| seen.insert(node)) else {
                continue;
            };
            let outermost = owner(model, node);
            match self.survives(outermost) {
                true => sources.push(outermost),
                false => pending.extend(model.reads(node)),
            }
        }
        sources
    }

    /// A node does not survive when another constant stands at an input.
    fn drop_reweighted(&mut self) {
        let (before, after) = (self.before, self.after);
        let tensor = |model: &'a Model, value: &Option<ValueId>| {
            value.and_then(|value| constant(model.value(value).def()))
        };
        for (id, node) in before.nodes_of(before.main()) {
            if self.survives(id) {
                let mut inputs = node.inputs().iter().zip(after.node(id).inputs());
                let differs = |(a, b)| match (tensor(before, a), tensor(after, b)) {
                    (Some(a), Some(b)) => a != b,
                    _ => false,
                };
                self.survives[id.index()] = !inputs.any(differs);
            }
        }
    }

    /// Whether a node of the main graph does in both models the same with its inputs.
    pub fn survives(&self, node: NodeId) -> bool {
        self.survives.get(node.index()).is_some_and(|&survives| survives)
    }

    /// Whether a value of the model before may differ from run to run.
    pub fn varies(&self, value: ValueId) -> bool {
        self.varies.get(value.index()).is_some_and(|&varies| varies)
    }

    /// True when a value is the same by construction, given that outputs of surviving nodes are.
    fn settled(&self, value: ValueId) -> bool {
        if !self.before.is_live_value(value) || !self.after.is_live_value(value) {
            return false;
        }
        match (self.before.value(value).def(), self.after.value(value).def()) {
            (Def::Output { node, slot }, Def::Output { node: other, slot: other_slot }) => {
                node == other && slot == other_slot && self.survives(*node)
            }
            (Def::Input { default: None }, Def::Input { default: None }) => true,
            (before, after) => match (constant(before), constant(after)) {
                (Some(before), Some(after)) => before == after,
                _ => false,
            },
        }
    }

    /// A node survives only when all that stands in its bodies does. What it loses may be read in
    /// other bodies, so this is repeated until nothing is lost.
    fn look_into_bodies(&mut self) {
        let (before, after) = (self.before, self.after);
        let inside = |model: &Model| -> Vec<NodeId> {
            let main = model.main();
            model.all_nodes().into_iter().filter(|&n| model.node(n).graph() != main).collect()
        };
        let (old, new) = (inside(before), inside(after));
        if old.is_empty() && new.is_empty() {
            return;
        }
        loop {
            let mut lost = Vec::new();
            for &node in &old {
                if !self.survives(node) || !self.same_inputs(node) {
                    lost.push(owner(before, node));
                }
            }
            let made = new.iter().filter(|&&node| !self.survives(node));
            lost.extend(made.map(|&node| owner(after, node)));
            for graph in before.graphs().filter(|&g| before.graph(g).parent().is_some()) {
                let Some(parent) = before.graph(graph).parent() else { continue };
                if self.survives(parent) && !self.same_outputs(graph) {
                    lost.push(owner(before, parent));
                }
            }
            let mut changed = false;
            for node in lost {
                if let Some(survives) = self.survives.get_mut(node.index()) {
                    changed |= std::mem::take(survives);
                }
            }
            if !changed {
                return;
            }
        }
    }

    fn same_inputs(&self, node: NodeId) -> bool {
        let inputs = |model: &'a Model| model.node(node).inputs();
        inputs(self.before) == inputs(self.after)
            && inputs(self.before).iter().flatten().all(|&value| self.settled(value))
    }

    fn same_outputs(&self, graph: GraphId) -> bool {
        let outputs = |model: &'a Model| model.graph(graph).outputs().iter().map(|o| o.value);
        outputs(self.before).eq(outputs(self.after))
            && outputs(self.before).all(|value| self.settled(value))
    }

    /// The pairs, each with the nodes that read it; `None` is an output of the model.
    fn collect(&self) -> Vec<(Pair, Vec<Option<NodeId>>)> {
        let (before, after, main) = (self.before, self.after, self.before.main());
        let mut slots: HashMap<Pair, usize> = HashMap::new();
        let mut pairs: Vec<(Pair, Vec<Option<NodeId>>)> = Vec::new();
        let mut ask = |pair: Pair, reader: Option<NodeId>| {
            if pair.0 != pair.1 || !self.settled(pair.0) {
                let slot = *slots.entry(pair).or_insert(pairs.len());
                if slot == pairs.len() {
                    pairs.push((pair, Vec::new()));
                }
                pairs[slot].1.push(reader);
            }
        };
        for (id, node) in before.nodes_of(main).filter(|(id, _)| self.survives(*id)) {
            for pair in node.inputs().iter().zip(after.node(id).inputs()) {
                if let (Some(before), Some(after)) = pair {
                    ask((*before, *after), Some(id));
                }
            }
        }
        let outputs = |model: &'a Model| model.graph(main).outputs().iter().map(|o| o.value);
        outputs(before).zip(outputs(after)).for_each(|pair| ask(pair, None));
        pairs
    }
}

/// By position, which values of the main graph depend on an input of the model.
fn varying(model: &Model) -> Vec<bool> {
    let length = model.values().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
    let mut varies = vec![false; length];
    for (id, value) in model.values() {
        varies[id.index()] = matches!(value.def(), Def::Input { default: None });
    }
    for (id, node) in model.nodes_of(model.main()) {
        // Runs of a part have the extents of runs of the whole.
        if node.is("Shape") || node.is("Size") {
            continue;
        }
        if model.reads(id).iter().any(|value| varies[value.index()]) {
            node.outputs().iter().flatten().for_each(|output| varies[output.index()] = true);
        }
    }
    varies
}

/// Whether a node does in both models the same with its inputs, bodies apart.
fn same(before: &Model, after: &Model, node: NodeId) -> bool {
    let (a, b) = (before.node(node), after.node(node));
    let schema = |model: &Model, node: &Node| {
        let version = model.opset_of(node.domain())?;
        Some(std::ptr::from_ref(schema::find(node.domain(), node.op(), version)?))
    };
    a.graph() == b.graph()
        && (a.op(), a.domain(), a.overload()) == (b.op(), b.domain(), b.overload())
        && schema(before, a) == schema(after, b)
        && a.outputs() == b.outputs()
        && a.inputs().iter().map(Option::is_some).eq(b.inputs().iter().map(Option::is_some))
        && a.has_same_attributes(b)
}

/// What an initializer or an input with a default is, as long as nobody overrides it.
fn constant(def: &Def) -> Option<&Tensor> {
    match def {
        Def::Initializer(Constant::Dense(Stored { tensor, .. }))
        | Def::Input { default: Some(Constant::Dense(Stored { tensor, .. })) } => Some(tensor),
        _ => None,
    }
}

/// The node of the main graph in which a node stands.
fn owner(model: &Model, mut node: NodeId) -> NodeId {
    while let Some(parent) = model.graph(model.node(node).graph()).parent() {
        node = parent;
    }
    node
}
