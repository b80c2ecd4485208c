//! Candidates for the integers of a layer, and the best of them.

use crate::analysis::VectorMoments;
use crate::math::Moments;
use crate::math::codebook::{self, Alphabet, Member};
use crate::math::rounding::{
    Feedback, Freedom, Points, Rounded, Weights, adaround, damped, descend, gptq, rescaled,
};
use crate::passes::quantize::round_weights::{Decision, Rounding};

/// Share of the mean of the diagonal of `H` that is added to it (Frantar et al. use the same).
const DAMPING: f64 = 0.01;
/// Of the error so far, what a candidate must fall below to take the place of what is there: less is
/// chance.
pub(super) const WORTH: f64 = 0.98;
/// Most multiply-accumulates that learning the rounding of a layer may take, about 4 s on two cores.
const LEARNING: usize = 200_000_000_000;
/// Steps that it takes.
const STEPS: usize = 600;

/// A layer to be rounded.
pub(super) struct Task<'a> {
    pub weights: Weights<'a>,
    /// What is stored now, in the order of the matrices.
    pub current: Rounded,
    /// Smallest scale of each grid.
    pub least: Vec<f32>,
    /// What of the points can be stored anew.
    pub free: Freedom,
    /// The mean of each output is put right afterwards.
    pub centred: bool,
    pub method: Rounding,
}

impl Task<'_> {
    /// The best candidate that the method allows; `None` when what is there is as good.
    pub fn best(&self, moments: &VectorMoments) -> Option<Decision> {
        let columns = self.weights.columns;
        // What a bias fitted to the same samples makes up for is no error.
        let centres: Vec<Vec<f64>> = moments
            .fitting
            .iter()
            .map(|moments| if self.centred { moments.mean() } else { vec![0.0; columns] })
            .collect();
        let about = |moments: &[Moments]| -> Option<Vec<Vec<f64>>> {
            moments.iter().zip(&centres).map(|(moments, centre)| moments.about(centre)).collect()
        };
        let held_out = about(&moments.held_out)?;
        let before = self.weights.error(&self.current, &held_out);
        if before <= 0.0 {
            return None;
        }
        let fitting: Vec<Vec<f64>> =
            about(&moments.fitting)?.iter().map(|h| damped(h, columns, DAMPING)).collect();
        let judged = self
            .candidates(&fitting)
            .into_iter()
            .map(|(method, rounded)| (self.weights.error(&rounded, &held_out), method, rounded));
        let (error, method, rounded) = judged.reduce(|a, b| if b.0 < a.0 { b } else { a })?;
        let outputs = (self.weights.values.len() / columns.max(1)).max(1) as f64;
        let plain: Option<Vec<Vec<f64>>> =
            moments.held_out.iter().map(|moments| moments.about(&vec![0.0; columns])).collect();
        let signal = self.weights.power(self.weights.values, &plain?) / outputs;
        (error < WORTH * before).then_some(Decision {
            method,
            rounded,
            errors: (before / outputs, error / outputs),
            signal,
        })
    }

    /// Points of the same kind that cost the least when the error of a weight counts with `importance`,
    /// the `H_jj` of its column; `None` where they cannot be others.
    fn fitted(&self, importance: &[Vec<f64>]) -> Option<Points> {
        match &self.current.points {
            Points::Grids(grids) => {
                // Scales that are powers of two stay such.
                let free = grids.iter().any(|grid| grid.scale.log2().fract() != 0.0);
                let fitted =
                    || rescaled(self.weights, grids, importance, &self.least, self.free.zeros);
                free.then(|| Points::Grids(fitted()))
            }
            Points::Table { numbers, scales } => {
                let alphabet = Alphabet::of(numbers);
                let free = match alphabet {
                    Alphabet::Free(_) => {
                        self.free.numbers && (self.free.scales || scales.len() == 1)
                    }
                    Alphabet::Ternary | Alphabet::Binary => self.free.scales,
                };
                let Weights { columns, values, grid_of, .. } = self.weights;
                let per_group = self.weights.per_group().max(1);
                let member = |i: usize| Member {
                    value: values[i],
                    importance: importance[i / per_group][i % columns],
                    part: grid_of[i],
                };
                let fitted = || codebook::fit(alphabet, values.len(), scales.len(), member);
                free.then(fitted)
            }
        }
    }

    fn candidates(&self, second: &[Vec<f64>]) -> Vec<(Rounding, Rounded)> {
        let wanted = |method| self.method == method || self.method == Rounding::Auto;
        let mut found = Vec::new();
        let step = self.weights.columns + 1;
        let diagonal = |h: &Vec<f64>| h.iter().step_by(step).copied().collect();
        let importance: Vec<Vec<f64>> = second.iter().map(diagonal).collect();
        let fitted = self.fitted(&importance);
        if let Some(points) = fitted.as_ref().filter(|_| wanted(Rounding::Scale)) {
            found.push((Rounding::Scale, self.weights.nearest(points)));
        }
        let all: Vec<Points> = std::iter::once(self.current.points.clone()).chain(fitted).collect();
        let columns = self.weights.columns;
        let feedback: Option<Vec<Feedback>> =
            second.iter().map(|h| Feedback::of(h, columns)).collect();
        for points in &all {
            if let Some(feedback) =
                feedback.as_deref().filter(|_| wanted(Rounding::Gptq) || wanted(Rounding::Descent))
            {
                let rounded = gptq(self.weights, points, feedback);
                if wanted(Rounding::Descent) {
                    let better = descend(self.weights, rounded.clone(), second);
                    let better = codebook::tuned(self.weights, better, second, self.free);
                    found.push((Rounding::Descent, better));
                }
                if wanted(Rounding::Gptq) {
                    found.push((Rounding::Gptq, rounded));
                }
            }
        }
        let work = self.weights.values.len().saturating_mul(columns).saturating_mul(STEPS);
        let grids = all.last().map(Points::grids).unwrap_or_default();
        if self.method == Rounding::Adaround && work <= LEARNING && !grids.is_empty() {
            found.push((Rounding::Adaround, adaround(self.weights, grids, second)));
        }
        found
    }
}
