//! Weights with windows as a product whose first factor is the same at every place.
//!
//! Columns of `W` are lines and, within each, places: channels and the places of a window, or channels with
//! one axis of it and the places along the others. `W x` becomes `B z`, where `z` at each place is `A` times
//! the lines there. Without second moments that is a truncated singular value decomposition of `W` with its
//! places moved to the rows (Jaderberg et al., "Speeding up Convolutional Neural Networks with Low Rank
//! Expansions", 2014; Kim et al., "Compression of Deep Convolutional Neural Networks for Fast and Low Power
//! Mobile Applications", 2015). With them, that is where least squares start, for `B` and `A` in turn.

use crate::math::lowrank::{Matrix, Spectrum, damped, fit_last, gram};

/// Rounds of least squares for the first factor after the last one.
const SWEEPS: usize = 2;
/// Steps of conjugate gradients in a round.
const STEPS: usize = 12;
/// Most columns for which they are taken: a step multiplies matrices of them.
const MOST_COLUMNS: usize = 1200;

/// A product.
#[derive(Debug, Clone)]
pub struct Separable {
    /// What is made of the lines at each place: `A`.
    pub first: Matrix,
    /// What reads that, row by row: `B`, whose columns are those of `A` and, within each, places.
    pub last: Matrix,
    /// Squared error of the outputs.
    pub loss: f64,
}

impl Separable {
    /// The same product, with the squared error that it makes on inputs with other second moments.
    #[must_use]
    pub fn judged(mut self, w: &Matrix, moments: &Matrix, wide: usize) -> Self {
        let left = w - &self.last * self.reading(wide);
        let seen = &left * moments;
        let columns = seen.col_iter().zip(left.col_iter());
        let dots = columns.map(|(a, b)| a.iter().zip(b.iter()).map(|(x, y)| x * y).sum::<f64>());
        self.loss = dots.sum::<f64>().max(0.0);
        self
    }

    /// `T`, with which `z = T x` for all places together.
    pub fn reading(&self, wide: usize) -> Matrix {
        reading(&self.first, wide)
    }
}

fn reading(first: &Matrix, wide: usize) -> Matrix {
    Matrix::from_fn(first.nrows() * wide, first.ncols() * wide, |row, column| {
        let same = row % wide == column % wide;
        if same { first[(row / wide, column / wide)] } else { 0.0 }
    })
}

/// Products of these ranks that come close to `w`, with `wide` places in each line, for inputs with these
/// second moments, [damped]. Ranks that the weights do not have are those that they have.
pub fn separate(
    w: &Matrix,
    moments: Option<&Matrix>,
    wide: usize,
    ranks: &[usize],
) -> Option<Vec<Separable>> {
    if ranks.is_empty() {
        return Some(Vec::new());
    }
    let lines = w.ncols() / wide.max(1);
    let tall = Matrix::from_fn(w.nrows() * wide, lines, |row, line| {
        w[(row / wide, line * wide + row % wide)]
    });
    let means = moments.map(|moments| {
        let sum = |a: usize, b: usize| {
            (0..wide).map(|place| moments[(a * wide + place, b * wide + place)]).sum()
        };
        damped(Matrix::from_fn(lines, lines, sum))
    });
    let spectrum = Spectrum::of(&tall, means.as_ref())?;
    let of_rank = |&rank: &usize| {
        let first = spectrum.factors(rank).1;
        let (last, loss) = fit_last(w, moments, &reading(&first, wide))?;
        let mut found = Separable { first, last, loss };
        if let Some(moments) = moments.filter(|moments| moments.ncols() <= MOST_COLUMNS) {
            for _ in 0..SWEEPS {
                let first = fit_first(w, moments, wide, &found);
                let (last, loss) = fit_last(w, Some(moments), &reading(&first, wide))?;
                if loss >= found.loss {
                    break;
                }
                found = Separable { first, last, loss };
            }
        }
        Some(found)
    };
    ranks.iter().map(of_rank).collect()
}

