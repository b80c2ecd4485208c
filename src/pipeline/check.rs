//! Promises are checked by execution: outputs before and after a pass on the same inputs.

use crate::data::Samples;
use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::Model;
use crate::passes::Promise;
use crate::tensor::Tensor;
use crate::validate::{Comparison, drift};

/// Smallest signal-to-noise ratio of an exact pass, in decibel. The engine may order additions
/// differently for a graph of another form: a relative error of 1e-6.
const EXACT_DB: f64 = 120.0;
/// Smallest ratio of a pass that reorders arithmetic: a relative error of 1e-3, the sum of
/// thousands of roundings of `float`.
const ROUNDING_DB: f64 = 60.0;
/// Smallest ratio of a lossy pass: below it the error is larger than the signal.
const LOSSY_DB: f64 = 0.0;

/// Runs models on a few samples.
pub struct Check<'a> {
    /// Runs the models.
    pub engine: &'a dyn Engine,
    /// Where the inputs come from.
    pub samples: &'a Samples,
    /// How many runs of the samples are used.
    pub runs: usize,
}

/// What execution says about an edit.
#[derive(Debug, Clone, PartialEq)]
pub enum Outcome {
    /// The promise holds; the smallest signal-to-noise ratio of all outputs, in decibel.
    Kept(f64),
    /// The promise is broken: why.
    Broken(String),
    /// The model cannot be run: why.
    NotExecuted(String),
}

/// Outputs of the check runs.
pub(super) type Outputs = Vec<Vec<(String, Tensor)>>;

impl Check<'_> {
    /// The outputs of `model` on the check inputs.
    pub(super) fn outputs(&self, model: &Model) -> Result<Outputs> {
        let runner = Runner::new(self.engine, model, Vec::new());
        let runs = 0..self.samples.runs().min(self.runs);
        runs.map(|i| Ok(runner.run(&self.samples.run(i)?.inputs)?.outputs)).collect()
    }
}

/// Whether outputs moved no further than promised.
pub(super) fn judge(promise: Promise, before: &Outputs, after: &Outputs) -> Outcome {
    let limit = match promise {
        Promise::Exact => EXACT_DB,
        Promise::Rounding => ROUNDING_DB,
        Promise::Lossy => LOSSY_DB,
    };
    let mut worst = (f64::INFINITY, String::new());
    for (before, after) in before.iter().zip(after) {
        let comparison: Comparison = match drift(before, after, Tensor::len) {
            Ok(comparison) => comparison,
            Err(error) => return Outcome::Broken(error.to_string()),
        };
        for output in comparison.outputs {
            let ratio = output.distance.sqnr_db();
            if ratio < worst.0 {
                worst = (ratio, output.name);
            }
        }
    }
    if worst.0 < limit {
        return Outcome::Broken(format!(
            "output `{}` keeps {:.1} dB, promised are {limit} dB ({promise})",
            worst.1, worst.0
        ));
    }
    Outcome::Kept(worst.0)
}
