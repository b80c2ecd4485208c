//! The squared error of a grid, expected over a histogram.

use crate::math::calibrate::{Form, Interval};
use crate::math::{Bin, Histogram};

/// The squared error of rounding and clipping as a function that integrates in closed form.
#[derive(Debug, Clone, Copy)]
pub struct GridError {
    scale: f64,
    /// Smallest and largest number on the grid.
    low: f64,
    high: f64,
}

impl GridError {
    /// Of the grid of this form over an interval.
    pub fn new(form: Form, interval: Interval) -> Self {
        let grid = form.grid(interval);
        let scale = f64::from(grid.scale);
        let number = |q: i32| (f64::from(q) - f64::from(grid.zero_point)) * scale;
        Self { scale, low: number(grid.low), high: number(grid.high) }
    }

    /// `∫ (x - Q(x))² dx` up to `x`: a period of the rounding error adds `s³ / 12`, and beyond the
    /// ends the distance counts.
    fn integral(&self, x: f64) -> f64 {
        let inside = x.clamp(self.low, self.high);
        let beyond = x - inside;
        let steps = inside / self.scale;
        let nearest = steps.round_ties_even();
        let rounding = nearest / 12.0 + (steps - nearest).powi(3) / 3.0;
        rounding * self.scale.powi(3) + beyond.powi(3) / 3.0
    }

    /// Sum of the squared errors of the elements of a bin, spread evenly.
    fn of_bin(&self, bin: &Bin) -> f64 {
        // 0 is on every grid.
        if bin.zero {
            return 0.0;
        }
        bin.count * (self.integral(bin.high) - self.integral(bin.low)) / (bin.high - bin.low)
    }

    /// Sum of the squared errors of all elements.
    pub fn total<'a>(&self, bins: impl IntoIterator<Item = &'a Bin>) -> f64 {
        bins.into_iter().map(|bin| self.of_bin(bin)).sum::<f64>().max(0.0)
    }
}

/// Sum of the squares of all elements.
pub fn signal_power(histogram: &Histogram) -> f64 {
    histogram.bins().map(|bin| bin.count * bin.mean_square()).sum()
}

/// The share of the elements outside an interval.
pub fn clipped_share(histogram: &Histogram, (min, max): Interval) -> f64 {
    let below = if min <= histogram.min() { f64::NEG_INFINITY } else { f64::from(min) };
    let above = if max >= histogram.max() { f64::INFINITY } else { f64::from(max) };
    let outside = |bin: Bin| bin.count * (bin.share_below(below) + 1.0 - bin.share_below(above));
    histogram.bins().map(outside).sum::<f64>() / histogram.total() as f64
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::calibrate::testing::{BYTE, SYMMETRIC, histogram, normal};

    /// What the grid really does to the elements.
    fn real(form: Form, interval: Interval, elements: &[f32]) -> f64 {
        let grid = form.grid(interval);
        let error = |&x: &f32| f64::from(grid.dequantize(grid.quantize(x)) - x).powi(2);
        elements.iter().map(error).sum()
    }

    #[test]
    fn expected_is_what_happens() {
        let elements = normal(40_000);
        let histogram = histogram(&elements);
        let bins: Vec<Bin> = histogram.bins().collect();
        for form in [BYTE, SYMMETRIC, Form { levels: 16, symmetric: false }] {
            for interval in [(-6.0, 6.0), (-4.0, 3.0), (-0.5, 1.0), (0.0, 2.0)] {
                let expected = GridError::new(form, interval).total(&bins);
                let found = real(form, interval, &elements);
                assert!((expected / found - 1.0).abs() < 0.02, "{expected} {found} {interval:?}");
            }
        }
        let power: f64 = elements.iter().map(|&x| f64::from(x).powi(2)).sum();
        assert!((signal_power(&histogram) / power - 1.0).abs() < 1e-3);
    }

    #[test]
    fn zeros_cost_nothing_and_clipping_is_counted() {
        let histogram = histogram(&[0.0, 0.0, 0.0, 1.0]);
        let bins: Vec<Bin> = histogram.bins().collect();
        let clipped = GridError::new(BYTE, (0.0, 0.5)).total(&bins);
        assert!((clipped - 0.25).abs() < 1e-3, "{clipped}");
        assert_eq!(clipped_share(&histogram, (0.0, 0.5)), 0.25);
        assert_eq!(clipped_share(&histogram, (0.0, 1.0)), 0.0);
    }
}
