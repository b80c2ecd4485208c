//! Calibrators: from a histogram and the form of a grid to the range that the grid is to cover.
//!
//! Each gives an interval within the smallest and largest element. Formulas and papers are in
//! `docs/CALIBRATION.md`.

mod distribution;
mod entropy;
mod error;
mod percentile;
mod squared_error;

pub use distribution::distribution;
pub use entropy::entropy;
pub use error::{GridError, clipped_share, signal_power};
pub use percentile::percentile;
pub use squared_error::least_squared_error;

use crate::math::{Grid, Histogram};

/// Both ends of a range.
pub type Interval = (f32, f32);

/// How many integers a grid has, and whether it reaches as far below 0 as above.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Form {
    /// Number of integers, e.g. 256.
    pub levels: u32,
    /// Zero point in the middle.
    pub symmetric: bool,
}

impl Form {
    /// The grid of this form that covers an interval.
    pub fn grid(self, (min, max): Interval) -> Grid {
        let steps = i32::try_from(self.levels.saturating_sub(1)).unwrap_or(i32::MAX).max(1);
        if self.symmetric {
            Grid::symmetric(max.max(-min).max(0.0), (steps / 2).max(1))
        } else {
            Grid::asymmetric(min, max, 0, steps)
        }
    }
}

/// The interval within the elements of `histogram`.
fn within(histogram: &Histogram, (min, max): (f64, f64)) -> Interval {
    let clamp = |x: f64| (x as f32).clamp(histogram.min(), histogram.max());
    (clamp(min), clamp(max))
}

#[cfg(test)]
pub(super) mod testing {
    use super::{Form, Histogram};

    pub const BYTE: Form = Form { levels: 256, symmetric: false };
    pub const SYMMETRIC: Form = Form { levels: 256, symmetric: true };

    pub fn histogram(elements: &[f32]) -> Histogram {
        let min = elements.iter().copied().fold(f32::INFINITY, f32::min);
        let max = elements.iter().copied().fold(f32::NEG_INFINITY, f32::max);
        Histogram::of(elements, min, max)
    }

    /// `count` quantiles of the normal distribution with deviation 1.
    pub fn normal(count: usize) -> Vec<f32> {
        // The sum of twelve uniform numbers, as spread out as lattice points are.
        let mut state = 1u64;
        let mut uniform = || {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            (state >> 40) as f32 / (1u64 << 24) as f32
        };
        (0..count).map(|_| (0..12).map(|_| uniform()).sum::<f32>() - 6.0).collect()
    }
}
