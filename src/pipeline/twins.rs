//! Values of a model that are equal because equal operators make them from equal values.

use std::collections::HashMap;
use std::hash::{DefaultHasher, Hash, Hasher};

use crate::ir::{Model, Node, ValueId};
use crate::passes::is_random;

/// For each value of the main graph that has an equal one before it, the first of these.
pub(super) struct Twins {
    first: HashMap<ValueId, ValueId>,
    /// The others by the first of them.
    groups: HashMap<ValueId, Vec<ValueId>>,
}

/// Bytes at either end of a constant that tell it apart, before it is compared as a whole.
const HASHED: usize = 256;

impl Twins {
    pub fn of(model: &Model) -> Self {
        let mut twins = Self { first: HashMap::new(), groups: HashMap::new() };
        let mut tensors: HashMap<u64, Vec<ValueId>> = HashMap::new();
        for (id, value) in model.values().filter(|(_, value)| value.graph() == model.main()) {
            let Some(tensor) = value.initializer() else { continue };
            let bytes = tensor.bytes();
            let end = bytes.len().min(HASHED);
            let mut hasher = DefaultHasher::new();
            (tensor.dims(), &bytes[..end], &bytes[bytes.len() - end..]).hash(&mut hasher);
            let same = tensors.entry(hasher.finish()).or_default();
            let equal = |v: &ValueId| model.value(*v).initializer() == Some(tensor);
            match same.iter().copied().find(equal) {
                Some(first) => twins.note(id, first),
                None => same.push(id),
            }
        }
        let mut nodes: HashMap<u64, Vec<&Node>> = HashMap::new();
        for (_, node) in model.nodes_of(model.main()) {
            if node.is("Identity")
                && let (Some(from), Some(to)) = (node.input(0), node.only_output())
            {
                twins.note(to, from);
                continue;
            }
            if !node.is_standard() || node.bodies().next().is_some() || is_random(node) {
                continue;
            }
            let mut hasher = DefaultHasher::new();
            (node.op(), node.outputs().len(), twins.inputs(node)).hash(&mut hasher);
            let same = nodes.entry(hasher.finish()).or_default();
            let equal = |other: &&&Node| {
                other.op() == node.op()
                    && other.outputs().len() == node.outputs().len()
                    && twins.inputs(other) == twins.inputs(node)
                    && other.has_same_attributes(node)
            };
            match same.iter().find(equal) {
                Some(first) => {
                    for (a, b) in first.outputs().iter().zip(node.outputs()) {
                        if let (Some(a), Some(b)) = (a, b) {
                            twins.note(*b, *a);
                        }
                    }
                }
                None => same.push(node),
            }
        }
        twins
    }

    fn note(&mut self, value: ValueId, equal: ValueId) {
        let first = self.first(equal);
        self.first.insert(value, first);
        self.groups.entry(first).or_default().push(value);
    }

    /// The first value that is equal to this one, or itself.
    fn first(&self, value: ValueId) -> ValueId {
        self.first.get(&value).copied().unwrap_or(value)
    }

    fn inputs(&self, node: &Node) -> Vec<Option<ValueId>> {
        node.inputs().iter().map(|input| input.map(|input| self.first(input))).collect()
    }

    /// All values that are equal to this one, itself among them; the first of them first.
    pub fn all(&self, value: ValueId) -> Vec<ValueId> {
        let first = self.first(value);
        let others = self.groups.get(&first).into_iter().flatten().copied();
        std::iter::once(first).chain(others).collect()
    }
}
