//! Which layers suffer most from being quantized, and which of them had better be quantized less.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::analysis::{Assume, Cost, Shapes};
use crate::compress::quantize::layers::{QuantizedLayer, quantized_layers};
use crate::compress::trial::held_out::{FallBackLayers, Trial, Trials};
use crate::compress::trial::noise::noise_power;
use crate::error::Result;
use crate::ir::Model;

/// What quantizing one layer alone does to the outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct Sensitivity {
    /// Node name, or that of its first output.
    pub layer: String,
    /// Operator.
    pub op: String,
    /// Smallest signal-to-noise ratio of the outputs when only this layer is quantized, in decibel,
    /// on held-out samples.
    pub sqnr_db: f64,
    /// Share of the multiply-accumulates of all quantized layers, 0 to 1; of their parameters, when the work
    /// of one is unknown.
    pub macs: f64,
    /// Share of their parameters, 0 to 1.
    pub parameters: f64,
}

impl Sensitivity {
    /// Power of the noise it brings into the outputs, relative to the signal.
    fn noise(&self) -> f64 {
        noise_power(self.sqnr_db)
    }
}

/// How good a quantized model must be on held-out samples.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Wanted {
    /// Smallest signal-to-noise ratio of the outputs, in decibel.
    pub sqnr_db: Option<f64>,
    /// Largest share of samples whose class may change: top-1 accuracy cannot fall by more.
    pub drop: Option<f64>,
}

impl Wanted {
    /// Whether a trial is good enough.
    pub fn holds(&self, trial: &Trial) -> bool {
        self.sqnr_db.is_none_or(|least| trial.sqnr_db >= least)
            && self.drop.is_none_or(|most| 1.0 - trial.agreement <= most)
    }
}

/// Which layers fall back.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct FallBackOptions {
    /// So many of the most sensitive layers do in any case: to 16 bits where the target has them, else to floats.
    pub worst: usize,
    /// More of them do until this holds.
    pub wanted: Wanted,
    /// Layers that bring much noise and have little of the work do, to [`Rung::Wide`] or [`Rung::Stored`]: this share
    /// of the multiply-accumulates at most.
    pub spare: f64,
    /// Whether layers are ranked when nothing else asks for it.
    pub rank: Rank,
}

/// Whether layers are ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Rank {
    /// Only when that decides which fall back.
    #[default]
    Needed,
    /// Where it takes seconds rather than minutes.
    Affordable,
    /// In any case.
    Always,
}

/// Layers that fall back, and why.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct FallBack {
    /// Layers, the most sensitive first: all, or those that are small enough to be spared when nobody had to know
    /// of others.
    pub ranking: Vec<Sensitivity>,
    /// The layers that fall back.
    pub layers: FallBackLayers,
    /// Ratio on held-out samples with all layers quantized, in decibel.
    pub before_db: f64,
    /// The same as it is now.
    pub after_db: f64,
    /// What was asked for holds on the held-out samples.
    pub reached: bool,
    /// Why nothing was tried.
    pub failed: Option<String>,
}

/// How far a layer falls back, by what that costs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Rung {
    /// Its activations have 16 bits.
    Wide,
    /// It computes with floats, and its weights are integers all the same.
    Stored,
    /// It stays as it is.
    Kept,
}

/// Outputs below this ratio in decibel are of little use: the error is a third of the signal. Layers
/// fall back until it is reached even when no bound is given.
const POOR_DB: f64 = 10.0;
/// Share of the noise that all layers bring below which it is not worth to spare one.
const WORTH: f64 = 0.01;
/// Decibels by which spared layers must improve the outputs.
const GAIN_DB: f64 = 0.3;

/// Ranks layers by what quantizing each alone does to the outputs (Wu et al., "Integer Quantization
/// for Deep Learning Inference", 2020, section 6.2) and decides which fall back, as `options` ask; how far,
/// from `first` on.
///
/// # Errors
/// When a trial fails.
pub fn fall_back(trials: &Trials<'_>, options: &FallBackOptions, first: Rung) -> Result<FallBack> {
    let whole = trials.whole()?;
    let mut found = FallBack {
        before_db: whole.score_db,
        after_db: whole.score_db,
        reached: options.wanted.holds(whole),
        ..FallBack::default()
    };
    let spare = if trials.affordable() { options.spare } else { 0.0 };
    let poor = trials.affordable() && whole.sqnr_db < POOR_DB;
    let good = options.worst == 0 && found.reached && !poor;
    let enough = good && spare <= 0.0;
    let rank = match options.rank {
        Rank::Needed => false,
        Rank::Affordable => trials.affordable(),
        Rank::Always => true,
    };
    if enough && !rank {
        return Ok(found);
    }
    let layers = quantized_layers(trials.prepared(), &whole.model);
    found.ranking = ranking(trials, &layers, if rank || !good { 1.0 } else { spare })?;
    if enough {
        return Ok(found);
    }
    let ladder = Ladder::new(trials, &found.ranking, &layers, first);
    let none = vec![None; found.ranking.len()];
    let mut rungs = ladder.raised(&none, |i| (i < options.worst).then(|| ladder.of_worst(i)));
    let mut best = ladder.tried(&rungs)?;
    let spared = spared(&found.ranking, noise_power(found.before_db), spare);
    let sparing =
        ladder.raised(&rungs, |i| spared.contains(&found.ranking[i].layer).then_some(first));
    if sparing != rungs {
        let trial = ladder.tried(&sparing)?;
        if trial.score_db >= found.before_db + GAIN_DB {
            (rungs, best) = (sparing, trial);
        }
    }
    let asked = options.wanted != Wanted::default();
    let wanted = match asked {
        true => options.wanted,
        false => Wanted { sqnr_db: poor.then_some(POOR_DB), drop: None },
    };
    if !wanted.holds(&best)
        && let Some(sufficient) = ladder.sufficient(&rungs, wanted, asked)?
    {
        (rungs, best) = sufficient;
    }
    found.reached = options.wanted.holds(&best);
    found.after_db = best.score_db;
    found.layers = ladder.layers(&rungs);
    Ok(found)
}

