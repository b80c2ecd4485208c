//! Prepares a model, prunes it, and checks the cut.

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise};
use crate::pipeline::recipe::{PruneOptions, prepare_prune, prune};
use crate::pipeline::run::verdict;
use crate::pipeline::{Check, Finished, Outcome, When, run, settle};

/// A pruned model, and how it went.
#[derive(Debug, Clone, Default)]
pub struct Pruned {
    /// The model and its passes.
    pub finished: Finished,
    /// What execution says about the cut: the model that was cut, against the one whose weights are zero
    /// instead. Nothing when nothing was cut, or it was not asked for.
    pub cut: Option<Outcome>,
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
    options: &PruneOptions,
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
) -> Result<Pruned> {
    let prepared = settle(model, &prepare_prune(options), cx, check, When::AtEnd)?;
    let mut finished = run(prepared.model.clone(), &prune(options), cx, None)?;
    let changed = finished.steps.iter().any(|step| step.report.changed());
    // What a normalisation makes of fewer channels is no matter of zeros.
    let exact = !options.pruning.channels.normalized && !options.pruning.mask;
    let mut cut = None;
    if let (Some(check), true, true) = (check, changed, exact) {
        let mut masked = options.clone();
        masked.pruning.mask = true;
        let masking: Vec<Box<dyn Pass>> = prune(&masked);
        let masked = run(prepared.model.clone(), &masking, cx, None)?;
        let known = check.outputs(&masked.model);
        let (outcome, _) = match known {
            Ok(known) => verdict(check, Promise::Rounding, Ok(known), &finished.model),
            Err(error) => (Outcome::NotExecuted(error.to_string()), Err(error)),
        };
        if matches!(outcome, Outcome::Broken(_)) {
            finished.model = prepared.model;
        }
        cut = Some(outcome);
    }
    finished.steps.splice(0..0, prepared.steps);
    Ok(Pruned { finished, cut })
}
