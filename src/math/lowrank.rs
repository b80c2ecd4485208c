//! Matrices as products of two that are smaller.
//!
//! Of all matrices of rank `r`, the one that comes closest to `W` on inputs with second moments `C` keeps the
//! directions of the outputs that carry most: with `U` the first eigenvectors of `W C Wᵀ`, it is
//! `U (Uᵀ W)`, and its squared error is the sum of the other eigenvalues (Eckart and Young, "The
//! approximation of one matrix by another of lower rank", 1936, for `W C^½`). `C = I` gives the truncated
//! singular value decomposition of `W`.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};

/// A dense matrix of `f64`.
pub type Matrix = Mat<f64>;

/// Share of the mean of the diagonal of second moments that is added to it: directions that no sample
/// has are kept by the size of the weights alone, and after all others.
const DAMPING: f64 = 1e-6;

/// A matrix from its elements, row by row.
pub fn matrix(rows: usize, columns: usize, elements: &[f64]) -> Matrix {
    Mat::from_fn(rows, columns, |i, j| elements[i * columns + j])
}

/// The elements of a matrix, row by row.
pub fn elements(matrix: &Matrix) -> Vec<f64> {
    let (rows, columns) = (matrix.nrows(), matrix.ncols());
    (0..rows).flat_map(|i| (0..columns).map(move |j| matrix[(i, j)])).collect()
}

/// Second moments with a floor under what hardly varies.
#[must_use]
pub fn damped(mut moments: Matrix) -> Matrix {
    let n = moments.nrows();
    let trace: f64 = (0..n).map(|i| moments[(i, i)]).sum();
    // Where nothing was ever seen, all directions are alike.
    let floor = if trace > 0.0 { DAMPING * trace / n.max(1) as f64 } else { 1.0 };
    (0..n).for_each(|i| moments[(i, i)] += floor);
    moments
}

/// `T C Tᵀ`; without `C`, it is the identity.
pub fn gram(t: &Matrix, moments: Option<&Matrix>) -> Matrix {
    let mut product = match moments {
        Some(moments) => t * moments * t.transpose(),
        None => t * t.transpose(),
    };
    symmetrize(&mut product);
    product
}

/// Rounding makes a product a little lopsided.
fn symmetrize(matrix: &mut Matrix) {
    for i in 0..matrix.nrows() {
        for j in 0..i {
            let mean = f64::midpoint(matrix[(i, j)], matrix[(j, i)]);
            (matrix[(i, j)], matrix[(j, i)]) = (mean, mean);
        }
    }
}

/// Eigenvalues, largest first, and the eigenvectors of the first `most`, of a positive matrix.
fn eigen(matrix: &Matrix, most: usize) -> Option<(Vec<f64>, Matrix)> {
    let found = matrix.self_adjoint_eigen(Side::Lower).ok()?;
    let n = matrix.nrows();
    let values: Vec<f64> = (0..n).rev().map(|i| found.S()[i]).collect();
    let vectors = Mat::from_fn(n, most.min(n), |i, j| found.U()[(i, n - 1 - j)]);
    let finite = values.iter().all(|x| x.is_finite());
    finite.then(|| (values.iter().map(|x| x.max(0.0)).collect(), vectors))
}

/// A matrix, and what each further rank of an approximation of it is worth.
#[derive(Debug, Clone)]
pub struct Spectrum {
    /// What is worth most comes first: squared error that is gone with each rank.
    values: Vec<f64>,
    /// `(left, right)` of full rank, whose product is the matrix; the first ranks of both approximate it.
    left: Matrix,
    right: Matrix,
}

impl Spectrum {
    /// Of `w`, whose inputs have these second moments, [damped]; the identity when there are none.
    /// `None` when the numbers are not finite.
    pub fn of(w: &Matrix, moments: Option<&Matrix>) -> Option<Self> {
        let (m, n) = (w.nrows(), w.ncols());
        let rank = m.min(n);
        let found = if m <= n {
            let (values, left) = eigen(&gram(w, moments), rank)?;
            let right = left.transpose() * w;
            Self { values, left, right }
        } else {
            Self::of_tall(w, moments)?
        };
        Some(Self { values: found.values[..rank].to_vec(), ..found })
    }

