//! Checks of model-local functions, which the IR carries encoded: `read`, which decodes them, says
//! what they mention.

use std::collections::{HashMap, HashSet};

use crate::ir::Violation;
use crate::ir::schema::{self, AttrKind};
use crate::ir::verify::{self, Findings, Operators};

/// What a function says of itself.
#[derive(Debug, Clone, Default)]
pub struct Signature<'a> {
    /// Domain of the calls.
    pub domain: &'a str,
    /// Operator type of the calls.
    pub name: &'a str,
    /// Distinguishes functions of the same name.
    pub overload: &'a str,
    /// Imported operator sets: domain and version.
    pub opsets: Vec<(&'a str, i64)>,
    /// Inputs, outputs and nodes.
    pub body: Body<'a>,
}

/// A function's body, or a graph inside one of its nodes.
#[derive(Debug, Clone, Default)]
pub struct Body<'a> {
    /// Inputs in order.
    pub inputs: Vec<&'a str>,
    /// Initializers of an inner graph, sparse ones included.
    pub initializers: Vec<&'a str>,
    /// Nodes in order.
    pub nodes: Vec<BodyNode<'a>>,
    /// Outputs in order.
    pub outputs: Vec<&'a str>,
}

/// A node of a function.
#[derive(Debug, Clone, Default)]
pub struct BodyNode<'a> {
    /// Name; may be empty.
    pub name: &'a str,
    /// Domain as written.
    pub domain: &'a str,
    /// Operator type.
    pub op: &'a str,
    /// The overload of the function it calls; mostly empty.
    pub overload: &'a str,
    /// Inputs in order; empty where one is left out.
    pub inputs: Vec<&'a str>,
    /// Outputs in order; empty where one is left out.
    pub outputs: Vec<&'a str>,
    /// Attributes: name, and kind unless it refers to an attribute of the function.
    pub attributes: Vec<(&'a str, Option<AttrKind>)>,
    /// Graphs of its attributes.
    pub bodies: Vec<Body<'a>>,
}

/// Domain, name and overload.
type Key<'a> = (&'a str, &'a str, &'a str);

impl Signature<'_> {
    fn place(&self) -> String {
        format!("function `{}::{}`", schema::canonical(self.domain), self.name)
    }
}

impl<'a> BodyNode<'a> {
    fn callee(&self) -> Key<'a> {
        (schema::canonical(self.domain), self.op, self.overload)
    }

    fn label(&self) -> String {
        let output = self.outputs.iter().find(|output| !output.is_empty());
        match (self.name, output) {
            ("", Some(output)) => format!("node producing `{output}` ({})", self.op),
            (name, _) => format!("node `{name}` ({})", self.op),
        }
    }
}

