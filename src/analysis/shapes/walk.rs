//! One walk over all nodes in execution order; bodies nest on an explicit stack.

use std::collections::{HashMap, HashSet};

use crate::analysis::shapes::assume::{Assume, Bound, Names, name_unknown};
use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::{Content, MAX_ELEMENTS};
use crate::analysis::shapes::fact::Fact;
use crate::analysis::shapes::flow;
use crate::analysis::shapes::table::{Rule, rule};
use crate::analysis::shapes::term::Term;
use crate::ir::{Constant, Def, GraphId, Model, Node, NodeId, Stored, TensorType, ValueId};

/// Elements of contents kept for all values together (64 MB); beyond, contents are forgotten.
const CONTENT_BUDGET: usize = 1 << 22;

/// Bodies that may be walked a second time because a guess about them was wrong.
const MAX_REPEATS: usize = 64;

/// Operators whose outputs have as many elements as their inputs ask for by their elements.
const BY_ELEMENTS: [&str; 4] = ["Compress", "NonMaxSuppression", "NonZero", "Unique"];

enum Step {
    Node(NodeId),
    Leave(NodeId),
}

struct Walk<'a> {
    model: &'a Model,
    bound: Bound<'a>,
    opset: i64,
    functions: HashSet<(&'a str, &'a str)>,
    /// Declared types of graph outputs, which may know more than the value's own.
    outputs: HashMap<ValueId, &'a TensorType>,
    facts: Vec<Fact>,
    steps: Vec<Step>,
    /// Elements of contents that may still be kept; nothing once too many were met.
    budget: Option<usize>,
    repeats: usize,
    /// Loops whose carried values change their extents.
    settled: HashSet<NodeId>,
}

/// Facts of all values, by index.
pub(super) fn infer(model: &Model, assume: &Assume) -> Vec<Fact> {
    let size = model.values().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
    let mut walk = Walk {
        model,
        bound: Bound::new(model, assume),
        opset: model.opset_in_force(),
        functions: model.functions().iter().map(|f| (f.domain.as_str(), f.name.as_str())).collect(),
        outputs: HashMap::new(),
        facts: vec![Fact::default(); size],
        steps: Vec::new(),
        budget: Some(CONTENT_BUDGET),
        repeats: 0,
        settled: HashSet::new(),
    };
    if model.graphs().next().is_none() {
        return walk.facts;
    }
    walk.start();
    while let Some(step) = walk.steps.pop() {
        match step {
            Step::Node(node) if model.node(node).bodies().next().is_some() => walk.enter(node),
            Step::Node(node) => walk.apply(node),
            Step::Leave(node) => walk.leave(node),
        }
    }
    walk.facts
}

impl<'a> Walk<'a> {
    fn start(&mut self) {
        let model = self.model;
        for graph in model.graphs() {
            for output in model.graph(graph).outputs() {
                if let Some(crate::ir::ValueType::Tensor(ty)) = &output.info.ty {
                    self.outputs.insert(output.value, ty);
                }
            }
        }
        for (id, value) in model.values() {
            let fact = match value.def() {
                Def::Initializer(Constant::Dense(Stored { tensor, .. })) => Fact::of_tensor(tensor),
                Def::Input { .. } if value.graph() == model.main() => self.bound.input(value),
                Def::Output { .. } | Def::Input { .. } => continue,
                Def::Initializer(Constant::Sparse(sparse)) => {
                    Fact::fixed(sparse.dtype(), &sparse.dims)
                }
                Def::Undefined => Fact::default(),
            };
            self.store(id, fact);
        }
        self.push_nodes(model.main());
    }

    fn push_nodes(&mut self, graph: GraphId) {
        let from = self.steps.len();
        self.steps.extend(self.model.nodes_of(graph).map(|(id, _)| Step::Node(id)));
        self.steps[from..].reverse();
    }

