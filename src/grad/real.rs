//! The numbers that kernels compute with: `f32` to train, `f64` to check the rules.

use std::fmt::Debug;
use std::iter::Sum;
use std::ops::{Add, AddAssign, Div, DivAssign, Mul, MulAssign, Neg, Sub, SubAssign};

use faer::linalg::matmul::matmul;
use faer::{Accum, MatMut, MatRef, Par};

/// A real number.
pub trait Real:
    Copy
    + Debug
    + Default
    + PartialOrd
    + Send
    + Sync
    + Sum
    + Add<Output = Self>
    + Sub<Output = Self>
    + Mul<Output = Self>
    + Div<Output = Self>
    + Neg<Output = Self>
    + AddAssign
    + SubAssign
    + MulAssign
    + DivAssign
    + 'static
{
    /// 0.
    const ZERO: Self;
    /// 1.
    const ONE: Self;

    /// The nearest number.
    fn of(x: f64) -> Self;
    /// Exactly, or rounded from a wider type.
    fn wide(self) -> f64;
    /// e to the power of `self`.
    fn exp(self) -> Self;
    /// Natural logarithm.
    fn ln(self) -> Self;
    /// Square root.
    fn sqrt(self) -> Self;
    /// Hyperbolic tangent.
    fn tanh(self) -> Self;
    /// Power.
    fn pow(self, exponent: Self) -> Self;
    /// The error function.
    fn erf(self) -> Self;
    /// Magnitude.
    fn abs(self) -> Self;
    /// Neither infinite nor NaN.
    fn is_finite(self) -> bool;
    /// Products of matrices; see [`Product`].
    fn multiply(product: Product, a: &[Self], b: &[Self], c: &mut [Self]);

    /// The larger one; the first when one is NaN.
    fn greater(self, other: Self) -> Self {
        if other > self { other } else { self }
    }
    /// The smaller one; the first when one is NaN.
    fn less(self, other: Self) -> Self {
        if other < self { other } else { self }
    }
    /// 1 / (1 + e^-x).
    fn sigmoid(self) -> Self {
        Self::ONE / (Self::ONE + (-self).exp())
    }
}

/// A matrix in a slice: where it begins, and how far rows and columns are apart. One of both distances is 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct View {
    /// Index of the first element.
    pub start: usize,
    /// From one row to the next.
    pub rows: usize,
    /// From one column to the next.
    pub columns: usize,
}

impl View {
    /// Rows of `columns` elements, one after the other.
    pub fn packed(start: usize, columns: usize) -> Self {
        Self { start, rows: columns, columns: 1 }
    }

    /// The transposed matrix.
    #[must_use]
    pub fn turned(self) -> Self {
        Self { start: self.start, rows: self.columns, columns: self.rows }
    }

    /// The same matrix further on.
    #[must_use]
    pub fn at(self, offset: usize) -> Self {
        Self { start: self.start + offset, ..self }
    }
}

/// `c = a · b`, or `c += a · b`: extents, and where the matrices are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Product {
    /// Rows of `a` and `c`, columns of `a`, columns of `c`.
    pub extents: [usize; 3],
    /// The left matrix.
    pub a: View,
    /// The right matrix.
    pub b: View,
    /// The result.
    pub c: View,
    /// Adds to `c`.
    pub adds: bool,
}

/// The product by faer, on this thread.
fn multiply<T: Real + faer::traits::ComplexField>(product: Product, a: &[T], b: &[T], c: &mut [T]) {
    let Product { extents: [m, k, n], .. } = product;
    if m == 0 || n == 0 {
        return;
    }
    let accumulate = if product.adds { Accum::Add } else { Accum::Replace };
    let left = view(a, product.a, m, k);
    let right = view(b, product.b, k, n);
    if product.c.columns == 1 {
        let out = rows_mut(&mut c[product.c.start..], m, n, product.c.rows);
        matmul(out, accumulate, left, right, T::ONE, Par::Seq);
    } else {
        let out = rows_mut(&mut c[product.c.start..], n, m, product.c.columns);
        let (left, right) = (left.transpose(), right.transpose());
        matmul(out, accumulate, right, left, T::ONE, Par::Seq);
    }
}

fn view<T>(of: &[T], place: View, rows: usize, columns: usize) -> MatRef<'_, T> {
    let slice = |outer: usize, inner: usize, stride: usize| {
        let len = if outer == 0 || inner == 0 { 0 } else { (outer - 1) * stride + inner };
        &of[place.start..place.start + len]
    };
    if place.columns == 1 {
        let slice = slice(rows, columns, place.rows);
        MatRef::from_row_major_slice_with_stride(slice, rows, columns, place.rows).as_dyn_stride()
    } else {
        let slice = slice(columns, rows, place.columns);
        MatRef::from_column_major_slice_with_stride(slice, rows, columns, place.columns)
            .as_dyn_stride()
    }
}

fn rows_mut<T>(of: &mut [T], rows: usize, columns: usize, stride: usize) -> MatMut<'_, T> {
    let len = (rows - 1) * stride + columns;
    // Not `from_row_major_slice_with_stride_mut`: in faer 0.24.4 it mixes up the two strides.
    MatMut::from_column_major_slice_with_stride_mut(&mut of[..len], columns, rows, stride)
        .transpose_mut()
        .as_dyn_stride_mut()
}

