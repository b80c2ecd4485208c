//! Whether one calibrator for all values makes a quantized model better than the best one for each.

use crate::calibrate::Calibrator;
use crate::compress::trial::held_out::Trials;
use crate::error::Result;
use crate::passes::Context;

/// What another calibrator for all values did to the outputs on held-out samples.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Calibrated {
    /// The calibrator that was taken.
    pub by: Calibrator,
    /// Smallest signal-to-noise ratio of the outputs with the least expected error for each value, in
    /// decibel.
    pub before_db: f64,
    /// The same now.
    pub after_db: f64,
}

/// Decibels by which the outputs must improve: the best of a few tries on few samples is luck in part.
const GAIN_DB: f64 = 0.5;

/// Trials with the calibrator, of those whose ranges `others` measure, with which the outputs of all layers
/// quantized are best; `None` when none is clearly better than what `trials` measure with, or
/// trying them would take long. The error of a value is not that of the outputs: what is rare and large may be what
/// counts.
///
/// # Errors
/// When a trial fails.
pub(in crate::compress) fn calibrate<'b>(
    trials: &'b Trials<'_>,
    others: &'b [(Calibrator, Context<'b>)],
) -> Result<Option<(Trials<'b>, Calibrated)>> {
    if others.is_empty() || !trials.is_quick(others.len()) {
        return Ok(None);
    }
    let before_db = trials.whole()?.score_db;
    let mut best: Option<(Trials<'_>, Calibrated)> = None;
    for (by, cx) in others {
        let trials = trials.measured_by(cx);
        let after_db = trials.whole()?.score_db;
        let least = best.as_ref().map_or(before_db + GAIN_DB, |(_, best)| best.after_db);
        if after_db > least {
            best = Some((trials, Calibrated { by: *by, before_db, after_db }));
        }
    }
    Ok(best)
}
