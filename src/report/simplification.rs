//! The report of `simplify`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ir::Model;
use crate::report::{Pair, StepReport, bytes, grouped};

/// What was removed from a model, and what execution says about it.
#[derive(Debug, Clone, Serialize)]
pub struct SimplificationReport {
    /// The file read.
    pub input: String,
    /// The file written.
    pub output: String,
    /// Numbers of nodes, bodies included.
    pub nodes: Pair<usize>,
    /// Number of nodes of each operator that either model has.
    pub operators: BTreeMap<String, Pair<usize>>,
    /// File sizes.
    pub size_bytes: Pair<u64>,
    /// One entry for each pass, in order.
    pub passes: Vec<StepReport>,
    /// Inputs on which original and result were executed; 0 when they were not.
    pub checked: usize,
    /// What the user must know.
    pub warnings: Vec<String>,
    /// Show every edit in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

impl SimplificationReport {
    /// Nodes and operators of two models; the rest is filled in by the caller.
    pub fn new(original: &Model, result: &Model) -> Self {
        let mut operators: BTreeMap<String, Pair<usize>> = BTreeMap::new();
        let mut count = |model: &Model, slot: fn(&mut Pair<usize>) -> &mut usize| {
            for id in model.all_nodes() {
                let node = model.node(id);
                let name = match node.is_standard() {
                    true => node.op().to_owned(),
                    false => format!("{}.{}", node.domain(), node.op()),
                };
                *slot(operators.entry(name).or_insert(Pair { original: 0, candidate: 0 })) += 1;
            }
        };
        count(original, |pair| &mut pair.original);
        count(result, |pair| &mut pair.candidate);
        Self {
            input: String::new(),
            output: String::new(),
            nodes: Pair {
                original: original.all_nodes().len(),
                candidate: result.all_nodes().len(),
            },
            operators,
            size_bytes: Pair { original: 0, candidate: 0 },
            passes: Vec::new(),
            checked: 0,
            warnings: Vec::new(),
            verbose: false,
        }
    }
}

impl fmt::Display for SimplificationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.input, self.output)?;
        writeln!(f, "passes")?;
        for step in self.passes.iter().filter(|step| self.verbose || step.mattered()) {
            step.write(f, self.verbose)?;
        }
        let row = |f: &mut fmt::Formatter<'_>, name: &str, pair: [String; 2]| {
            writeln!(f, "  {name:<32}{:>16}{:>16}", pair[0], pair[1])
        };
        row(f, "", ["original".into(), "result".into()])?;
        let counts =
            |pair: &Pair<usize>| [pair.original, pair.candidate].map(|n| grouped(n as u64));
        for (name, pair) in &self.operators {
            if self.verbose || pair.original != pair.candidate {
                row(f, name, counts(pair))?;
            }
        }
        row(f, "nodes", counts(&self.nodes))?;
        row(f, "size", [self.size_bytes.original, self.size_bytes.candidate].map(bytes))?;
        if self.checked > 0 {
            writeln!(f, "executed on {} seeded inputs before and after", self.checked)?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
