//! What is kept of values: it has one size for any number of samples, and merges exactly.

use std::collections::BTreeMap;

use crate::analysis::Range;
use crate::error::{Result, err};
use crate::exec::Observation;
use crate::ir::Model;
use crate::math::{ExactSum, Histogram};

/// What was seen of the values of a model.
#[derive(Debug, Clone, PartialEq)]
pub struct Statistics {
    /// [`digest`](crate::calibrate::digest) of the model as it was read.
    pub model: u64,
    /// Number of samples.
    pub samples: u64,
    /// Number of runs: samples, unless the model fixes its batch.
    pub runs: u64,
    /// Digest of the samples; their order does not matter.
    pub inputs: u64,
    /// By [path](Model::path_of); `None` for a value that the engine does not show.
    pub values: BTreeMap<String, Option<ValueStatistics>>,
}

impl Statistics {
    /// What was seen here and there together.
    ///
    /// # Errors
    /// When these are statistics of different models or values.
    pub fn merge(mut self, other: Self) -> Result<Self> {
        if self.model != other.model || !self.values.keys().eq(other.values.keys()) {
            return Err(err!(
                Data,
                "statistics of model {:016x} with {} values; those before are of model {:016x} with {}",
                other.model,
                other.values.len(),
                self.model,
                self.values.len()
            ));
        }
        self.samples = self.samples.saturating_add(other.samples);
        self.runs = self.runs.saturating_add(other.runs);
        self.inputs = self.inputs.wrapping_add(other.inputs);
        for (value, other) in self.values.values_mut().zip(other.values.into_values()) {
            *value = ValueStatistics::merged(value.take(), other);
        }
        Ok(self)
    }

    /// Checks that these are statistics of a model as it was read.
    ///
    /// # Errors
    /// When they are of another one.
    pub fn check(&self, model: &Model) -> Result<()> {
        let found = super::digest(model);
        if found == self.model {
            return Ok(());
        }
        Err(err!(
            Data,
            "the statistics are of model {:016x}, this one is {found:016x}: names or weights differ",
            self.model
        )
        .help("collect them again with `onnxpress calibrate`"))
    }
}

/// What was seen of a value.
#[derive(Debug, Clone, PartialEq)]
pub struct ValueStatistics {
    /// Smallest and largest element.
    pub range: Range,
    /// Runs in which it had elements.
    pub runs: u64,
    /// Sum of the smallest elements of these runs.
    pub minima: ExactSum,
    /// Sum of the largest elements of these runs.
    pub maxima: ExactSum,
    /// Elements in the runs that calibrators are fitted to, when these were counted.
    pub fitting: Option<Histogram>,
    /// Elements in the runs that calibrators are judged on.
    pub held_out: Option<Histogram>,
}

impl ValueStatistics {
    /// From one run; `None` when no range was observed.
    pub(super) fn of(seen: Observation, held_out: bool) -> Option<Self> {
        let range = seen.range()?;
        let (mut minima, mut maxima) = (ExactSum::default(), ExactSum::default());
        minima.add(range.min);
        maxima.add(range.max);
        let histogram = match seen {
            Observation::Histogram(histogram) => Some(histogram),
            _ => None,
        };
        let (fitting, held_out) = if held_out { (None, histogram) } else { (histogram, None) };
        Some(Self { range, runs: 1, minima, maxima, fitting, held_out })
    }

    /// What was seen in both, bit for bit the same in any order.
    pub(super) fn merged(a: Option<Self>, b: Option<Self>) -> Option<Self> {
        let (a, b) = match (a, b) {
            (Some(a), Some(b)) => (a, b),
            (a, b) => return a.or(b),
        };
        Some(Self {
            range: a.range.union(b.range),
            runs: a.runs.saturating_add(b.runs),
            minima: a.minima.plus(b.minima),
            maxima: a.maxima.plus(b.maxima),
            fitting: together(a.fitting, b.fitting),
            held_out: together(a.held_out, b.held_out),
        })
    }

    /// All elements; `None` when they were not counted, or were not all finite.
    pub fn all(&self) -> Option<Histogram> {
        if !self.is_finite() {
            return None;
        }
        together(self.fitting.clone(), self.held_out.clone())
    }

    /// All elements were finite.
    pub fn is_finite(&self) -> bool {
        self.range.min.is_finite() && self.range.max.is_finite()
    }

    /// Mean of the ranges of the runs.
    pub fn mean_range(&self) -> Range {
        let mean = |sum: ExactSum, low: f32, high: f32| {
            let mean = (sum.to_f64() / self.runs.max(1) as f64) as f32;
            // `clamp` would panic on the ends of a range of NaN.
            mean.max(low).min(high)
        };
        let Range { min, max } = self.range;
        Range { min: mean(self.minima, min, max), max: mean(self.maxima, min, max) }
    }
}

fn together(a: Option<Histogram>, b: Option<Histogram>) -> Option<Histogram> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.merge(&b)),
        (a, b) => a.or(b),
    }
}
