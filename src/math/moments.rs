//! First and second moments of vectors: what a linear layer needs to know of its inputs.
//!
//! With `H = Σ x xᵀ` the squared error that a change `D` of the weights makes in the outputs of a layer
//! is `tr(D H Dᵀ)`, for any `D`, without running anything. Sums grow in `f64`, in the order in which rows
//! come: the result is the same whatever threads fetched them.

use ndarray::ArrayView2;

/// Rows that are multiplied in `f32` before they go into a sum of `f64`: so few that rounding stays
/// below a millionth.
const BLOCK: usize = 256;

/// Number, sum, squares and, when asked for, products of vectors.
#[derive(Debug, Clone, PartialEq)]
pub struct Moments {
    columns: usize,
    rows: u64,
    sum: Vec<f64>,
    squares: Vec<f64>,
    products: Option<Vec<f64>>,
}

impl Moments {
    /// Of vectors of `columns` elements, without products.
    pub fn first(columns: usize) -> Self {
        let zeros = vec![0.0; columns];
        Self { columns, rows: 0, sum: zeros.clone(), squares: zeros, products: None }
    }

    /// With products: `columns²` numbers.
    pub fn second(columns: usize) -> Self {
        Self { products: Some(vec![0.0; columns * columns]), ..Self::first(columns) }
    }

    /// Elements of a vector.
    pub fn columns(&self) -> usize {
        self.columns
    }

    /// Vectors seen.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds vectors, one after the other; what is left over of an incomplete one does not count.
    pub fn add(&mut self, rows: &[f32]) {
        if self.columns == 0 {
            return;
        }
        for row in rows.chunks_exact(self.columns) {
            self.rows += 1;
            self.sum.iter_mut().zip(row).for_each(|(sum, &x)| *sum += f64::from(x));
            let squares = self.squares.iter_mut().zip(row);
            squares.for_each(|(sum, &x)| *sum += f64::from(x) * f64::from(x));
        }
        if let Some(products) = &mut self.products {
            add_products(products, rows, self.columns, rows, self.columns);
        }
    }

    /// Adds what others saw.
    pub fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum.iter_mut().zip(&other.sum).for_each(|(a, b)| *a += b);
        self.squares.iter_mut().zip(&other.squares).for_each(|(a, b)| *a += b);
        match (&mut self.products, &other.products) {
            (Some(mine), Some(theirs)) => mine.iter_mut().zip(theirs).for_each(|(a, b)| *a += b),
            (mine, _) => *mine = None,
        }
    }

    /// Number, sum and squares; not the products.
    pub fn parts(&self) -> (u64, &[f64], &[f64]) {
        (self.rows, &self.sum, &self.squares)
    }

    /// Moments of what [`parts`](Self::parts) gives; `None` when sum and squares differ in length.
    pub fn from_parts(rows: u64, sum: Vec<f64>, squares: Vec<f64>) -> Option<Self> {
        let columns = sum.len();
        (squares.len() == columns).then_some(Self { columns, rows, sum, squares, products: None })
    }

    /// The mean; zeros when nothing was seen.
    pub fn mean(&self) -> Vec<f64> {
        let rows = self.rows.max(1) as f64;
        self.sum.iter().map(|sum| sum / rows).collect()
    }

    /// Products were asked for.
    pub fn has_products(&self) -> bool {
        self.products.is_some()
    }

    /// The mean square of an element; 0 when nothing was seen.
    pub fn square(&self, column: usize) -> f64 {
        self.squares[column] / self.rows.max(1) as f64
    }

    /// All sums are finite.
    pub fn is_finite(&self) -> bool {
        let finite = |numbers: &[f64]| numbers.iter().all(|x| x.is_finite());
        finite(&self.sum) && self.products.as_deref().is_none_or(finite)
    }

    /// The mean of `(x - c)(x - c)ᵀ`, row by row: with 0 for `c` the second moments, with the mean the
    /// covariance. `None` without products.
    pub fn about(&self, centre: &[f64]) -> Option<Vec<f64>> {
        let rows = self.rows.max(1) as f64;
        let mean = self.mean();
        let mut found = self.products.clone()?;
        for (i, row) in found.chunks_exact_mut(self.columns.max(1)).enumerate() {
            for (j, x) in row.iter_mut().enumerate() {
                *x = *x / rows - mean[i] * centre[j] - centre[i] * mean[j] + centre[i] * centre[j];
            }
        }
        Some(found)
    }
}

/// `Σ x yᵀ` of pairs of vectors: of what a layer reads in two networks, for one, to fit weights of the
/// one to the outputs of the other.
#[derive(Debug, Clone, PartialEq)]
pub struct CrossMoments {
    left: usize,
    right: usize,
    sum: Vec<f64>,
}

impl CrossMoments {
    /// Of pairs of so many elements.
    pub fn new(left: usize, right: usize) -> Self {
        Self { left, right, sum: vec![0.0; left * right] }
    }

    /// Adds pairs, one after the other; those that lack a partner do not count.
    pub fn add(&mut self, left: &[f32], right: &[f32]) {
        add_products(&mut self.sum, left, self.left, right, self.right);
    }

