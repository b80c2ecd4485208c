//! One pair of graphs after the other: interface, nodes, constants, declared types.

use super::align::Alignment;
use super::carried::{self, Message};
use super::describe::{self, node_name};
use super::lookup::{self, constants_of};
use super::{Change, Diff, DiffOptions, Distance, Item, Subject, What};
use crate::ir::{
    Constant, GraphId, GraphOutput, Info, Model, Node, Sparse, Stored, Value, ValueId,
};

/// Two bodies that belong together, and where they are.
pub(super) type Bodies = Vec<(GraphId, GraphId, String)>;

pub(super) struct Comparison<'a> {
    pub(super) a: &'a Model,
    pub(super) b: &'a Model,
    pub(super) options: DiffOptions,
    pub(super) alignment: Alignment<'a>,
    /// Where changes are found at the moment.
    pub(super) path: String,
    changes: Vec<Change>,
    /// Nodes that were paired in functions.
    matched_inside: usize,
}

impl<'a> Comparison<'a> {
    pub(super) fn new(a: &'a Model, b: &'a Model, options: DiffOptions) -> Self {
        let alignment = Alignment::new(a, b);
        Self {
            a,
            b,
            options,
            alignment,
            path: String::new(),
            changes: Vec::new(),
            matched_inside: 0,
        }
    }

    pub(super) fn finish(self) -> Diff {
        let matched_nodes = self.alignment.len() + self.matched_inside;
        Diff { changes: self.changes, matched_nodes }
    }

    /// Takes over what was found in a function.
    pub(super) fn take(&mut self, inside: Diff) {
        self.changes.extend(inside.changes);
        self.matched_inside += inside.matched_nodes;
    }

    pub(super) fn push(&mut self, subject: Subject, name: impl Into<String>, what: What) {
        let graph = self.path.clone();
        self.changes.push(Change { graph, subject, name: name.into(), op: None, what });
    }

    pub(super) fn push_node(&mut self, model: &Model, node: &Node, what: What) {
        let op = Some(describe::operator(node));
        let (graph, name) = (self.path.clone(), node_name(model, node));
        self.changes.push(Change { graph, subject: Subject::Node, name, op, what });
    }

    pub(super) fn carried(&self, message: &Message, a: &[u8], b: &[u8]) -> Vec<What> {
        carried::changes(message, a, b, self.options.metadata)
    }

    /// Versions, producer and what else stands around the graph.
    pub(super) fn header(&mut self) {
        let (a, b) = (&self.a.header, &self.b.header);
        let mut values = vec![(
            "ir_version".to_owned(),
            a.ir_version.map(|v| v.to_string()),
            b.ir_version.map(|v| v.to_string()),
        )];
        let canonical =
            |domain: &str| if domain.is_empty() { "ai.onnx" } else { domain }.to_owned();
        let mut domains: Vec<String> =
            a.opsets.iter().chain(&b.opsets).map(|(domain, _)| canonical(domain)).collect();
        domains.sort();
        domains.dedup();
        for domain in domains {
            let version = |model: &Model| model.opset_of(&domain).map(|v| v.to_string());
            values.push((format!("opset {domain}"), version(self.a), version(self.b)));
        }
        let producer = |text: &str| (!text.is_empty()).then(|| format!("{text:?}"));
        values.push(("producer".to_owned(), producer(&a.producer), producer(&b.producer)));
        for (name, old, new) in values.into_iter().filter(|(_, old, new)| old != new) {
            self.push(Subject::Model, name, What::changed(Item::Value, old, new));
        }
        for what in self.carried(&carried::MODEL, &a.carried, &b.carried) {
            self.push(Subject::Model, "", what);
        }
    }

    /// Compares the main graphs, which are found at `path`, and all bodies in them.
    pub(super) fn graphs(&mut self, path: String) {
        let mut pending = vec![(self.a.main(), self.b.main(), path)];
        while let Some((in_a, in_b, path)) = pending.pop() {
            let bodies = self.graph(in_a, in_b, path);
            pending.extend(bodies.into_iter().rev());
        }
    }

