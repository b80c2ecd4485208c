//! What cutting one group alone does to the outputs, and how a budget is spread by that.

use rayon::prelude::*;

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Allocation, Budget, Fitted, PruneChannels, Surveyed};
use crate::pipeline::cut_trials::CutTrials;

/// Shares of a group at which it is tried alone: they say how fast its error grows.
pub(super) const SHARES: [f64; 3] = [0.75, 0.5, 0.25];

/// Cuts a model, and repairs it if that is asked for.
pub type Cutter<'a> = &'a (dyn Fn(&Model, &PruneChannels) -> Result<Model> + Sync);

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

/// Cuts of a model that are tried on samples.
pub(super) struct Spreading<'a> {
    pub trials: &'a CutTrials<'a>,
    pub model: &'a Model,
    pub pruning: &'a PruneChannels,
    pub budget: Budget,
    pub cutter: Cutter<'a>,
}

impl Spreading<'_> {
    /// Power of the noise, relative to the signal, when so many orbits of each group stay.
    fn noise(&self, counts: Vec<usize>) -> Result<f64> {
        let allocation = Allocation::Counts(counts);
        let pass = PruneChannels { allocation, budget: None, ..self.pruning.clone() };
        let sqnr_db = self.trials.sqnr_db(&(self.cutter)(self.model, &pass)?)?;
        Ok(10f64.powf(-sqnr_db / 10.0).max(SILENT))
    }

    /// Measures what cutting each group alone does, and spreads the budget so that the sum of the errors
    /// stays small: groups are taken to add their noise independently. Then, up to `rounds` times, what
    /// a little more or less of each group does beside what the others lose by now says how far that
    /// is true, and the budget is spread anew, for as long as the noise falls.
    ///
    /// # Errors
    /// When a cut fails or its result cannot be run.
    pub fn run(&self, rounds: usize) -> Result<(Fitted, Vec<GroupSensitivity>)> {
        let surveyed = self.pruning.survey(self.model, &SHARES);
        let whole: Vec<usize> = surveyed.iter().map(|group| group.orbits).collect();
        let alone = |group: usize, left: usize| -> Result<(usize, f64)> {
            let mut counts = whole.clone();
            counts[group] = left;
            Ok((left, -10.0 * self.noise(counts)?.log10()))
        };
        let of_group = |(i, group): (usize, &Surveyed)| -> Result<GroupSensitivity> {
            let tried = group.counts.iter().map(|&left| alone(i, left));
            Ok(GroupSensitivity {
                place: group.place.clone(),
                orbits: group.orbits,
                tried: tried.collect::<Result<_>>()?,
                left: group.orbits,
            })
        };
        let mut groups: Vec<GroupSensitivity> =
            surveyed.par_iter().enumerate().map(of_group).collect::<Result<_>>()?;
        let mut slopes = vec![1.0; groups.len()];
        let mut best = self.fit(&groups, &slopes)?;
        let mut least = self.noise(best.counts.clone())?;
        for _ in 0..rounds {
            let target = self.slopes(&groups, &best.counts)?;
            // What holds near these numbers need not hold far from them.
            let tried = CAUTION.par_iter().map(|&caution| -> Result<_> {
                let between = |(now, then): (&f64, &f64)| now * (then / now).powf(caution);
                let slopes: Vec<f64> = slopes.iter().zip(&target).map(between).collect();
                let next = self.fit(&groups, &slopes)?;
                Ok((self.noise(next.counts.clone())?, next, slopes))
            });
            let tried: Vec<_> = tried.collect::<Result<_>>()?;
            eprintln!("round {least} -> {:?}", tried.iter().map(|t| t.0).collect::<Vec<_>>());
            let found = tried.into_iter().min_by(|a, b| a.0.total_cmp(&b.0));
            let Some((noise, next, found)) = found.filter(|found| found.0 < least) else { break };
            (best, least, slopes) = (next, noise, found);
        }
        groups.iter_mut().zip(&best.counts).for_each(|(group, &left)| group.left = left);
        Ok((best, groups))
    }

    /// The numbers with which the sum of noises is least, each times its slope.
    fn fit(&self, groups: &[GroupSensitivity], slopes: &[f64]) -> Result<Fitted> {
        let loss = |group: usize, left: usize| slopes[group] * groups[group].noise(left);
        self.pruning.fit(self.model, self.budget, Some(&loss))
    }

    /// For each group, how much faster noise grows with what it loses beside `counts` of the others than
    /// when it is cut alone.
    fn slopes(&self, groups: &[GroupSensitivity], counts: &[usize]) -> Result<Vec<f64>> {
        let around = self.pruning.around(self.model, counts);
        let at = |group: usize, left: usize| {
            let mut counts = counts.to_vec();
            counts[group] = left;
            self.noise(counts)
        };
        let slope = |(group, &(less, more)): (usize, &(usize, usize))| -> Result<f64> {
            let alone = groups[group].noise(less) - groups[group].noise(more);
            if less == more || alone <= 0.0 {
                return Ok(1.0);
            }
            let together = at(group, less)? - at(group, more)?;
            Ok((together / alone).clamp(SLOPES.0, SLOPES.1))
        };
        around.par_iter().enumerate().map(slope).collect()
    }
}

/// How far towards the slopes that were measured.
const CAUTION: [f64; 5] = [1.0, 0.5, 0.25, 0.12, 0.06];
/// Groups that are cut together disturb each other at most so much less or more than alone.
const SLOPES: (f64, f64) = (0.05, 20.0);

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
