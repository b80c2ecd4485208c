//! Names, scopes, order, use lists and outputs, in one linear walk.

use std::collections::HashSet;

use crate::ir::names::{NameIndex, maybe_shared};
use crate::ir::verify::Findings;
use crate::ir::{Def, GraphId, Model, NodeId, Use, ValueId};

/// Checks all graphs, the main one first.
pub(super) fn check(model: &Model, findings: &mut Findings) {
    let mut walk = Walk {
        model,
        findings,
        uses: vec![0; model.values.len()],
        walked: vec![false; model.nodes.len()],
        entered: vec![false; model.graphs.len()],
        visible: vec![false; model.values.len()],
        shared: maybe_shared(&model.values),
        names: NameIndex::default(),
        scopes: Vec::new(),
    };
    walk.run();
    walk.use_lists();
}

struct Walk<'a, 'f> {
    model: &'a Model,
    findings: &'f mut Findings,
    /// How many uses of each value the walk met, to be compared with the use lists.
    uses: Vec<usize>,
    /// Nodes the walk met.
    walked: Vec<bool>,
    /// Graphs the walk met.
    entered: Vec<bool>,
    /// Values that a node at this point of the walk may read.
    visible: Vec<bool>,
    /// Values that may have the name of another.
    shared: Vec<bool>,
    /// Those of them that are visible.
    names: NameIndex,
    /// For each graph that is open, the values it defined so far, and those around it that they hide.
    scopes: Vec<Scope>,
}

#[derive(Default)]
struct Scope {
    defined: Vec<ValueId>,
    hidden: Vec<ValueId>,
}

/// A step of the walk; graphs nest on this explicit stack.
enum Step {
    Enter(GraphId),
    Node(NodeId),
    DefineOutputs(NodeId),
    Leave(GraphId),
}