/// The first factor that comes closer with the same last one: conjugate gradients for
/// `tr((W - B T) C (W - B T)ᵀ)`.
fn fit_first(w: &Matrix, moments: &Matrix, wide: usize, from: &Separable) -> Matrix {
    let (rank, lines) = (from.first.nrows(), from.first.ncols());
    let squares = from.last.transpose() * &from.last;
    // What all places want, together.
    let joined = |all: &Matrix| {
        Matrix::from_fn(rank, lines, |r, line| {
            (0..wide).map(|place| all[(r * wide + place, line * wide + place)]).sum::<f64>()
        })
    };
    let curved = |a: &Matrix| joined(&(&squares * (reading(a, wide) * moments)));
    let wanted = joined(&(from.last.transpose() * (w * moments)));
    let mut first = from.first.clone();
    let mut rest = &wanted - curved(&first);
    let mut direction = rest.clone();
    let mut length = rest.squared_norm_l2();
    for _ in 0..STEPS {
        let bent = curved(&direction);
        let curvature: f64 = (0..lines)
            .map(|j| (0..rank).map(|i| bent[(i, j)] * direction[(i, j)]).sum::<f64>())
            .sum();
        if !(curvature > 0.0 && length > 0.0) {
            break;
        }
        let step = length / curvature;
        first += faer::Scale(step) * &direction;
        rest -= faer::Scale(step) * &bent;
        let next = rest.squared_norm_l2();
        direction = &rest + faer::Scale(next / length) * &direction;
        length = next;
    }
    first
}

/// `B` of a product as a spectrum of its own: what is worth most of what reads the first factor.
pub fn core(product: &Separable, moments: Option<&Matrix>, wide: usize) -> Option<Spectrum> {
    let read = damped(gram(&product.reading(wide), moments));
    Spectrum::of(&product.last, Some(&read))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(rows: usize, columns: usize, seed: u64) -> Matrix {
        let mut state = seed;
        Matrix::from_fn(rows, columns, |_, _| {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 33) as f64 / (1u64 << 30) as f64 - 1.0
        })
    }

    fn error(w: &Matrix, product: &Separable, moments: Option<&Matrix>, wide: usize) -> f64 {
        let squares = gram(&(w - &product.last * product.reading(wide)), moments);
        (0..squares.nrows()).map(|i| squares[(i, i)]).sum()
    }

    #[test]
    fn the_loss_is_the_error_and_falls_with_the_rank() {
        let (wide, lines, outputs) = (3, 4, 5);
        let w = numbers(outputs, lines * wide, 3);
        let x = numbers(lines * wide, 40, 9);
        let moments = damped(gram(&x, None));
        for moments in [None, Some(&moments)] {
            let found = separate(&w, moments, wide, &[1, 2, 3, 4]).unwrap();
            let whole: f64 = {
                let squares = gram(&w, moments);
                (0..outputs).map(|i| squares[(i, i)]).sum()
            };
            let mut last = whole;
            for product in &found {
                let error = error(&w, product, moments, wide);
                assert!((error - product.loss).abs() < 1e-5 * whole, "{error} {}", product.loss);
                if let Some(moments) = moments {
                    let judged = product.clone().judged(&w, moments, wide);
                    assert!((error - judged.loss).abs() < 1e-9 * whole);
                }
                assert!(error < last);
                last = error;
                let core = core(product, moments, wide).unwrap();
                let (left, right) = core.factors(core.rank());
                let again = &product.last - left * right;
                assert!(again.norm_l2() < 1e-9);
            }
            assert!(last < 1e-5 * whole, "full rank is exact: {last}");
        }
    }

    #[test]
    fn least_squares_come_closer_than_where_they_start() {
        let (wide, lines) = (3, 6);
        let w = numbers(7, lines * wide, 3);
        let mix = numbers(lines * wide, lines * wide, 5);
        let moments = damped(gram(&(mix * numbers(lines * wide, 60, 9)), None));
        let plain = separate(&w, None, wide, &[2]).unwrap();
        let fitted = separate(&w, Some(&moments), wide, &[2]).unwrap();
        let (_, start) = fit_last(&w, Some(&moments), &plain[0].reading(wide)).unwrap();
        assert!(fitted[0].loss < 0.95 * start, "{} {start}", fitted[0].loss);
    }
}
