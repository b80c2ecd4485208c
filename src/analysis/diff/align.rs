//! Which node and value of `B` is which of `A`.
//!
//! Names come first: a node is its counterpart when both make a value of the same name by the same
//! operator, or have the same name and operator. From the pairs found, and from the pairs of
//! inputs, outputs and constants, a worklist walks to the neighbours: two nodes of the same
//! operator that alone stand at the same slot of paired neighbours are a pair. Last, nodes with
//! the same name but another operator are paired. Each pair is visited once, so the work is linear
//! in the edges.

use std::collections::{HashMap, HashSet, VecDeque};

use super::lookup::{Names, Ports, constants_of, named, only_ones, ports, readers, same_operator};
use crate::ir::{Def, GraphId, Model, NodeId, Value, ValueId};

/// Whether two nodes of the same name must do the same.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Operator {
    Same,
    Any,
}

/// The pairs found so far, over all graphs.
pub(super) struct Alignment<'a> {
    a: &'a Model,
    b: &'a Model,
    /// The graphs whose nodes are being paired.
    scope: (GraphId, GraphId),
    nodes: HashMap<NodeId, NodeId>,
    values: HashMap<ValueId, ValueId>,
    taken_nodes: HashSet<NodeId>,
    taken_values: HashSet<ValueId>,
    queue: VecDeque<Pair>,
    /// Pairs of values of the graphs in scope, in the order found.
    found: Vec<(ValueId, ValueId)>,
}

#[derive(Clone, Copy)]
enum Pair {
    Nodes(NodeId, NodeId),
    Values(ValueId, ValueId),
}

impl<'a> Alignment<'a> {
    pub(super) fn new(a: &'a Model, b: &'a Model) -> Self {
        Self {
            a,
            b,
            scope: (a.main(), b.main()),
            nodes: HashMap::new(),
            values: HashMap::new(),
            taken_nodes: HashSet::new(),
            taken_values: HashSet::new(),
            queue: VecDeque::new(),
            found: Vec::new(),
        }
    }

    /// The counterpart of a node of `A`.
    pub(super) fn node(&self, a: NodeId) -> Option<NodeId> {
        self.nodes.get(&a).copied()
    }

    /// The counterpart of a value of `A`.
    pub(super) fn value(&self, a: ValueId) -> Option<ValueId> {
        self.values.get(&a).copied()
    }

    /// Whether a node of `B` is the counterpart of one of `A`.
    pub(super) fn is_taken(&self, b: NodeId) -> bool {
        self.taken_nodes.contains(&b)
    }

    /// Whether a value of `B` is the counterpart of one of `A`.
    pub(super) fn is_taken_value(&self, b: ValueId) -> bool {
        self.taken_values.contains(&b)
    }

    /// Number of pairs of nodes.
    pub(super) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// Pairs the values and nodes of two graphs whose surroundings are paired already.
    pub(super) fn graph(&mut self, in_a: GraphId, in_b: GraphId, inputs: &Ports, outputs: &Ports) {
        self.scope = (in_a, in_b);
        self.found.clear();
        let given = (ports(self.a, in_a), ports(self.b, in_b));
        for &(i, j) in inputs {
            if let (Some(i), Some(j)) = (i, j) {
                self.pair_values(given.0[i], given.1[j]);
            }
        }
        self.constants_by_name();
        self.nodes_by(Names::Outputs, Operator::Same);
        self.nodes_by(Names::Own, Operator::Same);
        let returned = (self.a.graph(in_a).outputs(), self.b.graph(in_b).outputs());
        for &(i, j) in outputs {
            if let (Some(i), Some(j)) = (i, j) {
                self.pair_producers(returned.0[i].value, returned.1[j].value);
            }
        }
        self.drain();
        self.constants_by_contents();
        self.drain();
        self.equal_groups();
        self.nodes_by(Names::Outputs, Operator::Any);
        self.nodes_by(Names::Own, Operator::Any);
        self.drain();
    }

    fn pair_values(&mut self, a: ValueId, b: ValueId) {
        if !self.values.contains_key(&a) && !self.taken_values.contains(&b) {
            self.values.insert(a, b);
            self.taken_values.insert(b);
            self.found.push((a, b));
            self.queue.push_back(Pair::Values(a, b));
        }
    }

    fn pair_nodes(&mut self, a: NodeId, b: NodeId) {
        if self.nodes.contains_key(&a) || self.taken_nodes.contains(&b) {
            return;
        }
        self.nodes.insert(a, b);
        self.taken_nodes.insert(b);
        self.queue.push_back(Pair::Nodes(a, b));
        let (x, y) = (self.a.node(a), self.b.node(b));
        for (x, y) in x.outputs().iter().zip(y.outputs()) {
            if let (Some(x), Some(y)) = (x, y) {
                self.pair_values(*x, *y);
            }
        }
    }