    fn call(&self, node: NodeId) -> Call<'_> {
        let node = self.model.node(node);
        Call {
            model: self.model,
            node,
            opset: self.opset,
            facts: &self.facts,
            given: None,
            limit: MAX_ELEMENTS,
        }
    }

    fn apply(&mut self, id: NodeId) {
        let node = self.model.node(id);
        let call = self.call(id);
        let facts = match rule(node.domain(), node.op()).filter(|_| !self.is_function(node)) {
            Some(Rule::One(rule)) => vec![rule(&call)],
            Some(Rule::Many(rule)) => rule(&call),
            None => Vec::new(),
        };
        let free = node.is_standard() && BY_ELEMENTS.contains(&node.op());
        self.store_outputs(id, facts, free);
    }

    fn is_function(&self, node: &Node) -> bool {
        self.functions.contains(&(node.domain(), node.op()))
    }

    /// Steps into the bodies of a node; the stack makes them run before it is left.
    fn enter(&mut self, id: NodeId) {
        self.steps.push(Step::Leave(id));
        let settled = self.settled.contains(&id) || self.repeats >= MAX_REPEATS;
        if settled {
            self.settled.insert(id);
        }
        for body in self.model.node(id).bodies() {
            let facts = flow::enter(&self.call(id), body, settled);
            for (&input, fact) in self.model.graph(body).inputs().iter().zip(facts) {
                self.store(input, fact);
            }
            self.push_nodes(body);
        }
    }

    fn leave(&mut self, id: NodeId) {
        let node = self.model.node(id);
        if !["If", "Loop", "Scan"].iter().any(|op| node.is(op)) {
            // Its bodies say how it computes, not what.
            self.apply(id);
            return;
        }
        let call = self.call(id);
        if !node.is("If")
            && !self.settled.contains(&id)
            && !node.bodies().all(|body| flow::guess_holds(&call, body))
        {
            self.repeats += 1;
            self.settled.insert(id);
            self.steps.push(Step::Node(id));
            return;
        }
        let facts = flow::leave(&call);
        // Where both branches are known, what they have in common is all that is.
        let known = |output: &crate::ir::GraphOutput| {
            let dims = self.facts[output.value.index()].dims.as_ref();
            dims.is_some_and(|dims| dims.iter().all(Term::is_determined))
        };
        let bodies = flow::live_bodies(&call);
        let free = node.is("Loop")
            || (node.is("If")
                && bodies.iter().all(|&body| self.model.graph(body).outputs().iter().all(known)));
        self.store_outputs(id, facts, free);
    }

    /// Keeps what is known of the outputs of a node. With `free`, elements of tensors decide about the
    /// extents that are unknown, and nothing that is declared about these is believed.
    fn store_outputs(&mut self, node: NodeId, facts: Vec<Fact>, free: bool) {
        let outputs = self.model.node(node).outputs();
        let facts = facts.into_iter().chain(std::iter::repeat_with(Fact::default));
        for (&output, fact) in outputs.iter().zip(facts) {
            let Some(output) = output else { continue };
            let fact = if free { self.decided_by_elements(output, fact) } else { fact };
            self.store(output, fact);
        }
    }

    /// Unknown extents get symbols that no declaration overrules; within bodies there are none.
    fn decided_by_elements(&self, output: ValueId, mut fact: Fact) -> Fact {
        let value = self.model.value(output);
        if value.graph() == self.model.main() {
            let declared = value.tensor_type().or_else(|| self.outputs.get(&output).copied());
            let rank = declared.and_then(|ty| ty.dims.as_ref()).map(Vec::len);
            let dims = fact.dims.take().or_else(|| Some(vec![Term::Unknown; rank?]));
            fact.dims = dims.map(|mut dims| {
                name_unknown(&mut dims, value.name(), Term::data);
                dims
            });
        }
        fact
    }

    /// Keeps a fact, with gaps filled from what the file declares.
    fn store(&mut self, id: ValueId, mut fact: Fact) {
        let value = self.model.value(id);
        let in_main = value.graph() == self.model.main();
        if self.bound.declared_holds {
            let names = if in_main { Names::Believed } else { Names::Ignored };
            for ty in value.tensor_type().into_iter().chain(self.outputs.get(&id).copied()) {
                fact.fill(self.bound.declared(ty, names));
            }
        }
        if let (true, Some(dims)) = (in_main, &mut fact.dims) {
            // One run, one extent: what depends on it stays comparable.
            name_unknown(dims, value.name(), Term::inner);
        }
        let length = fact.content.as_ref().map_or(0, Content::len);
        let rest = self.budget.and_then(|budget| budget.checked_sub(length));
        if rest.is_none() {
            fact.content = None;
            if self.budget.is_some() {
                // Without the contents stored so far, later nodes cost no arithmetic either.
                self.facts.iter_mut().for_each(|fact| fact.content = None);
            }
        }
        self.budget = rest;
        self.facts[id.index()] = fact;
    }
}
