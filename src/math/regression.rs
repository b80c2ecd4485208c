//! Least squares: the matrix and the offset with which `W x + b` comes closest to `y`.
//!
//! What is needed of the pairs are sums of their products, so memory does not grow with their number.
//! With `C` the covariance of `x` and `S` that of `y` and `x`, the change `D` of given weights `W` that
//! makes up for `S - W C`, damped by a ridge, is `D = (S - W C) (C + λ I)⁻¹`. Where `x` does not vary,
//! or for a large `λ`, the weights stay what they were.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use ndarray::ArrayView2;

use super::{CrossMoments, Moments};

/// Sums over pairs of vectors `x` and `y`.
#[derive(Debug, Clone, PartialEq)]
pub struct Regression {
    x: Moments,
    y: Moments,
    yx: CrossMoments,
    squares: f64,
}

/// `W x + b`.
#[derive(Debug, Clone, PartialEq)]
pub struct Affine {
    /// `W`, row by row.
    pub weights: Vec<f64>,
    /// `b`, one for each row.
    pub offset: Vec<f64>,
}

impl Regression {
    /// Of vectors `x` of `columns` and `y` of `rows` elements.
    pub fn new(rows: usize, columns: usize) -> Self {
        let (x, y) = (Moments::second(columns), Moments::first(rows));
        Self { x, y, yx: CrossMoments::new(rows, columns), squares: 0.0 }
    }

    /// Adds pairs, one after the other.
    pub fn add(&mut self, x: &[f32], y: &[f32]) {
        self.x.add(x);
        self.y.add(y);
        self.yx.add(y, x);
        self.squares += y.iter().map(|&y| f64::from(y) * f64::from(y)).sum::<f64>();
    }

    /// Adds the pairs that another saw.
    pub fn merge(&mut self, other: &Self) {
        self.x.merge(&other.x);
        self.y.merge(&other.y);
        self.yx.merge(&other.yx);
        self.squares += other.squares;
    }

    /// Pairs.
    pub fn rows(&self) -> u64 {
        self.x.rows()
    }

    /// Elements of `x`.
    pub fn columns(&self) -> usize {
        self.x.columns()
    }

    /// There are pairs, as many `x` as `y`, of finite numbers.
    pub fn is_usable(&self) -> bool {
        self.x.rows() > 0
            && self.x.rows() == self.y.rows()
            && self.squares.is_finite()
            && self.x.is_finite()
            && self.yx.sum().iter().all(|x| x.is_finite())
    }

    /// Sum over the elements of `y` of their mean squares.
    pub fn signal(&self) -> f64 {
        self.squares / self.x.rows().max(1) as f64
    }

    /// Sum over the elements of `y` of their variances.
    pub fn variance(&self) -> f64 {
        let mean = self.y.mean();
        (self.signal() - mean.iter().map(|mean| mean * mean).sum::<f64>()).max(0.0)
    }

    /// Sum over the elements of `y` of the mean squared error of `W x + b`.
    pub fn error(&self, affine: &Affine) -> f64 {
        let (columns, count) = (self.x.columns(), self.x.rows().max(1) as f64);
        let Some(second) = self.x.about(&vec![0.0; columns]) else { return f64::INFINITY };
        let (mean_x, mean_y) = (self.x.mean(), self.y.mean());
        let mut error = self.signal() + super::quadratic(&affine.weights, columns, &second);
        let rows = affine.weights.chunks(columns.max(1)).zip(self.yx.sum().chunks(columns.max(1)));
        for (i, (weights, yx)) in rows.enumerate() {
            let b = affine.offset[i];
            let dot = |v: &[f64]| weights.iter().zip(v).map(|(w, v)| w * v).sum::<f64>();
            error += -2.0 * dot(yx) / count + b * (b + 2.0 * dot(&mean_x) - 2.0 * mean_y[i]);
        }
        error.max(0.0)
    }

