//! The report of `diff`.

use std::collections::{BTreeMap, HashSet};
use std::fmt;

use serde::Serialize;

use crate::analysis::diff::{Change, Diff, Distance, Numeric, Subject, What};
use crate::report::text::{finite, finite_decibel};

/// What differs between two models. The field names are the contract of `diff --json`.
#[derive(Debug, Clone, Serialize)]
pub struct DiffReport {
    /// The first model.
    pub a: String,
    /// The second model.
    pub b: String,
    /// True when nothing differs.
    pub equal: bool,
    /// Nodes found in both, changed or not.
    pub matched_nodes: usize,
    /// How many things differ, by kind: `model`, `input`, `output`, `node`, `initializer`, `value`,
    /// `function`.
    pub counts: BTreeMap<&'static str, Count>,
    /// The differences.
    pub changes: Vec<ChangeReport>,
    /// Longest list that the text view shows; `None` shows all.
    #[serde(skip)]
    pub longest: Option<usize>,
}

/// How many things of one kind differ.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Only in the first model.
    pub only_in_a: usize,
    /// Only in the second model.
    pub only_in_b: usize,
    /// In both, and not the same.
    pub changed: usize,
}

/// One difference.
#[derive(Debug, Clone, Serialize)]
pub struct ChangeReport {
    /// The kind of thing: a key of `counts`.
    pub subject: &'static str,
    /// Its name; a node without one is called after its first output.
    pub name: String,
    /// Operator of a node.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub op: Option<String>,
    /// The body it is in; empty for the main graph.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub graph: String,
    /// `only_in_a`, `only_in_b` or `changed`.
    pub change: &'static str,
    /// What about it changed, e.g. `attribute pads` or `input 0`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub item: Option<String>,
    /// As it is in the first model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub old: Option<String>,
    /// As it is in the second model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub new: Option<String>,
    /// How far the elements of two tensors are apart.
    #[serde(flatten)]
    pub distance: Option<DistanceReport>,
    #[serde(skip)]
    line: String,
}

/// How far the elements of two tensors are apart.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct DistanceReport {
    /// Number of elements.
    pub elements: usize,
    /// Those that differ.
    pub differing: usize,
    /// Largest absolute difference; `null` when infinite or when the elements are no real numbers.
    pub max_abs: Option<f64>,
    /// Signal-to-noise ratio in decibel, at most 300; `null` when the elements are no real numbers.
    pub sqnr_db: Option<f64>,
}

impl DiffReport {
    /// The report on `diff` of the models called `a` and `b`. Lists longer than `longest` are cut
    /// in the text view.
    pub fn new(a: &str, b: &str, diff: &Diff, longest: Option<usize>) -> Self {
        let mut changes: Vec<&Change> = diff.changes.iter().collect();
        changes.sort_by_key(|change| (change.subject, kind(&change.what)));
        Self {
            a: a.to_owned(),
            b: b.to_owned(),
            equal: diff.is_empty(),
            matched_nodes: diff.matched_nodes,
            counts: counts(&changes),
            changes: changes.into_iter().map(ChangeReport::new).collect(),
            longest,
        }
    }
}

/// The word for a change, and its place in a list.
fn kind(what: &What) -> (usize, &'static str) {
    match what {
        What::OnlyInA(_) => (0, "only_in_a"),
        What::OnlyInB(_) => (1, "only_in_b"),
        What::Changed { .. } => (2, "changed"),
    }
}

fn counts(changes: &[&Change]) -> BTreeMap<&'static str, Count> {
    let mut counts: BTreeMap<_, Count> =
        Subject::ALL.iter().map(|subject| (subject.name(), Count::default())).collect();
    let mut seen = HashSet::new();
    for change in changes {
        let count = counts.entry(change.subject.name()).or_default();
        match change.what {
            What::OnlyInA(_) => count.only_in_a += 1,
            What::OnlyInB(_) => count.only_in_b += 1,
            // One thing may have changed in several ways.
            What::Changed { .. } => {
                let thing = (change.subject, &change.graph, &change.name, &change.op);
                count.changed += usize::from(seen.insert(thing));
            }
        }
    }
    counts
}

impl ChangeReport {
    fn new(change: &Change) -> Self {
        let (item, old, new, distance) = match &change.what {
            What::OnlyInA(text) => (None, Some(text.clone()), None, None),
            What::OnlyInB(text) => (None, None, Some(text.clone()), None),
            What::Changed { item, old, new, distance } => {
                (Some(item.to_string()), old.clone(), new.clone(), *distance)
            }
        };
        Self {
            subject: change.subject.name(),
            name: change.name.clone(),
            op: change.op.clone(),
            graph: change.graph.clone(),
            change: kind(&change.what).1,
            item,
            old,
            new,
            distance: distance.map(DistanceReport::new),
            line: change.to_string(),
        }
    }
}

impl DistanceReport {
    fn new(distance: Distance) -> Self {
        let Distance { elements, differing, numeric } = distance;
        let max_abs = numeric.and_then(|Numeric { max_abs, .. }| finite(max_abs));
        let sqnr_db = numeric.map(|Numeric { sqnr_db, .. }| finite_decibel(sqnr_db));
        Self { elements, differing, max_abs, sqnr_db }
    }
}

fn plural(subject: Subject) -> &'static str {
    match subject {
        Subject::Model => "model",
        Subject::Input => "inputs",
        Subject::Output => "outputs",
        Subject::Node => "nodes",
        Subject::Initializer => "initializers",
        Subject::Value => "values",
        Subject::Function => "functions",
    }
}

impl fmt::Display for DiffReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A  {}\nB  {}", self.a, self.b)?;
        if self.equal {
            return writeln!(f, "no differences");
        }
        writeln!(f, "{} nodes matched", self.matched_nodes)?;
        for subject in Subject::ALL {
            let count = self.counts.get(subject.name()).copied().unwrap_or_default();
            let parts = [
                (count.only_in_a, "only in A"),
                (count.only_in_b, "only in B"),
                (count.changed, "changed"),
            ];
            let parts = parts.iter().filter(|(count, _)| *count > 0);
            let parts: Vec<String> =
                parts.map(|(count, words)| format!("{count} {words}")).collect();
            if !parts.is_empty() {
                writeln!(f, "{:<13}{}", plural(subject), parts.join(", "))?;
            }
        }
        for lines in self.changes.chunk_by(|x, y| (x.subject, x.change) == (y.subject, y.change)) {
            writeln!(f)?;
            let shown = self.longest.unwrap_or(lines.len()).min(lines.len());
            for change in &lines[..shown] {
                writeln!(f, "{}", change.line)?;
            }
            if shown < lines.len() {
                writeln!(f, "… and {} more (--all shows them)", lines.len() - shown)?;
            }
        }
        Ok(())
    }
}
