//! Prepares a model and quantizes it.

use std::collections::BTreeSet;

use crate::calibrate::{Calibrator, Fit};
use crate::compress::quantize::assigned::{Assigned, Widths, assign};
use crate::compress::quantize::calibrated::{Calibrated, calibrate};
use crate::compress::quantize::equalized::{Equalized, Equalizing, equalize, equalize_narrow};
use crate::compress::quantize::layers::{QuantizedLayer, quantized_layers};
use crate::compress::quantize::widened::{name_nodes, widened};
use crate::compress::recipe::{QuantizePasses, prepare, quantize};
use crate::compress::{FallBack, FallBackLayers, FallBackOptions, Gain, Rung, Trials, fall_back};
use crate::data::Samples;
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, ConvertOpset, Pass, QuantizeStatic};
use crate::pipeline::{Check, Finished, Step, When, run, settle};

/// `model`, simplified and quantized as `options` say; every pass is checked as [`run`] and
/// [`settle`](crate::pipeline::settle()) do. Nothing is tried on samples.
///
/// # Errors
/// When a pass fails, or leaves an invalid model or another interface (a bug in onnxpress).
pub fn quantized(
    model: Model,
    options: &QuantizePasses,
    cx: &Context<'_>,
    check: Option<&Check<'_>>,
) -> Result<Finished> {
    let prepared = settle(model, &prepare(options), cx, check, When::AtEnd)?;
    let mut options = options.clone();
    if options.assigned.is_none() {
        options.assigned = widened(&prepared.model, &options)?;
    }
    let cx = Context { reference: Some(&prepared.model), ..*cx };
    let mut finished = run(prepared.model.clone(), &quantize(&options), &cx, check)?;
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
    /// The ranges of other calibrators for all values; none when one was asked for.
    pub calibrators: &'a [Fit<'a>],
    /// Which layers may be quantized less.
    pub fall_back: FallBackOptions,
    /// Whether channels are equalized.
    pub equalize: Equalizing,
    /// In which widths the weights of layers may be stored, where they differ in that.
    pub widths: Option<&'a Widths>,
    /// Look at each layer of the result.
    pub explain: bool,
}

/// A quantized model, and how it came about.
pub struct Quantized {
    /// The model and what passes did.
    pub finished: Finished,
    /// Layers that are quantized less.
    pub fall_back: FallBack,
    /// How the weights of each layer are stored, when they differ in that.
    pub assigned: Option<Assigned>,
    /// What methods did for the whole, when they could be judged.
    pub gain: Option<Gain>,
    /// What another calibrator for all values did, when one was taken.
    pub calibrated: Option<Calibrated>,
    /// What dividing channels did, when it was tried.
    pub equalized: Option<Equalized>,
    /// The layers that were quantized, with the ratio that the output of each keeps in decibel, when
    /// that was asked for.
    pub layers: Vec<(QuantizedLayer, Option<f64>)>,
}

