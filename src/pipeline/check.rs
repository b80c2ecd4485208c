//! Promises are checked by execution: outputs before and after a pass on the same inputs.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::analysis::{Assume, OutputKind, Shapes};
use crate::data::Samples;
use crate::error::{Result, err};
use crate::exec::{Engine, Runner, met_a_limit};
use crate::ir::Model;
use crate::passes::Promise;
use crate::pipeline::probe::lacking;
use crate::pipeline::shaken::OwnNoise;
use crate::tensor::{DType, Tensor};
use crate::validate::{Comparison, OutputDrift, drift, drift_of};

/// Smallest signal-to-noise ratio of an exact pass, in decibel. The engine may order additions
/// differently for a graph of another form: a relative error of 1e-6.
const EXACT_DB: f64 = 120.0;
/// Smallest ratio of a pass that reorders arithmetic: a relative error of 1e-3, the sum of
/// thousands of roundings of `float`.
pub(crate) const ROUNDING_DB: f64 = 60.0;
/// Smallest ratio of a lossy pass: below it the error is larger than the signal.
const LOSSY_DB: f64 = 0.0;

/// Named inputs of one execution.
pub type Inputs = Vec<(String, Tensor)>;

/// Runs models on a few inputs.
pub struct Check<'a> {
    /// Runs the models.
    pub engine: &'a dyn Engine,
    /// What they are run on.
    pub inputs: Vec<Inputs>,
    /// So many inputs on which a model runs are enough; those behind them are not tried. Those without any
    /// element do not count.
    pub enough: usize,
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

/// What is known when a model is run on `inputs`.
pub(super) fn assume(inputs: &[(String, Tensor)]) -> Assume {
    let nothing = Assume { defaults: true, ..Assume::default() };
    inputs.iter().fold(nothing, |assume, (name, tensor)| assume.input(name, tensor.dims()))
}

/// Outputs of the check runs; an error for inputs on which the model does not run.
pub(crate) type Outputs = Vec<Result<Vec<(String, Tensor)>>>;

impl<'a> Check<'a> {
    /// On `runs` runs of `samples`, evenly spaced: neighbours may be alike, and the first frames of a
    /// recording silent.
    ///
    /// # Errors
    /// When samples cannot be read.
    pub fn on(engine: &'a dyn Engine, samples: &Samples, runs: usize) -> Result<Self> {
        let number = samples.runs().min(runs);
        let inputs = (0..number)
            .map(|i| Ok(samples.run(i * samples.runs() / number)?.inputs))
            .collect::<Result<_>>()?;
        Ok(Self { engine, inputs, enough: runs })
    }

    /// The outputs of `model` on the check inputs.
    ///
    /// # Errors
    /// When it runs on none of them.
    pub(crate) fn outputs(&self, model: &Model) -> Result<Outputs> {
        if let Some(reason) = self.inputs.first().and_then(|inputs| lacking(model, inputs)) {
            return Err(err!(Data, "{reason}"));
        }
        let runner = Runner::new(self.engine, model, Vec::new());
        let mut outputs = Outputs::new();
        while outputs.len() < self.inputs.len() && self.ran(&outputs) < self.enough {
            let rest = &self.inputs[outputs.len()..];
            let mut missing = self.enough - self.ran(&outputs);
            let now = rest.iter().take_while(|inputs| {
                let wanted = missing > 0;
                missing -= usize::from(wanted && !is_empty(inputs));
                wanted
            });
            let now = now.count();
            outputs.extend(runner.each(&rest[..now], |_, executed| Ok(executed.outputs)));
            // Others would meet it, too, until nothing is executed any more.
            if outputs.iter().any(|run| run.as_ref().err().is_some_and(met_a_limit)) {
                break;
            }
        }
        match outputs.first() {
            Some(Err(error)) if outputs.iter().all(Result::is_err) => Err(error.clone()),
            _ => Ok(outputs),
        }
    }

    /// Number of inputs with elements on which a model ran; all, where none has any.
    pub(super) fn ran(&self, outputs: &Outputs) -> usize {
        let none = self.inputs.iter().all(is_empty);
        let runs = self.inputs.iter().zip(outputs);
        runs.filter(|(inputs, run)| run.is_ok() && (none || !is_empty(inputs))).count()
    }

    /// How outputs of `model` can be compared with those of an edit that keeps a promise: only what is lossy may choose
    /// otherwise.
    fn kinds(&self, promise: Promise, model: &Model) -> Vec<OutputKind> {
        match (promise, self.inputs.first()) {
            (Promise::Lossy, Some(inputs)) => {
                OutputKind::all(model, &Shapes::infer(model, &assume(inputs)))
            }
            _ => Vec::new(),
        }
    }

    /// The outputs of an edited model on the inputs that the original ran on.
    pub(crate) fn outputs_like(&self, model: &Model, before: &Outputs) -> Outputs {
        let runner = Runner::new(self.engine, model, Vec::new());
        let run = |(inputs, before): (&Inputs, &Result<_>)| match before {
            Ok(_) => runner.run(inputs).map(|executed| executed.outputs),
            Err(error) => Err(error.clone()),
        };
        self.inputs.par_iter().zip(before).map(run).collect()
    }
}

/// Whether an input has no elements: then there is little to see but that the model runs.
pub(super) fn is_empty(inputs: &Inputs) -> bool {
    inputs.iter().any(|(_, tensor)| tensor.is_empty())
}