    /// Pairs the nodes that make two values, when both stand in scope and do the same.
    fn pair_producers(&mut self, a: ValueId, b: ValueId) {
        if let (Some(x), Some(y)) = (self.a.value(a).producer(), self.b.value(b).producer()) {
            let (left, right) = (self.a.node(x), self.b.node(y));
            let slot = |value: &Value| match value.def() {
                Def::Output { slot, .. } => Some(*slot),
                _ => None,
            };
            if (left.graph(), right.graph()) == self.scope
                && same_operator(left, right)
                && slot(self.a.value(a)) == slot(self.b.value(b))
            {
                self.pair_nodes(x, y);
            }
        }
    }

    fn constants_by_name(&mut self) {
        let constants = constants_of(self.b, self.scope.1).into_iter();
        let named: HashMap<&str, ValueId> =
            constants.map(|id| (self.b.value(id).name(), id)).collect();
        for a in constants_of(self.a, self.scope.0) {
            if let Some(&b) = named.get(self.a.value(a).name()) {
                self.pair_values(a, b);
            }
        }
    }

    /// Pairs constants with the same elements, when no other constant has them.
    fn constants_by_contents(&mut self) {
        let (a, b) = (self.a, self.b);
        let left = constants_of(a, self.scope.0).into_iter();
        let left: Vec<_> = left.filter(|id| !self.values.contains_key(id)).collect();
        let right = constants_of(b, self.scope.1).into_iter();
        let right: Vec<_> = right.filter(|id| !self.taken_values.contains(id)).collect();
        if left.is_empty() || right.is_empty() {
            return;
        }
        let left = only_ones(left, |id| a.value(id).initializer());
        let right = only_ones(right, |id| b.value(id).initializer());
        let right: HashMap<_, _> = right.into_iter().collect();
        for (tensor, a) in left {
            if let Some(&b) = right.get(tensor) {
                self.pair_values(a, b);
            }
        }
    }

    /// Pairs the nodes left over that share a name, when nobody else in their graph has it.
    fn nodes_by(&mut self, names: Names, operator: Operator) {
        let (a, b) = (self.a, self.b);
        let left = named(a, self.scope.0, names, |id| !self.nodes.contains_key(&id));
        let right = named(b, self.scope.1, names, |id| !self.taken_nodes.contains(&id));
        let right: HashMap<&str, NodeId> = right.into_iter().collect();
        for (name, x) in left {
            if let Some(&y) = right.get(name)
                && (operator == Operator::Any || same_operator(a.node(x), b.node(y)))
            {
                self.pair_nodes(x, y);
            }
        }
    }

    /// Walks from every new pair to its neighbours.
    fn drain(&mut self) {
        while let Some(pair) = self.queue.pop_front() {
            match pair {
                Pair::Nodes(a, b) => self.inputs_of(a, b),
                Pair::Values(a, b) => self.consumers_of(a, b, 1..=1),
            }
        }
    }

    /// What stands in the same input slot of a pair: constants of equal dims, producers that do
    /// the same.
    fn inputs_of(&mut self, a: NodeId, b: NodeId) {
        let (x, y) = (self.a.node(a), self.b.node(b));
        for (x, y) in x.inputs().iter().zip(y.inputs()) {
            let (Some(x), Some(y)) = (*x, *y) else { continue };
            if self.values.contains_key(&x) || self.taken_values.contains(&y) {
                continue;
            }
            let (left, right) = (self.a.value(x), self.b.value(y));
            if let (Some(old), Some(new)) = (left.initializer(), right.initializer()) {
                if (left.graph(), right.graph()) == self.scope && old.dims() == new.dims() {
                    self.pair_values(x, y);
                }
            } else {
                self.pair_producers(x, y);
            }
        }
    }

    /// Pairs those readers of two values that do the same at the same slot, when there are equally
    /// many on both sides, and `allowed` many.
    fn consumers_of(&mut self, a: ValueId, b: ValueId, allowed: std::ops::RangeInclusive<usize>) {
        let left = readers(self.a, a, self.scope.0, |id| !self.nodes.contains_key(&id));
        if left.is_empty() {
            return;
        }
        let right = readers(self.b, b, self.scope.1, |id| !self.taken_nodes.contains(&id));
        let right: HashMap<_, _> = right.into_iter().collect();
        for (key, left) in left {
            if let Some(right) = right.get(&key)
                && left.len() == right.len()
                && allowed.contains(&left.len())
            {
                for (&x, &y) in left.iter().zip(right) {
                    self.pair_nodes(x, y);
                }
            }
        }
    }

    /// Pairs equally many readers of the same kind in the order in which they stand.
    fn equal_groups(&mut self) {
        let mut next = 0;
        while let Some(&(a, b)) = self.found.get(next) {
            next += 1;
            self.consumers_of(a, b, 1..=usize::MAX);
            self.drain();
        }
    }
}
