//! The affine quantization grid `x' = scale · (q - zero_point)`.
//!
//! Jacob et al., "Quantization and Training of Neural Networks for Efficient Integer-Arithmetic-
//! Only Inference", 2018; rounding as in ONNX QuantizeLinear (half to even).

/// Scale, zero point and the integers that may be used.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Grid {
    /// Distance of neighbouring grid points; finite and greater than 0.
    pub scale: f32,
    /// The integer that stands for 0.
    pub zero_point: i32,
    /// Smallest integer.
    pub low: i32,
    /// Largest integer.
    pub high: i32,
}

/// Smallest scale: below it `1 / scale` overflows `f32`, with which runtimes multiply.
const SMALLEST_SCALE: f64 = f32::MIN_POSITIVE as f64;

impl Grid {
    /// The grid of integers `low..=high` that covers `min..=max` and contains 0 exactly.
    /// A range without extent gets scale 1.
    pub fn asymmetric(min: f32, max: f32, low: i32, high: i32) -> Self {
        let (min, max) = (f64::from(min.min(0.0)), f64::from(max.max(0.0)));
        let steps = f64::from(high) - f64::from(low);
        let scale = (max - min) / steps;
        if scale < SMALLEST_SCALE {
            return Self { scale: 1.0, zero_point: low, low, high };
        }
        let scale = (scale as f32).max(f32::MIN_POSITIVE);
        let zero_point = (f64::from(low) - min / f64::from(scale)).round_ties_even();
        Self { scale, zero_point: (zero_point as i32).clamp(low, high), low, high }
    }

    /// The grid of integers `-high..=high` that covers `-largest..=largest`, zero point 0.
    /// `largest` 0 gets scale 1.
    pub fn symmetric(largest: f32, high: i32) -> Self {
        let scale = f64::from(largest) / f64::from(high);
        let scale =
            if scale < SMALLEST_SCALE { 1.0 } else { (scale as f32).max(f32::MIN_POSITIVE) };
        Self { scale, zero_point: 0, low: -high, high }
    }

    /// The same grid with all integers greater by `by`.
    #[must_use]
    pub fn raised(self, by: i32) -> Self {
        let zero_point = self.zero_point + by;
        Self { zero_point, low: self.low + by, high: self.high + by, ..self }
    }

    /// The grid with the next larger power of two for a scale. One that was not symmetric is laid
    /// so that it begins at `min`.
    #[must_use]
    pub fn with_power_of_two(self, min: f32) -> Self {
        let scale = self.scale.log2().ceil().exp2();
        let middle = self.low + (self.high - self.low) / 2;
        let symmetric = self.zero_point == middle && (self.high - self.low) % 2 == 0;
        if symmetric {
            return Self { scale, ..self };
        }
        let begin = f64::from(self.low) - f64::from(min.min(0.0)) / f64::from(scale);
        let zero_point = (begin.round_ties_even() as i32).clamp(self.low, self.high);
        Self { scale, zero_point, ..self }
    }

    /// The integer of `x`; NaN becomes the zero point.
    pub fn quantize(&self, x: f32) -> i32 {
        let q = (f64::from(x) / f64::from(self.scale)).round_ties_even();
        // `as` saturates, and maps NaN to 0.
        (q as i32).saturating_add(self.zero_point).clamp(self.low, self.high)
    }

    /// The number an integer stands for.
    pub fn dequantize(&self, q: i32) -> f32 {
        self.scale * (q - self.zero_point) as f32
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn zero_is_exact_and_degenerate_ranges_get_scale_one() {
        let grid = Grid::asymmetric(0.5, 3.0, 0, 255);
        assert_eq!((grid.zero_point, grid.quantize(0.0)), (0, 0));
        assert_eq!(Grid::asymmetric(0.0, 0.0, 0, 255).scale, 1.0);
        assert_eq!(Grid::symmetric(0.0, 127).scale, 1.0);
    }

    #[test]
    fn ties_go_to_even() {
        let grid = Grid { scale: 1.0, zero_point: 0, low: -127, high: 127 };
        assert_eq!([0.5, 1.5, -2.5].map(|x| grid.quantize(x)), [0, 2, -2]);
    }

    proptest! {
        #[test]
        fn numbers_in_range_move_by_at_most_half_a_step(a in -1e6f32..1e6, b in -1e6f32..1e6, t in 0f32..1.0) {
            let (min, max) = (a.min(b), a.max(b));
            let x = min + t * (max - min);
            for grid in [Grid::asymmetric(min, max, 0, 255), Grid::symmetric(min.abs().max(max.abs()), 127)] {
                let moved = (grid.dequantize(grid.quantize(x)) - x).abs();
                // Rounding the zero point can cost the ends of the range another half step.
                prop_assert!(moved <= grid.scale * 1.01, "{x} moved by {moved}, scale {}", grid.scale);
            }
        }
    }
}