    /// With a root `R` of the moments, `W R` has the right singular vectors `V`, and the outputs that
    /// carry most are those of `Vᵀ R⁻¹ x`.
    fn of_tall(w: &Matrix, moments: Option<&Matrix>) -> Option<Self> {
        let n = w.ncols();
        let Some(moments) = moments else {
            let (values, vectors) = eigen(&gram(&w.transpose().to_owned(), None), n)?;
            return Some(Self {
                values,
                left: w * &vectors,
                right: vectors.transpose().to_owned(),
            });
        };
        let (variances, axes) = eigen(moments, n)?;
        let least = variances.first().copied().unwrap_or(0.0) * f64::EPSILON;
        let root = |power: f64| {
            Mat::from_fn(n, n, |i, j| axes[(i, j)] * variances[j].max(least).powf(power))
        };
        let scaled = w * root(0.5);
        let (values, vectors) = eigen(&gram(&scaled.transpose().to_owned(), None), n)?;
        let right = vectors.transpose() * root(-0.5).transpose();
        Some(Self { values, left: scaled * &vectors, right })
    }

    /// The same decomposition, with the squared errors that it makes on inputs with other second moments.
    #[must_use]
    pub fn judged(mut self, moments: &Matrix) -> Self {
        // Columns on the left are orthogonal, so that errors of ranks add up for any inputs.
        let squares = gram(&self.right, Some(moments));
        for (i, value) in self.values.iter_mut().enumerate() {
            *value = self.left.col(i).squared_norm_l2() * squares[(i, i)].max(0.0);
        }
        self
    }

    /// Largest rank.
    pub fn rank(&self) -> usize {
        self.values.len()
    }

    /// The squared error of the outputs at a rank.
    pub fn loss(&self, rank: usize) -> f64 {
        self.values.iter().skip(rank).sum()
    }

    /// The matrices whose product approximates the matrix at a rank. A column of the left one and the row
    /// of the right one that it meets are of equal length, so that types of few bits hold both.
    pub fn factors(&self, rank: usize) -> (Matrix, Matrix) {
        let rank = rank.min(self.rank());
        let mut left = self.left.get(.., ..rank).to_owned();
        let mut right = self.right.get(..rank, ..).to_owned();
        for i in 0..rank {
            let (a, b) = (left.col(i).norm_l2(), right.row(i).norm_l2());
            if a > 0.0 && b > 0.0 {
                let factor = (b / a).sqrt();
                left.col_mut(i).iter_mut().for_each(|x| *x *= factor);
                right.row_mut(i).iter_mut().for_each(|x| *x /= factor);
            }
        }
        (left, right)
    }
}

