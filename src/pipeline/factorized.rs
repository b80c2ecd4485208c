//! Factorizes a model to what it may cost, by what splitting each layer does to the outputs.

use std::sync::Arc;

use rayon::prelude::*;

use crate::data::Samples;
use crate::error::Result;
use crate::exec::Engine;
use crate::ir::Model;
use crate::passes::{
    Aim, Chosen, Context, Factorize, Plan, Report, Resource, Splittable, Survivors,
};
use crate::pipeline::recipe::{FactorizeOptions, factorize};
use crate::pipeline::trial::Trials;
use crate::pipeline::{Finished, run};

/// A factorized model, and how it went.
#[derive(Debug, Clone, Default)]
pub struct Factorized {
    /// The model and its passes.
    pub finished: Finished,
    /// The layers that could be split, in order.
    pub layers: Vec<LayerSensitivity>,
}

/// A layer, what splitting it alone does to the outputs, and what it became.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerSensitivity {
    /// The layer.
    pub layer: Splittable,
    /// Shares of its output that were lost in trials, rising, and the noise that this made in the outputs
    /// of the model on held-out samples, relative to the signal. Empty when it was not tried.
    pub tried: Vec<(f64, f64)>,
    /// Which of its candidates it became.
    pub chosen: Option<usize>,
}

/// Shares of the cost of a layer at which it is tried alone.
const SHARES: [f64; 3] = [0.75, 0.5, 0.25];
/// Fewest held-out samples of a trial, and most.
const SAMPLES: (usize, usize) = (4, 64);
/// Multiply-accumulates of all trials of layers together, of which about half are spared because only what
/// follows a layer is run: about 30 s on two cores.
const WORK: u64 = 1_000_000_000_000;

/// `model`, which is prepared, factorized as `options` say; with samples, a budget is spread by what
/// splitting each layer alone does to the outputs.
///
/// # Errors
/// When a pass fails or leaves an invalid model (a bug in onnxpress), or a trial fails.
pub fn factorized(
    model: Model,
    options: &FactorizeOptions,
    cx: &Context<'_>,
    trying: Option<(&dyn Engine, &Samples)>,
) -> Result<Factorized> {
    let mut options = options.clone();
    options.factorize.survivors.clear();
    let pass = &options.factorize;
    let plan = match &pass.plan {
        Some(plan) => Arc::clone(plan),
        None => Arc::new(pass.plan(&model, cx.measure)?),
    };
    let mut layers: Vec<LayerSensitivity> = plan
        .layers(&model)
        .into_iter()
        .map(|layer| LayerSensitivity { layer, tried: Vec::new(), chosen: None })
        .collect();
    let chosen = match (trying, &pass.aim) {
        (Some((engine, samples)), Aim::Budget(_)) => {
            let judged = before_softmax(&model);
            let most = affordable(&model, &layers);
            let trials = Trials::on(most, engine, &judged, samples, &|_| Vec::new(), cx)?;
            try_layers(&trials, pass, &plan, &mut layers)?;
            let loss = |layer: usize, lost: f64| layers[layer].noise(lost);
            pass.choose(&plan, &model, Some(&loss))
        }
        _ => pass.choose(&plan, &model, None),
    };
    layers.iter_mut().zip(&chosen).for_each(|(layer, &chosen)| layer.chosen = chosen);
    options.factorize.plan = Some(plan);
    options.factorize.chosen = Some(chosen);
    let cx = Context { reference: Some(&model), ..*cx };
    let finished = run(model.clone(), &factorize(&options), &cx, None)?;
    Ok(Factorized { finished, layers })
}

/// Samples on which all layers can be tried in seconds rather than minutes.
fn affordable(model: &Model, layers: &[LayerSensitivity]) -> usize {
    let trials: usize = layers.iter().map(|layer| layer.to_try().len()).sum();
    let all = Resource::Macs.of(model).unwrap_or(0).saturating_mul(trials as u64).max(1);
    usize::try_from(WORK / all).unwrap_or(usize::MAX).clamp(SAMPLES.0, SAMPLES.1)
}

