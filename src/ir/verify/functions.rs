//! Model-local functions: each on its own as a model, then all together.

use std::collections::{HashMap, HashSet};

use crate::ir::function::{self, Key};
use crate::ir::schema;
use crate::ir::verify::{Findings, header, nodes, structure};
use crate::ir::{AttrValue, Function, Model};

/// The operators that functions define: canonical domain and name.
pub(super) fn names(model: &Model) -> HashSet<(&str, &str)> {
    let functions = model.functions().iter();
    functions.map(|f| (schema::canonical(&f.domain), f.name.as_str())).collect()
}

/// Checks the functions and all calls of them.
pub(super) fn check(model: &Model, findings: &mut Findings) {
    let functions = model.functions();
    outside(model, findings);
    if functions.is_empty() {
        return;
    }
    let (known, names) = (function::places(functions), names(model));
    calls(model, functions, &known, findings);
    for (place, function) in functions.iter().enumerate() {
        let label = function.label();
        if known.get(&function.key()) != Some(&place) {
            findings.violation(&label, "is defined twice; functions must be unique");
        }
        let Function { body, .. } = function;
        if body.graphs.is_empty() {
            findings.violation(&label, "has no body");
            continue;
        }
        attributes(function, &label, findings);
        if body.initializers_of(body.main()).next().is_some() {
            findings.violation(&label, "holds initializers, which functions do not have");
        }
        let mut inner = Findings::default();
        let versions = header::versions(&body.header.opsets, body.header.ir_version);
        header::imports(&body.header.opsets, &mut inner);
        structure::check(body, &mut inner);
        nodes::check(body, versions, &names, &mut inner);
        references(function, &mut inner);
        calls(body, functions, &known, &mut inner);
        findings.within(&label, inner);
    }
    if let Err(cycle) = function::callees_first(&function::calls(functions)) {
        let names: Vec<&str> = cycle.iter().map(|&i| functions[i].name.as_str()).collect();
        let first = cycle.first().map(|&i| functions[i].label()).unwrap_or_default();
        let cycle = names.join(" -> ");
        findings
            .violation(first, format!("calls itself: {cycle}; functions must not be recursive"));
    }
}

/// Attributes that refer to one of a function: node label, name, what they refer to.
fn referring(model: &Model) -> impl Iterator<Item = (String, &str, &str)> {
    model.graphs().flat_map(|graph| model.nodes_of(graph)).flat_map(move |(id, node)| {
        node.attributes.iter().filter_map(move |attribute| match &attribute.value {
            AttrValue::Reference { name, .. } => {
                Some((model.label(id), attribute.name.as_str(), name.as_str()))
            }
            _ => None,
        })
    })
}

/// Nodes outside of functions have nothing to refer to.
fn outside(model: &Model, findings: &mut Findings) {
    for (place, attribute, name) in referring(model) {
        let message = format!(
            "attribute `{attribute}` refers to attribute `{name}` of a function, but the node \
             stands in none"
        );
        findings.violation(place, message);
    }
}

/// What a function does not declare, no call can give.
fn references(function: &Function, findings: &mut Findings) {
    let declared: HashSet<&str> = function.attribute_names().collect();
    for (place, attribute, name) in referring(&function.body) {
        if !declared.contains(name) {
            let message = format!(
                "attribute `{attribute}` refers to `{name}`, which the function does not declare"
            );
            findings.warning(place, message);
        }
    }
}

fn attributes(function: &Function, label: &str, findings: &mut Findings) {
    let mut seen = HashSet::new();
    for name in function.attribute_names().filter(|name| !seen.insert(*name)) {
        findings.violation(label, format!("declares attribute `{name}` twice"));
    }
}

/// The calls in one store: a call may leave out what comes last, but not give more.
fn calls(
    model: &Model,
    functions: &[Function],
    known: &HashMap<Key<'_>, usize>,
    findings: &mut Findings,
) {
    for (id, node) in model.graphs().flat_map(|graph| model.nodes_of(graph)) {
        let Some(callee) = known.get(&node.callee()).map(|&i| &functions[i]) else { continue };
        let Some(graph) = callee.body.graphs.first() else { continue };
        let mut count = |what: &str, given: usize, taken: usize| {
            if given > taken {
                let label = callee.label();
                let message = format!("lists {given} {what}, but {label} has {taken}");
                findings.violation(model.label(id), message);
            }
        };
        count("inputs", node.inputs.len(), graph.inputs.len());
        count("outputs", node.outputs.len(), graph.outputs.len());
    }
}