/// The smallest signal-to-noise ratio that a promise allows, in decibel.
fn limit(promise: Promise) -> f64 {
    match promise {
        Promise::Exact => EXACT_DB,
        Promise::Rounding => ROUNDING_DB,
        Promise::Lossy => LOSSY_DB,
    }
}

/// The names of the outputs that moved further than promised.
pub(super) fn differing(promise: Promise, before: &Outputs, after: &Outputs) -> HashSet<String> {
    let runs =
        before.iter().zip(after).filter_map(|(a, b)| Some((a.as_ref().ok()?, b.as_ref().ok()?)));
    let drifts = runs.filter_map(|(before, after)| drift(before, after, Tensor::len).ok());
    let far = drifts.flat_map(|found| found.outputs);
    far.filter(|output| output.distance.sqnr_db() < limit(promise)).map(|o| o.name).collect()
}

/// Whether the outputs `after` an edit of `model` moved no further than promised; where they did, whether
/// further than the model itself moves when what it reads is rounded once more.
pub(super) fn judge_fairly(
    check: &Check<'_>,
    promise: Promise,
    model: &Model,
    before: &Outputs,
    after: &Outputs,
) -> Outcome {
    let own = || OwnNoise::of(check, model, before);
    judge_beside(promise, [before, after], &check.kinds(promise, model), own)
}

/// As [`judge`], beside the model's `own` noise where that matters.
pub(super) fn judge_beside(
    promise: Promise,
    [before, after]: [&Outputs; 2],
    kinds: &[OutputKind],
    own: impl FnOnce() -> OwnNoise,
) -> Outcome {
    let outcome = judge(promise, [before, after], kinds, &OwnNoise::default());
    let moved = matches!(outcome, Outcome::Broken(_)) && promise != Promise::Lossy;
    if !moved || differing(promise, before, after).is_empty() {
        return outcome;
    }
    match judge(promise, [before, after], kinds, &own()) {
        Outcome::Broken(_) => outcome,
        fair => fair,
    }
}

/// Whether outputs moved no further than promised, or than they do of themselves: on every input, or, for what
/// is lossy, on all together.
fn judge(
    promise: Promise,
    [before, after]: [&Outputs; 2],
    kinds: &[OutputKind],
    own: &OwnNoise,
) -> Outcome {
    let limit = limit(promise);
    let mut comparisons: Vec<(usize, Comparison)> = Vec::new();
    let mut empty = HashSet::new();
    for (run, (before, after)) in before.iter().zip(after).enumerate() {
        // Not every shape of free axes suits a model.
        let Ok(before) = before else { continue };
        let after = match after {
            Ok(after) => after,
            Err(error) if met_a_limit(error) => return Outcome::NotExecuted(error.to_string()),
            Err(error) => {
                return Outcome::Broken(format!("the edited model no longer runs: {error}"));
            }
        };
        // What is lossy may decide otherwise: indices have no distance.
        let whole = |tensor: &Tensor| {
            promise == Promise::Lossy
                && matches!(tensor.dtype(), DType::Int32 | DType::Int64 | DType::Bool)
        };
        let kind = |(at, (_, tensor)): (usize, &(String, Tensor))| {
            let known = kinds.get(at).copied().unwrap_or_default();
            OutputKind { is_indices: known.is_indices || whole(tensor), ..known }
        };
        let kinds: Vec<OutputKind> = before.iter().enumerate().map(kind).collect();
        let nothing = before.iter().filter(|(_, tensor)| tensor.is_empty());
        empty.extend(nothing.map(|(name, _)| (run, name.clone())));
        match drift_of(before, after, Tensor::len, &kinds) {
            Ok(comparison) => comparisons.push((run, comparison)),
            Err(error) => return Outcome::Broken(error.to_string()),
        }
    }
    if promise == Promise::Lossy {
        // A lossy pass has to be right on the whole: a silent sample is all noise.
        let all = comparisons.into_iter().map(|(_, comparison)| comparison);
        comparisons = all.reduce(Comparison::merge).map(|all| (0, all)).into_iter().collect();
    }
    let (mut worst, mut seen) = (f64::INFINITY, false);
    let (mut broken, mut silent): (Option<(f64, String)>, Option<String>) = (None, None);
    for (run, comparison) in comparisons {
        let numbers = |output: &OutputDrift| !output.is_indices && !output.is_unknown();
        for output in comparison.outputs.into_iter().filter(numbers) {
            let ratio = output.distance.sqnr_db();
            match own.limit(run, &output.name, limit) {
                None => silent = Some(output.name),
                Some(least) if ratio >= least => {
                    worst = worst.min(ratio);
                    seen |= !empty.contains(&(run, output.name));
                }
                Some(_) if broken.as_ref().is_some_and(|(most, _)| *most <= ratio) => {}
                Some(_) => broken = Some((ratio, output.name)),
            }
        }
    }
    match (broken, silent) {
        (Some((ratio, name)), _) => Outcome::Broken(format!(
            "output `{name}` keeps {ratio:.1} dB, promised are {limit} dB ({promise})"
        )),
        (None, Some(name)) if !seen => Outcome::NotExecuted(format!(
            "output `{name}` is rounding errors alone on these inputs"
        )),
        _ => Outcome::Kept(worst),
    }
}
