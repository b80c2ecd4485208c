//! Which integers to store for the weights of a layer, when it is known what the layer reads.
//!
//! A layer is `y = W x` for each of its groups; `H = E[x xᵀ]`. Integers `q` on grids stand for weights
//! `W'`, and cost `tr((W' - W) H (W' - W)ᵀ)`, the mean squared error of the outputs. Rounding each weight to
//! its nearest neighbour minimizes another sum, that with the unit matrix for `H`.
//!
//! Nothing here knows how many bits there are or which weights share a scale.

mod adaround;
mod descent;
mod feedback;
mod points;
mod scale;

pub use adaround::adaround;
pub use descent::descend;
pub use feedback::{Feedback, gptq};
pub use points::{Freedom, Points};
pub use scale::{rescaled, rescaled_part};

use crate::math::Grid;
use crate::math::moments::quadratic;

/// Rows that are worked on together: they share what is read of `H`.
const TOGETHER: usize = 16;

/// The weights of a layer as a matrix for each group, and which of them share a grid.
#[derive(Debug, Clone, Copy)]
pub struct Weights<'a> {
    /// Outputs of each group.
    pub rows: usize,
    /// Inputs of each group.
    pub columns: usize,
    /// All weights: groups, their rows, their columns.
    pub values: &'a [f64],
    /// For each of them the index of its part: of its grid, or of its scale.
    pub grid_of: &'a [u32],
}

/// Integers and what they stand on.
#[derive(Debug, Clone, PartialEq)]
pub struct Rounded {
    /// One for each weight.
    pub integers: Vec<i32>,
    /// What they stand for.
    pub points: Points,
}

impl Weights<'_> {
    /// Weights of a group.
    pub fn per_group(&self) -> usize {
        self.rows * self.columns
    }

    /// Every weight on the nearest point of its part.
    pub fn nearest(&self, points: &Points) -> Rounded {
        let round = |(&x, &part): (&f64, &u32)| points.nearest(part, x);
        let integers = self.values.iter().zip(self.grid_of).map(round).collect();
        Rounded { integers, points: points.clone() }
    }

    /// What the integers stand for, less the weights.
    pub fn change(&self, rounded: &Rounded) -> Vec<f64> {
        let stored = rounded.integers.iter().zip(self.grid_of).zip(self.values);
        stored.map(|((&q, &part), &x)| rounded.points.point(part, q) - x).collect()
    }

    /// The mean squared error of the outputs, added up over these: `second` holds `H` of each group.
    pub fn error(&self, rounded: &Rounded, second: &[Vec<f64>]) -> f64 {
        self.power(&self.change(rounded), second)
    }

    /// The mean square of the outputs that `matrix` gives in place of the weights, added up over these.
    pub fn power(&self, matrix: &[f64], second: &[Vec<f64>]) -> f64 {
        let groups = matrix.chunks(self.per_group().max(1)).zip(second);
        groups.map(|(matrix, second)| quadratic(matrix, self.columns, second).max(0.0)).sum()
    }
}

/// What members, each with its importance, lose on the nearest numbers of a grid: squares, added up.
pub fn squared_error(grid: &Grid, members: &[(f64, f64)]) -> f64 {
    scale::error(members, grid)
}

/// The integer whose number is nearest to `x`; ties go to even numbers.
fn nearest(grid: &Grid, x: f64) -> i32 {
    let q = (x / f64::from(grid.scale)).round_ties_even();
    (q as i32).saturating_add(grid.zero_point).clamp(grid.low, grid.high)
}

/// The number that an integer stands for.
fn point(grid: &Grid, q: i32) -> f64 {
    f64::from(grid.scale) * f64::from(q - grid.zero_point)
}

/// `second` with `share` of the mean of its diagonal added to the diagonal: few samples leave directions
/// in which nothing was seen, and there the weights should stay near what they are.
pub fn damped(second: &[f64], columns: usize, share: f64) -> Vec<f64> {
    let mut damped = second.to_vec();
    let diagonal = || second.iter().step_by(columns + 1);
    let mean = diagonal().sum::<f64>() / columns.max(1) as f64;
    // Where nothing was seen at all, rounding is to nearest.
    let added = if mean > 0.0 { share * mean } else { 1.0 };
    damped.iter_mut().step_by(columns + 1).for_each(|x| *x += added);
    damped
}

