//! Finding nodes, inputs and constants of one graph.

use std::collections::hash_map::Entry;
use std::collections::{HashMap, HashSet};

use crate::ir::{Constant, Def, GraphId, Model, Node, NodeId, Value, ValueId};

/// Positions in two lists that belong together.
pub(super) type Ports = Vec<(Option<usize>, Option<usize>)>;

/// Which names of a node are meant.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Names {
    Outputs,
    Own,
}

/// Inputs that callers must give: those without a default.
pub(super) fn ports(model: &Model, graph: GraphId) -> Vec<ValueId> {
    let given = |v: &ValueId| matches!(model.value(*v).def(), Def::Input { default: None });
    model.graph(graph).inputs().iter().copied().filter(given).collect()
}

/// Pairs of positions: by name, then the rest in order when there are equally many; those of
/// bodies, where names mean nothing to the caller, by position.
pub(super) fn pair_ports(a: &[&str], b: &[&str], by_name: bool) -> Ports {
    if !by_name {
        let count = a.len().max(b.len());
        return (0..count)
            .map(|i| ((i < a.len()).then_some(i), (i < b.len()).then_some(i)))
            .collect();
    }
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (j, name) in b.iter().enumerate() {
        places.entry(name).or_insert(j);
    }
    let mut pairs: Ports = a.iter().enumerate().map(|(i, n)| (Some(i), places.remove(n))).collect();
    let taken: HashSet<usize> = pairs.iter().filter_map(|(_, j)| *j).collect();
    let rest: Vec<usize> = (0..b.len()).filter(|j| !taken.contains(j)).collect();
    let open: Vec<usize> = (0..a.len()).filter(|&i| pairs[i].1.is_none()).collect();
    if open.len() == rest.len() {
        open.into_iter().zip(rest).for_each(|(i, j)| pairs[i].1 = Some(j));
    } else {
        pairs.extend(rest.into_iter().map(|j| (None, Some(j))));
    }
    pairs
}

/// Constants of a graph in file order, overridable and sparse ones included.
pub(super) fn constants_of(model: &Model, graph: GraphId) -> Vec<ValueId> {
    model.initializers_of(graph).chain(model.sparse_initializers_of(graph)).collect()
}

/// The constant behind a value.
pub(super) fn constant(value: &Value) -> Option<&Constant> {
    match value.def() {
        Def::Initializer(constant) | Def::Input { default: Some(constant) } => Some(constant),
        _ => None,
    }
}

/// Whether two nodes do the same.
pub(super) fn same_operator(a: &Node, b: &Node) -> bool {
    let domains = a.domain() == b.domain() || (a.is_standard() && b.is_standard());
    a.op() == b.op() && a.overload() == b.overload() && domains
}

/// Keys that exactly one of the items has, in order.
pub(super) fn only_ones<T: Copy, K: Eq + std::hash::Hash + Copy>(
    items: Vec<T>,
    key: impl Fn(T) -> Option<K>,
) -> Vec<(K, T)> {
    let mut counts: HashMap<K, usize> = HashMap::new();
    let keyed: Vec<(K, T)> = items.into_iter().filter_map(|x| Some((key(x)?, x))).collect();
    for (key, _) in &keyed {
        *counts.entry(*key).or_default() += 1;
    }
    keyed.into_iter().filter(|(key, _)| counts.get(key) == Some(&1)).collect()
}

/// Nodes that `wanted` accepts under their names, or under each name of their outputs.
pub(super) fn named(
    model: &Model,
    graph: GraphId,
    names: Names,
    wanted: impl Fn(NodeId) -> bool,
) -> Vec<(&str, NodeId)> {
    let nodes = model.nodes_of(graph).filter(|(id, _)| wanted(*id));
    let all = nodes.flat_map(|(id, node)| {
        let names: Vec<&str> = match names {
            Names::Own => vec![node.name()],
            Names::Outputs => {
                node.outputs().iter().flatten().map(|&v| model.value(v).name()).collect()
            }
        };
        names.into_iter().filter(|name| !name.is_empty()).map(move |name| (name, id))
    });
    only_ones(all.collect(), |(name, _)| Some(name)).into_iter().map(|(_, entry)| entry).collect()
}

/// Operators whose inputs may change places.
const COMMUTATIVE: [&str; 9] = ["Add", "And", "Equal", "Max", "Mean", "Min", "Mul", "Or", "Sum"];

/// Domain, operator and input slot; slot 0 for all inputs that may change places.
pub(super) type Reading<'a> = (&'a str, &'a str, usize);

/// Readers of a value in `graph` that `wanted` accepts, by operator and slot, each list in
/// execution order as far as the use list keeps it.
pub(super) fn readers(
    model: &Model,
    value: ValueId,
    graph: GraphId,
    wanted: impl Fn(NodeId) -> bool,
) -> Vec<(Reading<'_>, Vec<NodeId>)> {
    let mut groups: Vec<(Reading<'_>, Vec<NodeId>)> = Vec::new();
    let mut places: HashMap<Reading<'_>, usize> = HashMap::new();
    for (id, slot) in model.value(value).consumers() {
        let node = model.node(id);
        if node.graph() != graph || !wanted(id) {
            continue;
        }
        let domain = if node.is_standard() { "" } else { node.domain() };
        let fixed = !(domain.is_empty() && COMMUTATIVE.contains(&node.op()));
        let key = (domain, node.op(), if fixed { slot } else { 0 });
        match places.entry(key) {
            Entry::Occupied(place) => groups[*place.get()].1.push(id),
            Entry::Vacant(place) => {
                place.insert(groups.len());
                groups.push((key, vec![id]));
            }
        }
    }
    groups
}
