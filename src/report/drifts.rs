//! Where two models differ: samples and inner values.

use std::fmt;

use serde::Serialize;

use crate::data::Samples;
use crate::report::text::{decibel, finite, finite_decibel, row};
use crate::validate::{Comparison, LayerDrifts};

/// A sample on which two models differ much.
#[derive(Debug, Clone, Serialize)]
pub struct SampleReport {
    /// Its position, from 0.
    pub index: usize,
    /// Its file, when each sample has its own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub file: Option<String>,
    /// Its label.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<i64>,
    /// The class that the original puts first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub original: Option<usize>,
    /// The class that the candidate puts first.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub candidate: Option<usize>,
    /// Signal-to-noise ratio in decibel of the output that moves most.
    pub sqnr_db: f64,
    /// Largest absolute difference there; `null` when one side is not finite.
    pub max_abs: Option<f64>,
}

impl SampleReport {
    /// The samples of a comparison that differ at all, the worst first.
    pub fn all(comparison: &Comparison, samples: &Samples) -> Vec<Self> {
        let differing = comparison.worst.samples().iter();
        let differing = differing.filter(|sample| sample.distance.sqnr_db() < f64::INFINITY);
        let report = |sample: &crate::validate::SampleDrift| Self {
            index: sample.sample,
            file: samples.file(sample.sample).map(|path| path.display().to_string()),
            label: sample.label,
            original: sample.classes.map(|[original, _]| original),
            candidate: sample.classes.map(|[_, candidate]| candidate),
            sqnr_db: finite_decibel(sample.distance.sqnr_db()),
            max_abs: finite(sample.distance.max_abs()),
        };
        differing.map(report).collect()
    }
}

impl fmt::Display for SampleReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let class = |class: Option<usize>| class.map_or("-".to_owned(), |class| class.to_string());
        let label = self.label.map_or("-".to_owned(), |label| label.to_string());
        let largest = self.max_abs.map_or("not finite".to_owned(), |x| format!("{x:.4}"));
        let (a, b) = (class(self.original), class(self.candidate));
        let (index, ratio) = (self.index, decibel(self.sqnr_db));
        write!(f, "  {index:>8}{label:>8}{a:>10}{b:>11}{ratio:>11}{largest:>15}")?;
        match &self.file {
            Some(file) => write!(f, "  {file}"),
            None => Ok(()),
        }
    }
}

/// The heading of the table of samples.
pub(super) const SAMPLES: &str =
    "samples that differ most\n    sample   label  original  candidate       SQNR  largest error";

/// The values inside both models.
#[derive(Debug, Clone, Serialize)]
pub struct LayersReport {
    /// Samples on which they were compared.
    pub samples: usize,
    /// The first value that is no further from the original than 3 dB less than the worst of all
    /// outputs: up to here everything is better.
    pub drops_at: Option<String>,
    /// The value that falls most below what it is computed from.
    pub largest_fall: Option<String>,
    /// In the order in which the candidate computes them.
    pub values: Vec<ValueReport>,
    /// Names that stand for values of different extents in both models: channels were cut.
    pub unlike: Vec<String>,
}

/// A value that both models compute.
#[derive(Debug, Clone, Serialize)]
pub struct ValueReport {
    /// Its name.
    pub name: String,
    /// The operator that makes it in the candidate.
    pub op: String,
    /// Signal-to-noise ratio in decibel; 300 stands for equal values.
    pub sqnr_db: f64,
    /// How far that is below the lowest of what the value is computed from.
    pub fall_db: Option<f64>,
    /// Largest absolute difference; `null` when one side is not finite.
    pub max_abs: Option<f64>,
}

/// Values that are less than this above the lowest ratio of the outputs have the error that is seen
/// there: twice its power.
const MARGIN_DB: f64 = 3.0;

impl LayersReport {
    /// The report; `lowest` is the lowest signal-to-noise ratio of the outputs in decibel.
    pub fn new(found: &LayerDrifts, lowest: f64) -> Self {
        let report = |value: &crate::validate::ValueDrift| ValueReport {
            name: value.name.clone(),
            op: value.op.clone(),
            sqnr_db: finite_decibel(value.distance.sqnr_db()),
            fall_db: value.fall_db.map(finite_decibel),
            max_abs: finite(value.distance.max_abs()),
        };
        let values: Vec<ValueReport> = found.values.iter().map(report).collect();
        let lowest = finite_decibel(lowest);
        let drops = |value: &&ValueReport| {
            value.sqnr_db < finite_decibel(f64::INFINITY) && value.sqnr_db <= lowest + MARGIN_DB
        };
        let falling = values.iter().filter(|value| value.fall_db.is_some_and(|fall| fall > 0.0));
        let fall = |value: &ValueReport| value.fall_db.unwrap_or_default();
        let largest = falling.max_by(|a, b| fall(a).total_cmp(&fall(b)));
        Self {
            samples: found.samples,
            drops_at: values.iter().find(drops).map(|value| value.name.clone()),
            largest_fall: largest.map(|value| value.name.clone()),
            unlike: found.unlike.clone(),
            values,
        }
    }
}

impl fmt::Display for LayersReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { samples, drops_at, largest_fall, values, unlike } = self;
        writeln!(f, "values inside, on {samples} samples")?;
        writeln!(f, "        SQNR      fall largest error")?;
        for value in values {
            let fall = value.fall_db.map_or(String::new(), |fall| format!("{fall:.1} dB"));
            let largest = value.max_abs.map_or("not finite".to_owned(), |x| format!("{x:.4}"));
            let (ratio, op, name) = (decibel(value.sqnr_db), &value.op, &value.name);
            let figures = format!("  {ratio:>10}{fall:>10}{largest:>14}  {op} `");
            let drops = if Some(name) == drops_at.as_ref() { "` <- drops" } else { "`" };
            writeln!(f, "{}", row(&figures, name, drops))?;
        }
        if let Some(name) = drops_at {
            writeln!(f, "from `{name}` on the error is that of the outputs")?;
        }
        if let Some(name) = largest_fall {
            writeln!(f, "the largest fall is at `{name}`")?;
        }
        if !unlike.is_empty() {
            let count = unlike.len();
            writeln!(
                f,
                "{count} values of the same name have other extents, and are not compared"
            )?;
        }
        Ok(())
    }
}
