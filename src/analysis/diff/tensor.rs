//! How far two tensors of equal dims are apart.

use std::fmt;

use crate::tensor::{DType, Tensor, TensorView};

/// Elements that differ between two tensors of equal dims, and by how much.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Distance {
    /// Number of elements.
    pub elements: usize,
    /// Those that are not equal bit by bit (by value when the element types differ).
    pub differing: usize,
    /// Largest absolute difference and signal-to-noise ratio, for real numbers.
    pub numeric: Option<Numeric>,
}

/// How far real numbers are apart.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Numeric {
    /// Largest absolute difference; infinite when one side alone has a NaN or infinity somewhere.
    pub max_abs: f64,
    /// `10 log10(Σ a² / Σ (a - b)²)` in decibel, `A` being the signal; infinite when the values
    /// are equal, negative infinity when one side alone has a NaN or infinity somewhere.
    pub sqnr_db: f64,
}

/// Elements decoded at once; a multiple of 8, so that every part starts on a whole byte.
const PART: usize = 1 << 16;

impl Distance {
    /// The distance; `None` when the dims differ, or the elements cannot be compared: one side is
    /// floating point and the other is not (codes of a quantized weight are not its values).
    pub(super) fn between(a: &Tensor, b: &Tensor) -> Option<Self> {
        if a.dims() != b.dims() {
            return None;
        }
        let elements = a.len();
        if let (Some(a), Some(b)) = (a.strings(), b.strings()) {
            let differing = a.iter().zip(b).filter(|(a, b)| a != b).count();
            return Some(Self { elements, differing, numeric: None });
        }
        let real = |t: DType| t.is_float() || t.is_integer() || t == DType::Bool;
        let comparable = a.dtype() == b.dtype()
            || (real(a.dtype()) && real(b.dtype()) && a.dtype().is_float() == b.dtype().is_float());
        if !comparable {
            return None;
        }
        if real(a.dtype()) {
            return Sums::of(a, b).map(|sums| sums.distance(elements));
        }
        let width = (a.dtype().bits() / 8).max(1);
        let pairs = a.bytes().chunks(width).zip(b.bytes().chunks(width));
        let differing = pairs.filter(|(a, b)| a != b).count();
        Some(Self { elements, differing, numeric: None })
    }
}

#[derive(Default)]
struct Sums {
    differing: usize,
    signal: f64,
    noise: f64,
    largest: f64,
    not_finite: bool,
}

impl Sums {
    fn of(a: &Tensor, b: &Tensor) -> Option<Self> {
        let mut sums = Self::default();
        let width = a.dtype().bits();
        let by_bits = a.dtype() == b.dtype() && width >= 8;
        let mut start = 0;
        while start < a.len() {
            let count = PART.min(a.len() - start);
            let (old, new) = (part(a, start, count)?, part(b, start, count)?);
            let (x, y) = (old.to_f64().ok()?, new.to_f64().ok()?);
            for (&x, &y) in x.iter().zip(&y) {
                sums.add(x, y);
                sums.differing += usize::from(!by_bits && !same(x, y));
            }
            if by_bits {
                let pairs = old.bytes.chunks(width / 8).zip(new.bytes.chunks(width / 8));
                sums.differing += pairs.filter(|(x, y)| x != y).count();
            }
            start += count;
        }
        Some(sums)
    }

    fn add(&mut self, x: f64, y: f64) {
        if !x.is_finite() || !y.is_finite() {
            self.not_finite |= !same(x, y);
            return;
        }
        let error = (x - y).abs();
        self.signal += x * x;
        self.noise += error * error;
        self.largest = self.largest.max(error);
    }

    fn distance(&self, elements: usize) -> Distance {
        let numeric = match self.noise {
            _ if self.not_finite => Numeric { max_abs: f64::INFINITY, sqnr_db: f64::NEG_INFINITY },
            0.0 => Numeric { max_abs: self.largest, sqnr_db: f64::INFINITY },
            noise => {
                Numeric { max_abs: self.largest, sqnr_db: 10.0 * (self.signal / noise).log10() }
            }
        };
        Distance { elements, differing: self.differing, numeric: Some(numeric) }
    }
}

/// Equal, or both NaN.
fn same(x: f64, y: f64) -> bool {
    x == y || (x.is_nan() && y.is_nan())
}

/// Elements `start .. start + count` in one row; `start` is a multiple of [`PART`].
fn part(tensor: &Tensor, start: usize, count: usize) -> Option<Part<'_>> {
    let dtype = tensor.dtype();
    let (from, to) = (dtype.byte_len(start)?, dtype.byte_len(start + count)?);
    Some(Part { dtype, dims: [count], bytes: tensor.bytes().get(from..to)? })
}

struct Part<'a> {
    dtype: DType,
    dims: [usize; 1],
    bytes: &'a [u8],
}

impl Part<'_> {
    fn to_f64(&self) -> crate::error::Result<Vec<f64>> {
        TensorView { dtype: self.dtype, dims: &self.dims, bytes: self.bytes }.to_f64()
    }
}

impl fmt::Display for Distance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of {} elements differ", self.differing, self.elements)?;
        if let Some(Numeric { max_abs, sqnr_db }) = self.numeric {
            write!(f, ", by at most {}", short(max_abs))?;
            match sqnr_db {
                f64::INFINITY => write!(f, ", equal in value")?,
                f64::NEG_INFINITY => {}
                db => write!(f, ", SQNR {db:.1} dB")?,
            }
        }
        Ok(())
    }
}

/// A number with four digits that count.
fn short(x: f64) -> String {
    let rounded: f64 = format!("{x:.3e}").parse().unwrap_or(x);
    let text = format!("{rounded:?}");
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_distances() {
        let floats = |xs: &[f32]| Tensor::from_f32(&[xs.len()], xs);
        let text = |a: &Tensor, b: &Tensor| Distance::between(a, b).unwrap().to_string();
        let (a, b) = (floats(&[3.0, 4.0]), floats(&[3.0, 4.5]));
        assert_eq!(text(&a, &b), "1 of 2 elements differ, by at most 0.5, SQNR 20.0 dB");
        let (a, b) = (floats(&[0.0]), floats(&[-0.0]));
        assert_eq!(text(&a, &b), "1 of 1 elements differ, by at most 0, equal in value");
        let (a, b) = (floats(&[1.0]), floats(&[f32::NAN]));
        assert_eq!(text(&a, &b), "1 of 1 elements differ, by at most inf");
        assert_eq!(Distance::between(&a, &Tensor::from_i8(&[1], &[1])), None);
        assert_eq!(Distance::between(&a, &floats(&[1.0, 2.0])), None);
    }

    #[test]
    fn long_and_packed_tensors_are_compared_part_by_part() {
        let count = PART + 5;
        let old = Tensor::new(DType::Int4, vec![count], vec![0x11; count.div_ceil(2)].into());
        let mut bytes = vec![0x11; count.div_ceil(2)];
        bytes[PART / 2] = 0x12;
        let new = Tensor::new(DType::Int4, vec![count], bytes.into());
        let d = Distance::between(&old.unwrap(), &new.unwrap()).unwrap();
        assert_eq!((d.elements, d.differing), (count, 1));
        assert_eq!(d.numeric.unwrap().max_abs, 1.0);
    }
}
