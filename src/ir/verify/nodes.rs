//! Nodes against what ONNX says about their operators at the version in force.

use std::collections::{HashMap, HashSet};
use std::ops::RangeInclusive;

use crate::ir::names::Seeded;
use crate::ir::schema::{self, AttrKind, Role, Schema};
use crate::ir::verify::{Findings, attributes, bodies, shapes, types};
use crate::ir::{Model, Node, NodeId, ValueId};

/// Checks every node of a model or of the body of a function; unknown operators pass with a warning.
/// `versions` are the imports by canonical domain, `functions` the local functions by canonical
/// domain and name.
pub(super) fn check<'a>(
    model: &'a Model,
    versions: HashMap<&'a str, i64>,
    functions: &'a HashSet<(&'a str, &'a str)>,
    findings: &mut Findings,
) {
    let mut operators = Operators::new(versions, functions);
    let typed = model.header.ir_version.is_some_and(|version| version >= FIRST_TYPED_IR);
    for graph in model.graphs() {
        for (id, node) in model.nodes_of(graph) {
            let place = || model.label(id);
            if node.inputs.is_empty() && node.outputs.is_empty() {
                findings.violation(place(), "has neither inputs nor outputs");
                continue;
            }
            attributes::names(listed(node), place, findings);
            if typed {
                untyped(node, place, findings);
            }
            if let Some(operator) = operators.resolve(&node.domain, &node.op, place) {
                check_node(model, id, node, operator, findings);
            }
        }
    }
    operators.report(findings);
}

/// From this IR version on, an attribute states the type of its value.
const FIRST_TYPED_IR: i64 = 2;

fn untyped(node: &Node, place: impl Fn() -> String, findings: &mut Findings) {
    for attribute in node.attributes.iter().filter(|attribute| attribute.untyped) {
        let message = format!("attribute `{}` does not state its type", attribute.name);
        findings.violation(place(), message);
    }
}

/// The attributes of a node: name and kind.
fn listed(node: &Node) -> impl ExactSizeIterator<Item = (&str, Option<AttrKind>)> + Clone {
    node.attributes.iter().map(|a| (a.name.as_str(), AttrKind::of(&a.value)))
}

fn check_node(model: &Model, id: NodeId, node: &Node, operator: Operator, findings: &mut Findings) {
    let place = || model.label(id);
    let given = |value: &Option<ValueId>| value.is_some();
    let (inputs, outputs) = (node.inputs.iter().map(given), node.outputs.iter().map(given));
    let mut fine = arity(operator, inputs, outputs, place, findings);
    fine &= attributes::known(operator, listed(node), place, findings);
    if fine {
        types::check(model, id, node, operator, findings);
        if node.is_standard() {
            bodies::check(model, id, node, operator.schema.since, findings);
            shapes::check(model, id, node, findings);
        }
    }
}

/// An operator of the table, at the version in force.
#[derive(Debug, Clone, Copy)]
pub(super) struct Operator {
    /// The version in force.
    pub(super) schema: &'static Schema,
    /// All versions, oldest first.
    pub(super) history: &'static [Schema],
}

/// How an operator with its domain is to be judged.
#[derive(Debug, Clone, Copy)]
enum Verdict {
    Known(Operator),
    /// A local function, or an operator of a domain or version that the table does not know.
    Unchecked,
    /// The domain is not imported.
    NotImported,
    /// The domain has no such operator at any version.
    Unknown,
    /// The operator came later than the imported version.
    TooNew(i64),
    /// It did, but ONNX Runtime has it at every version.
    Early(i64),
    /// The operator should not be used any more.
    Deprecated(i64),
}

/// An operator met, with the first node that has it.
struct Met {
    verdict: Verdict,
    domain: String,
    op: String,
    first: String,
    count: usize,
}

/// Operators as nodes ask for them; each is looked up and reported once.
struct Operators<'a> {
    versions: HashMap<&'a str, i64>,
    functions: &'a HashSet<(&'a str, &'a str)>,
    known: HashMap<(&'a str, &'a str), usize, Seeded>,
    met: Vec<Met>,
}

impl<'a> Operators<'a> {
    fn new(versions: HashMap<&'a str, i64>, functions: &'a HashSet<(&'a str, &'a str)>) -> Self {
        Self { versions, functions, known: HashMap::default(), met: Vec::new() }
    }

    /// The schema to check a node against; `place` names the node.
    fn resolve(
        &mut self,
        domain: &'a str,
        op: &'a str,
        place: impl Fn() -> String,
    ) -> Option<Operator> {
        let domain = schema::canonical(domain);
        let index = match self.known.get(&(domain, op)) {
            Some(&index) => index,
            None => {
                let verdict = self.judge(domain, op);
                let (domain_text, op_text) = (domain.to_owned(), op.to_owned());
                let met =
                    Met { verdict, domain: domain_text, op: op_text, first: place(), count: 0 };
                self.met.push(met);
                self.known.insert((domain, op), self.met.len() - 1);
                self.met.len() - 1
            }
        };
        self.met[index].count += 1;
        match self.met[index].verdict {
            Verdict::Known(operator) => Some(operator),
            _ => None,
        }
    }

