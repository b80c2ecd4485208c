//! Integer types as grids.

use crate::analysis::Range;
use crate::error::{Result, err};
use crate::math::Grid;
use crate::tensor::{DType, Tensor};

/// An integer type, and how numbers are put on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Format {
    /// Integer type of at most 16 bits.
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
    pub const TYPES: [DType; 6] =
        [DType::Int8, DType::Uint8, DType::Int16, DType::Uint16, DType::Int4, DType::Uint4];

    /// Smallest and largest integer.
    ///
    /// # Errors
    /// When the type is none of [`Format::TYPES`].
    pub(super) fn bounds(self) -> Result<(i32, i32)> {
        let bounds = self.dtype.integer_range().filter(|_| Self::TYPES.contains(&self.dtype));
        let fits = |(low, high)| Some((i32::try_from(low).ok()?, i32::try_from(high).ok()?));
        bounds.and_then(fits).ok_or_else(|| {
            err!(Usage, "expected int8, uint8, int16, uint16, int4 or uint4, found {}", self.dtype)
        })
    }

    /// Number of integers of the type.
    pub(super) fn levels(self) -> u32 {
        1 << self.dtype.bits().min(16)
    }

    /// The grid that covers a range.
    pub(super) fn grid(self, range: Range) -> Grid {
        let (low, high) = self.bounds().unwrap_or((i32::from(i8::MIN), i32::from(i8::MAX)));
        let grid = if self.symmetric {
            // Half of the integers on each side: an unsigned type has its zero point there.
            let half = (high - low) / 2;
            Grid::symmetric(range.min.abs().max(range.max.abs()), half).raised(high - half)
        } else {
            Grid::asymmetric(range.min, range.max, low, high)
        };
        if self.power_of_two { grid.with_power_of_two(range.min) } else { grid }
    }

    /// Integers as a tensor of the type.
    pub(super) fn tensor(self, dims: &[usize], integers: &[i32]) -> Tensor {
        Tensor::from_integers(self.dtype, dims, integers)
    }

    /// The first operator set whose DequantizeLinear reads the type.
    pub(super) fn opset(self) -> i64 {
        match self.dtype {
            DType::Int8 | DType::Uint8 => 0,
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