/// How far each layer falls back, the most sensitive first.
type Rungs = Vec<Option<Rung>>;

/// What layers can fall back to.
struct Ladder<'a> {
    trials: &'a Trials<'a>,
    /// The layers, the most sensitive first.
    names: Vec<&'a str>,
    /// Whether each reads integers, which may be wide; others have only integers for weights.
    reads: Vec<bool>,
    first: Rung,
}

impl<'a> Ladder<'a> {
    fn new(
        trials: &'a Trials<'a>,
        ranking: &'a [Sensitivity],
        layers: &[QuantizedLayer],
        first: Rung,
    ) -> Self {
        let names: Vec<&str> = ranking.iter().map(|layer| &*layer.layer).collect();
        let reading = layers.iter().filter(|layer| !layer.inputs.is_empty());
        let reading: HashSet<&str> = reading.map(|layer| &*layer.name).collect();
        let reads = names.iter().map(|name| reading.contains(name)).collect();
        Self { trials, names, reads, first }
    }

    /// Where a layer goes that must not stay as all others are.
    fn of_worst(&self, i: usize) -> Rung {
        match self.first {
            Rung::Wide if self.reads[i] => Rung::Wide,
            _ => Rung::Kept,
        }
    }

    /// Each layer as far back as `to` says, and no less than it is.
    fn raised(&self, rungs: &Rungs, to: impl Fn(usize) -> Option<Rung>) -> Rungs {
        let able = |i: usize, rung: &Rung| *rung != Rung::Wide || self.reads[i];
        let raised = |(i, rung): (usize, &Option<Rung>)| (*rung).max(to(i).filter(|r| able(i, r)));
        rungs.iter().enumerate().map(raised).collect()
    }

    fn layers(&self, rungs: &Rungs) -> FallBackLayers {
        let on = |wanted: Rung| {
            let layers = self.names.iter().zip(rungs).filter(|(_, rung)| **rung == Some(wanted));
            layers.map(|(name, _)| (*name).to_owned()).collect()
        };
        FallBackLayers { wide: on(Rung::Wide), stored: on(Rung::Stored), kept: on(Rung::Kept) }
    }

    fn tried(&self, rungs: &Rungs) -> Result<Trial> {
        self.trials.without(&self.layers(rungs))
    }

    /// The least number of layers that suffices, the worst first, taking it that more of them are no worse. Each
    /// goes no further than all must go; to [`Rung::Kept`] only for a bound that was asked for: what nobody asked
    /// for must not cost bytes. `None` when none suffices.
    fn sufficient(
        &self,
        rungs: &Rungs,
        wanted: Wanted,
        asked: bool,
    ) -> Result<Option<(Rungs, Trial)>> {
        let count = self.names.len();
        let last = if asked { Rung::Kept } else { Rung::Stored };
        let mut rungs = rungs.clone();
        for rung in [Rung::Wide, Rung::Stored, Rung::Kept] {
            if rung < self.first || rung > last {
                continue;
            }
            let with = |count: usize| self.raised(&rungs, |i| (i < count).then_some(rung));
            let mut sufficient = None;
            // All at the last one would keep every bound, and be of no use; before it, that is what a bound may
            // come to.
            if rung != last {
                let all = with(count);
                let trial = self.tried(&all)?;
                if !wanted.holds(&trial) {
                    // Fewest compute with floats when all others are wide.
                    rungs = if rung == Rung::Wide { all } else { rungs };
                    continue;
                }
                sufficient = Some((all, trial));
            }
            // What is there already does not suffice.
            let there = rungs.iter().take_while(|at| **at >= Some(rung)).count();
            let (mut low, mut high) = (there + 1, count);
            while low < high {
                let middle = low + (high - low) / 2;
                let some = with(middle);
                let trial = self.tried(&some)?;
                if wanted.holds(&trial) {
                    high = middle;
                    sufficient = Some((some, trial));
                } else {
                    low = middle + 1;
                }
            }
            if sufficient.is_some() {
                return Ok(sufficient);
            }
        }
        Ok(None)
    }
}

