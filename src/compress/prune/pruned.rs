//! Prepares a model, prunes it, and checks the cut.

use crate::compress::recipe::{PrunePasses, prepare_prune, prune, repair};
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Part, Pass};
use crate::pipeline::Outputs;
use crate::pipeline::{Check, Finished, Outcome, When, run, settle};
use crate::tensor::{DType, Tensor};
use crate::validate::drift;

/// A pruned model, and how it went.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// The model and its passes.
    pub finished: Finished,
    /// What execution says about the cut: the model that was cut, against the one whose weights are zero
    /// instead. Nothing when nothing was cut, or it was not asked for.
    pub cut: Option<Outcome>,
}

/// Smallest signal-to-noise ratio between a cut model and one with zeros, in decibel: engines add in
/// another order where there is less to add.
const CUT_DB: f64 = 60.0;
/// The same for models that compute with 16 bits: each sum is rounded to 11 bits or fewer.
const HALF_CUT_DB: f64 = 30.0;
/// Differences up to this are rounding, however small the output is: a sigmoid is exact to 1e-7, not
/// to so many digits.
const CLOSE: f64 = 1e-5;

/// Whether a cut model gives what the model with zeros gives.
fn compare(masked: &Outputs, cut: &Outputs, model: &Model) -> Outcome {
    let half = |dtype| matches!(dtype, DType::Float16 | DType::Bfloat16);
    let halves = model.values().any(|(_, v)| v.initializer().is_some_and(|t| half(t.dtype())));
    let limit = if halves { HALF_CUT_DB } else { CUT_DB };
    let mut worst = f64::INFINITY;
    for (masked, cut) in masked.iter().zip(cut) {
        // Not every shape of free axes suits a model.
        let Ok(masked) = masked else { continue };
        let cut = cut.as_ref().map_err(Clone::clone);
        let drift = match cut.and_then(|cut| drift(masked, cut, Tensor::len)) {
            Ok(drift) => drift,
            Err(error) => return Outcome::Broken(error.to_string()),
        };
        for output in drift.outputs {
            let ratio = output.distance.sqnr_db();
            if ratio < limit && output.distance.max_abs() > CLOSE {
                let text = format!("output `{}` keeps only {ratio:.1} dB", output.name);
                return Outcome::Broken(text);
            }
            worst = worst.min(ratio);
        }
    }
    Outcome::Kept(worst)
}

/// `model`, simplified and pruned as `options` say. Preparing passes are checked as
/// [`settle`](crate::pipeline::settle()) does. Pruning moves the outputs as far as what is taken away
/// mattered, and no bound is put on that here; what is checked is that the cut does nothing else: the same weights set to
/// zero must give the same outputs. A cut that does not is taken back.
///
/// # Errors
/// When a pass fails, or leaves an invalid model or another interface (a bug in onnxpress).
pub fn pruned(
    model: Model,
    options: &PrunePasses,
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
) -> Result<Pruned> {
    let prepared = settle(model, &prepare_prune(options), cx, check, When::AtEnd)?;
    let mut pruned = prepared_pruned(prepared.model, options, cx, check)?;
    pruned.finished.steps.splice(0..0, prepared.steps);
    Ok(pruned)
}

/// The same for a `prepared` model, which the passes of [`prepare_prune`] would not change. With a
/// [`reference`](Context::reference) it was cut out of that one before, with the same survivors, and layers are
/// fitted to what those of the reference give.
///
/// # Errors
/// When a pass fails, or leaves an invalid model or another interface (a bug in onnxpress).
pub fn prepared_pruned(
    prepared: Model,
    options: &PrunePasses,
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
) -> Result<Pruned> {
    let survivors = &options.pruning.survivors;
    if cx.reference.is_none() {
        survivors.clear();
    }
    let before = survivors.saved();
    if let Some(measure) = cx.measure {
        options.pruning.learn(&prepared, measure, Part::All)?;
    }
    let mut finished = run(prepared.clone(), &prune(options), cx, None)?;
    let changed = finished.steps.iter().any(|step| step.report.changed());
    // What a normalisation makes of fewer channels is no matter of zeros.
    let exact = !options.pruning.channels.normalized && !options.pruning.mask;
    let mut cut = None;
    if let (Some(check), true, true) = (check, changed, exact) {
        let mut masked = options.clone();
        masked.pruning.mask = true;
        let masking: Vec<Box<dyn Pass>> = prune(&masked);
        let masked = run(prepared.clone(), &masking, cx, None)?;
        let outcome = match check.outputs(&masked.model) {
            Ok(known) => {
                compare(&known, &check.outputs_like(&finished.model, &known), &masked.model)
            }
            Err(error) => Outcome::NotExecuted(error.to_string()),
        };
        if matches!(outcome, Outcome::Broken(_)) {
            finished.model = prepared.clone();
            survivors.restore(&before);
        }
        cut = Some(outcome);
    }
    let cx = Context { reference: cx.reference.or(Some(&prepared)), ..*cx };
    let mut repaired = run(finished.model, &repair(options), &cx, None)?;
    finished.model = std::mem::take(&mut repaired.model);
    finished.steps.extend(repaired.steps);
    Ok(Pruned { finished, cut })
}
