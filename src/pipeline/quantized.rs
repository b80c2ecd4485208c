//! Prepares a model and quantizes it.

use crate::error::Result;
use crate::ir::Model;
use crate::passes::Context;
use crate::pipeline::recipe::{QuantizeOptions, prepare, quantize};
use crate::pipeline::{Check, Finished, When, run, settle};

/// `model`, simplified and quantized as `options` say; every pass is checked as [`run`] and
/// [`settle`](crate::pipeline::settle()) do.
///
/// # Errors
/// When a pass fails, or leaves an invalid model or another interface (a bug in onnxpress).
pub fn quantized(
    model: Model,
    options: &QuantizeOptions,
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
) -> Result<Finished> {
    let prepared = settle(model, &prepare(options), cx, check, When::AtEnd)?;
    let reference = prepared.model.clone();
    let cx = Context { reference: Some(&reference), ..*cx };
    let mut finished = run(prepared.model, &quantize(options), &cx, check)?;
    finished.steps.splice(0..0, prepared.steps);
    Ok(finished)
}
