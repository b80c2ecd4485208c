//! What methods did for the accuracy of layers.

use std::fmt;

use serde::Serialize;

use crate::compress::{Calibrated, Equalized, Gain};
use crate::passes::{Equalize, LayerNote};
use crate::pipeline::Step;
use crate::report::text::{decibel, finite, finite_decibel, row};

/// What methods did for the accuracy of layers, and of the whole.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodsReport {
    /// Signal-to-noise ratio of the outputs on held-out calibration samples without them, in decibel.
    pub before_db: f64,
    /// The same with them.
    pub after_db: f64,
    /// They were kept: the outputs got no worse.
    pub kept: bool,
    /// What each did for each layer.
    pub layers: Vec<MethodReport>,
    /// Show the layers in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

/// What one calibrator for all values did to the outputs on held-out samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct CalibratedReport {
    /// Name of the calibrator.
    pub by: &'static str,
    /// Smallest signal-to-noise ratio of the outputs with the best calibrator for each value, in decibel.
    pub before_db: f64,
    /// The same with this one for all.
    pub after_db: f64,
}

impl CalibratedReport {
    /// The report.
    pub fn new(found: Calibrated) -> Self {
        let [before_db, after_db] = [found.before_db, found.after_db].map(finite_decibel);
        Self { by: found.by.name(), before_db, after_db }
    }
}

impl fmt::Display for CalibratedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "all ranges by `{}`, rather than the least error for each", self.by)?;
        let (before, after) = (decibel(self.before_db), decibel(self.after_db));
        writeln!(f, "  outputs on held-out samples: {before} before, {after} after")
    }
}

/// What dividing channels did to the outputs on held-out samples.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct EqualizedReport {
    /// What the factors follow from: `weights`, `activations` or `outputs`.
    pub by: &'static str,
    /// Smallest signal-to-noise ratio of the outputs before, in decibel.
    pub before_db: f64,
    /// The same afterwards.
    pub after_db: f64,
    /// Layers whose channels were divided.
    pub layers: usize,
    /// Layers whose channels could be divided.
    pub possible: usize,
}

impl EqualizedReport {
    /// The report.
    pub fn new(found: Equalized) -> Self {
        Self {
            by: match found.by {
                Equalize::Weights => "weights",
                Equalize::Activations { .. } => "activations",
                Equalize::Outputs { .. } => "outputs",
            },
            before_db: finite_decibel(found.before_db),
            after_db: finite_decibel(found.after_db),
            layers: found.kept,
            possible: found.possible,
        }
    }
}

impl fmt::Display for EqualizedReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { by, layers, possible, .. } = self;
        writeln!(f, "channels of {layers} of {possible} layers equalized by their {by}")?;
        let (before, after) = (decibel(self.before_db), decibel(self.after_db));
        writeln!(f, "  outputs on held-out samples: {before} before, {after} after")
    }
}

/// What a method did for a layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MethodReport {
    /// The layer in words.
    pub layer: String,
    /// Name of the method.
    pub method: &'static str,
    /// Mean squared error that the weights make in an output on held-out samples, before.
    pub error_before: Option<f64>,
    /// The same afterwards; of `correct-bias` both are the part that is the same in all samples.
    pub error_after: Option<f64>,
    /// Signal-to-noise ratio of the outputs of the layer before, as far as its weights make the noise,
    /// in decibel; `null` when the signal was not measured.
    pub before_db: Option<f64>,
    /// The same afterwards.
    pub after_db: Option<f64>,
}

impl MethodReport {
    fn new(note: &LayerNote) -> Self {
        let (before, after) = note.errors;
        let ratio = |error: f64| {
            (note.signal > 0.0).then(|| finite_decibel(10.0 * (note.signal / error).log10()))
        };
        Self {
            layer: note.place.clone(),
            method: note.method,
            error_before: finite(before),
            error_after: finite(after),
            before_db: ratio(before),
            after_db: ratio(after),
        }
    }
}

impl MethodsReport {
    /// The report of a run; `None` when nothing was compared.
    pub fn new(steps: &[Step], gain: Option<Gain>) -> Option<Self> {
        let notes = steps.iter().flat_map(|step| &step.report.layers);
        let gain = gain?;
        Some(Self {
            before_db: finite_decibel(gain.without_db),
            after_db: finite_decibel(gain.with_db),
            kept: gain.is_kept(),
            layers: notes.map(MethodReport::new).collect(),
            verbose: false,
        })
    }
}

impl fmt::Display for MethodsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.layers.is_empty() && self.kept {
            return Ok(());
        }
        let (before, after) = (decibel(self.before_db), decibel(self.after_db));
        let verdict = if self.kept { "" } else { ": TAKEN BACK" };
        let what = "integers and biases chosen by what layers read";
        writeln!(
            f,
            "{what}\n  outputs on held-out samples: {before} before, {after} after{verdict}"
        )?;
        if !self.verbose {
            return Ok(());
        }
        for layer in &self.layers {
            let change =
                match (layer.before_db, layer.after_db, layer.error_before, layer.error_after) {
                    (Some(before), Some(after), ..) => {
                        format!("{} -> {}", decibel(before), decibel(after))
                    }
                    (_, _, Some(before), Some(after)) if before > 0.0 => {
                        format!("{:.0} % less mean error", 100.0 * (1.0 - after / before))
                    }
                    _ => "-".to_owned(),
                };
            let before = format!("  {:<14}{change:<24}", layer.method);
            writeln!(f, "{}", row(&before, &layer.layer, ""))?;
        }
        Ok(())
    }
}
