//! `eliminate-common`: see `docs/passes/eliminate-common.md`.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::error::Result;
use crate::ir::{AttrValue, Attribute, GraphId, Model, Node, NodeId, ValueId};
use crate::passes::{Context, Pass, Promise, Report};
use crate::tensor::Tensor;

/// Lets nodes that compute the same share one result, and equal initializers one tensor.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateCommon;

/// Operators that differ from run to run although their inputs are the same.
const RANDOM: &[&str] = &[
    "Bernoulli",
    "Dropout",
    "Multinomial",
    "RandomNormal",
    "RandomNormalLike",
    "RandomUniform",
    "RandomUniformLike",
];

/// Fewest bytes of a tensor for which a body reads what stands around it: less is not worth the distance.
const WORTH_MOVING: usize = 256;

/// Bytes at either end of a tensor that go into its hash: different weights differ there, and equal
/// ones are compared as a whole anyway.
const HASHED: usize = 4096;

/// Whether a node may give something else in each run.
pub fn is_random(node: &Node) -> bool {
    node.is_standard() && RANDOM.contains(&node.op())
}

impl Pass for EliminateCommon {
    fn name(&self) -> &'static str {
        "eliminate-common"
    }

    fn summary(&self) -> &'static str {
        "Merges nodes that compute the same, and equal initializers."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        initializers(model, &mut report);
        across_bodies(model, &mut report);
        for graph in model.graphs().collect::<Vec<_>>() {
            nodes(model, graph, &mut report);
        }
        Ok(report)
    }
}

/// Merges equal initializers of one graph into the first of them.
fn initializers(model: &mut Model, report: &mut Report) {
    let mut known: HashMap<u64, Vec<ValueId>> = HashMap::new();
    for graph in model.graphs().collect::<Vec<_>>() {
        known.clear();
        for value in model.initializers_of(graph).collect::<Vec<_>>() {
            let Some(tensor) = model.value(value).initializer() else { continue };
            let mut hasher = DefaultHasher::new();
            hash_tensor(tensor, &mut hasher);
            let same = known.entry(hasher.finish()).or_default();
            let first =
                same.iter().copied().find(|&v| model.value(v).initializer() == Some(tensor));
            match first {
                Some(first) if model.can_substitute(value, first) => {
                    let name = model.value(value).name().to_owned();
                    let text = format!("merged with `{}`", model.value(first).name());
                    model.substitute(value, first);
                    model.remove_initializer(value);
                    report.did(format!("initializer `{name}`"), text);
                }
                Some(_) => {}
                None => same.push(value),
            }
        }
    }
}

/// Merges equal tensors of bodies into one, which stands in the innermost graph around all that read it.
fn across_bodies(model: &mut Model, report: &mut Report) {
    let mut known: HashMap<u64, Vec<ValueId>> = HashMap::new();
    let graphs: Vec<GraphId> = model.graphs().collect();
    if graphs.len() < 2 {
        return;
    }
    for graph in graphs {
        for value in model.initializers_of(graph).collect::<Vec<_>>() {
            let Some(tensor) = model.value(value).initializer() else { continue };
            if tensor.bytes().len() < WORTH_MOVING || tensor.strings().is_some() {
                continue;
            }
            let mut hasher = DefaultHasher::new();
            hash_tensor(tensor, &mut hasher);
            let same = known.entry(hasher.finish()).or_default();
            let equal = |v: &ValueId| model.value(*v).initializer() == Some(tensor);
            let first = same.iter().copied().find(equal);
            match first.map(|first| (first, share(model, first, value))) {
                Some((first, Some(name))) => {
                    let text = format!("merged with `{}`", model.value(first).name());
                    report.did(format!("initializer `{name}`"), text);
                }
                _ => same.push(value),
            }
        }
    }
}

/// Lets `first`, moved outwards as far as it must be, stand for `second`; its name, or nothing, and nothing
/// changes, when that cannot be.
fn share(model: &mut Model, first: ValueId, second: ValueId) -> Option<String> {
    let (from, to) = (model.value(second).graph(), model.value(first).graph());
    let around = model.common_graph(from, to);
    if !model.can_substitute(second, first) || (around != to && !model.move_out(first, around)) {
        return None;
    }
    let name = model.value(second).name().to_owned();
    model.substitute(second, first);
    model.remove_initializer(second);
    Some(name)
}

/// Merges equal nodes of one graph into the first of them. Inputs of a node are merged before it is
/// looked at, so one walk finds whole equal branches.
fn nodes(model: &mut Model, graph: GraphId, report: &mut Report) {
    let mut known: HashMap<u64, Vec<NodeId>> = HashMap::new();
    let order: Vec<NodeId> = model.nodes_of(graph).map(|(id, _)| id).collect();
    for id in order {
        let node = model.node(id);
        if node.bodies().next().is_some() || is_random(node) {
            continue;
        }
        // A custom operator may have state.
        if !node.is_standard() && model.function_of(node).is_none() {
            continue;
        }
        let mut hasher = DefaultHasher::new();
        (node.op(), node.domain(), node.inputs()).hash(&mut hasher);
        for attribute in node.attributes() {
            hash_attribute(attribute, &mut hasher);
        }
        let same = known.entry(hasher.finish()).or_default();
        match same.iter().copied().find(|&other| equal(model, other, id)) {
            Some(first) => {
                if merge(model, first, id) {
                    report.did(model.label(id), format!("merged with {}", model.label(first)));
                    model.remove_node(id);
                }
            }
            None => same.push(id),
        }
    }
}

/// Lets the outputs of `first` stand for those of `second`; false, and nothing is changed, when one
/// of them cannot.
fn merge(model: &mut Model, first: NodeId, second: NodeId) -> bool {
    let outputs = |node| model.node(node).outputs().to_vec();
    let pairs: Vec<_> = outputs(second).into_iter().zip(outputs(first)).collect();
    let can = |&(from, to): &(Option<ValueId>, Option<ValueId>)| match (from, to) {
        (Some(from), Some(to)) => model.can_substitute(from, to),
        (Some(_), None) => false,
        (None, _) => true,
    };
    if !pairs.iter().all(can) {
        return false;
    }
    for (from, to) in pairs {
        if let (Some(from), Some(to)) = (from, to) {
            model.substitute(from, to);
        }
    }
    true
}

fn equal(model: &Model, a: NodeId, b: NodeId) -> bool {
    let (a, b) = (model.node(a), model.node(b));
    (a.op(), a.domain(), a.inputs()) == (b.op(), b.domain(), b.inputs())
        && a.outputs().len() == b.outputs().len()
        && a.has_same_attributes(b)
}

fn hash_attribute(attribute: &Attribute, hasher: &mut DefaultHasher) {
    attribute.name.hash(hasher);
    match &attribute.value {
        AttrValue::Float(x) => x.to_bits().hash(hasher),
        AttrValue::Int(x) => x.hash(hasher),
        AttrValue::String(x) => x.hash(hasher),
        AttrValue::Ints(xs) => xs.hash(hasher),
        AttrValue::Tensor(stored) => hash_tensor(&stored.tensor, hasher),
        _ => {}
    }
}

fn hash_tensor(tensor: &Tensor, hasher: &mut DefaultHasher) {
    (tensor.dtype(), tensor.dims()).hash(hasher);
    match tensor.strings() {
        Some(strings) => strings.hash(hasher),
        None => {
            let bytes = tensor.bytes();
            let cut = bytes.len().min(HASHED);
            bytes[..cut].hash(hasher);
            bytes[bytes.len() - cut..].hash(hasher);
        }
    }
}