/// The matrix `B` with which `B T x` comes closest to `W x`, for inputs with these second moments, and its
/// squared error. `None` where they do not determine it.
pub fn fit_last(w: &Matrix, moments: Option<&Matrix>, t: &Matrix) -> Option<(Matrix, f64)> {
    let squares = damped(gram(t, moments));
    let seen = moments.map_or_else(|| w.to_owned(), |moments| w * moments);
    let cross = &seen * t.transpose();
    let b = Llt::new(squares.as_ref(), Side::Lower).ok()?.solve(cross.transpose());
    let b = b.transpose().to_owned();
    let dot = |a: &Matrix, b: &Matrix| -> f64 {
        let columns = a.col_iter().zip(b.col_iter());
        columns.map(|(a, b)| a.iter().zip(b.iter()).map(|(x, y)| x * y).sum::<f64>()).sum()
    };
    let loss = dot(&seen, w) - 2.0 * dot(&b, &cross) + dot(&(&b * &squares), &b);
    loss.is_finite().then_some((b, loss.max(0.0)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn numbers(rows: usize, columns: usize, seed: u64) -> Matrix {
        let mut state = seed;
        Mat::from_fn(rows, columns, |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
        })
    }

    /// `Σ |(W - V) x|²` with the second moments.
    fn error(w: &Matrix, v: &Matrix, moments: Option<&Matrix>) -> f64 {
        let squares = gram(&(w - v), moments);
        (0..squares.nrows()).map(|i| squares[(i, i)]).sum()
    }

    fn close(a: f64, b: f64, scale: f64) -> bool {
        (a - b).abs() <= 1e-9 * scale
    }

    proptest! {
        #[test]
        fn the_loss_is_the_error(m in 1usize..9, n in 1usize..9, samples in 1usize..12, seed: u64) {
            let w = numbers(m, n, seed);
            // Fewer samples than inputs: rank-deficient.
            let x = numbers(n, samples, seed ^ 77);
            let moments = damped(gram(&x, None));
            for moments in [None, Some(&moments)] {
                let spectrum = Spectrum::of(&w, moments).unwrap();
                let whole = error(&w, &Mat::zeros(m, n), moments);
                // What the weights could give, which the floor is a share of, may be more than they do.
                let trace = |c: &Matrix| (0..n).map(|i| c[(i, i)]).sum::<f64>();
                let most = error(&w, &Mat::zeros(m, n), None) * moments.map_or(1.0, trace);
                for rank in 0..=m.min(n) {
                    let (left, right) = spectrum.factors(rank);
                    let found = error(&w, &(&left * &right), moments);
                    prop_assert!(close(found, spectrum.loss(rank), whole), "{found}");
                    let Some((refit, loss)) = fit_last(&w, moments, &right) else { continue };
                    if rank > 0 {
                        // Nothing is better on what the first factor leaves, but for the floor.
                        prop_assert!(loss <= found + 2e-6 * most, "{loss} {found}");
                        let again = error(&w, &(refit * &right), moments);
                        prop_assert!((again - found).abs() <= 2e-6 * most, "{again} {found}");
                    }
                }
                let (left, right) = spectrum.factors(m.min(n));
                let whole = error(&w, &(left * right), None);
                prop_assert!(whole < 1e-12, "full rank is exact: {whole}");
            }
        }
    }

    proptest! {
        #[test]
        fn errors_on_other_inputs_add_up(m in 1usize..8, n in 1usize..8, seed: u64) {
            let w = numbers(m, n, seed);
            let moments = damped(gram(&numbers(n, 5, seed ^ 3), None));
            let others = damped(gram(&numbers(n, 20, seed ^ 9), None));
            for moments in [None, Some(&moments)] {
                let spectrum = Spectrum::of(&w, moments).unwrap();
                let judged = spectrum.clone().judged(&others);
                let whole = error(&w, &Mat::zeros(m, n), Some(&others));
                for rank in 0..=m.min(n) {
                    let (left, right) = spectrum.factors(rank);
                    let found = error(&w, &(&left * &right), Some(&others));
                    prop_assert!((found - judged.loss(rank)).abs() <= 1e-6 * whole, "{found}");
                }
            }
        }
    }

    #[test]
    fn no_other_matrix_of_the_rank_is_closer() {
        let (w, x) = (numbers(6, 5, 1), numbers(5, 40, 2));
        let moments = damped(gram(&x, None));
        let spectrum = Spectrum::of(&w, Some(&moments)).unwrap();
        let plain = Spectrum::of(&w, None).unwrap();
        for rank in 1..5 {
            let (left, right) = plain.factors(rank);
            assert!(spectrum.loss(rank) < error(&w, &(left * right), Some(&moments)));
        }
    }

    #[test]
    fn what_was_never_seen_keeps_its_weights() {
        let w = numbers(3, 4, 5);
        let moments = damped(Mat::zeros(4, 4));
        let (left, right) = Spectrum::of(&w, Some(&moments)).unwrap().factors(3);
        assert!(error(&w, &(left * right), None) < 1e-12);
        assert!(Spectrum::of(&Mat::full(2, 2, f64::NAN), None).is_none());
    }
}
