//! What cutting one group alone does to the outputs, and how a budget is spread by that.

use rayon::prelude::*;

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Allocation, Budget, Fitted, PruneChannels, Surveyed};
use crate::pipeline::cut_trials::CutTrials;

/// Shares of a group at which it is tried alone: they say how fast its error grows.
pub(super) const SHARES: [f64; 3] = [0.75, 0.5, 0.25];

/// Cuts a model, and repairs it if that is asked for.
pub(super) type Cutter<'a> = &'a (dyn Fn(&Model, &PruneChannels) -> Result<Model> + Sync);

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
pub(super) fn spread(
    trials: &CutTrials<'_>,
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
        Ok(GroupSensitivity {
            place: group.place.clone(),
            orbits: group.orbits,
            tried: tried.collect::<Result<_>>()?,
            left: group.orbits,
        })
    };
    let mut groups: Vec<GroupSensitivity> =
        surveyed.par_iter().enumerate().map(of_group).collect::<Result<_>>()?;
    let loss = |group: usize, left: usize| groups[group].noise(left);
    let fitted = pruning.fit(model, budget, Some(&loss))?;
    groups.iter_mut().zip(&fitted.counts).for_each(|(group, &left)| group.left = left);
    Ok((fitted, groups))
}

/// Noise of a cut that nobody could measure, relative to the signal.
const SILENT: f64 = 1e-12;
/// Noise grows with the share cut to a power within these: the sum of errors that are independent, or
/// all of one sign and growing.
const POWERS: (f64, f64) = (1.0, 4.0);
/// The power when a group was tried once.
const USUAL_POWER: f64 = 2.0;

impl GroupSensitivity {
    /// Power of the noise in the outputs relative to the signal when so many orbits stay: through what
    /// was measured, by powers of the share that is gone.
    fn noise(&self, left: usize) -> f64 {
        let gone = |left: usize| (self.orbits - left.min(self.orbits)) as f64 / self.orbits as f64;
        let mut points: Vec<(f64, f64)> = Vec::new();
        for &(left, sqnr_db) in &self.tried {
            let noise = 10f64.powf(-sqnr_db / 10.0).max(SILENT);
            // More cut is not less noise, however it came out on a few samples.
            let before = points.last().map_or(SILENT, |point| point.1);
            points.push((gone(left), noise.max(before)));
        }
        let x = gone(left);
        if x <= 0.0 {
            return 0.0;
        }
        let power = |a: (f64, f64), b: (f64, f64)| {
            ((b.1 / a.1).ln() / (b.0 / a.0).ln()).clamp(POWERS.0, POWERS.1)
        };
        let along = |from: (f64, f64), power: f64| from.1 * (x / from.0).powf(power);
        match *points {
            [] => f64::INFINITY,
            [one] => along(one, USUAL_POWER),
            [first, second, ..] if x <= first.0 => along(first, power(first, second)),
            [.., before, last] if x >= last.0 => along(last, power(before, last)),
            _ => {
                let next = points.partition_point(|point| point.0 < x).max(1);
                let (a, b) = (points[next - 1], points[next]);
                let at = (x / a.0).ln() / (b.0 / a.0).ln();
                (a.1.ln() * (1.0 - at) + b.1.ln() * at).exp().clamp(a.1, b.1)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn noise_goes_through_what_was_measured_and_grows() {
        let tried = vec![(12, 30.0), (8, 20.0), (4, 21.0)];
        let group = GroupSensitivity { place: String::new(), orbits: 16, tried, left: 16 };
        let near = |left, expected: f64| (group.noise(left) / expected - 1.0).abs() < 1e-9;
        assert!(near(12, 1e-3) && near(8, 1e-2) && near(4, 1e-2));
        assert_eq!(group.noise(16), 0.0);
        let all: Vec<f64> = (1..=16).rev().map(|left| group.noise(left)).collect();
        assert!(all.is_sorted(), "{all:?}");
        // Beyond the last point it grows all the same.
        assert!(group.noise(2) > group.noise(4));
    }
}
