//! Factorizes a model to what it may cost, by what splitting each layer does to the outputs.

use std::sync::Arc;

use rayon::prelude::*;

use crate::analysis::Progress;
use crate::compress::recipe::{FactorizePasses, factorize};
use crate::compress::trial::held_out::held_out_inputs;
use crate::compress::trial::noise::{Powers, noise, noise_power};
use crate::compress::trial::score_trials;
use crate::compress::trial::score_trials::{ScoreTrials, Scores};
use crate::data::Samples;
use crate::error::Result;
use crate::exec::Engine;
use crate::ir::Model;
use crate::passes::{
    Aim, Chosen, Context, Factorize, Known, Plan, Report, Resource, Splittable, Survivors,
};
use crate::pipeline::{Finished, run};
use crate::validate::fed_at;

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
    options: &FactorizePasses,
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
            let scores = Scores::of(&model, &fed_at(samples));
            let inputs = held_out_inputs(samples, affordable(&model, pass, &layers))?;
            let trials = ScoreTrials::of(engine, &scores, inputs)?;
            let progress = cx.progress();
            progress.start("trying layers", layers.len());
            let tried = try_layers((&trials, progress), &model, pass, &plan, &mut layers);
            progress.finish();
            tried?;
            let loss = |layer: usize, lost: f64| layers[layer].noise(lost);
            pass.choose(&plan, &model, Some(&loss))
        }
        _ => pass.choose(&plan, &model, None),
    };
    layers.iter_mut().zip(&chosen).for_each(|(layer, &chosen)| layer.chosen = chosen);
    let (plan, chosen) = match cx.measure.filter(|_| options.factorize.known() == Known::Fitting) {
        // Once it is known how far each layer is split, all samples are better than some.
        Some(measure) => {
            let pass = &options.factorize;
            let (plan, chosen) = pass.settled((&*plan, &chosen), &model, Some(measure))?;
            (Arc::new(plan), chosen)
        }
        None => (plan, chosen),
    };
    options.factorize.plan = Some(plan);
    options.factorize.chosen = Some(chosen);
    let cx = Context { reference: Some(&model), ..*cx };
    let finished = run(model.clone(), &factorize(&options), &cx, None)?;
    Ok(Factorized { finished, layers })
}

/// Samples on which all layers can be tried in seconds rather than minutes.
fn affordable(model: &Model, pass: &Factorize, layers: &[LayerSensitivity]) -> usize {
    let trials: usize = layers.iter().map(|layer| layer.to_try().len()).sum();
    let macs = Resource::Macs.of(model, &pass.at).unwrap_or(0);
    score_trials::affordable(macs, trials, WORK, SAMPLES)
}

/// Splits each layer alone, several times, and measures what that does.
fn try_layers(
    (trials, progress): (&ScoreTrials<'_>, &dyn Progress),
    model: &Model,
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
            let mut model = model.clone();
            pass.split(&mut model, plan, &chosen, &mut Report::default());
            let ratio = trials.sqnr_db(&model)?;
            layer.tried.push((layer.layer.candidates[at].2, noise_power(ratio)));
        }
        progress.step();
        Ok(())
    })
}

/// Where one layer loses more, others after it may hide it; errors of one sign grow faster.
const POWERS: Powers = Powers { least: 0.5, most: 2.0, usual: 1.0 };

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
    /// powers of the loss. A layer that was not tried loses what it loses.
    fn noise(&self, lost: f64) -> f64 {
        noise(&self.tried, lost, POWERS).unwrap_or(lost)
    }
}
