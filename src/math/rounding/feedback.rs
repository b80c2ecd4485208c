//! GPTQ: weights are rounded one after the other, and what rounding one changes in the outputs is made up
//! for by those that follow.
//!
//! Frantar et al., "GPTQ: Accurate Post-Training Quantization for Generative Pre-trained Transformers",
//! 2022, in the form of Chee et al., "QuIP: 2-Bit Quantization of Large Language Models With Guarantees",
//! 2023: with `H = (U + I) D (U + I)ᵀ` and `U` strictly upper triangular, weight `j` is rounded to
//! `w_j + Σ_{i<j} (w_i - w'_i) U_ij`. That is the same rounding, and needs no inverse. Columns go in the order
//! of decreasing `H_jj`, so that those that matter most are moved least.

use faer::linalg::solvers::Llt;
use faer::{Mat, Side};
use rayon::prelude::*;

use super::{Points, Rounded, TOGETHER, Weights};

/// The order of columns, and how much of the error of one goes to those that follow.
#[derive(Debug, Clone)]
pub struct Feedback {
    order: Vec<usize>,
    /// `U`, row by row, in that order.
    shares: Vec<f64>,
    /// `D`, in that order: what a unit of error in a column costs when all that follow make up for it.
    pivots: Vec<f64>,
}

impl Feedback {
    /// From second moments; `None` when these are not positive definite.
    pub fn of(second: &[f64], columns: usize) -> Option<Self> {
        let mut order: Vec<usize> = (0..columns).collect();
        let diagonal = |i: usize| second[i * (columns + 1)];
        order.sort_by(|&a, &b| diagonal(b).total_cmp(&diagonal(a)));
        Self::along(second, columns, order)
    }

    /// The same with the columns in the order in which they stand.
    pub fn in_place(second: &[f64], columns: usize) -> Option<Self> {
        Self::along(second, columns, (0..columns).collect())
    }

    fn along(second: &[f64], columns: usize, order: Vec<usize>) -> Option<Self> {
        // Turned around, the lower triangle of Cholesky is the upper one that is wanted.
        let turned = Mat::from_fn(columns, columns, |i, j| {
            second[order[columns - 1 - i] * columns + order[columns - 1 - j]]
        });
        let factor = Llt::new(turned.as_ref(), Side::Lower).ok()?;
        let lower = factor.L();
        let mut shares = vec![0.0; columns * columns];
        for i in 0..columns {
            for j in i + 1..columns {
                let (row, column) = (columns - 1 - i, columns - 1 - j);
                shares[i * columns + j] = lower[(row, column)] / lower[(column, column)];
            }
        }
        let pivot = |i: usize| lower[(columns - 1 - i, columns - 1 - i)].powi(2);
        let pivots = (0..columns).map(pivot).collect();
        shares.iter().all(|x| x.is_finite()).then_some(Self { order, shares, pivots })
    }

    /// What an error of 1 in the column at place `at` costs when all that follow make up for it.
    pub fn pivot(&self, at: usize) -> f64 {
        self.pivots[at]
    }

    /// How much of the error of the column at place `at` goes to each of all columns, in order; 0 for those
    /// that do not follow.
    pub fn shares(&self, at: usize) -> &[f64] {
        let columns = self.order.len();
        &self.shares[at * columns..][..columns]
    }
}

/// Rounds the weights of all groups, with the feedback of each.
pub fn gptq(weights: Weights<'_>, points: &Points, feedback: &[Feedback]) -> Rounded {
    let mut integers = vec![0; weights.values.len()];
    let columns = weights.columns;
    let block = columns * TOGETHER;
    let groups = integers
        .chunks_mut(weights.per_group().max(1))
        .zip(weights.values.chunks(weights.per_group().max(1)))
        .zip(weights.grid_of.chunks(weights.per_group().max(1)))
        .zip(feedback);
    for (((integers, values), grid_of), feedback) in groups {
        let blocks = integers.par_chunks_mut(block).zip(values.par_chunks(block));
        blocks.zip(grid_of.par_chunks(block)).for_each(|((integers, values), grid_of)| {
            let rows = values.len() / columns;
            // What each column still has to make up for.
            let mut owed = vec![0f64; values.len()];
            for (at, &column) in feedback.order.iter().enumerate() {
                let shares = &feedback.shares[at * columns..][..columns];
                for row in 0..rows {
                    let place = row * columns + column;
                    let owed = &mut owed[row * columns..][..columns];
                    let part = grid_of[place];
                    let q = points.nearest(part, values[place] + owed[at]);
                    integers[place] = q;
                    let error = values[place] - points.point(part, q);
                    let rest = owed[at + 1..].iter_mut().zip(&shares[at + 1..]);
                    rest.for_each(|(owed, share)| *owed += error * share);
                }
            }
        });
    }
    Rounded { integers, points: points.clone() }
}
