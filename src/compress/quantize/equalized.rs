//! Whether dividing channels makes a quantized model better.

use std::time::Instant;

use serde::{Deserialize, Serialize};

use crate::compress::trial::held_out::Trials;
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Equalize, EqualizeChannels, Pass, Width};
use crate::pipeline::Step;
use crate::pipeline::{Outcome, ROUNDING_DB};

/// When channels are equalized.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Equalizing {
    /// Never.
    Off,
    /// Tried where the outputs keep less than 30 dB, and kept where that helps.
    #[default]
    Auto,
    /// Tried in any case, and kept where that helps.
    Always,
}

/// What dividing channels did to the outputs on held-out samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Equalized {
    /// What the factors follow from.
    pub by: Equalize,
    /// Smallest signal-to-noise ratio of the outputs before, in decibel.
    pub before_db: f64,
    /// The same afterwards.
    pub after_db: f64,
    /// Layers whose channels were divided.
    pub kept: usize,
    /// Layers whose channels could be divided.
    pub possible: usize,
}

/// Above this ratio in decibel there is little to gain, and each try costs another calibration.
const GOOD_DB: f64 = 30.0;
/// Decibels by which the outputs must improve: the best of many tries on few samples is luck in part.
const GAIN_DB: f64 = 1.0;
/// The same where factors of each layer were judged on held-out samples before.
const JUDGED_GAIN_DB: f64 = 0.25;
/// What is tried. Half of the range of activations to the weights is what SmoothQuant found best for most
/// models.
const TRIED: [Equalize; 2] = [Equalize::Weights, Equalize::Activations { share: 0.5 }];

/// The prepared model with the channels divided by which the outputs of the quantized one gain most, what
/// the pass did, and how much was gained; `None` when nothing helps. All layers are tried together and,
/// where that takes seconds, each by itself: those that help are kept. Nothing is tried by itself where outputs
/// keep enough without: `kept_db`.
pub(in crate::compress) fn equalize(
    trials: &Trials<'_>,
    when: Equalizing,
    kept_db: f64,
) -> Result<Option<(Model, Step, Equalized)>> {
    let enough = when == Equalizing::Auto && kept_db >= GOOD_DB;
    if when == Equalizing::Off || enough || !trials.affordable() {
        return Ok(None);
    }
    let before_db = trials.whole()?.score_db;
    let mut best: Option<Candidate> = None;
    for by in TRIED {
        let Some(all) = Candidate::of(trials, EqualizeChannels { by, only: None })? else {
            continue;
        };
        let possible = all.names.len();
        let mut helpful = Vec::new();
        let alone = if trials.is_quick_anew(possible) { &all.names[..] } else { &[] };
        for name in alone {
            let only = Some(vec![name.clone()]);
            let alone = Candidate::of(trials, EqualizeChannels { by, only })?;
            if alone.is_some_and(|alone| alone.score_db > before_db) {
                helpful.push(name.clone());
            }
        }
        let some = match helpful.len() < possible && !helpful.is_empty() {
            true => Candidate::of(trials, EqualizeChannels { by, only: Some(helpful) })?,
            false => None,
        };
        for candidate in [Some(all), some].into_iter().flatten() {
            if best.as_ref().is_none_or(|best| candidate.score_db > best.score_db) {
                best = Some(Candidate { possible, ..candidate });
            }
        }
    }
    match best.filter(|best| best.score_db >= before_db + GAIN_DB) {
        Some(best) => best.checked(trials, before_db),
        None => Ok(None),
    }
}

/// The same with factors that suit weights of a `narrow` width, of all layers for which they help.
pub(in crate::compress) fn equalize_narrow(
    trials: &Trials<'_>,
    when: Equalizing,
    narrow: Width,
) -> Result<Option<(Model, Step, Equalized)>> {
    if when == Equalizing::Off || !trials.affordable() {
        return Ok(None);
    }
    let by = Equalize::Outputs { width: narrow };
    let Some(found) = Candidate::of(trials, EqualizeChannels { by, only: None })? else {
        return Ok(None);
    };
    let before_db = trials.whole()?.score_db;
    match found.score_db >= before_db + JUDGED_GAIN_DB {
        true => found.checked(trials, before_db),
        false => Ok(None),
    }
}

/// A model with channels divided.
struct Candidate {
    by: Equalize,
    model: Model,
    step: Step,
    /// The layers whose channels were divided.
    names: Vec<String>,
    score_db: f64,
    possible: usize,
}

impl Candidate {
    /// `None` when there was nothing to divide.
    fn of(trials: &Trials<'_>, pass: EqualizeChannels) -> Result<Option<Self>> {
        let start = Instant::now();
        let mut model = trials.prepared().clone();
        let (report, names) = pass.divide(&mut model, trials.context())?;
        if names.is_empty() {
            return Ok(None);
        }
        let score_db = trials.score_db_of(&model)?;
        let (name, promise) = (pass.name(), pass.promise());
        let step = Step { name, promise, report, outcome: None, time: start.elapsed() };
        Ok(Some(Self { by: pass.by, model, step, possible: names.len(), names, score_db }))
    }

    /// What is kept: it must compute the same before anything is quantized.
    fn checked(
        self,
        trials: &Trials<'_>,
        before_db: f64,
    ) -> Result<Option<(Model, Step, Equalized)>> {
        let same_db = trials.judged(self.model.clone())?.sqnr_db;
        if same_db < ROUNDING_DB {
            return Ok(None);
        }
        let step = Step { outcome: Some(Outcome::Kept(same_db)), ..self.step };
        let found = Equalized {
            by: self.by,
            before_db,
            after_db: self.score_db,
            kept: self.names.len(),
            possible: self.possible,
        };
        Ok(Some((self.model, step, found)))
    }
}
