//! What can be inlined, decided before anything is changed.

use std::collections::HashSet;

use crate::ir::function::{self, Function};
use crate::ir::inline::copy;
use crate::ir::model::BODY_DEPTH;
use crate::ir::schema::{self, AttrKind, canonical};
use crate::ir::{AttrValue, Attribute, GraphId, Model};

/// Largest number of nodes that all calls together may become: some 1 GB of memory, and far beyond
/// real models. A small file of functions that call each other twice can ask for 2^40.
const LARGEST: u64 = 1_000_000;

/// Which functions are inlined, and what the model imports for them.
pub(super) struct Plan {
    /// For each function, why it stays.
    pub(super) refused: Vec<Option<String>>,
    /// Operator sets that the model does not import yet.
    pub(super) imports: Vec<(String, i64)>,
}

impl Plan {
    /// Decides about every function that is called from the model's graphs.
    ///
    /// # Errors
    /// Why nothing can be inlined at all.
    pub(super) fn new(model: &Model) -> Result<Self, String> {
        let functions = model.functions();
        let places = function::places(functions);
        let calls = function::calls(functions);
        let order =
            function::callees_first(&calls).map_err(|_| "functions call themselves".to_owned())?;
        let sites: Vec<(usize, usize)> = model
            .graphs()
            .flat_map(|graph| model.nodes_of(graph))
            .filter_map(|(_, node)| {
                let place = *places.get(&node.callee())?;
                Some((place, enclosing(model, node.graph())))
            })
            .collect();
        let called = reachable(sites.iter().map(|&(place, _)| place), &calls);
        let mut plan = Self { refused: vec![None; functions.len()], imports: Vec::new() };
        for (i, function) in functions.iter().enumerate().filter(|&(i, _)| called[i]) {
            match plan.judge(model, function) {
                Ok(imports) => plan.imports.extend(imports),
                Err(reason) => plan.refused[i] = Some(reason),
            }
        }
        plan.within_limits(functions, &order, &sites)?;
        Ok(plan)
    }

    fn version(&self, model: &Model, domain: &str) -> Option<i64> {
        let added = self.imports.iter().find(|(known, _)| canonical(known) == canonical(domain));
        model.opset_of(domain).or_else(|| added.map(|&(_, version)| version))
    }

    /// The imports that the model lacks, or why the function stays.
    fn judge(&self, model: &Model, function: &Function) -> Result<Vec<(String, i64)>, String> {
        let body = &function.body;
        let mut missing = Vec::new();
        for (domain, version) in &body.header.opsets {
            match self.version(model, domain) {
                None => missing.push((domain.clone(), *version)),
                Some(other) if other == *version => {}
                Some(other) => same_operators(model, function, domain, *version, other)?,
            }
        }
        if body.graphs().any(|graph| body.sparse_initializers_of(graph).next().is_some()) {
            return Err("it holds a sparse initializer".to_owned());
        }
        let known = |domain: &(String, i64)| canonical(&domain.0) == canonical("");
        if copy::aliases(body) > 0
            && self.version(model, "").is_none()
            && !missing.iter().any(known)
        {
            let reason = "it returns an input or one value twice, which takes an Identity, and the \
                          default operator set is not imported";
            return Err(reason.to_owned());
        }
        match graph_default(function) {
            Some(name) => Err(format!("the default of its attribute `{name}` is carried")),
            None => Ok(missing),
        }
    }

    /// Adds up nodes and nesting from the innermost functions outwards.
    fn within_limits(
        &self,
        functions: &[Function],
        order: &[usize],
        sites: &[(usize, usize)],
    ) -> Result<(), String> {
        let places = function::places(functions);
        let mut sizes: Vec<(u64, usize)> = vec![(1, 0); functions.len()];
        for &i in order.iter().filter(|&&i| self.refused[i].is_none()) {
            let body = &functions[i].body;
            let (mut nodes, mut deepest) = (0u64, 0);
            for graph in body.graphs() {
                let depth = enclosing(body, graph);
                deepest = deepest.max(depth);
                for (_, node) in body.nodes_of(graph) {
                    let callee = places.get(&node.callee()).map_or((1, 0), |&place| sizes[place]);
                    nodes = nodes.saturating_add(callee.0);
                    deepest = deepest.max(depth + callee.1);
                }
            }
            sizes[i] = (nodes.saturating_add(copy::aliases(body)), deepest);
        }
        let total = sites.iter().fold(0u64, |sum, &(place, _)| sum.saturating_add(sizes[place].0));
        if total > LARGEST {
            return Err(format!(
                "inlining would make more than {LARGEST} nodes, the most that are made"
            ));
        }
        match sites.iter().map(|&(place, depth)| depth + sizes[place].1).max() {
            Some(deepest) if deepest > BODY_DEPTH => Err(format!(
                "inlining would nest bodies {deepest} deep; files may nest {BODY_DEPTH}"
            )),
            _ => Ok(()),
        }
    }
}

/// An attribute that a node refers to and whose default is carried, but for types, which may be
/// copied as they are.
fn graph_default(function: &Function) -> Option<&str> {
    let body = &function.body;
    let nodes = body.graphs().flat_map(|graph| body.nodes_of(graph));
    nodes.flat_map(|(_, node)| &node.attributes).find_map(|attribute| match &attribute.value {
        AttrValue::Reference { kind: Some(AttrKind::TypeProto | AttrKind::TypeProtos), .. } => None,
        AttrValue::Reference { name, .. } => {
            let carried = |a: &Attribute| a.name == *name && matches!(a.value, AttrValue::Opaque);
            function.defaults.iter().any(carried).then_some(name.as_str())
        }
        _ => None,
    })
}

/// Which functions are called from `sites`, directly or through others.
pub(super) fn reachable(sites: impl Iterator<Item = usize>, calls: &[Vec<usize>]) -> Vec<bool> {
    let mut reached = vec![false; calls.len()];
    let mut pending: Vec<usize> = sites.collect();
    while let Some(place) = pending.pop() {
        if !std::mem::replace(&mut reached[place], true) {
            pending.extend(&calls[place]);
        }
    }
    reached
}

/// Number of graphs around a graph.
fn enclosing(model: &Model, graph: GraphId) -> usize {
    let around =
        |&graph: &GraphId| model.graph(graph).parent.map(|parent| model.node(parent).graph);
    std::iter::successors(around(&graph), around).take(BODY_DEPTH + 1).count()
}

/// Two versions of a domain are one to a function when each operator that it uses is the same in
/// both.
fn same_operators(
    model: &Model,
    function: &Function,
    domain: &str,
    own: i64,
    models: i64,
) -> Result<(), String> {
    let domain = canonical(domain);
    let body = &function.body;
    let mut met = HashSet::new();
    for (_, node) in body.graphs().flat_map(|graph| body.nodes_of(graph)) {
        let other = canonical(node.domain()) != domain;
        if other || model.function_of(node).is_some() || !met.insert(node.op()) {
            continue;
        }
        let history = schema::history(domain, node.op());
        let since = |version| schema::in_force(history, version).map(|schema| schema.since);
        if since(own).is_none() || since(own) != since(models) {
            return Err(format!(
                "it imports version {own} of `{domain}`, the model version {models}, and {} is not \
                 known to be the same in both",
                node.op()
            ));
        }
    }
    Ok(())
}
