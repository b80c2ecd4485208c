//! The types that numbers are stored as: integers on a grid, and 8-bit floats.

use crate::analysis::Range;
use crate::error::{Result, err};
use crate::math::Grid;
use crate::tensor::{DType, Tensor};

/// An integer type, and how numbers are put on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Format {
    /// Integer type of at most 16 bits, or 8-bit float.
    pub dtype: DType,
    /// As many steps below 0 as above; otherwise the zero point is wherever it serves best.
    pub symmetric: bool,
    /// Scales are powers of two, so that rescaling is a shift.
    pub power_of_two: bool,
}

/// The first operator set whose QuantizeLinear and DequantizeLinear have an axis.
pub(super) const PER_AXIS_OPSET: i64 = 13;
/// The first operator set with 16-bit and 4-bit integers, and with blocks.
pub(super) const WIDE_OPSET: i64 = 21;

/// The first operator set with 2-bit integers.
pub(super) const NARROW_OPSET: i64 = 25;

/// The first operator set with 8-bit floats.
pub(super) const FLOAT8_OPSET: i64 = 19;

/// The largest finite float8e4m3fn.
const LARGEST_E4M3FN: i128 = 448;
/// The largest finite float8e5m2.
const LARGEST_E5M2: i128 = 57_344;

impl Format {
    /// Integers of `dtype` around a zero point in the middle.
    pub const fn symmetric(dtype: DType) -> Self {
        Self { dtype, symmetric: true, power_of_two: false }
    }

    /// Integers of `dtype` with a free zero point.
    pub const fn asymmetric(dtype: DType) -> Self {
        Self { dtype, symmetric: false, power_of_two: false }
    }

    /// The types that a model can be quantized to.
    pub const TYPES: [DType; 10] = [
        DType::Int8,
        DType::Uint8,
        DType::Int16,
        DType::Uint16,
        DType::Int4,
        DType::Uint4,
        DType::Int2,
        DType::Uint2,
        DType::Float8E4M3FN,
        DType::Float8E5M2,
    ];

    /// An 8-bit float: its numbers lie on no grid of equal steps, its zero point is 0.
    pub fn is_float(self) -> bool {
        self.dtype.is_float()
    }

    /// Smallest and largest number that is stored.
    ///
    /// # Errors
    /// When the type is none of [`Format::TYPES`].
    pub(super) fn bounds(self) -> Result<(i32, i32)> {
        let bounds = match self.dtype {
            DType::Float8E4M3FN => Some((-LARGEST_E4M3FN, LARGEST_E4M3FN)),
            DType::Float8E5M2 => Some((-LARGEST_E5M2, LARGEST_E5M2)),
            dtype => dtype.integer_range().filter(|_| Self::TYPES.contains(&dtype)),
        };
        let fits = |(low, high)| Some((i32::try_from(low).ok()?, i32::try_from(high).ok()?));
        bounds.and_then(fits).ok_or_else(|| {
            let known = Self::TYPES.map(DType::name).join(", ");
            err!(Usage, "expected one of {known}, found {}", self.dtype)
        })
    }

    /// Number of integers of the type. An 8-bit float is as precise whatever its range, so nothing is
    /// gained when large numbers are cut off: as with very many integers.
    pub(super) fn levels(self) -> u32 {
        if self.is_float() { 1 << 16 } else { 1 << self.dtype.bits().min(16) }
    }

    /// The grid that covers a range.
    pub(in crate::passes) fn grid(self, range: Range) -> Grid {
        let (low, high) = self.bounds().unwrap_or((i32::from(i8::MIN), i32::from(i8::MAX)));
        let grid = if self.is_float() {
            Grid::symmetric(range.min.abs().max(range.max.abs()), high)
        } else if self.symmetric {
            // Half of the integers on each side: an unsigned type has its zero point there.
            let half = (high - low) / 2;
            Grid::symmetric(range.min.abs().max(range.max.abs()), half).raised(high - half)
        } else {
            Grid::asymmetric(range.min, range.max, low, high)
        };
        if self.power_of_two { grid.with_power_of_two(range.min) } else { grid }
    }

    /// Integers of at most 8 bits.
    pub(super) fn is_small(self) -> bool {
        !self.is_float() && self.dtype.bits() <= 8
    }

    /// Zero points as a tensor of the type.
    pub(super) fn zeros(self, dims: &[usize], zeros: &[i32]) -> Tensor {
        if !self.is_float() {
            return Tensor::from_integers(self.dtype, dims, zeros);
        }
        let zeros: Vec<f32> = zeros.iter().map(|&zero| zero as f32).collect();
        self.floats(dims, &zeros)
    }

    /// Numbers as a tensor of the type; element `i` lies on the grid `grid(i)`.
    pub(super) fn stored(
        self,
        dims: &[usize],
        numbers: &[f32],
        grid: impl Fn(usize) -> Grid,
    ) -> Tensor {
        let numbers = numbers.iter().enumerate();
        if self.is_float() {
            let scaled: Vec<f32> = numbers.map(|(i, x)| x / grid(i).scale).collect();
            return self.floats(dims, &scaled);
        }
        let integers: Vec<i32> = numbers.map(|(i, &x)| grid(i).quantize(x)).collect();
        Tensor::from_integers(self.dtype, dims, &integers)
    }

    fn floats(self, dims: &[usize], numbers: &[f32]) -> Tensor {
        Tensor::from_f32_as(self.dtype, dims, numbers).expect("one of the types that are known")
    }

    /// The first operator set whose DequantizeLinear reads the type.
    pub(super) fn opset(self) -> i64 {
        match self.dtype {
            DType::Int8 | DType::Uint8 => 0,
            DType::Int2 | DType::Uint2 => NARROW_OPSET,
            _ if self.is_float() => FLOAT8_OPSET,
            _ => WIDE_OPSET,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_its_grid() {
        let range = Range { min: -1.0, max: 3.0 };
        let grid = |format: Format| {
            let grid = format.grid(range);
            (grid.low, grid.zero_point, grid.high)
        };
        assert_eq!(grid(Format::asymmetric(DType::Uint8)), (0, 64, 255));
        assert_eq!(grid(Format::symmetric(DType::Int8)), (-127, 0, 127));
        assert_eq!(grid(Format::symmetric(DType::Uint8)), (1, 128, 255));
        assert_eq!(grid(Format::asymmetric(DType::Int4)), (-8, -4, 7));
        assert_eq!(grid(Format::symmetric(DType::Uint16)), (1, 32768, 65535));
        assert!(Format::symmetric(DType::Float).bounds().is_err());
    }

    #[test]
    fn powers_of_two_still_cover_the_range() {
        let range = Range { min: -1.1, max: 3.0 };
        for symmetric in [false, true] {
            let format = Format { dtype: DType::Int8, symmetric, power_of_two: true };
            let grid = format.grid(range);
            assert_eq!(grid.scale.log2().fract(), 0.0);
            for x in [range.min, 0.0, range.max] {
                assert!((grid.dequantize(grid.quantize(x)) - x).abs() <= grid.scale);
            }
        }
    }
}