    /// Compares two graphs; returns their bodies that are left to be compared.
    fn graph(&mut self, in_a: GraphId, in_b: GraphId, path: String) -> Bodies {
        self.path = path;
        let (a, b) = (self.a, self.b);
        let (left, right) = (a.graph(in_a), b.graph(in_b));
        // Callers of functions and of bodies give values by position.
        let main = left.parent().is_none() && self.path.is_empty();
        let names = |model: &'a Model, values: &[ValueId]| -> Vec<&'a str> {
            values.iter().map(|&value| model.value(value).name()).collect()
        };
        let given = (lookup::ports(a, in_a), lookup::ports(b, in_b));
        let inputs = lookup::pair_ports(&names(a, &given.0), &names(b, &given.1), main);
        let returned = |model, outputs: &[GraphOutput]| {
            names(model, &outputs.iter().map(|output| output.value).collect::<Vec<_>>())
        };
        let results = (returned(a, left.outputs()), returned(b, right.outputs()));
        let outputs = lookup::pair_ports(&results.0, &results.1, main);
        self.alignment.graph(in_a, in_b, &inputs, &outputs);

        if left.name() != right.name() {
            let (old, new) = (left.name(), right.name());
            self.push(Subject::Model, "graph", What::turned(Item::Name, old, new));
        }
        for what in self.carried(&carried::GRAPH, &left.carried, &right.carried) {
            self.push(Subject::Model, "graph", what);
        }
        for (i, j) in inputs {
            let port = |model: &'a Model, values: &[ValueId], k: usize| {
                let value = model.value(values[k]);
                (k, value.name(), value.info())
            };
            let (old, new) = (i.map(|i| port(a, &given.0, i)), j.map(|j| port(b, &given.1, j)));
            self.port(Subject::Input, old, new);
        }
        for (i, j) in outputs {
            let old = i.map(|i| (i, results.0[i], &left.outputs()[i].info));
            let new = j.map(|j| (j, results.1[j], &right.outputs()[j].info));
            self.port(Subject::Output, old, new);
        }
        let bodies = self.nodes(in_a, in_b);
        self.constants(in_a, in_b);
        self.declared(in_a);
        bodies
    }

    /// An input or output: position, name and declaration on either side.
    fn port(
        &mut self,
        subject: Subject,
        old: Option<(usize, &str, &Info)>,
        new: Option<(usize, &str, &Info)>,
    ) {
        let shown = |info: &Info| info.ty.as_ref().map(describe::value_type);
        let described = |info: &Info| shown(info).unwrap_or("no type".into());
        let ((i, name, old), (j, new_name, new)) = match (old, new) {
            (Some(old), Some(new)) => (old, new),
            (Some((_, name, info)), None) => {
                return self.push(subject, name, What::OnlyInA(described(info)));
            }
            (None, Some((_, name, info))) => {
                return self.push(subject, name, What::OnlyInB(described(info)));
            }
            (None, None) => return,
        };
        if name != new_name {
            let (old, new) = (name, new_name);
            self.push(subject, name, What::turned(Item::Name, old, new));
        }
        if i != j {
            let (old, new) = (i.to_string(), j.to_string());
            self.push(subject, name, What::turned(Item::Order, old, new));
        }
        self.info(subject, name, old, new);
    }

    fn info(&mut self, subject: Subject, name: &str, old: &Info, new: &Info) {
        let shown = |info: &Info| info.ty.as_ref().map(describe::value_type);
        if old.ty != new.ty {
            self.push(subject, name, What::changed(Item::Type, shown(old), shown(new)));
        }
        if self.options.metadata && old.metadata != new.metadata {
            let item = Item::Field("metadata_props".into());
            self.push(subject, name, What::changed(item, None, None));
        }
        for what in self.carried(&carried::VALUE, &old.carried, &new.carried) {
            self.push(subject, name, what);
        }
    }

    fn constants(&mut self, in_a: GraphId, in_b: GraphId) {
        for id in constants_of(self.a, in_a) {
            let old = self.a.value(id);
            let Some(from) = lookup::constant(old) else { continue };
            let new = self.alignment.value(id).map(|id| self.b.value(id));
            let Some((new, to)) = new.and_then(|new| Some((new, lookup::constant(new)?))) else {
                let what = What::OnlyInA(describe::constant(from));
                self.push(Subject::Initializer, old.name(), what);
                continue;
            };
            let mut found = Vec::new();
            if old.name() != new.name() {
                let (from, to) = (old.name(), new.name());
                found.push(What::turned(Item::Name, from, to));
            }
            let roles = (describe::role(old, from), describe::role(new, to));
            if roles.0 != roles.1 {
                found.push(What::turned(Item::Role, roles.0, roles.1));
            }
            match (from, to) {
                (Constant::Dense(x), Constant::Dense(y)) => found.extend(self.stored(x, y)),
                (Constant::Sparse(x), Constant::Sparse(y)) if !same(x, y) => {
                    found.push(What::changed(Item::Contents, None, None));
                }
                _ => {}
            }
            for what in found {
                self.push(Subject::Initializer, old.name(), what);
            }
        }
        for id in constants_of(self.b, in_b) {
            let new = self.b.value(id);
            if let Some(constant) = lookup::constant(new)
                && !self.alignment.is_taken_value(id)
            {
                let what = What::OnlyInB(describe::constant(constant));
                self.push(Subject::Initializer, new.name(), what);
            }
        }
    }

    fn stored(&self, old: &Stored, new: &Stored) -> Vec<What> {
        let mut found = Vec::new();
        let (x, y) = (&old.tensor, &new.tensor);
        if (x.dtype(), x.dims()) != (y.dtype(), y.dims()) {
            let (from, to) = (describe::tensor_type(x), describe::tensor_type(y));
            let distance = Distance::between(x, y);
            let (old, new) = (Some(from), Some(to));
            found.push(What::Changed { item: Item::Type, old, new, distance });
        } else if x != y {
            let distance = Distance::between(x, y);
            found.push(What::Changed { item: Item::Contents, old: None, new: None, distance });
        }
        if old.stored_as != new.stored_as {
            let (from, to) = (describe::storage(old), describe::storage(new));
            found.push(What::turned(Item::Storage, from, to));
        }
        found.extend(self.carried(&carried::TENSOR, &old.carried, &new.carried));
        found
    }

    /// Declared types of what nodes make and of inputs with a default. Those of graph outputs were
    /// compared with the outputs; what is declared about a plain constant is in its tensor.
    fn declared(&mut self, in_a: GraphId) {
        let (a, b) = (self.a, self.b);
        let made = a.nodes_of(in_a).flat_map(|(_, node)| node.outputs().iter().flatten().copied());
        let all: Vec<ValueId> = made.chain(constants_of(a, in_a)).collect();
        for id in all {
            let Some(counterpart) = self.alignment.value(id) else { continue };
            let (old, new) = (a.value(id), b.value(counterpart));
            let wanted = |value: &Value| {
                !value.is_output() && (value.is_input() || value.producer().is_some())
            };
            if wanted(old) && wanted(new) {
                self.info(Subject::Value, old.name(), old.info(), new.info());
            }
        }
    }
}

/// Whether two sparse tensors are stored alike.
fn same(a: &Sparse, b: &Sparse) -> bool {
    let indices = |sparse: &Sparse| sparse.indices.as_ref().map(|stored| stored.tensor.clone());
    a.dims == b.dims && a.values.tensor == b.values.tensor && indices(a) == indices(b)
}
