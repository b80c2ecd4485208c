//! What cutting one group alone does to the outputs, and how a budget is spread by that.

use rayon::prelude::*;

use crate::analysis::Progress;
use crate::compress::trial::noise::{Powers, noise, noise_power};
use crate::compress::trial::score_trials::ScoreTrials;
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Allocation, Budget, Fitted, PruneChannels, Surveyed};

/// Shares of a group at which it is tried alone: they say how fast its error grows.
pub(in crate::compress) const SHARES: [f64; 3] = [0.75, 0.5, 0.25];

/// Cuts a model, and repairs it if that is asked for.
pub(in crate::compress) type Cutter<'a> =
    &'a (dyn Fn(&Model, &PruneChannels) -> Result<Model> + Sync);

/// What a group costs the outputs.
#[derive(Debug, Clone, PartialEq)]
pub struct GroupSensitivity {
    /// The layers that make its channels, in words.
    pub place: String,
    /// Orbits.
    pub orbits: usize,
    /// Numbers of orbits with which it was tried, falling, and the smallest signal-to-noise ratio of the
    /// outputs on held-out samples when all other groups are whole, in decibel.
    pub tried: Vec<(usize, f64)>,
    /// How many stay in the end.
    pub left: usize,
}

/// Measures what cutting each group alone does, and spreads `budget` so that the sum of the errors
/// stays small: groups are taken to add their noise independently.
///
/// # Errors
/// When a cut fails or its result cannot be run.
pub(in crate::compress) fn spread(
    (trials, progress): (&ScoreTrials<'_>, &dyn Progress),
    model: &Model,
    pruning: &PruneChannels,
    budget: Budget,
    cutter: Cutter<'_>,
) -> Result<(Fitted, Vec<GroupSensitivity>)> {
    let surveyed = pruning.survey(model, &SHARES);
    let whole: Vec<usize> = surveyed.iter().map(|group| group.orbits).collect();
    let alone = |group: usize, left: usize| -> Result<f64> {
        let mut counts = whole.clone();
        counts[group] = left;
        let allocation = Allocation::Counts(counts);
        let pass = PruneChannels { allocation, budget: None, ..pruning.clone() };
        trials.sqnr_db(&cutter(model, &pass)?)
    };
    let of_group = |(i, group): (usize, &Surveyed)| -> Result<GroupSensitivity> {
        let tried = group.counts.iter().map(|&left| Ok((left, alone(i, left)?)));
        let tried = tried.collect::<Result<_>>()?;
        progress.step();
        Ok(GroupSensitivity {
            place: group.place.clone(),
            orbits: group.orbits,
            tried,
            left: group.orbits,
        })
    };
    progress.start("trying groups", surveyed.len());
    let groups = surveyed.par_iter().enumerate().map(of_group).collect::<Result<Vec<_>>>();
    progress.finish();
    let mut groups = groups?;
    let loss = |group: usize, left: usize| groups[group].noise(left);
    let fitted = pruning.fit(model, budget, Some(&loss))?;
    groups.iter_mut().zip(&fitted.counts).for_each(|(group, &left)| group.left = left);
    Ok((fitted, groups))
}

/// The sum of errors that are independent, or all of one sign and growing.
const POWERS: Powers = Powers { least: 1.0, most: 4.0, usual: 2.0 };

impl GroupSensitivity {
    /// Power of the noise in the outputs relative to the signal when so many orbits stay: through what
    /// was measured, by powers of the share that is gone.
    fn noise(&self, left: usize) -> f64 {
        let gone = |left: usize| (self.orbits - left.min(self.orbits)) as f64 / self.orbits as f64;
        let point = |&(left, sqnr_db): &(usize, f64)| (gone(left), noise_power(sqnr_db));
        let points: Vec<(f64, f64)> = self.tried.iter().map(point).collect();
        noise(&points, gone(left), POWERS).unwrap_or(f64::INFINITY)
    }
}