/// [`quantized`], tried on held-out samples: another calibrator is taken and channels are equalized where
/// that helps, layers that suffer compute with floats, and methods that choose integers are kept when the
/// outputs get no worse.
///
/// # Errors
/// As [`quantized`].
pub fn quantized_on(
    model: Model,
    options: &QuantizePasses,
    cx: &Context<'_>,
    tries: &Tries<'_>,
) -> Result<Quantized> {
    let check = tries.check;
    let mut options = options.clone();
    if let Some(Widths { widths, .. }) = tries.widths {
        // What any of them needs.
        options.assigned = Some(widths.iter().map(|&width| (width, BTreeSet::new())).collect());
    }
    let mut prepared = settle(model, &prepare(&options), cx, Some(check), When::AtEnd)?;
    let mut steps = std::mem::take(&mut prepared.steps);
    let assigned = tries.widths.map(|widths| {
        let with = (check.engine, tries.samples);
        assign(&prepared.model, &options.quantization, widths, with, cx.progress())
    });
    let assigned = assigned.transpose()?;
    match &assigned {
        Some(assigned) => options.assigned = Some(assigned.stored()),
        None if options.assigned.is_none() => {
            options.assigned = widened(&prepared.model, &options)?;
        }
        None => {}
    }
    if options.assigned.is_some() {
        name_nodes(&mut prepared.model);
    }
    // How operators are written decides nothing.
    let pairs = QuantizePasses { qoperator: None, nbits: false, ..options.clone() };
    let others = tries.calibrators.iter();
    let others: Vec<(Calibrator, Context<'_>)> =
        others.map(|fit| (fit.calibrator(), Context { measure: Some(fit), ..*cx })).collect();
    let found = match tries.samples {
        Some(samples) => tried(&prepared.model, &pairs, cx, &others, tries, samples),
        None => Ok(Found::default()),
    };
    let Found { calibrated, equalized, fall_back, gain, unbiased } =
        found.unwrap_or_else(|error| {
            // Whatever is wrong, the run below says it better.
            let fall_back = FallBack { failed: Some(error.to_string()), ..FallBack::default() };
            Found { fall_back, ..Found::default() }
        });
    let taken = calibrated.and_then(|taken| others.iter().find(|(by, _)| *by == taken.by));
    let cx = taken.map_or(cx, |(_, cx)| cx);
    let equalized = equalized.map(|(model, step, found)| {
        prepared.model = model;
        steps.push(step);
        found
    });
    let kept = gain.is_none_or(Gain::is_kept);
    let chosen = match (kept, unbiased) {
        (true, false) => pairs,
        (true, true) => pairs.without_biases(),
        (false, _) => pairs.plain(),
    };
    let written = QuantizePasses { qoperator: options.qoperator, nbits: options.nbits, ..chosen };
    let passes = quantize(&without(&written, &fall_back.layers));
    let reference = Context { reference: Some(&prepared.model), ..*cx };
    let check_real = tries.real.then_some(check);
    let mut finished = run(prepared.model.clone(), &passes, &reference, check_real)?;
    finished.steps.splice(0..0, steps);
    let mut layers = Vec::new();
    if tries.explain {
        let found = quantized_layers(&prepared.model, &finished.model);
        let seen = tries.samples.and_then(|samples| {
            let nothing = |_: &FallBackLayers| Vec::new();
            let trials = Trials::new(check.engine, &prepared.model, samples, &nothing, cx).ok()?;
            trials.accumulated(&finished.model, &found).ok()
        });
        let seen = seen.unwrap_or_else(|| vec![None; found.len()]);
        layers.extend(found.into_iter().zip(seen));
    }
    Ok(Quantized { finished, fall_back, assigned, gain, calibrated, equalized, layers })
}

/// What trials found.
#[derive(Default)]
struct Found {
    calibrated: Option<Calibrated>,
    equalized: Option<(Model, Step, Equalized)>,
    fall_back: FallBack,
    gain: Option<Gain>,
    /// It is better when biases are not corrected.
    unbiased: bool,
}

/// Outputs that keep less, in decibel, come from layers that read something else than what their biases were
/// corrected for: a third of it is noise.
const STRANGE_DB: f64 = 10.0;
/// Decibels by which correcting them must improve such outputs: less is luck of few samples.
const CORRECTED_GAIN_DB: f64 = 1.0;

fn tried(
    prepared: &Model,
    options: &QuantizePasses,
    cx: &Context<'_>,
    others: &[(Calibrator, Context<'_>)],
    tries: &Tries<'_>,
    samples: &Samples,
) -> Result<Found> {
    let engine = tries.check.engine;
    let plain = options.plain();
    let by_plain = |layers: &FallBackLayers| quantize(&without(&plain, layers));
    let by_options = |layers: &FallBackLayers| quantize(&without(options, layers));
    let first = Trials::new(engine, prepared, samples, &by_plain, cx)?;
    let taken = calibrate(&first, others)?;
    let calibrated = taken.as_ref().map(|(_, calibrated)| *calibrated);
    let trials = taken.as_ref().map_or(&first, |(trials, _)| trials);
    let refined = trials.by(&by_options);
    let narrow = options.narrow();
    let first = first_rung(prepared, options, cx)?;
    // Integers of few bits take long to choose.
    let quick = if options.is_refined() && narrow.is_none() { &refined } else { trials };
    let mut equalized = equalize(trials, tries.equalize, quick.whole()?.score_db)?;
    if let (None, Some(width)) = (&equalized, narrow) {
        // Of few bits nearest integers say little about those that are chosen.
        equalized = equalize_narrow(&refined, tries.equalize, width)?;
    }
    let (after, after_refined);
    let (trials, refined) = match &equalized {
        Some((model, ..)) => {
            after = Trials::new(engine, model, samples, &by_plain, trials.context())?;
            after_refined = after.by(&by_options);
            (&after, &after_refined)
        }
        None => (trials, &refined),
    };
    if !options.is_refined() {
        let fall_back = fall_back(trials, &tries.fall_back, first)?;
        return Ok(Found { calibrated, equalized, fall_back, ..Found::default() });
    }
    let mut fall_back = fall_back(refined, &tries.fall_back, first)?;
    let mut unbiased = false;
    if options.correct_biases && fall_back.after_db < STRANGE_DB {
        let others = options.without_biases();
        let by_others = |layers: &FallBackLayers| quantize(&without(&others, layers));
        let without_db = trials.by(&by_others).without(&fall_back.layers)?.score_db;
        unbiased = fall_back.after_db < without_db + CORRECTED_GAIN_DB;
        fall_back.after_db = if unbiased { without_db } else { fall_back.after_db };
    }
    let without_db = trials.without(&fall_back.layers)?.score_db;
    let gain = Gain { without_db, with_db: fall_back.after_db };
    if !gain.is_kept() {
        fall_back.after_db = without_db;
    }
    Ok(Found { calibrated, equalized, fall_back, gain: Some(gain), unbiased })
}

/// What layers fall back to first: 16 bits, where the target has them and the model can have their operator set.
fn first_rung(prepared: &Model, options: &QuantizePasses, cx: &Context<'_>) -> Result<Rung> {
    if options.quantization.wide_activations().is_none() {
        return Ok(Rung::Stored);
    }
    let wide = vec!["*".to_owned()];
    let raise =
        ConvertOpset { target: QuantizeStatic { wide, ..options.quantization.clone() }.opset() };
    let mut model = prepared.clone();
    if !options.skip.iter().any(|name| name == raise.name()) {
        raise.run(&mut model, cx)?;
    }
    Ok(if model.opset() >= Some(raise.target) { Rung::Wide } else { Rung::Stored })
}

/// The options, with some layers quantized less.
fn without(options: &QuantizePasses, layers: &FallBackLayers) -> QuantizePasses {
    let mut options = options.clone();
    options.quantization.wide.extend(layers.wide.iter().cloned());
    options.quantization.keep.extend(layers.kept.iter().cloned());
    options.quantization.stored.extend(layers.stored.iter().cloned());
    options
}
