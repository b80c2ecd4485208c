//! Model-local functions: operators that are made of others.

use std::collections::HashMap;

use bytes::Bytes;

use crate::ir::schema::canonical;
use crate::ir::{Attribute, Def, Model, Node, ValueId};

/// A function of the model. Its body is a store of its own, so that no walk over the model's nodes
/// meets it.
#[derive(Debug, Clone, Default)]
pub struct Function {
    /// Domain of the calls.
    pub domain: String,
    /// Operator type of the calls.
    pub name: String,
    /// Distinguishes functions of the same name.
    pub overload: String,
    /// Names of the attributes that have no default.
    pub attributes: Vec<String>,
    /// Attributes with their defaults.
    pub defaults: Vec<Attribute>,
    /// The imports are those of the function; the main graph holds its nodes. Inputs and outputs
    /// belong to those of the call by their position and have no types; there are no initializers.
    pub body: Model,
    /// Encoded `FunctionProto` without what the fields above model.
    pub(crate) carried: Bytes,
}

/// What tells functions apart: canonical domain, name and overload.
pub(in crate::ir) type Key<'a> = (&'a str, &'a str, &'a str);

impl Function {
    /// A function without inputs, outputs and nodes that imports `opset` of the default domain.
    pub fn new(domain: &str, name: &str, opset: i64) -> Self {
        let mut body = Model::default();
        body.header.opsets.push((String::new(), opset));
        body.add_graph("", None);
        let (domain, name) = (domain.to_owned(), name.to_owned());
        Self { domain, name, body, ..Self::default() }
    }

    /// Adds an input, after the existing ones.
    pub fn add_input(&mut self, name: &str) -> ValueId {
        let main = self.body.main();
        let value = self.body.add_value(main, name.into(), Def::Input { default: None });
        self.body.graph_mut(main).inputs.push(value);
        value
    }

    /// Makes `value` the next output.
    pub fn add_output(&mut self, value: ValueId) {
        self.body.add_output(self.body.main(), value, None);
    }

    /// How messages name it: ``function `local::f` ``, with the overload when it has one.
    pub fn label(&self) -> String {
        let separator = if self.overload.is_empty() { "" } else { ":" };
        let (domain, name, overload) = self.key();
        format!("function `{domain}::{name}{separator}{overload}`")
    }

    /// Names of all attributes, those without a default first.
    pub fn attribute_names(&self) -> impl Iterator<Item = &str> {
        let defaults = self.defaults.iter().map(|attribute| attribute.name.as_str());
        self.attributes.iter().map(String::as_str).chain(defaults)
    }

    pub(in crate::ir) fn key(&self) -> Key<'_> {
        (canonical(&self.domain), &self.name, &self.overload)
    }
}

impl Node {
    /// The key of the function that it calls, if there is one.
    pub(in crate::ir) fn callee(&self) -> Key<'_> {
        (canonical(self.domain()), self.op(), self.overload())
    }
}

/// The places of functions in their list; of two with the same key, the first.
pub(in crate::ir) fn places(functions: &[Function]) -> HashMap<Key<'_>, usize> {
    let mut places = HashMap::new();
    for (i, function) in functions.iter().enumerate() {
        places.entry(function.key()).or_insert(i);
    }
    places
}

/// For each function the places of those that its nodes call, inner graphs included; once for each
/// call.
pub(in crate::ir) fn calls(functions: &[Function]) -> Vec<Vec<usize>> {
    let places = places(functions);
    let called = |function: &Function| {
        let (body, places) = (&function.body, &places);
        let nodes = body.graphs().flat_map(|graph| body.nodes_of(graph));
        nodes.filter_map(|(_, node)| places.get(&node.callee()).copied()).collect()
    };
    functions.iter().map(called).collect()
}

/// The functions in an order in which each stands behind all that it calls; `calls` gives for each
/// the functions it calls. Linear, never recursive.
///
/// # Errors
/// A cycle: functions that call each other, the first one again at the end.
pub(in crate::ir) fn callees_first(calls: &[Vec<usize>]) -> Result<Vec<usize>, Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; calls.len()];
    let mut order = Vec::with_capacity(calls.len());
    for start in 0..calls.len() {
        if state[start] != State::New {
            continue;
        }
        state[start] = State::Open;
        // Functions on the way, each with the position among its calls to go on with.
        let mut path = vec![(start, 0)];
        while let Some((at, next)) = path.last_mut() {
            let Some(&callee) = calls[*at].get(*next) else {
                state[*at] = State::Done;
                order.push(*at);
                path.pop();
                continue;
            };
            *next += 1;
            match state.get(callee) {
                Some(State::New) => {
                    state[callee] = State::Open;
                    path.push((callee, 0));
                }
                Some(State::Open) => {
                    let mut cycle: Vec<usize> =
                        path.iter().map(|&(at, _)| at).skip_while(|&at| at != callee).collect();
                    cycle.push(callee);
                    return Err(cycle);
                }
                Some(State::Done) | None => {}
            }
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn long_and_wide_calls_are_ordered_in_linear_time() {
        let chain: Vec<Vec<usize>> = (0..100_000usize).map(|i| vec![i + 1, i + 1]).collect();
        let order = callees_first(&chain).unwrap();
        assert!(order.iter().rev().copied().eq(0..100_000));
        let mut ring = chain;
        ring.push(vec![0]);
        assert_eq!(callees_first(&ring).map_err(|cycle| cycle.len()), Err(100_002));
    }
}
