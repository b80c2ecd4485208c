//! The report of `prune`.

use std::fmt;

use serde::Serialize;

use crate::compress::Pruned;
use crate::pipeline::Outcome;
use crate::report::text::finite_decibel;
use crate::report::{
    BudgetReport, ComparisonReport, GroupShare, PruningStep, SparsityReport, StepReport, decibel,
};

/// What was cut out of a model, and how far its outputs moved.
#[derive(Debug, Clone, Serialize)]
pub struct PruningReport {
    /// The file read.
    pub input: String,
    /// The file written.
    pub output: String,
    /// One entry for each pass, in order.
    pub passes: Vec<StepReport>,
    /// Signal-to-noise ratio of the cut model against the one whose weights were set to zero instead,
    /// when both were executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_sqnr_db: Option<f64>,
    /// Why the cut was not checked so, or was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cut_unchecked: Option<String>,
    /// The groups, when cutting each alone was tried.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub groups: Vec<GroupShare>,
    /// The steps, when there were several; the last one may have missed a bound and is not written then.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub steps: Vec<PruningStep>,
    /// What the budget counts, in words, of the original and of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetReport>,
    /// The model before it was quantized, against the original, when it was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub unquantized: Option<ComparisonReport>,
    /// What zeros are worth, when weights were set to zero.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sparsity: Option<SparsityReport>,
    /// Original and result.
    pub drift: ComparisonReport,
    /// What the user must know.
    pub warnings: Vec<String>,
    /// Show every edit in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

impl PruningReport {
    /// The report of a run, `input` to `output`.
    pub fn new(input: String, output: String, pruned: &Pruned, drift: ComparisonReport) -> Self {
        let (cut_sqnr_db, cut_unchecked) = match &pruned.cut {
            Some(Outcome::Kept(ratio)) => (Some(finite_decibel(*ratio)), None),
            Some(Outcome::Broken(reason)) => (None, Some(format!("taken back: {reason}"))),
            Some(Outcome::NotExecuted(reason)) => (None, Some(reason.clone())),
            None => (None, None),
        };
        let passes = pruned.finished.steps.iter().map(StepReport::new).collect();
        let warnings = Vec::new();
        Self {
            input,
            output,
            passes,
            cut_sqnr_db,
            cut_unchecked,
            groups: Vec::new(),
            steps: Vec::new(),
            budget: None,
            unquantized: None,
            sparsity: None,
            drift,
            warnings,
            verbose: false,
        }
    }
}

impl fmt::Display for PruningReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.input, self.output)?;
        self.drift.warn(f)?;
        writeln!(f, "passes")?;
        for step in self.passes.iter().filter(|step| self.verbose || step.mattered()) {
            step.write(f, self.verbose || step.pass.starts_with("prune-"))?;
        }
        if let Some(ratio) = self.cut_sqnr_db {
            writeln!(f, "the cut against weights set to zero: {}", decibel(ratio))?;
        }
        if let Some(reason) = &self.cut_unchecked {
            writeln!(f, "the cut against weights set to zero: {reason}")?;
        }
        for group in &self.groups {
            writeln!(f, "group {group}")?;
        }
        for (number, step) in (1..).zip(&self.steps) {
            writeln!(f, "step {number}: {step}")?;
        }
        if let Some(before) = &self.unquantized {
            writeln!(f, "pruned")?;
            for line in before.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
            writeln!(f, "pruned and quantized")?;
        }
        for line in self.drift.to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        if let Some(sparsity) = &self.sparsity {
            for line in sparsity.to_string().lines() {
                writeln!(f, "  {line}")?;
            }
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