    /// Adds what others saw.
    pub fn merge(&mut self, other: &Self) {
        self.sum.iter_mut().zip(&other.sum).for_each(|(a, b)| *a += b);
    }

    /// The sum, row by row: a row for each element of the left vector.
    pub fn sum(&self) -> &[f64] {
        &self.sum
    }
}

/// Adds `leftᵀ right` of two matrices of rows.
fn add_products(sum: &mut [f64], left: &[f32], m: usize, right: &[f32], n: usize) {
    if m == 0 || n == 0 {
        return;
    }
    let rows = (left.len() / m).min(right.len() / n);
    for start in (0..rows).step_by(BLOCK) {
        let end = (start + BLOCK).min(rows);
        let view = |elements, columns: usize| {
            let part: &[f32] = elements;
            ArrayView2::from_shape((end - start, columns), &part[start * columns..end * columns])
        };
        let (Ok(a), Ok(b)) = (view(left, m), view(right, n)) else { continue };
        let products = a.t().dot(&b);
        sum.iter_mut().zip(&products).for_each(|(sum, &x)| *sum += f64::from(x));
    }
}

/// `Σ d H dᵀ` over the rows `d` of a matrix: the squared error that they make in the outputs.
pub fn quadratic(rows: &[f64], columns: usize, second: &[f64]) -> f64 {
    let Some(count) = rows.len().checked_div(columns) else { return 0.0 };
    let view = |elements, rows| ArrayView2::from_shape((rows, columns), elements);
    let (Ok(d), Ok(h)) = (view(rows, count), view(second, columns)) else { return 0.0 };
    let product = d.dot(&h);
    product.iter().zip(rows).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Numbers in -1..1 that follow from a seed.
    fn numbers(count: usize, seed: u32) -> Vec<f32> {
        let next = |state: &mut u32| {
            *state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            Some((*state >> 8) as f32 / (1 << 23) as f32 - 1.0)
        };
        std::iter::repeat(()).scan(seed, |state, ()| next(state)).take(count).collect()
    }

    #[test]
    fn moments_are_those_of_the_definition() {
        let (columns, rows) = (5, 700);
        let x = numbers(columns * rows, 7);
        let mut moments = Moments::second(columns);
        moments.add(&x[..columns * 300]);
        let mut rest = Moments::second(columns);
        rest.add(&x[columns * 300..]);
        moments.merge(&rest);
        let centre = [0.5, -0.25, 0.0, 1.0, 2.0];
        let found = moments.about(&centre).unwrap();
        for i in 0..columns {
            for j in 0..columns {
                let direct: f64 = x
                    .chunks(columns)
                    .map(|x| (f64::from(x[i]) - centre[i]) * (f64::from(x[j]) - centre[j]))
                    .sum();
                let direct = direct / rows as f64;
                assert!((found[i * columns + j] - direct).abs() < 1e-5, "{i} {j}");
            }
        }
        let mean: f64 = x.chunks(columns).map(|x| f64::from(x[2])).sum::<f64>() / rows as f64;
        assert!((moments.mean()[2] - mean).abs() < 1e-12);
        assert_eq!((moments.rows(), moments.columns()), (700, 5));
    }

    #[test]
    fn a_nan_is_noticed_and_first_moments_have_no_products() {
        let mut moments = Moments::first(2);
        moments.add(&[1.0, 2.0, 3.0, 4.0, 9.0]);
        assert_eq!((moments.mean(), moments.about(&[0.0; 2])), (vec![2.0, 3.0], None));
        moments.add(&[f32::NAN, 0.0]);
        assert!(!moments.is_finite());
    }

    #[test]
    fn pairs_are_multiplied_in_order() {
        let mut cross = CrossMoments::new(2, 1);
        cross.add(&[1.0, 2.0, 3.0, 4.0], &[10.0, 100.0]);
        let mut other = CrossMoments::new(2, 1);
        other.add(&[1.0, 1.0], &[1.0]);
        cross.merge(&other);
        assert_eq!(cross.sum(), [311.0, 421.0]);
    }

    proptest! {
        #[test]
        fn the_error_of_outputs_follows_from_moments(seed in any::<u32>()) {
            let (columns, rows) = (4, 60);
            let x = numbers(columns * rows, seed);
            let d: Vec<f64> = numbers(columns * 3, !seed).into_iter().map(f64::from).collect();
            let mut moments = Moments::second(columns);
            moments.add(&x);
            let direct: f64 = x.chunks(columns).flat_map(|x| {
                d.chunks(columns).map(|d| {
                    let y: f64 = d.iter().zip(x).map(|(d, &x)| d * f64::from(x)).sum();
                    y * y
                }).collect::<Vec<_>>()
            }).sum();
            let found = quadratic(&d, columns, &moments.about(&[0.0; 4]).unwrap()) * rows as f64;
            prop_assert!((found - direct).abs() <= 1e-4 * direct.max(1e-3), "{found} {direct}");
        }
    }
}