    /// For each ridge, in units of the mean variance of an element of `x`, what comes closest to `y`,
    /// starting from `from`. With `free` the offset is fitted, too. `None` where the sums do not
    /// determine it.
    pub fn solve(&self, from: &Affine, free: bool, ridges: &[f64]) -> Vec<Option<Affine>> {
        let (columns, rows) = (self.x.columns(), from.offset.len());
        let (mean_x, mean_y) = (self.x.mean(), self.y.mean());
        // Without a free offset, the products of what is left when the given one is taken away.
        let centre = if free { mean_x.clone() } else { vec![0.0; columns] };
        let Some(covariance) = self.x.about(&centre) else { return vec![None; ridges.len()] };
        let count = self.x.rows().max(1) as f64;
        let missing = |offset: &[f64]| {
            let mut missing: Vec<f64> = self.yx.sum().iter().map(|sum| sum / count).collect();
            for (i, row) in missing.chunks_mut(columns.max(1)).enumerate() {
                let shift = if free { mean_y[i] } else { offset[i] };
                row.iter_mut().zip(&mean_x).for_each(|(s, x)| *s -= shift * x);
            }
            missing
        };
        let mut gap = missing(&from.offset);
        let view = |v, rows| ArrayView2::from_shape((rows, columns), v);
        if let (Ok(w), Ok(c)) = (view(&from.weights, rows), view(&covariance, columns)) {
            gap.iter_mut().zip(&w.dot(&c)).for_each(|(gap, explained)| *gap -= explained);
        }
        let trace: f64 = (0..columns).map(|i| covariance[i * (columns + 1)]).sum();
        let unit = trace / columns.max(1) as f64;
        let right = Mat::from_fn(columns, rows, |j, i| gap[i * columns + j]);
        let solved = |&ridge: &f64| {
            let left = Mat::from_fn(columns, columns, |i, j| {
                covariance[i * columns + j] + if i == j { ridge * unit } else { 0.0 }
            });
            let change = Llt::new(left.as_ref(), Side::Lower).ok()?.solve(&right);
            let mut weights = from.weights.clone();
            for (at, weight) in weights.iter_mut().enumerate() {
                *weight += change[(at % columns, at / columns)];
            }
            let mut offset = from.offset.clone();
            if free {
                for (i, row) in weights.chunks(columns).enumerate() {
                    let reached: f64 = row.iter().zip(&mean_x).map(|(w, x)| w * x).sum();
                    offset[i] = mean_y[i] - reached;
                }
            }
            let finite = weights.iter().chain(&offset).all(|x| x.is_finite());
            finite.then_some(Affine { weights, offset })
        };
        match unit > 0.0 {
            true => ridges.iter().map(solved).collect(),
            false => vec![None; ridges.len()],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers in -1..1 that follow from a seed.
    fn numbers(count: usize, mut state: u32) -> Vec<f32> {
        let mut next = || {
            state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            (state >> 8) as f32 / (1 << 23) as f32 - 1.0
        };
        (0..count).map(|_| next()).collect()
    }

    #[test]
    fn an_affine_map_is_found_again() {
        let (rows, columns, count) = (2, 3, 500);
        let known =
            Affine { weights: vec![1.0, -2.0, 0.5, 0.25, 3.0, -1.0], offset: vec![4.0, -0.5] };
        let x: Vec<f32> = numbers(count * columns, 3).iter().map(|x| x + 2.0).collect();
        let y: Vec<f32> = x
            .chunks(columns)
            .flat_map(|x| {
                let row = |i: usize| -> f64 {
                    let w = &known.weights[i * columns..(i + 1) * columns];
                    w.iter().zip(x).map(|(w, &x)| w * f64::from(x)).sum::<f64>() + known.offset[i]
                };
                [row(0) as f32, row(1) as f32]
            })
            .collect();
        let mut sums = Regression::new(rows, columns);
        sums.add(&x, &y);
        let from = Affine { weights: vec![0.0; 6], offset: vec![0.0; 2] };
        let found = sums.solve(&from, true, &[1e-9])[0].clone().unwrap();
        let far = |a: &[f64], b: &[f64]| a.iter().zip(b).any(|(a, b)| (a - b).abs() > 1e-3);
        assert!(!far(&found.weights, &known.weights) && !far(&found.offset, &known.offset));
        assert!(sums.error(&found) < 1e-5 * sums.signal());
        assert!((sums.error(&from) - sums.signal()).abs() < 1e-9);
        // With the right offset given, the weights are found without a free one.
        let given = Affine { offset: known.offset.clone(), ..from.clone() };
        let found = sums.solve(&given, false, &[1e-9])[0].clone().unwrap();
        assert!(!far(&found.weights, &known.weights));
        // A large ridge leaves things as they are.
        let found = sums.solve(&from, true, &[1e9])[0].clone().unwrap();
        assert!(!far(&found.weights, &from.weights));
    }
}
