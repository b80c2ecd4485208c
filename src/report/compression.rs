//! The report of commands that write a model.

use std::fmt;

use serde::Serialize;

use crate::passes::Port;
use crate::pipeline::{Outcome, Step};
use crate::report::calibration::{self, ChoiceReport};
use crate::report::text::{decibel, finite_decibel};
use crate::report::{
    AssignmentReport, CalibratedReport, ComparisonReport, EqualizedReport, FallBackReport,
    MethodsReport, QuantizedLayerReport, layers,
};

/// What was done to a model, and how far its outputs moved.
#[derive(Debug, Clone, Serialize)]
pub struct CompressionReport {
    /// The file read.
    pub input: String,
    /// The file written.
    pub output: String,
    /// One entry for each pass, in order.
    pub passes: Vec<StepReport>,
    /// Layers that are quantized less for the accuracy of the outputs, and the ranking of all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub fall_back: Option<FallBackReport>,
    /// The widths of weights, when layers differ in that.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub assignment: Option<AssignmentReport>,
    /// What was done to each layer, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub layers: Option<Vec<QuantizedLayerReport>>,
    /// The calibrator for all values, when one did better than the best one for each.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibrated: Option<CalibratedReport>,
    /// What dividing channels did, when it helped.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub equalized: Option<EqualizedReport>,
    /// What methods did for the accuracy of layers, when they were tried.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub methods: Option<MethodsReport>,
    /// The ranges of activations, when they were asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub calibration: Option<Vec<ChoiceReport>>,
    /// Original and result on the samples the result was made with.
    pub drift: ComparisonReport,
    /// Original and result on test samples, when they were given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub test: Option<ComparisonReport>,
    /// Inputs and outputs that callers give and get as integers; the comparisons were made before.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub interface: Vec<IntegerPort>,
    /// What the user must know.
    pub warnings: Vec<String>,
    /// Show every edit in the text view.
    #[serde(skip)]
    pub verbose: bool,
    /// Show layers and ranges in the text view.
    #[serde(skip)]
    pub explain: bool,
}

/// An input or output that holds integers: a float is `scale · (q - zero_point)`.
#[derive(Debug, Clone, Serialize)]
pub struct IntegerPort {
    /// Name of the input or output.
    pub name: String,
    /// Integer type.
    pub dtype: String,
    /// Distance of neighbouring numbers.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i64,
}

impl From<Port> for IntegerPort {
    fn from(port: Port) -> Self {
        let Port { name, dtype, scale, zero_point } = port;
        Self { name, dtype: dtype.to_string(), scale, zero_point }
    }
}

/// One pass.
#[derive(Debug, Clone, Serialize)]
pub struct StepReport {
    /// Name.
    pub pass: String,
    /// `exact`, `rounding` or `lossy`.
    pub promise: String,
    /// Edits made: place and text.
    pub done: Vec<[String; 2]>,
    /// Edits declined: place and reason.
    pub refused: Vec<[String; 2]>,
    /// Signal-to-noise ratio before and after, when it was executed.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub sqnr_db: Option<f64>,
    /// Why the pass was taken back.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub rolled_back: Option<String>,
    /// Why its promise was not checked by execution.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_executed: Option<String>,
    /// Milliseconds, without the check.
    pub milliseconds: f64,
}

impl StepReport {
    /// The report of one step of the pipeline.
    pub fn new(step: &Step) -> Self {
        let notes = |notes: &[crate::passes::Note]| {
            notes.iter().map(|note| [note.place.clone(), note.text.clone()]).collect()
        };
        let mut report = Self {
            pass: step.name.to_owned(),
            promise: step.promise.to_string(),
            done: notes(&step.report.done),
            refused: notes(&step.report.refused),
            sqnr_db: None,
            rolled_back: None,
            not_executed: None,
            milliseconds: step.time.as_secs_f64() * 1e3,
        };
        match &step.outcome {
            Some(Outcome::Kept(ratio)) => report.sqnr_db = Some(finite_decibel(*ratio)),
            Some(Outcome::Broken(reason)) => report.rolled_back = Some(reason.clone()),
            Some(Outcome::NotExecuted(reason)) => report.not_executed = Some(reason.clone()),
            None => {}
        }
        report
    }

    /// True when the pass edited, or was taken back.
    pub(super) fn mattered(&self) -> bool {
        !self.done.is_empty() || self.rolled_back.is_some() || self.not_executed.is_some()
    }

    /// The line, and with `verbose` every edit and refusal below it.
    pub(super) fn write(&self, f: &mut fmt::Formatter<'_>, verbose: bool) -> fmt::Result {
        writeln!(f, "{}", self.line())?;
        if verbose {
            for [place, text] in &self.done {
                writeln!(f, "    did       {place}: {text}")?;
            }
            for [place, text] in &self.refused {
                writeln!(f, "    declined  {place}: {text}")?;
            }
        }
        Ok(())
    }

    /// One line: what the pass did and what execution said.
    fn line(&self) -> String {
        let checked = if let Some(reason) = &self.rolled_back {
            format!("TAKEN BACK: {reason}")
        } else if let Some(reason) = &self.not_executed {
            format!("not executed: {reason}")
        } else if let Some(ratio) = self.sqnr_db {
            format!("{}, {}", self.promise, decibel(ratio))
        } else if self.done.is_empty() {
            String::new()
        } else {
            self.promise.clone()
        };
        let refused = match self.refused.len() {
            0 => String::new(),
            n => format!(", {n} declined"),
        };
        let edits = match self.done.len() {
            0 => "no edit".to_owned(),
            1 => "1 edit".to_owned(),
            n => format!("{n} edits"),
        };
        format!("  {:<26}{edits}{refused}", self.pass)
            + &match checked.as_str() {
                "" => String::new(),
                checked => format!("; {checked}"),
            }
    }
}

impl fmt::Display for CompressionReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.input, self.output)?;
        self.drift.warn(f)?;
        if let Some(test) = &self.test {
            test.warn(f)?;
        }
        writeln!(f, "passes")?;
        for step in self.passes.iter().filter(|step| self.verbose || step.mattered()) {
            step.write(f, self.verbose)?;
        }
        if let Some(calibrated) = &self.calibrated {
            write!(f, "{calibrated}")?;
        }
        if let Some(equalized) = &self.equalized {
            write!(f, "{equalized}")?;
        }
        if let Some(assignment) = &self.assignment {
            write!(f, "{assignment}")?;
        }
        if let Some(fall_back) = &self.fall_back {
            write!(f, "{fall_back}")?;
        }
        if let Some(methods) = &self.methods {
            write!(f, "{methods}")?;
        }
        if let Some(found) = self.layers.as_ref().filter(|_| self.explain) {
            layers::write(f, found)?;
        }
        if let Some(choices) = self.calibration.as_ref().filter(|_| self.explain) {
            calibration::write(f, choices)?;
        }
        writeln!(f, "on the calibration samples")?;
        write!(f, "{}", indented(&self.drift))?;
        if let Some(test) = &self.test {
            writeln!(f, "on the test samples")?;
            write!(f, "{}", indented(test))?;
        }
        for IntegerPort { name, dtype, scale, zero_point } in &self.interface {
            writeln!(f, "`{name}` is {dtype}: scale {scale:e}, zero point {zero_point}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}

fn indented(report: &ComparisonReport) -> String {
    report.to_string().lines().map(|line| format!("  {line}\n")).collect()
}
