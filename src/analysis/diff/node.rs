//! Nodes and their attributes.

use std::collections::HashMap;

use super::describe::{self, node_name};
use super::graph::{Bodies, Comparison};
use super::{Distance, Item, Subject, What, carried};
use crate::ir::{AttrValue, Attribute, GraphId, Node, NodeId};

impl Comparison<'_> {
    /// Compares the nodes of two graphs; returns their bodies.
    pub(super) fn nodes(&mut self, in_a: GraphId, in_b: GraphId) -> Bodies {
        let (a, b) = (self.a, self.b);
        let mut bodies = Vec::new();
        let places: HashMap<NodeId, usize> =
            b.nodes_of(in_b).enumerate().map(|(i, (id, _))| (id, i)).collect();
        let (mut last, mut moved) = (0, false);
        for (id, old) in a.nodes_of(in_a) {
            let Some(counterpart) = self.alignment.node(id) else {
                self.push_node(a, old, What::OnlyInA(describe::node(a, old)));
                continue;
            };
            let place = places.get(&counterpart).copied().unwrap_or_default();
            moved |= place < last;
            last = last.max(place);
            self.node(old, b.node(counterpart), &mut bodies);
        }
        for (id, new) in b.nodes_of(in_b) {
            if !self.alignment.is_taken(id) {
                self.push_node(b, new, What::OnlyInB(describe::node(b, new)));
            }
        }
        if moved {
            let what = What::changed(Item::Order, None, None);
            self.push(Subject::Model, "execution of nodes", what);
        }
        bodies
    }

    fn node(&mut self, old: &Node, new: &Node, bodies: &mut Bodies) {
        let (a, b) = (self.a, self.b);
        let mut found = Vec::new();
        let (from, to) = (describe::operator(old), describe::operator(new));
        if from != to {
            found.push(What::turned(Item::Operator, from, to));
        }
        if old.name() != new.name() {
            let shown = |node: &Node| (!node.name().is_empty()).then(|| node.name().to_owned());
            found.push(What::changed(Item::Name, shown(old), shown(new)));
        }
        for slot in 0..old.inputs().len().max(new.inputs().len()) {
            let (x, y) = (old.input(slot), new.input(slot));
            let renamed = x.is_some_and(|x| y.is_some() && self.alignment.value(x) == y);
            let (from, to) = (describe::slot(a, x), describe::slot(b, y));
            if from != to && !renamed {
                found.push(What::changed(Item::Input(slot), from, to));
            }
        }
        for slot in 0..old.outputs().len().max(new.outputs().len()) {
            let from = describe::slot(a, old.output(slot));
            let to = describe::slot(b, new.output(slot));
            if from != to {
                found.push(What::changed(Item::Output(slot), from, to));
            }
        }
        found.extend(self.carried(&carried::NODE, &old.carried, &new.carried));
        if self.options.metadata && old.metadata != new.metadata {
            found.push(What::changed(Item::Field("metadata_props".into()), None, None));
        }
        for attribute in old.attributes() {
            let other = new.attributes().iter().find(|x| x.name == attribute.name);
            found.extend(self.attribute(attribute, other));
            if let Some(other) = other {
                let (x, y) = (attribute.value.graphs(), other.value.graphs());
                for (i, (&x, &y)) in x.iter().zip(y).enumerate() {
                    bodies.push((x, y, self.inner(old, attribute, i)));
                }
            }
        }
        for attribute in new.attributes() {
            if old.attr(&attribute.name).is_none() {
                let item = Item::Attribute(attribute.name.clone());
                found.push(What::changed(item, None, Some(describe::attr(b, &attribute.value))));
            }
        }
        for what in found {
            self.push_node(a, old, what);
        }
    }

    /// The path of body `i` of an attribute.
    fn inner(&self, node: &Node, attribute: &Attribute, i: usize) -> String {
        let outer = if self.path.is_empty() { String::new() } else { format!("{} > ", self.path) };
        let index = match attribute.value {
            AttrValue::Graphs(_) => format!("[{i}]"),
            _ => String::new(),
        };
        format!("{outer}{}.{}{index}", node_name(self.a, node), attribute.name)
    }

    /// What differs in an attribute that `A` has.
    pub(super) fn attribute(&self, old: &Attribute, new: Option<&Attribute>) -> Vec<What> {
        let item = || Item::Attribute(old.name.clone());
        let Some(new) = new else {
            return vec![What::changed(item(), Some(describe::attr(self.a, &old.value)), None)];
        };
        let mut found = Vec::new();
        if !self.equal(&old.value, &new.value) {
            let from = describe::attr(self.a, &old.value);
            let mut to = describe::attr(self.b, &new.value);
            let distance = match (&old.value, &new.value) {
                (AttrValue::Tensor(x), AttrValue::Tensor(y)) => {
                    Distance::between(&x.tensor, &y.tensor)
                }
                _ => None,
            };
            if from == to && distance.is_none() {
                to.push_str(" (other elements)");
            }
            let (old, new) = (Some(from), Some(to));
            found.push(What::Changed { item: item(), old, new, distance });
        } else if let (AttrValue::Tensor(x), AttrValue::Tensor(y)) = (&old.value, &new.value) {
            if x.stored_as != y.stored_as {
                let stored = |x| format!("stored as {}", describe::storage(x));
                found.push(What::turned(item(), stored(x), stored(y)));
            }
            found.extend(self.carried(&carried::TENSOR, &x.carried, &y.carried));
        }
        found.extend(self.carried(&carried::ATTRIBUTE, &old.carried, &new.carried));
        found
    }

    /// Equality of values; bodies are compared on their own.
    fn equal(&self, a: &AttrValue, b: &AttrValue) -> bool {
        match (a, b) {
            (AttrValue::Float(x), AttrValue::Float(y)) => x.to_bits() == y.to_bits(),
            (AttrValue::Int(x), AttrValue::Int(y)) => x == y,
            (AttrValue::String(x), AttrValue::String(y)) => x == y,
            (AttrValue::Tensor(x), AttrValue::Tensor(y)) => x.tensor == y.tensor,
            (AttrValue::Floats(x), AttrValue::Floats(y)) => {
                x.iter().map(|x| x.to_bits()).eq(y.iter().map(|y| y.to_bits()))
            }
            (AttrValue::Ints(x), AttrValue::Ints(y)) => x == y,
            (AttrValue::Strings(x), AttrValue::Strings(y)) => x == y,
            (AttrValue::Tensors(x), AttrValue::Tensors(y)) => {
                x.iter().map(|x| &x.tensor).eq(y.iter().map(|y| &y.tensor))
            }
            (
                AttrValue::Reference { name: x, kind: from },
                AttrValue::Reference { name: y, kind: to },
            ) => x == y && from == to,
            (AttrValue::Graph(_), AttrValue::Graph(_)) | (AttrValue::Opaque, AttrValue::Opaque) => {
                true
            }
            (AttrValue::Graphs(x), AttrValue::Graphs(y)) => x.len() == y.len(),
            _ => false,
        }
    }
}
