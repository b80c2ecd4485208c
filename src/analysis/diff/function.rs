//! Model-local functions: each pair as two models of their own.

use std::collections::{HashMap, HashSet};

use super::graph::Comparison;
use super::{Item, Subject, What, carried, describe};
use crate::ir::{Attribute, Function};

/// What a function is called.
fn name(function: &Function) -> String {
    describe::path(&function.domain, &function.name, &function.overload)
}

/// `2 inputs, 1 outputs, 5 nodes`.
fn size(function: &Function) -> String {
    let (body, main) = (&function.body, function.body.graph(function.body.main()));
    let nodes = body.all_nodes().len();
    format!("{} inputs, {} outputs, {nodes} nodes", main.inputs().len(), main.outputs().len())
}

impl<'a> Comparison<'a> {
    /// Functions are paired by domain, name and overload.
    pub(super) fn functions(&mut self) {
        self.path.clear();
        let (a, b) = (self.a.functions(), self.b.functions());
        let places: HashMap<String, &Function> = b.iter().map(|f| (name(f), f)).collect();
        for old in a {
            match places.get(&name(old)) {
                None => self.push(Subject::Function, name(old), What::OnlyInA(size(old))),
                Some(new) => self.function(old, new),
            }
        }
        let known: HashSet<String> = a.iter().map(name).collect();
        for new in b.iter().filter(|new| !known.contains(&name(new))) {
            self.push(Subject::Function, name(new), What::OnlyInB(size(new)));
        }
    }

    fn function(&mut self, old: &'a Function, new: &'a Function) {
        let path = format!("function {}", name(old));
        let mut inside = Comparison::new(&old.body, &new.body, self.options);
        inside.path.clone_from(&path);
        inside.header();
        inside.graphs(path);
        let mut found = self.carried(&carried::FUNCTION, &old.carried, &new.carried);
        found.extend(declared(old, new));
        for default in &old.defaults {
            if let Some(other) = new.defaults.iter().find(|other| other.name == default.name) {
                found.extend(inside.attribute(default, Some(other)));
            }
        }
        for what in found {
            self.push(Subject::Function, name(old), what);
        }
        self.take(inside.finish());
    }
}

/// Attributes that one side lacks or that have a default on one side alone.
fn declared(old: &Function, new: &Function) -> Vec<What> {
    let shown = |function: &Function, name: &str| {
        let default = function.defaults.iter().find(|default| default.name == name);
        let given = |default: &Attribute| describe::attr(&function.body, &default.value);
        let bare = || function.attributes.iter().any(|known| known == name);
        default.map(given).or_else(|| bare().then(|| "no default".to_owned()))
    };
    let both = |name: &str| {
        let has = |f: &Function| f.defaults.iter().any(|default| default.name == name);
        has(old) && has(new)
    };
    let mut seen = HashSet::new();
    let names = old.attribute_names().chain(new.attribute_names());
    let names = names.filter(|name| seen.insert(*name) && !both(name));
    names
        .map(|name| (name, shown(old, name), shown(new, name)))
        .filter(|(_, from, to)| from != to)
        .map(|(name, from, to)| What::changed(Item::Attribute(name.to_owned()), from, to))
        .collect()
}