/// The layers that bring the most of all `noise` for what they cost, up to a share of all costs.
fn spared(ranking: &[Sensitivity], noise: f64, share: f64) -> Vec<String> {
    let worth = |layer: &&Sensitivity| layer.noise() >= WORTH * noise && layer.noise() > 0.0;
    let mut layers: Vec<&Sensitivity> = ranking.iter().filter(worth).collect();
    layers.sort_by(|a, b| (b.noise() / b.macs).total_cmp(&(a.noise() / a.macs)));
    let mut macs = 0.0;
    layers.retain(|layer| {
        let fits = macs + layer.macs <= share;
        macs += if fits { layer.macs } else { 0.0 };
        fits
    });
    layers.into_iter().map(|layer| layer.layer.clone()).collect()
}

/// The layers that have at most a share of the multiply-accumulates, the most sensitive first; layers of equal
/// ratios in the order of the model.
fn ranking(trials: &Trials<'_>, layers: &[QuantizedLayer], most: f64) -> Result<Vec<Sensitivity>> {
    let shares = shares(trials.prepared(), trials.at(), layers);
    let ranked: Vec<usize> = (0..layers.len()).filter(|&i| shares[i].0 <= most).collect();
    if ranked.is_empty() {
        return Ok(Vec::new());
    }
    let of_little = trials.of_little()?;
    let progress = trials.context().progress();
    let alone = |i: usize| -> Result<Sensitivity> {
        let others = layers.iter().enumerate().filter(|(j, _)| *j != i);
        let kept = others.map(|(_, layer)| layer.name.clone()).collect();
        let others = FallBackLayers { kept, ..FallBackLayers::default() };
        let sqnr_db = of_little.score_db_without(&others)?;
        progress.step();
        Ok(Sensitivity {
            layer: layers[i].name.clone(),
            op: layers[i].op.clone(),
            sqnr_db,
            macs: shares[i].0,
            parameters: shares[i].1,
        })
    };
    progress.start("trying layers", ranked.len());
    let ranking = ranked.into_par_iter().map(alone).collect::<Result<Vec<_>>>();
    progress.finish();
    let mut ranking = ranking?;
    ranking.sort_by(|a, b| a.sqnr_db.total_cmp(&b.sqnr_db));
    Ok(ranking)
}

/// The shares of each layer in multiply-accumulates and parameters. Where the work of a layer is unknown, as
/// in bodies that may run any number of times, parameters speak for the work of all.
fn shares(model: &Model, at: &Assume, layers: &[QuantizedLayer]) -> Vec<(f64, f64)> {
    let cost = Cost::of(model, &Shapes::infer(model, at));
    let of = |wanted: &QuantizedLayer| {
        let layer = cost.layers.iter().find(|layer| layer.node == wanted.node);
        let parameters = layer.map_or(0, |layer| layer.parameters) as f64;
        (layer.and_then(|layer| layer.macs).map(|macs| macs as f64), parameters)
    };
    let costs: Vec<(Option<f64>, f64)> = layers.iter().map(of).collect();
    let known = costs.iter().all(|(macs, _)| macs.is_some());
    let work = |(macs, parameters): (Option<f64>, f64)| {
        (macs.filter(|_| known).unwrap_or(parameters), parameters)
    };
    let costs: Vec<(f64, f64)> = costs.into_iter().map(work).collect();
    let total = costs.iter().fold((0.0, 0.0), |sum, cost| (sum.0 + cost.0, sum.1 + cost.1));
    let share = |part: f64, total: f64| if total > 0.0 { part / total } else { 0.0 };
    costs.iter().map(|cost| (share(cost.0, total.0), share(cost.1, total.1))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layer(name: &str, sqnr_db: f64, macs: f64, parameters: f64) -> Sensitivity {
        Sensitivity { layer: name.into(), op: "Conv".into(), sqnr_db, macs, parameters }
    }

    #[test]
    fn loud_and_cheap_layers_are_spared() {
        let ranking = [
            layer("loud and large", 20.0, 0.5, 0.1),
            layer("loud and cheap", 21.0, 0.02, 0.01),
            layer("loud, many parameters", 21.0, 0.001, 0.2),
            layer("quiet", 60.0, 0.01, 0.01),
            layer("less loud", 25.0, 0.02, 0.02),
            layer("does not fit any more", 26.0, 0.02, 0.02),
        ];
        let noise: f64 = ranking.iter().map(Sensitivity::noise).sum();
        assert_eq!(
            spared(&ranking, noise, 0.05),
            ["loud, many parameters", "loud and cheap", "less loud"]
        );
        assert!(spared(&ranking, noise, 0.0).is_empty());
        assert!(spared(&ranking, 100.0 * noise, 0.05).is_empty(), "next to others they are quiet");
    }
}