    fn judge(&self, domain: &str, op: &str) -> Verdict {
        let Some(&version) = self.versions.get(domain) else { return Verdict::NotImported };
        let Some(latest) = schema::latest_opset(domain) else { return Verdict::Unchecked };
        if self.functions.contains(&(domain, op)) || !(1..=latest).contains(&version) {
            return Verdict::Unchecked;
        }
        let history = schema::history(domain, op);
        match (schema::in_force(history, version), history.first()) {
            (Some(schema), _) if schema.deprecated => Verdict::Deprecated(schema.since),
            (Some(schema), _) => Verdict::Known(Operator { schema, history }),
            (None, Some(first)) if schema::is_early(domain, op) => Verdict::Early(first.since),
            (None, Some(first)) => Verdict::TooNew(first.since),
            (None, None) => Verdict::Unknown,
        }
    }

    /// Reports the operators that the imports do not give, each once.
    fn report(self, findings: &mut Findings) {
        for Met { verdict, domain, op, first, count } in self.met {
            let version = self.versions.get(domain.as_str()).copied().unwrap_or_default();
            let more = match count {
                0 | 1 => String::new(),
                _ => format!(" ({count} such nodes)"),
            };
            match verdict {
                Verdict::Known(_) | Verdict::Unchecked => {}
                Verdict::NotImported => findings.violation(
                    first,
                    format!("its domain `{domain}` is not among the opset imports{more}"),
                ),
                Verdict::Unknown => findings.warning(
                    first,
                    format!("`{op}` is no operator of `{domain}` and is kept as it is{more}"),
                ),
                Verdict::TooNew(since) => findings.violation(
                    first,
                    format!(
                        "`{op}` is an operator since version {since} of `{domain}`, but the model \
                         imports version {version}{more}"
                    ),
                ),
                Verdict::Early(since) => findings.warning(
                    first,
                    format!(
                        "`{op}` is an operator since version {since} of `{domain}`, but the model \
                         imports version {version}; ONNX Runtime runs it, other runtimes may not{more}"
                    ),
                ),
                Verdict::Deprecated(since) => findings.warning(
                    first,
                    format!(
                        "`{op}` is deprecated since version {since} of `{domain}`, and many \
                         runtimes refuse it{more}"
                    ),
                ),
            }
        }
    }
}

/// Compares how many inputs and outputs a node lists, and which it leaves out (`false`), with the
/// schema. False when the node cannot be checked any further.
fn arity(
    operator: Operator,
    inputs: impl ExactSizeIterator<Item = bool>,
    outputs: impl ExactSizeIterator<Item = bool>,
    place: impl Fn() -> String,
    findings: &mut Findings,
) -> bool {
    let schema = operator.schema;
    let mut fine = true;
    let mut count = |what: &str, allowed: &RangeInclusive<usize>, found: usize| {
        if !allowed.contains(&found) {
            fine = false;
            let message = format!("number of {what}: expected {}, found {found}", counted(allowed));
            findings.violation(place(), message);
        }
    };
    count("inputs", &schema.input_count, inputs.len());
    count("outputs", &schema.output_count, outputs.len());
    if !fine {
        return false;
    }
    for (slot, _) in inputs.enumerate().filter(|(_, given)| !given) {
        if let Some(formal) = schema.input(slot).filter(|f| f.role == Role::Required) {
            // Exporters leave out what only a later version lets them leave out.
            let later = |s: &Schema| s.input(slot).is_some_and(|f| f.role == Role::Optional);
            let wrong = !operator.history.iter().any(later);
            let message = format!("leaves out input {slot} `{}`, which it needs", formal.name);
            findings.either(wrong, place(), message);
        }
    }
    for (slot, _) in outputs.enumerate().filter(|(_, given)| !given) {
        if let Some(formal) = schema.output(slot).filter(|f| f.role == Role::Required) {
            let message = format!("gives no name to output {slot} `{}`", formal.name);
            findings.warning(place(), message);
        }
    }
    true
}

/// `2`, `1 to 3` or `at least 1`.
fn counted(range: &RangeInclusive<usize>) -> String {
    match (*range.start(), *range.end()) {
        (lowest, highest) if lowest == highest => lowest.to_string(),
        (lowest, usize::MAX) => format!("at least {lowest}"),
        (lowest, highest) => format!("{lowest} to {highest}"),
    }
}