#[cfg(test)]
mod tests {
    use super::*;

    pub const GRID: Grid = Grid { scale: 0.25, zero_point: 0, low: -8, high: 7 };

    /// Second moments of columns that all carry much of one signal.
    pub fn correlated(columns: usize) -> Vec<f64> {
        let entry = |i: usize| if i.is_multiple_of(columns + 1) { 1.3 } else { 1.0 };
        (0..columns * columns).map(entry).collect()
    }

    /// Weights between grid points, all off to the same side.
    pub fn sample(count: usize) -> Vec<f64> {
        (0..count)
            .map(|i| 0.25 * ((i * 5 % 7) as f64 - 3.0) + 0.06 + 0.01 * (i % 4) as f64)
            .collect()
    }

    /// The least error of all integers within one step of the nearest.
    pub fn least(weights: Weights<'_>, second: &[Vec<f64>]) -> f64 {
        let start = weights.nearest(&Points::Grids(vec![GRID]));
        let count = 3usize.pow(start.integers.len() as u32);
        let trial = |code: usize| {
            let mut rounded = start.clone();
            let mut code = code;
            for q in &mut rounded.integers {
                *q = (*q + (code % 3) as i32 - 1).clamp(GRID.low, GRID.high);
                code /= 3;
            }
            weights.error(&rounded, second)
        };
        (0..count).map(trial).fold(f64::INFINITY, f64::min)
    }

    #[test]
    fn every_method_comes_close_to_the_best_of_all_integers() {
        let (values, grid_of) = (sample(8), vec![0; 8]);
        let weights = Weights { rows: 1, columns: 8, values: &values, grid_of: &grid_of };
        let second = vec![correlated(8)];
        let grids = Points::Grids(vec![GRID]);
        let nearest = weights.nearest(&grids);
        let (first, best) = (weights.error(&nearest, &second), least(weights, &second));
        assert!(best < 0.3 * first, "{best} {first}");
        let feedback: Vec<Feedback> =
            second.iter().map(|second| Feedback::of(second, 8).unwrap()).collect();
        let gptq = gptq(weights, &grids, &feedback);
        let descended = descend(weights, gptq.clone(), &second);
        let learned = adaround(weights, &[GRID], &second);
        let errors = [&gptq, &descended, &learned].map(|found| weights.error(found, &second));
        assert!(errors[0] < 0.6 * first, "{errors:?} {first} {best}");
        assert!(errors[1] <= errors[0] && errors[1] < 1.7 * best, "{errors:?} {best}");
        assert!(errors[2] < 0.6 * first, "{errors:?} {first} {best}");
    }

    #[test]
    fn without_correlation_all_round_to_nearest() {
        let (values, grid_of) = (sample(12), vec![0; 12]);
        let weights = Weights { rows: 2, columns: 3, values: &values, grid_of: &grid_of };
        let unit = vec![vec![2.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 3.0]; 2];
        let grids = Points::Grids(vec![GRID]);
        let nearest = weights.nearest(&grids);
        let feedback: Vec<Feedback> =
            unit.iter().map(|second| Feedback::of(second, 3).unwrap()).collect();
        assert_eq!(gptq(weights, &grids, &feedback), nearest);
        assert_eq!(descend(weights, nearest.clone(), &unit), nearest);
        assert_eq!(adaround(weights, &[GRID], &unit), nearest);
    }

    #[test]
    fn damping_adds_to_the_diagonal_alone() {
        assert_eq!(damped(&[1.0, 0.5, 0.5, 3.0], 2, 0.1), [1.2, 0.5, 0.5, 3.2]);
        assert_eq!(damped(&[0.0; 4], 2, 0.1), [1.0, 0.0, 0.0, 1.0]);
    }
}