/// The model with what it gives to a last Softmax as its output: there errors add up, while a probability
/// near 1 hides them.
fn before_softmax(model: &Model) -> Model {
    let mut model = model.clone();
    let outputs = model.graph(model.main()).outputs().iter().map(|output| output.value);
    for output in outputs.collect::<Vec<_>>() {
        let producer = model.value(output).producer().map(|node| model.node(node));
        let scores = producer
            .filter(|node| ["Softmax", "LogSoftmax", "Sigmoid"].iter().any(|op| node.is(op)))
            .and_then(|node| node.input(0))
            .filter(|&scores| {
                let entry = model.value(scores);
                entry.producer().is_some() && entry.graph() == model.main() && !entry.is_output()
            });
        if let Some(scores) = scores {
            model.hand_over_outputs(output, scores);
        }
    }
    model
}

/// Splits each layer alone, several times, and measures what that does.
fn try_layers(
    trials: &Trials<'_>,
    pass: &Factorize,
    plan: &Plan,
    layers: &mut [LayerSensitivity],
) -> Result<()> {
    let count = layers.len();
    let pass = Factorize { survivors: Survivors::default(), ..pass.clone() };
    layers.par_iter_mut().enumerate().try_for_each(|(i, layer)| {
        for at in layer.to_try() {
            let mut chosen: Chosen = vec![None; count];
            chosen[i] = Some(at);
            let mut model = trials.prepared().clone();
            pass.split(&mut model, plan, &chosen, &mut Report::default());
            let ratio = trials.sqnr_behind(&model, SAMPLES.1)?;
            layer.tried.push((layer.layer.candidates[at].2, 10f64.powf(-ratio / 10.0)));
        }
        Ok(())
    })
}

/// Noise that nobody could measure, relative to the signal.
const SILENT: f64 = 1e-12;
/// Noise grows with what a layer loses to a power within these.
const POWERS: (f64, f64) = (0.5, 2.0);

impl LayerSensitivity {
    /// The candidates that lose least at some shares of the cost.
    fn to_try(&self) -> Vec<usize> {
        let candidates = &self.layer.candidates;
        let at = |share: f64| candidates.iter().position(|candidate| candidate.1 <= share);
        let mut found: Vec<usize> = SHARES.iter().filter_map(|&share| at(share)).collect();
        if found.is_empty() && !candidates.is_empty() {
            found.push(candidates.len() - 1);
        }
        found.dedup();
        found
    }

    /// Noise in the outputs when the layer loses a share of what it gives: through what was measured, by
    /// powers of the loss.
    fn noise(&self, lost: f64) -> f64 {
        let mut points: Vec<(f64, f64)> = Vec::new();
        for &(loss, noise) in &self.tried {
            let last = points.last().map_or((0.0, SILENT), |&last| last);
            // More lost is not less noise, however it came out on a few samples.
            if loss > last.0 {
                points.push((loss, noise.max(last.1)));
            }
        }
        if lost <= 0.0 {
            return 0.0;
        }
        let power = |a: (f64, f64), b: (f64, f64)| {
            ((b.1 / a.1).ln() / (b.0 / a.0).ln()).clamp(POWERS.0, POWERS.1)
        };
        let along = |from: (f64, f64), power: f64| from.1 * (lost / from.0).powf(power);
        match *points {
            [] => lost,
            [one] => along(one, 1.0),
            [first, second, ..] if lost <= first.0 => along(first, power(first, second)),
            [.., before, last] if lost >= last.0 => along(last, power(before, last)),
            _ => {
                let next = points.partition_point(|point| point.0 < lost).max(1);
                let (a, b) = (points[next - 1], points[next]);
                let at = (lost / a.0).ln() / (b.0 / a.0).ln();
                (a.1.ln() * (1.0 - at) + b.1.ln() * at).exp()
            }
        }
    }
}