/// Checks functions: none may call itself, directly or through others; every name that a body
/// reads must be defined there before; nodes must fit their operators. Linear, and never recursive.
/// Gives the rules broken, and what is merely odd.
pub fn check(functions: &[Signature<'_>]) -> (Vec<Violation>, Vec<Violation>) {
    let mut findings = Findings::default();
    let ids: HashMap<Key<'_>, usize> = functions
        .iter()
        .enumerate()
        .map(|(i, f)| ((schema::canonical(f.domain), f.name, f.overload), i))
        .collect();
    let local: HashSet<(&str, &str)> =
        functions.iter().map(|f| (schema::canonical(f.domain), f.name)).collect();
    let mut calls = Vec::with_capacity(functions.len());
    for function in functions {
        let versions = function.opsets.iter().map(|&(d, v)| (schema::canonical(d), v)).collect();
        let mut scope = Scope {
            place: function.place(),
            findings: &mut findings,
            operators: Operators::new(versions, &local),
            ids: &ids,
            calls: Vec::new(),
            visible: HashSet::new(),
            scopes: Vec::new(),
        };
        scope.walk(&function.body);
        calls.push(scope.finish());
    }
    if let Err(cycle) = check_recursion(&calls) {
        let names: Vec<&str> = cycle.iter().map(|&i| functions[i].name).collect();
        let first = cycle.first().map(|&i| functions[i].place()).unwrap_or_default();
        findings.violation(
            first,
            format!("calls itself: {}; functions must not be recursive", names.join(" -> ")),
        );
    }
    (findings.violations, findings.warnings)
}

/// Looks for a cycle among calls (for each function, the functions it calls); gives one cycle,
/// its first function again at the end. Linear, never recursive.
///
/// # Errors
/// The cycle.
pub fn check_recursion(calls: &[Vec<usize>]) -> Result<(), Vec<usize>> {
    #[derive(Clone, Copy, PartialEq)]
    enum State {
        New,
        Open,
        Done,
    }
    let mut state = vec![State::New; calls.len()];
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
    Ok(())
}

/// The walk through one function.
struct Scope<'a, 'f> {
    place: String,
    findings: &'f mut Findings,
    operators: Operators<'a>,
    ids: &'f HashMap<Key<'a>, usize>,
    /// Functions that it calls.
    calls: Vec<usize>,
    /// Names that may be read here.
    visible: HashSet<&'a str>,
    /// For each body that is open, the names it defined so far.
    scopes: Vec<Vec<&'a str>>,
}

/// A step of the walk; bodies nest on this explicit stack.
enum Step<'a, 'b> {
    Enter(&'b Body<'a>),
    Node(&'b BodyNode<'a>),
    Define(&'b BodyNode<'a>),
    Leave(&'b Body<'a>),
}

impl<'a> Scope<'a, '_> {
    fn walk(&mut self, body: &Body<'a>) {
        let mut steps = vec![Step::Enter(body)];
        while let Some(step) = steps.pop() {
            match step {
                Step::Enter(body) => {
                    self.scopes.push(Vec::new());
                    for name in &body.inputs {
                        self.define(name);
                    }
                    // An initializer may be the default of an input.
                    let inputs: HashSet<&str> = match body.initializers.is_empty() {
                        true => HashSet::new(),
                        false => body.inputs.iter().copied().collect(),
                    };
                    for name in body.initializers.iter().filter(|name| !inputs.contains(*name)) {
                        self.define(name);
                    }
                    steps.push(Step::Leave(body));
                    steps.extend(body.nodes.iter().rev().map(Step::Node));
                }
                Step::Node(node) => {
                    self.node(node);
                    steps.push(Step::Define(node));
                    steps.extend(node.bodies.iter().rev().map(Step::Enter));
                }
                Step::Define(node) => {
                    for name in node.outputs.iter().filter(|name| !name.is_empty()) {
                        self.define(name);
                    }
                }
                Step::Leave(body) => self.leave(body),
            }
        }
    }

    fn define(&mut self, name: &'a str) {
        if !self.visible.insert(name) {
            let message = format!("value `{name}` is defined twice");
            self.findings.violation(&self.place, message);
        }
        if let Some(scope) = self.scopes.last_mut() {
            scope.push(name);
        }
    }

    fn leave(&mut self, body: &Body<'a>) {
        for name in body.outputs.iter().filter(|name| !self.visible.contains(*name)) {
            let message = format!("output `{name}` is not produced by any node or input");
            self.findings.violation(&self.place, message);
        }
        for name in self.scopes.pop().unwrap_or_default() {
            self.visible.remove(name);
        }
    }

    fn node(&mut self, node: &BodyNode<'a>) {
        for name in node.inputs.iter().filter(|name| !name.is_empty()) {
            if !self.visible.contains(name) {
                let message = format!("{}: input `{name}` is undefined", node.label());
                self.findings.violation(&self.place, message);
            }
        }
        let place = || format!("{}: {}", self.place, node.label());
        let attributes = || node.attributes.iter().copied();
        verify::names(attributes(), place, self.findings);
        if let Some(&callee) = self.ids.get(&node.callee()) {
            self.calls.push(callee);
        }
        if let Some(operator) = self.operators.resolve(node.domain, node.op, place) {
            let given = |name: &&str| !name.is_empty();
            let (inputs, outputs) = (node.inputs.iter().map(given), node.outputs.iter().map(given));
            verify::arity(operator, inputs, outputs, place, self.findings);
            verify::known(operator, attributes(), place, self.findings);
        }
    }

    fn finish(self) -> Vec<usize> {
        self.operators.report(self.findings);
        self.calls
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn node<'a>(domain: &'a str, op: &'a str, input: &'a str, output: &'a str) -> BodyNode<'a> {
        BodyNode { domain, op, inputs: vec![input], outputs: vec![output], ..BodyNode::default() }
    }

    /// Function `local::name` from `a` to `o`.
    fn function<'a>(name: &'a str, nodes: Vec<BodyNode<'a>>) -> Signature<'a> {
        Signature {
            domain: "local",
            name,
            opsets: vec![("", 17), ("local", 1)],
            body: Body { inputs: vec!["a"], nodes, outputs: vec!["o"], ..Body::default() },
            ..Signature::default()
        }
    }

    #[track_caller]
    fn broken(functions: &[Signature<'_>]) -> String {
        let (violations, _) = check(functions);
        assert_eq!(violations.len(), 1, "{violations:?}");
        violations[0].to_string()
    }

    #[test]
    fn functions_must_not_call_themselves() {
        let call = |op| vec![node("local", op, "a", "o")];
        assert_eq!(
            broken(&[function("f", call("f"))]),
            "function `local::f`: calls itself: f -> f; functions must not be recursive"
        );
        let mutual = [function("e", call("f")), function("f", call("g")), function("g", call("f"))];
        assert!(broken(&mutual).contains("f -> g -> f"));
        let branch = Body {
            nodes: vec![node("local", "f", "a", "p")],
            outputs: vec!["p"],
            ..Body::default()
        };
        let hidden = BodyNode { bodies: vec![branch], ..node("acme", "Foo", "a", "o") };
        let mut through = function("f", vec![hidden]);
        through.opsets.push(("acme", 1));
        assert!(broken(&[through]).contains("calls itself"));
    }

    #[test]
    fn long_and_wide_calls_are_checked_in_linear_time() {
        let chain: Vec<Vec<usize>> = (0..100_000usize).map(|i| vec![i + 1, i + 1]).collect();
        assert_eq!(check_recursion(&chain), Ok(()));
        let mut ring = chain;
        ring.push(vec![0]);
        assert_eq!(check_recursion(&ring).map_err(|cycle| cycle.len()), Err(100_002));
    }

    #[test]
    fn bodies_see_only_their_own_names() {
        let ghost = function("f", vec![node("", "Relu", "ghost", "o")]);
        assert_eq!(
            broken(&[ghost]),
            "function `local::f`: node producing `o` (Relu): input `ghost` is undefined"
        );
        let nowhere = function("f", vec![node("", "Relu", "a", "p")]);
        assert!(broken(&[nowhere]).contains("output `o` is not produced"));
        let twice = vec![node("", "Relu", "a", "o"), node("", "Relu", "a", "o")];
        assert!(broken(&[function("f", twice)]).contains("`o` is defined twice"));
        let inner = Body {
            inputs: vec!["i"],
            initializers: vec!["i", "k"],
            nodes: vec![node("", "Relu", "a", "p")],
            outputs: vec!["k", "p"],
        };
        let outer = BodyNode { bodies: vec![inner], ..node("acme", "Foo", "a", "o") };
        let mut captures = function("f", vec![outer]);
        captures.opsets.push(("acme", 1));
        assert_eq!(check(&[captures]), (vec![], vec![]));
    }

    #[test]
    fn nodes_must_fit_their_operators() {
        let foreign = function("f", vec![node("acme", "Foo", "a", "o")]);
        assert!(broken(&[foreign]).contains("domain `acme` is not among the opset imports"));
        let many = BodyNode { inputs: vec!["a", "a"], ..node("", "Relu", "a", "o") };
        assert!(
            broken(&[function("f", vec![many])]).contains("number of inputs: expected 1, found 2")
        );
        let typed = BodyNode {
            attributes: vec![("alpha", Some(AttrKind::Int))],
            ..node("", "LeakyRelu", "a", "o")
        };
        assert!(broken(&[function("f", vec![typed])]).contains("attribute `alpha` has type INT"));
        let referring =
            BodyNode { attributes: vec![("alpha", None)], ..node("", "LeakyRelu", "a", "o") };
        assert_eq!(check(&[function("f", vec![referring])]), (vec![], vec![]));
    }
}
