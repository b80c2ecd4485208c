//! What a linear layer is best given when some of its inputs are gone.
//!
//! With `C` the covariance of the inputs, `K` those that stay and `M` those that are gone, the change
//! `D = W_M C_MK (C_KK + λ I)⁻¹` of the weights that stay makes up for what is gone as far as a
//! linear layer can, and the offset for the means of both.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

use super::{Affine, Estimate};

/// How strongly weights are held to what they were, in units of the mean variance of an input.
const RIDGE: f64 = 1e-3;

/// A layer, and what it reads.
#[derive(Debug, Clone, PartialEq)]
pub struct Shrink {
    weights: Vec<f64>,
    mean: Vec<f64>,
    covariance: Vec<f64>,
}

impl Shrink {
    /// A layer with these weights, row by row, and what it reads.
    pub fn of(weights: Vec<f64>, inputs: Estimate) -> Self {
        let Estimate { mean, covariance } = inputs;
        Self { weights, mean, covariance }
    }

    /// Corrects some `rows` of the layer, of which only the columns `kept` are left in `now`.
    pub fn correct(
        &self,
        now: &mut Affine,
        rows: &[usize],
        kept: &[usize],
        free: bool,
    ) -> Option<()> {
        let n = self.mean.len();
        let mut gone = vec![true; n];
        kept.iter().for_each(|&column| gone[column] = false);
        let gone: Vec<usize> = (0..n).filter(|&column| gone[column]).collect();
        if gone.is_empty() || kept.is_empty() {
            return Some(());
        }
        let trace: f64 = kept.iter().map(|&i| self.covariance[i * (n + 1)]).sum();
        let unit = trace / kept.len() as f64;
        if unit <= 0.0 {
            return Some(());
        }
        let left = Mat::from_fn(kept.len(), kept.len(), |i, j| {
            self.covariance[kept[i] * n + kept[j]] + if i == j { RIDGE * unit } else { 0.0 }
        });
        let cross =
            Mat::from_fn(kept.len(), gone.len(), |i, j| self.covariance[kept[i] * n + gone[j]]);
        let lost = Mat::from_fn(gone.len(), rows.len(), |i, j| self.weights[rows[j] * n + gone[i]]);
        let change = Llt::new(left.as_ref(), Side::Lower).ok()?.solve(&(&cross * &lost));
        for (r, row) in now.weights.chunks_exact_mut(kept.len()).enumerate() {
            let mut shift: f64 =
                gone.iter().zip(lost.col(r).iter()).map(|(&c, w)| self.mean[c] * w).sum();
            for (i, weight) in row.iter_mut().enumerate() {
                *weight += change[(i, r)];
                shift -= change[(i, r)] * self.mean[kept[i]];
            }
            if free {
                now.offset[r] += shift;
            }
        }
        Some(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::Moments;

    #[test]
    fn what_follows_from_the_rest_is_made_up_for() {
        // The third input is twice the first one plus 1; the second one is independent.
        let rows: Vec<f32> = (0..64u8)
            .flat_map(|i| {
                let (a, b) = (f32::from(i % 8), f32::from(i / 8));
                [a, b, 2.0 * a + 1.0]
            })
            .collect();
        let mut seen = Moments::second(3);
        seen.add(&rows);
        let inputs = Estimate::of_fitting(&seen, &seen).unwrap();
        let layer = Shrink::of(vec![1.0, 2.0, 3.0, 0.0, 1.0, -1.0], inputs);
        // The second row alone is left, and reads the first two inputs.
        let mut now = Affine { weights: vec![0.0, 1.0], offset: vec![0.5] };
        layer.correct(&mut now, &[1], &[0, 1], true).unwrap();
        let near = |a: f64, b: f64| (a - b).abs() < 0.02;
        assert!(near(now.weights[0], -2.0) && near(now.weights[1], 1.0), "{now:?}");
        assert!(near(now.offset[0], -0.5), "{now:?}");
        // Without a place for an offset the weights alone change.
        let mut fixed = Affine { weights: vec![0.0, 1.0], offset: vec![0.5] };
        layer.correct(&mut fixed, &[1], &[0, 1], false).unwrap();
        assert_eq!((fixed.weights, fixed.offset), (now.weights, vec![0.5]));
    }
}
