//! The numbers that weights may stand on.

use super::{nearest, point};
use crate::math::Grid;

/// Numbers that integers stand for. Weights that share a scale are a part.
#[derive(Debug, Clone, PartialEq)]
pub enum Points {
    /// A grid of equal steps for each part.
    Grids(Vec<Grid>),
    /// A table for all parts, and a scale for each.
    Table {
        /// In rising order.
        numbers: Vec<f32>,
        /// What they are multiplied with, never negative.
        scales: Vec<f32>,
    },
}

/// What of points may be chosen anew.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Freedom {
    /// The numbers of a table.
    pub numbers: bool,
    /// Scales.
    pub scales: bool,
    /// Zero points.
    pub zeros: bool,
}

impl Points {
    /// Number of parts.
    pub fn parts(&self) -> usize {
        match self {
            Self::Grids(grids) => grids.len(),
            Self::Table { scales, .. } => scales.len(),
        }
    }

    /// The grids, when they are.
    pub fn grids(&self) -> &[Grid] {
        match self {
            Self::Grids(grids) => grids,
            Self::Table { .. } => &[],
        }
    }

    /// The integer whose number is nearest to `x`.
    pub fn nearest(&self, part: u32, x: f64) -> i32 {
        match self {
            Self::Grids(grids) => nearest(&grids[part as usize], x),
            Self::Table { numbers, scales } => {
                let scale = f64::from(scales[part as usize]);
                nearest_number(numbers, if scale > 0.0 { x / scale } else { 0.0 }) as i32
            }
        }
    }

    /// The number that an integer stands for.
    pub fn point(&self, part: u32, q: i32) -> f64 {
        match self {
            Self::Grids(grids) => point(&grids[part as usize], q),
            Self::Table { numbers, scales } => {
                f64::from(numbers[q as usize]) * f64::from(scales[part as usize])
            }
        }
    }
}

/// The index of the number nearest to `x`, of numbers in rising order.
fn nearest_number(numbers: &[f32], x: f64) -> usize {
    let above = numbers.partition_point(|&number| f64::from(number) < x);
    if above == 0 {
        return 0;
    }
    let Some(&upper) = numbers.get(above) else { return above - 1 };
    let closer = f64::from(upper) - x < x - f64::from(numbers[above - 1]);
    if closer { above } else { above - 1 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tables_are_scaled() {
        let points = Points::Table { numbers: vec![-1.0, 0.0, 1.5], scales: vec![2.0, 0.0] };
        let nearest = |x: f64| points.nearest(0, x);
        assert_eq!([-9.0, -1.1, -0.9, 1.4, 1.6, 9.0].map(nearest), [0, 0, 1, 1, 2, 2]);
        assert_eq!(points.point(0, 2), 3.0);
        assert_eq!(points.point(1, points.nearest(1, 7.0)), 0.0);
    }
}