macro_rules! real {
    ($($type:ident, $exp:path, $erf:path;)*) => {$(
        impl Real for $type {
            const ZERO: Self = 0.0;
            const ONE: Self = 1.0;

            fn of(x: f64) -> Self {
                x as Self
            }
            fn wide(self) -> f64 {
                f64::from(self)
            }
            fn exp(self) -> Self {
                $exp(self)
            }
            fn ln(self) -> Self {
                $type::ln(self)
            }
            fn sqrt(self) -> Self {
                $type::sqrt(self)
            }
            fn tanh(self) -> Self {
                $type::tanh(self)
            }
            fn pow(self, exponent: Self) -> Self {
                $type::powf(self, exponent)
            }
            fn erf(self) -> Self {
                $erf(self)
            }
            fn abs(self) -> Self {
                $type::abs(self)
            }
            fn is_finite(self) -> bool {
                $type::is_finite(self)
            }
            fn multiply(product: Product, a: &[Self], b: &[Self], c: &mut [Self]) {
                multiply(product, a, b, c);
            }
        }
    )*};
}

real! {
    f32, f32::exp, short_erf;
    f64, f64::exp, long_erf;
}

/// The error function by a rational approximation with an error below 1.5e-7 (Abramowitz and Stegun,
/// Handbook of Mathematical Functions, 7.1.26), in double precision so that nothing is added to it.
fn short_erf(x: f32) -> f32 {
    const COEFFICIENTS: [f64; 5] =
        [1.061_405_429, -1.453_152_027, 1.421_413_741, -0.284_496_736, 0.254_829_592];
    let t = 1.0 / (1.0 + 0.327_591_1 * f64::from(x.abs()));
    let sum = COEFFICIENTS.iter().fold(0.0, |sum, c| (sum + c) * t);
    let y = 1.0 - sum * f64::from((-x * x).exp());
    y.copysign(f64::from(x)) as f32
}

/// The error function by its series near 0 and by a continued fraction further out, to about 1e-15.
fn long_erf(x: f64) -> f64 {
    /// Where the continued fraction takes over.
    const FAR: f64 = 2.5;
    let (size, square) = (x.abs(), x * x);
    let factor = (-square).exp() / std::f64::consts::PI.sqrt();
    let y = if size < FAR {
        let (mut term, mut sum) = (size, size);
        let mut n = 0.0;
        while term > sum * 1e-17 {
            n += 1.0;
            term *= 2.0 * square / (2.0 * n + 1.0);
            sum += term;
        }
        2.0 * factor * sum
    } else {
        /// Levels of the fraction that reach double precision from there on.
        const LEVELS: i32 = 60;
        let tail = (1..=LEVELS).rev().fold(size, |tail, k| size + f64::from(k) / 2.0 / tail);
        1.0 - factor / tail
    };
    y.copysign(x)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_error_function_has_its_known_values() {
        let known = [(0.1, 0.112_462_916_018_284_9), (1.0, 0.842_700_792_949_714_9)];
        let known = known.into_iter().chain([
            (2.4, 0.999_311_486_103_354_9),
            (2.6, 0.999_763_965_583_470_7),
            (-0.5, -0.520_499_877_813_046_5),
        ]);
        for (x, y) in known {
            assert!((long_erf(x) - y).abs() < 1e-14, "erf({x}) is {y}, not {}", long_erf(x));
            assert!((f64::from(short_erf(x as f32)) - y).abs() < 2e-7);
        }
        assert_eq!(long_erf(0.0), 0.0);
    }

    #[test]
    fn every_place_of_a_matrix_is_multiplied_alike() {
        let (m, k, n) = (3, 4, 2);
        let a: Vec<f64> = (0..12).map(f64::from).collect();
        let b: Vec<f64> = (0..8).map(|x| f64::from(x) - 3.0).collect();
        let expected: Vec<f64> =
            (0..m * n).map(|i| (0..k).map(|j| a[i / n * k + j] * b[j * n + i % n]).sum()).collect();
        let (left, right) = (View::packed(0, k), View::packed(0, n));
        let plain =
            Product { extents: [m, k, n], a: left, b: right, c: View::packed(0, n), adds: false };
        let mut c = vec![7.0; 6];
        f64::multiply(plain, &a, &b, &mut c);
        assert_eq!(c, expected);
        f64::multiply(Product { adds: true, ..plain }, &a, &b, &mut c);
        assert_eq!(c, expected.iter().map(|x| 2.0 * x).collect::<Vec<_>>());
        let turned: Vec<f64> = (0..12).map(|i| a[i % 3 * 4 + i / 3]).collect();
        let mut wide = vec![0.0; 2 + 3 * 5];
        let c = View { start: 2, rows: 1, columns: 5 };
        let a = View::packed(0, m).turned();
        f64::multiply(Product { a, c, ..plain }, &turned, &b, &mut wide);
        let found: Vec<f64> = (0..6).map(|i| wide[2 + i / n + i % n * 5]).collect();
        assert_eq!(found, expected);
    }
}
