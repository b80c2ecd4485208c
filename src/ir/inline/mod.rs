//! Calls of model-local functions are replaced by the nodes of the function.

mod copy;
mod plan;
#[cfg(test)]
mod tests;
mod unroll;

use std::collections::HashSet;

use crate::ir::function::{self, Function};
use crate::ir::schema::canonical;
use crate::ir::{GraphId, Model, NodeId, Use};

use copy::splice;
use plan::Plan;
pub use unroll::BodySize;

/// What [`Model::inline_functions`] did: places in words, each with what happened there.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Inlined {
    /// Functions that were inlined or removed.
    pub done: Vec<(String, String)>,
    /// Functions and calls that stay, with the reason.
    pub refused: Vec<(String, String)>,
}

impl Model {
    /// Replaces calls of model-local functions by the nodes of the functions, also calls inside of
    /// functions, and removes the functions that nothing calls any more. Outputs of calls keep
    /// their names; what is new is named after the call. Attributes that a node takes from its
    /// function get what the call gives, else the default, else they are left out.
    ///
    /// What cannot be inlined stays as it is and is named. A model that would grow beyond a million
    /// nodes, or nest deeper than files may, is left untouched.
    pub fn inline_functions(&mut self) -> Inlined {
        let mut result = Inlined::default();
        if self.functions.is_empty() {
            return result;
        }
        let plan = match Plan::new(self) {
            Ok(plan) => plan,
            Err(reason) => {
                result.refused.push(("model".to_owned(), reason));
                return result;
            }
        };
        for (function, reason) in self.functions.iter().zip(&plan.refused) {
            result.refused.extend(reason.iter().map(|text| (function.label(), text.clone())));
        }
        self.header.opsets.extend(plan.imports);
        let functions = std::mem::take(&mut self.functions);
        let places = function::places(&functions);
        let mut inlined = vec![0usize; functions.len()];
        let mut graph = 0;
        while graph < self.graphs.len() {
            let wanted = |node: NodeId, model: &Self| {
                let place = places.get(&model.node(node).callee()).copied();
                place.filter(|&place| plan.refused[place].is_none())
            };
            self.expand(GraphId::new(graph), &functions, wanted, &mut inlined, &mut result);
            graph += 1;
        }
        self.recount_uses();
        self.keep_called(functions, &inlined, &mut result);
        result
    }

    /// Replaces the calls in one graph; bodies that come with them are graphs of their own.
    fn expand(
        &mut self,
        graph: GraphId,
        functions: &[Function],
        wanted: impl Fn(NodeId, &Self) -> Option<usize>,
        inlined: &mut [usize],
        result: &mut Inlined,
    ) {
        let mut pending: Vec<NodeId> = self.nodes_of(graph).map(|(id, _)| id).collect();
        if !self.graph(graph).alive || pending.iter().all(|&id| wanted(id, self).is_none()) {
            return;
        }
        pending.reverse();
        let mut order = Vec::with_capacity(pending.len());
        while let Some(node) = pending.pop() {
            let Some(place) = wanted(node, self) else {
                order.push(node);
                continue;
            };
            match splice(self, &functions[place], node) {
                Ok(copies) => {
                    inlined[place] += 1;
                    pending.extend(copies.into_iter().rev());
                }
                Err(reason) => {
                    result.refused.push((self.label(node), reason));
                    order.push(node);
                }
            }
        }
        self.set_order(graph, &order);
    }

    /// Makes the use lists anew, in execution order; mentions in carried data stay.
    fn recount_uses(&mut self) {
        for value in &mut self.values {
            value.uses.retain(|u| matches!(u, Use::Carried { .. }));
        }
        for graph in self.graphs().collect::<Vec<_>>() {
            let mut uses = Vec::new();
            for (node, entry) in self.nodes_of(graph) {
                let inputs = entry.inputs.iter().enumerate();
                let inputs = inputs.filter_map(|(slot, &value)| Some((slot, value?)));
                uses.extend(inputs.map(|(slot, value)| (value, Use::Input { node, slot })));
            }
            let outputs = self.graph(graph).outputs.iter().enumerate();
            uses.extend(outputs.map(|(slot, output)| (output.value, Use::Output { graph, slot })));
            uses.into_iter().for_each(|(value, u)| self.push_use(value, u));
        }
    }

    /// Puts back the functions that are still called, and drops imports that only the others
    /// needed.
    fn keep_called(&mut self, functions: Vec<Function>, inlined: &[usize], result: &mut Inlined) {
        let places = function::places(&functions);
        let called = self.all_nodes().into_iter();
        let called = called.filter_map(|id| places.get(&self.node(id).callee()).copied());
        let kept = plan::reachable(called, &function::calls(&functions));
        let mut orphaned = HashSet::new();
        for ((function, kept), &count) in functions.into_iter().zip(kept).zip(inlined) {
            let text = match (count, kept) {
                (0, false) => "removed: nothing calls it".to_owned(),
                (0, true) => String::new(),
                (1, _) => "1 call replaced by its nodes".to_owned(),
                (count, _) => format!("{count} calls replaced by its nodes"),
            };
            if !text.is_empty() {
                result.done.push((function.label(), text));
            }
            if kept {
                self.functions.push(function);
            } else {
                orphaned.insert(canonical(&function.domain).to_owned());
            }
        }
        orphaned.remove(canonical(""));
        for function in &self.functions {
            orphaned.remove(canonical(&function.domain));
        }
        for node in self.all_nodes() {
            orphaned.remove(canonical(self.node(node).domain()));
        }
        let header = &mut self.header;
        let carried = std::mem::take(&mut header.opsets_carried);
        let mut carried = carried.into_iter();
        for (domain, version) in std::mem::take(&mut header.opsets) {
            let rest = carried.next();
            if !orphaned.contains(canonical(&domain)) {
                header.opsets.push((domain, version));
                header.opsets_carried.extend(rest);
            }
        }
    }
}
