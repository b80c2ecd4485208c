//! The report of `simplify`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::ir::Model;
use crate::pipeline::{Finished, Outcome};
use crate::report::text::finite_decibel;
use crate::report::{Pair, StepReport, bytes, decibel, grouped};

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
    /// Only the rewritten parts were executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parts: Option<Parts>,
    /// Smallest signal-to-noise ratio of all outputs there, when it was asked once for all passes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr_db: Option<f64>,
    /// The first pass that broke its promise, when passes were executed one by one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub first_broken: Option<Broken>,
    /// What the user must know.
    pub warnings: Vec<String>,
    /// That nothing was done although something could be, and why.
    pub missed: Vec<String>,
    /// True when nothing was missed.
    pub passed: bool,
    /// Show every edit in the text view.
    #[serde(skip)]
    pub verbose: bool,
    /// The inputs were seeded ones, not samples.
    #[serde(skip)]
    pub seeded: bool,
}

/// What was executed instead of the whole model.
#[derive(Debug, Clone, Serialize)]
pub struct Parts {
    /// Nodes of the result in the parts that were executed, those that compute shapes among them.
    pub nodes: usize,
    /// Why it was not the whole model.
    pub reason: String,
}

/// A pass that broke its promise and was taken back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Broken {
    /// Its name.
    pub pass: String,
    /// What execution found.
    pub reason: String,
}

impl Broken {
    /// The first one of a run.
    fn first(finished: &Finished) -> Option<Self> {
        let name = finished.first_broken?;
        let step = finished.steps.iter().find(|step| step.name == name)?;
        match &step.outcome {
            Some(Outcome::Broken(reason)) => {
                Some(Self { pass: name.to_owned(), reason: reason.clone() })
            }
            _ => None,
        }
    }
}

impl SimplificationReport {
    /// What was done to `original`; files, sizes and warnings are filled in by the caller.
    pub fn new(original: &Model, finished: &Finished) -> Self {
        let result = &finished.model;
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
            passes: finished.steps.iter().map(StepReport::new).collect(),
            checked: if finished.looked_at_nothing() { 0 } else { finished.executed },
            parts: finished
                .parts
                .as_ref()
                .filter(|(_, nodes)| finished.executed > 0 && *nodes > 0)
                .map(|(reason, nodes)| Parts { nodes: *nodes, reason: reason.clone() }),
            sqnr_db: match &finished.outcome {
                Some(Outcome::Kept(ratio)) => Some(finite_decibel(*ratio)),
                _ => None,
            },
            first_broken: Broken::first(finished),
            warnings: Vec::new(),
            missed: Vec::new(),
            passed: true,
            verbose: false,
            seeded: true,
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
            let plural = if self.checked == 1 { "" } else { "s" };
            let found = self.sqnr_db.map_or(String::new(), |ratio| format!(": {}", decibel(ratio)));
            let kind = if self.seeded { "seeded input" } else { "sample run" };
            let inputs = format!("{} {kind}{plural} before and after{found}", self.checked);
            match &self.parts {
                None => writeln!(f, "executed on {inputs}")?,
                Some(Parts { nodes, reason }) => {
                    writeln!(f, "executed what was rewritten, {nodes} nodes, on {inputs}")?;
                    writeln!(f, "  not the whole model: {reason}")?;
                }
            }
        }
        if let Some(Broken { pass, reason }) = &self.first_broken {
            writeln!(f, "first broken: pass {pass}: {reason}")?;
        }
        for missed in &self.missed {
            writeln!(f, "MISSED      {missed}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