impl Walk<'_, '_> {
    fn run(&mut self) {
        let model = self.model;
        let mut steps = vec![Step::Enter(model.main())];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(graph) => {
                    if std::mem::replace(&mut self.entered[graph.index()], true) {
                        let place = format!("graph `{}`", model.graph(graph).name);
                        self.findings.violation(place, "is the body of two nodes");
                        continue;
                    }
                    self.enter(graph);
                    steps.push(Step::Leave(graph));
                    let first = steps.len();
                    steps.extend(model.nodes_of(graph).map(|(id, _)| Step::Node(id)));
                    steps[first..].reverse();
                }
                Step::Node(id) => {
                    self.inputs(id);
                    steps.push(Step::DefineOutputs(id));
                    let first = steps.len();
                    steps.extend(model.node(id).bodies().map(Step::Enter));
                    steps[first..].reverse();
                }
                Step::DefineOutputs(id) => self.outputs(id),
                Step::Leave(graph) => self.leave(graph),
            }
        }
    }

    fn enter(&mut self, graph: GraphId) {
        let model = self.model;
        self.scopes.push(Scope::default());
        for &value in &model.graph(graph).inputs {
            self.define(value, graph);
        }
        for value in model.initializers_of(graph).chain(model.sparse_initializers_of(graph)) {
            if matches!(model.value(value).def, Def::Initializer(_)) {
                self.define(value, graph);
            }
        }
    }

    fn inputs(&mut self, id: NodeId) {
        let model = self.model;
        self.walked[id.index()] = true;
        for (slot, &input) in model.node(id).inputs.iter().enumerate() {
            let Some(value) = input else { continue };
            self.uses[value.index()] += 1;
            if !self.visible[value.index()] {
                let name = model.value(value).name();
                let message = format!("input {slot} `{name}` is not defined before the node");
                self.findings.violation(model.label(id), message);
            }
        }
    }

    fn outputs(&mut self, id: NodeId) {
        let model = self.model;
        let node = model.node(id);
        for (slot, &output) in node.outputs.iter().enumerate() {
            let Some(value) = output else { continue };
            self.define(value, node.graph);
            let entry = model.value(value);
            if !matches!(entry.def, Def::Output { node, slot: s } if node == id && s == slot) {
                let message = format!("output `{}` names another producer", entry.name);
                self.findings.violation(model.label(id), message);
            }
        }
    }

    fn define(&mut self, value: ValueId, graph: GraphId) {
        let entry = self.model.value(value);
        let mut wrong = |message: &str| {
            self.findings.violation(format_args!("value `{}`", entry.name), message);
        };
        if !entry.alive {
            wrong("was removed but is still defined");
        }
        if entry.graph != graph {
            wrong("is defined in a graph it does not belong to");
        }
        if entry.name.is_empty() {
            wrong("has an empty name");
        }
        let known = std::mem::replace(&mut self.visible[value.index()], true);
        let shared = self.shared[value.index()];
        if known
            || (shared
                && !self.names.insert(value, &self.model.values)
                && !self.hides(value, graph))
        {
            let place = format_args!("value `{}`", entry.name);
            self.findings.violation(place, "is defined twice; every name must be defined once");
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.defined.push(value);
        }
    }

    /// Lets a value of a body that keeps its names hide the value around it that has its name: nothing in the
    /// body may read that. False, and nothing changes, elsewhere.
    fn hides(&mut self, value: ValueId, graph: GraphId) -> bool {
        let model = self.model;
        let around = self.names.get(model.value(value).name(), &model.values);
        let Some(around) = around.filter(|&around| model.value(around).graph != graph) else {
            return false;
        };
        let Some(scope) = self.scopes.last_mut().filter(|_| model.keeps_names(graph)) else {
            return false;
        };
        scope.hidden.push(around);
        self.visible[around.index()] = false;
        self.names.remove(model.value(around).name(), &model.values);
        self.names.insert(value, &model.values)
    }

    fn leave(&mut self, graph: GraphId) {
        let model = self.model;
        let entry = model.graph(graph);
        for output in &entry.outputs {
            self.uses[output.value.index()] += 1;
            if !self.visible[output.value.index()] {
                let name = model.value(output.value).name();
                self.findings.violation(
                    format_args!("graph `{}`", entry.name),
                    format!("output `{name}` is not produced by any node, input or initializer"),
                );
            }
        }
        let Scope { defined, hidden } = self.scopes.pop().unwrap_or_default();
        for value in defined {
            self.visible[value.index()] = false;
            if self.shared[value.index()] {
                self.names.remove(model.value(value).name(), &model.values);
            }
        }
        for value in hidden {
            self.visible[value.index()] = true;
            self.names.insert(value, &model.values);
        }
    }

    /// The use list of a value must hold the uses met, each once: all that it lists are among
    /// them, none is listed twice, and there are as many.
    fn use_lists(&mut self) {
        let model = self.model;
        let mut listed = HashSet::new();
        for (id, value) in model.values() {
            listed.clear();
            let uses = || value.uses.iter().filter(|u| !matches!(u, Use::Carried { .. }));
            let mut count = 0;
            let fine = uses().all(|&u| {
                count += 1;
                self.is_use_of(u, id) && (value.uses.len() == 1 || listed.insert(u))
            });
            if !fine || count != self.uses[id.index()] {
                self.findings.violation(
                    format_args!("value `{}`", value.name),
                    "its use list differs from the graph (a bug in onnxpress)",
                );
            }
        }
    }

    fn is_use_of(&self, u: Use, value: ValueId) -> bool {
        let model = self.model;
        match u {
            Use::Input { node, slot } => {
                self.walked[node.index()] && model.node(node).input(slot) == Some(value)
            }
            Use::Output { graph, slot } => {
                let output = model.graph(graph).outputs.get(slot);
                self.entered[graph.index()] && output.is_some_and(|output| output.value == value)
            }
            Use::Carried { .. } => true,
        }
    }
}
