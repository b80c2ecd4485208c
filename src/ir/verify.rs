//! The gate: what a model must satisfy before it may be written or run.

use std::collections::{HashMap, HashSet};
use std::fmt;

use crate::error::{Error, ErrorKind};
use crate::ir::{Def, GraphId, Model, NodeId, Use, ValueId};

/// A model that passed [`Model::verify`]; the only thing `emit` accepts.
#[derive(Debug, Clone, Copy)]
pub struct Verified<'a>(&'a Model);

impl<'a> Verified<'a> {
    /// The model.
    pub fn model(self) -> &'a Model {
        self.0
    }
}

/// A rule that the model breaks, and where.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Violation {
    /// Place in words.
    pub place: String,
    /// What is wrong.
    pub message: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.place, self.message)
    }
}

/// How many violations an error message lists; all of them are in the vector.
const LISTED: usize = 5;

impl From<Vec<Violation>> for Error {
    fn from(violations: Vec<Violation>) -> Self {
        let mut text: Vec<String> =
            violations.iter().take(LISTED).map(ToString::to_string).collect();
        if violations.len() > LISTED {
            text.push(format!("and {} more", violations.len() - LISTED));
        }
        Self::new(ErrorKind::Invalid, text.join("; "))
    }
}

impl Model {
    /// Checks names, scopes, order, use lists and outputs in one linear walk.
    ///
    /// # Errors
    /// All violations, in the order of the walk.
    pub fn verify(&self) -> Result<Verified<'_>, Vec<Violation>> {
        let mut walk = Walk {
            model: self,
            violations: Vec::new(),
            seen: HashMap::new(),
            visible: HashSet::new(),
            names: HashSet::new(),
            scopes: Vec::new(),
        };
        if self.graphs.is_empty() {
            walk.report("model", "has no graph".into());
        } else {
            walk.run();
            walk.use_lists();
        }
        if walk.violations.is_empty() { Ok(Verified(self)) } else { Err(walk.violations) }
    }
}

struct Walk<'a> {
    model: &'a Model,
    violations: Vec<Violation>,
    /// Uses met on the way, to be compared with the use lists.
    seen: HashMap<ValueId, HashSet<Use>>,
    visible: HashSet<ValueId>,
    names: HashSet<&'a str>,
    /// For each graph that is open, the values it defined so far.
    scopes: Vec<Vec<ValueId>>,
}

/// A step of the walk; graphs nest on this explicit stack.
enum Step {
    Enter(GraphId),
    Node(NodeId),
    DefineOutputs(NodeId),
    Leave(GraphId),
}

impl<'a> Walk<'a> {
    fn report(&mut self, place: impl fmt::Display, message: String) {
        self.violations.push(Violation { place: place.to_string(), message });
    }

    fn run(&mut self) {
        let model = self.model;
        let mut steps = vec![Step::Enter(model.main())];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(graph) => {
                    self.enter(graph);
                    steps.push(Step::Leave(graph));
                    let nodes: Vec<_> = model.nodes_of(graph).map(|(id, _)| id).collect();
                    steps.extend(nodes.into_iter().rev().map(Step::Node));
                }
                Step::Node(id) => {
                    self.inputs(id);
                    steps.push(Step::DefineOutputs(id));
                    let bodies: Vec<_> = model.node(id).bodies().collect();
                    steps.extend(bodies.into_iter().rev().map(Step::Enter));
                }
                Step::DefineOutputs(id) => {
                    let node = model.node(id);
                    for (slot, &value) in node.outputs.iter().enumerate() {
                        if let Some(value) = value {
                            self.define(value, node.graph);
                            let here = |def: &Def| matches!(*def, Def::Output { node, slot: s } if node == id && s == slot);
                            if !here(&model.value(value).def) {
                                let name = model.value(value).name();
                                self.report(
                                    model.label(id),
                                    format!("output `{name}` names another producer"),
                                );
                            }
                        }
                    }
                }
                Step::Leave(graph) => self.leave(graph),
            }
        }
    }

    fn enter(&mut self, graph: GraphId) {
        let model = self.model;
        self.scopes.push(Vec::new());
        for &value in &model.graph(graph).inputs {
            self.define(value, graph);
        }
        let stored = model.initializers_of(graph).chain(model.sparse_initializers_of(graph));
        for value in stored.collect::<Vec<_>>() {
            if matches!(model.value(value).def, Def::Initializer(_)) {
                self.define(value, graph);
            }
        }
    }

    fn inputs(&mut self, id: NodeId) {
        let model = self.model;
        for (slot, &input) in model.node(id).inputs.iter().enumerate() {
            let Some(value) = input else { continue };
            self.seen.entry(value).or_default().insert(Use::Input { node: id, slot });
            if !self.visible.contains(&value) {
                let name = model.value(value).name();
                self.report(
                    model.label(id),
                    format!("input {slot} `{name}` is not defined before the node"),
                );
            }
        }
    }

    fn define(&mut self, value: ValueId, graph: GraphId) {
        let model = self.model;
        let entry = model.value(value);
        let place = format!("value `{}`", entry.name);
        if !entry.alive {
            self.report(&place, "was removed but is still defined".into());
        }
        if entry.graph != graph {
            self.report(&place, "is defined in a graph it does not belong to".into());
        }
        if entry.name.is_empty() {
            self.report("value", "has an empty name".into());
        }
        if !self.visible.insert(value) || !self.names.insert(&entry.name) {
            self.report(&place, "is defined twice; every name must be defined once".into());
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(value);
        }
    }

    fn leave(&mut self, graph: GraphId) {
        let model = self.model;
        for (slot, output) in model.graph(graph).outputs.iter().enumerate() {
            self.seen.entry(output.value).or_default().insert(Use::Output { graph, slot });
            if !self.visible.contains(&output.value) {
                let name = model.value(output.value).name();
                self.report(
                    format!("graph `{}`", model.graph(graph).name),
                    format!("output `{name}` is not produced by any node, input or initializer"),
                );
            }
        }
        for value in self.scopes.pop().unwrap_or_default() {
            self.visible.remove(&value);
            self.names.remove(model.value(value).name());
        }
    }

    fn use_lists(&mut self) {
        let model = self.model;
        let nothing = HashSet::new();
        for (id, value) in model.values() {
            let seen = self.seen.get(&id).unwrap_or(&nothing);
            let listed = value.uses.iter().filter(|u| !matches!(u, Use::Carried { .. }));
            let listed: HashSet<Use> = listed.copied().collect();
            if listed != *seen {
                self.violations.push(Violation {
                    place: format!("value `{}`", value.name),
                    message: "its use list differs from the graph (a bug in onnxpress)".into(),
                });
            }
        }
    }
}
