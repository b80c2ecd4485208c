//! Which weights of a matrix become zero, and what the others become then.

use serde::{Deserialize, Serialize};

use rayon::prelude::*;

use crate::math::rounding::Feedback;

/// How many weights become zero.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Zeros {
    /// This share of those that are compared with each other.
    Share(f64),
    /// In each row, of each `of` neighbours all but `kept`; what is left over at the end of a row stays.
    Blocks {
        /// Weights that stay.
        kept: usize,
        /// Of so many.
        of: usize,
    },
}

/// Columns that are decided on at once, when errors move on to those that follow (as in the paper).
const BLOCK: usize = 128;

/// For each weight whether it becomes zero, least scores first; of equal ones the first. With a share, all
/// `scores` are compared.
pub fn lowest(scores: &[f64], columns: usize, zeros: Zeros) -> Vec<bool> {
    let mut gone = vec![false; scores.len()];
    match zeros {
        Zeros::Share(share) => {
            let count = (share.clamp(0.0, 1.0) * scores.len() as f64).round() as usize;
            least(scores, count).for_each(|i| gone[i] = true);
        }
        Zeros::Blocks { kept, of } => {
            let rows = scores.chunks(columns.max(1)).zip(gone.chunks_mut(columns.max(1)));
            for (scores, gone) in rows {
                let blocks = scores.chunks_exact(of.max(1)).zip(gone.chunks_exact_mut(of.max(1)));
                for (scores, gone) in blocks {
                    least(scores, of.saturating_sub(kept)).for_each(|i| gone[i] = true);
                }
            }
        }
    }
    gone
}

/// The places of the `count` least numbers.
fn least(scores: &[f64], count: usize) -> impl Iterator<Item = usize> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[a].total_cmp(&scores[b]).then(a.cmp(&b)));
    order.into_iter().take(count)
}

/// Scores of Wanda (Sun et al., "A Simple and Effective Pruning Approach for Large Language Models", 2023):
/// a weight times the norm of what it is multiplied with. `squares` are mean squares of the columns.
pub fn wanda(values: &[f64], squares: &[f64]) -> Vec<f64> {
    let rows = values.chunks(squares.len().max(1));
    rows.flat_map(|row| row.iter().zip(squares).map(|(w, s)| w.abs() * s.max(0.0).sqrt())).collect()
}

/// `SparseGPT` (Frantar and Alistarh, "SparseGPT: Massive Language Models Can Be Accurately Pruned in
/// One-Shot", 2023): columns in order; the weights that cost least become zero, and what that changes in
/// the outputs is made up for by the columns that follow. `values` are the rows of one matrix; returned
/// is what they become.
pub fn sparsegpt(values: &[f64], columns: usize, zeros: Zeros, feedback: &Feedback) -> Vec<f64> {
    let mut found = values.to_vec();
    // What each weight has to make up for.
    let mut owed = vec![0.0; values.len()];
    let width = match zeros {
        Zeros::Share(_) => BLOCK,
        Zeros::Blocks { of, .. } => of.max(1),
    };
    for start in (0..columns).step_by(width) {
        let end = (start + width).min(columns);
        let scores: Vec<f64> = (values.chunks(columns).zip(owed.chunks(columns)))
            .flat_map(|(row, owed)| {
                let cost = |j: usize| (row[j] + owed[j]).powi(2) * feedback.pivot(j);
                (start..end).map(cost)
            })
            .collect();
        // A rest that fills no block stays.
        let gone = lowest(&scores, end - start, zeros);
        let rows = found.par_chunks_mut(columns).zip(owed.par_chunks_mut(columns));
        let rows = rows.zip(values.par_chunks(columns)).zip(gone.par_chunks(end - start));
        rows.for_each(|(((found, owed), values), gone)| {
            for j in start..end {
                found[j] = if gone[j - start] { 0.0 } else { values[j] + owed[j] };
                let error = values[j] - found[j];
                let shares = &feedback.shares(j)[j + 1..];
                owed[j + 1..].iter_mut().zip(shares).for_each(|(owed, s)| *owed += error * s);
            }
        });
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::quadratic;

    fn correlated(columns: usize) -> Vec<f64> {
        (0..columns * columns)
            .map(|i| {
                let (a, b) = (i / columns, i % columns);
                0.8f64.powi(a.abs_diff(b) as i32) * (1.0 + 0.1 * (a + b) as f64)
            })
            .collect()
    }

    fn sample(count: usize) -> Vec<f64> {
        (0..count).map(|i| ((i * 37 % 23) as f64 - 11.0) / 11.0 + 0.01).collect()
    }

    fn error(a: &[f64], b: &[f64], columns: usize, second: &[f64]) -> f64 {
        let change: Vec<f64> = a.iter().zip(b).map(|(a, b)| a - b).collect();
        quadratic(&change, columns, second)
    }

    #[test]
    fn the_least_go() {
        assert_eq!(lowest(&[3.0, 1.0, 2.0, 1.0], 2, Zeros::Share(0.5)), [false, true, false, true]);
        let blocks = Zeros::Blocks { kept: 1, of: 2 };
        let gone = lowest(&[3.0, 1.0, 0.0, 5.0, 5.0, 0.1], 3, blocks);
        assert_eq!(gone, [false, true, false, true, false, false]);
        assert_eq!(wanda(&[1.0, -2.0], &[9.0, 0.25]), [3.0, 1.0]);
    }

    #[test]
    fn what_follows_makes_up_for_zeros() {
        let (columns, rows) = (8, 3);
        let (values, second) = (sample(rows * columns), correlated(columns));
        let feedback = Feedback::in_place(&second, columns).unwrap();
        for zeros in [Zeros::Share(0.5), Zeros::Blocks { kept: 2, of: 4 }] {
            let magnitudes: Vec<f64> = values.iter().map(|x| x.abs()).collect();
            let gone = lowest(&magnitudes, columns, zeros);
            let plain: Vec<f64> =
                values.iter().zip(&gone).map(|(&x, &gone)| if gone { 0.0 } else { x }).collect();
            let found = sparsegpt(&values, columns, zeros, &feedback);
            let count = |values: &[f64]| values.iter().filter(|&&x| x == 0.0).count();
            assert_eq!(count(&found), rows * columns / 2);
            let (a, b) = (
                error(&values, &found, columns, &second),
                error(&values, &plain, columns, &second),
            );
            assert!(a < 0.9 * b, "{zeros:?}: {a} {b}");
            // Twice is once.
            assert_eq!(sparsegpt(&found, columns, zeros, &feedback), found);
        }
    }

    #[test]
    fn without_correlation_only_the_least_products_go() {
        let values = sample(6);
        let unit = [1.0, 0.0, 0.0, 0.0, 4.0, 0.0, 0.0, 0.0, 9.0];
        let feedback = Feedback::in_place(&unit, 3).unwrap();
        let gone = lowest(&wanda(&values, &[1.0, 4.0, 9.0]), 3, Zeros::Share(0.5));
        let expected: Vec<f64> =
            values.iter().zip(gone).map(|(&x, gone)| if gone { 0.0 } else { x }).collect();
        assert_eq!(sparsegpt(&values, 3, Zeros::Share(0.5), &feedback), expected);
    }
}
