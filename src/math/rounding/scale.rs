//! Scales that cost the least: a smaller one rounds all weights finer and cuts off the largest.

use super::{Weights, nearest, point};
use crate::math::Grid;

/// Shares, in percent, of the scale that cuts off nothing. Below, even Laplacian weights of two bits lose
/// more by clipping than they gain.
const SHARES: std::ops::RangeInclusive<u32> = 40..=100;
/// Their distance, in percent: the error is flat around its minimum.
const STEP: usize = 2;

/// Grids with the scales of least error, each tried from the one that cuts off nothing downwards, but none
/// below `least`. The error of a weight counts with `importance`, the `H_jj` of its column (one for each
/// group and column): that of the outputs, when errors of rounding have no correlation.
pub fn rescaled(
    weights: Weights<'_>,
    grids: &[Grid],
    importance: &[Vec<f64>],
    least: &[f32],
) -> Vec<Grid> {
    let mut members: Vec<Vec<(f64, f64)>> = vec![Vec::new(); grids.len()];
    for (i, (&x, &grid)) in weights.values.iter().zip(weights.grid_of).enumerate() {
        let (group, column) = (i / weights.per_group().max(1), i % weights.columns.max(1));
        members[grid as usize].push((x, importance[group][column]));
    }
    let best = |((grid, members), &least): ((&Grid, &Vec<(f64, f64)>), &f32)| {
        let whole = covering(grid, members);
        let candidates = SHARES.rev().step_by(STEP).map(|percent| {
            let scale = (whole * f64::from(percent) / 100.0) as f32;
            Grid { scale: scale.max(least), ..*grid }
        });
        let usable = candidates.filter(|grid| grid.scale.is_normal() && grid.scale > 0.0);
        let error = |grid: &Grid| -> f64 {
            let each = members.iter().map(|&(x, weight)| {
                let moved = point(grid, nearest(grid, x)) - x;
                weight * moved * moved
            });
            each.sum()
        };
        let judged = usable.map(|grid| (error(&grid), grid));
        // The first of equals: it cuts off less.
        let least = judged.reduce(|a, b| if b.0 < a.0 { b } else { a });
        least.map_or(*grid, |(_, grid)| grid)
    };
    grids.iter().zip(&members).zip(least).map(best).collect()
}

/// The scale with which a grid reaches all its members.
fn covering(grid: &Grid, members: &[(f64, f64)]) -> f64 {
    let up = f64::from(grid.high - grid.zero_point).max(0.5);
    let down = f64::from(grid.zero_point - grid.low).max(0.5);
    members.iter().fold(0f64, |scale, &(x, _)| scale.max(if x > 0.0 { x / up } else { -x / down }))
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRID: Grid = Grid { scale: 1.0, zero_point: 0, low: -7, high: 7 };

    #[test]
    fn an_outlier_that_does_not_matter_is_cut_off() {
        let values: Vec<f64> =
            (0..64).map(|i| f64::from(i - 32) / 32.0 + 0.01).chain([2.0]).collect();
        let weights = Weights { rows: 1, columns: 65, values: &values, grid_of: &[0; 65] };
        let mut importance = vec![vec![1.0; 65]];
        importance[0][64] = 0.0;
        let found = rescaled(weights, &[GRID], &importance, &[0.0]);
        assert!(found[0].scale < 0.6 * 2.0 / 7.0, "{found:?}");
        importance[0][64] = 1e6;
        let found = rescaled(weights, &[GRID], &importance, &[0.0]);
        assert_eq!(found[0].scale, 2.0 / 7.0);
        // A bias needs a scale of its own.
        importance[0][64] = 0.0;
        assert_eq!(rescaled(weights, &[GRID], &importance, &[0.5])[0].scale, 0.5);
    }

    #[test]
    fn zeros_keep_their_grid() {
        let weights = Weights { rows: 1, columns: 2, values: &[0.0; 2], grid_of: &[0; 2] };
        assert_eq!(rescaled(weights, &[GRID], &[vec![1.0; 2]], &[0.0]), [GRID]);
    }
}
