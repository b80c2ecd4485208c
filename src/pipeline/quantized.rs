//! Prepares a model and quantizes it.

use crate::data::Samples;
use crate::error::{Error, Result};
use crate::ir::Model;
use crate::passes::Context;
use crate::pipeline::equalized::{Equalized, Equalizing, equalize};
use crate::pipeline::layers::{QuantizedLayer, quantized_layers};
use crate::pipeline::recipe::{QuantizeOptions, prepare, quantize};
use crate::pipeline::{
    Check, FallBack, FallBackOptions, Finished, FloatLayers, Gain, Trials, When, fall_back, run,
    settle,
};

/// `model`, simplified and quantized as `options` say; every pass is checked as [`run`] and
/// [`settle`](crate::pipeline::settle()) do. Nothing is tried on samples.
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
    let cx = Context { reference: Some(&prepared.model), ..*cx };
    let mut finished = run(prepared.model.clone(), &quantize(options), &cx, check)?;
    finished.steps.splice(0..0, prepared.steps);
    Ok(finished)
}

/// What a quantized model is tried on, and what is done so that its outputs stay close.
pub struct Tries<'a> {
    /// What passes are checked with.
    pub check: &'a Check<'a>,
    /// The check runs on samples rather than on noise: then what is lossy is judged, too. Ranges fit no
    /// noise.
    pub real: bool,
    /// Calibration samples; nothing is tried without.
    pub samples: Option<&'a Samples>,
    /// Which layers may stay in float.
    pub fall_back: FallBackOptions,
    /// Whether channels are equalized.
    pub equalize: Equalizing,
    /// Look at each layer of the result.
    pub explain: bool,
}

/// A quantized model, and how it came about.
pub struct Quantized {
    /// The model and what passes did.
    pub finished: Finished,
    /// Layers that compute with floats.
    pub fall_back: FallBack,
    /// What methods did for the whole, when they could be judged.
    pub gain: Option<Gain>,
    /// What dividing channels did, when it was tried.
    pub equalized: Option<Equalized>,
    /// The layers that were quantized, with the ratio that the output of each keeps in decibel, when
    /// that was asked for.
    pub layers: Vec<(QuantizedLayer, Option<f64>)>,
}

/// [`quantized`], tried on held-out samples: channels are equalized where that helps, layers that suffer
/// compute with floats, and methods that choose integers are kept when the outputs get no worse.
///
/// # Errors
/// As [`quantized`].
pub fn quantized_on(
    model: Model,
    options: &QuantizeOptions,
    cx: &Context<'_>,
    tries: &Tries<'_>,
) -> Result<Quantized> {
    let check = tries.check;
    let mut prepared = settle(model, &prepare(options), cx, Some(check), When::AtEnd)?;
    let mut steps = std::mem::take(&mut prepared.steps);
    // How operators are written decides nothing.
    let pairs = QuantizeOptions { qoperator: None, ..options.clone() };
    let plain = pairs.plain();
    let by_plain = |layers: &FloatLayers| quantize(&without(&plain, layers));
    let by_options = |layers: &FloatLayers| quantize(&without(&pairs, layers));
    let mut failed = None;
    let mut equalized = None;
    if let Some(samples) = tries.samples {
        let trials = Trials::new(check.engine, &prepared.model, samples, &by_plain, cx);
        match trials.and_then(|trials| equalize(&trials, tries.equalize)) {
            Ok(Some((model, step, found))) => {
                prepared.model = model;
                steps.push(step);
                equalized = Some(found);
            }
            Ok(None) => {}
            // Whatever is wrong, the run below says it better.
            Err(error) => failed = Some(error.to_string()),
        }
    }
    let trials = tries.samples.filter(|_| failed.is_none());
    let trials = trials
        .map(|samples| Trials::new(check.engine, &prepared.model, samples, &by_options, cx))
        .transpose();
    let tried = trials.as_ref().map_err(Error::clone).and_then(|trials| {
        let Some(trials) = trials else { return Ok((FallBack::default(), None)) };
        let found = fall_back(trials, &tries.fall_back)?;
        let gain = Gain::of(trials, &by_plain, &found.layers, found.after_db)?;
        Ok((found, options.is_refined().then_some(gain)))
    });
    let (mut fall_back, gain) = tried.unwrap_or_else(|error| {
        failed = Some(error.to_string());
        (FallBack::default(), None)
    });
    fall_back.failed = failed;
    let kept = gain.is_none_or(Gain::is_kept);
    if let Some(gain) = gain.filter(|_| !kept) {
        fall_back.after_db = gain.without_db;
    }
    let chosen = if kept { &pairs } else { &plain };
    let written = QuantizeOptions { qoperator: options.qoperator, ..chosen.clone() };
    let passes = quantize(&without(&written, &fall_back.layers));
    let cx = Context { reference: Some(&prepared.model), ..*cx };
    let mut finished = run(prepared.model.clone(), &passes, &cx, tries.real.then_some(check))?;
    finished.steps.splice(0..0, steps);
    let mut layers = Vec::new();
    if tries.explain {
        let found = quantized_layers(&prepared.model, &finished.model);
        let trials = trials.ok().flatten();
        let seen = trials.and_then(|trials| trials.accumulated(&finished.model, &found).ok());
        let seen = seen.unwrap_or_else(|| vec![None; found.len()]);
        layers.extend(found.into_iter().zip(seen));
    }
    Ok(Quantized { finished, fall_back, gain, equalized, layers })
}

/// The options, with some layers in float.
fn without(options: &QuantizeOptions, layers: &FloatLayers) -> QuantizeOptions {
    let mut options = options.clone();
    options.quantization.keep.extend(layers.kept.iter().cloned());
    options.quantization.stored.extend(layers.stored.iter().cloned());
    options
}
