//! Scales that cost the least: a smaller one rounds all weights finer and cuts off the largest. Where zero
//! points may move, too, grids are laid through the weights.

use super::{Weights, nearest, point};
use crate::math::Grid;

/// Shares, in percent, of the scale that cuts off nothing. Below, even Laplacian weights of two bits lose
/// more by clipping than they gain.
const SHARES: std::ops::RangeInclusive<u32> = 40..=100;
/// Their distance, in percent: the error is flat around its minimum.
const STEP: usize = 2;

/// Rounds of fitting a grid to integers and integers to the grid; later ones change little.
const ROUNDS: usize = 4;

/// Shares of both ends of the range, in percent, where zero points move with them.
const STEP_OF_ENDS: usize = 10;

/// Grids with the scales of least error, each tried from the one that cuts off nothing downwards, but none
/// below `least`, and the best fitted to its integers by least squares. When zero points may move (`moves`),
/// both ends of the range are tried by themselves, and the line through the integers has one, too. The error of a weight counts with `importance`, the `H_jj` of its column (one for each
/// group and column): that of the outputs, when errors of rounding have no correlation.
pub fn rescaled(
    weights: Weights<'_>,
    grids: &[Grid],
    importance: &[Vec<f64>],
    least: &[f32],
    moves: bool,
) -> Vec<Grid> {
    let mut members: Vec<Vec<(f64, f64)>> = vec![Vec::new(); grids.len()];
    for (i, (&x, &grid)) in weights.values.iter().zip(weights.grid_of).enumerate() {
        let (group, column) = (i / weights.per_group().max(1), i % weights.columns.max(1));
        members[grid as usize].push((x, importance[group][column]));
    }
    let each = grids.iter().zip(&members).zip(least);
    each.map(|((grid, members), &least)| rescaled_part(grid, members, least, moves)).collect()
}

/// The grid of one part, found as in [`rescaled`]: its weights, each with its importance.
pub fn rescaled_part(grid: &Grid, members: &[(f64, f64)], least: f32, moves: bool) -> Grid {
    let whole = covering(grid, members);
    let smaller = SHARES.rev().step_by(STEP).map(|percent| {
        let scale = (whole * f64::from(percent) / 100.0) as f32;
        Grid { scale: scale.max(least), ..*grid }
    });
    let narrower = if moves { narrower(grid, members) } else { Vec::new() };
    let candidates = smaller.chain(narrower.into_iter().filter(|grid| grid.scale >= least));
    let judged = candidates.filter(is_usable).map(|grid| (error(members, &grid), grid));
    // The first of equals: it cuts off less.
    let best = judged.reduce(|a, b| if b.0 < a.0 { b } else { a });
    best.map_or(*grid, |best| fitted(members, best, least, moves).1)
}

/// Grids over less and less of the range of the members, from either end.
fn narrower(grid: &Grid, members: &[(f64, f64)]) -> Vec<Grid> {
    let range = members.iter().fold((0f64, 0f64), |(a, b), &(x, _)| (a.min(x), b.max(x)));
    if range.0 == range.1 {
        return Vec::new();
    }
    let shares = || SHARES.rev().step_by(STEP_OF_ENDS).map(|percent| f64::from(percent) / 100.0);
    let ends = shares().flat_map(|low| shares().map(move |high| (range.0 * low, range.1 * high)));
    ends.map(|(min, max)| Grid::asymmetric(min as f32, max as f32, grid.low, grid.high)).collect()
}

fn is_usable(grid: &Grid) -> bool {
    grid.scale.is_normal() && grid.scale > 0.0
}

/// The squared error of the members on the nearest numbers of a grid.
pub(super) fn error(members: &[(f64, f64)], grid: &Grid) -> f64 {
    let each = members.iter().map(|&(x, weight)| {
        let moved = point(grid, nearest(grid, x)) - x;
        weight * moved * moved
    });
    each.sum()
}

/// The grid fitted to the integers that members have on it, by least squares, and again while that helps;
/// with its error. Half-quadratic quantization (Badri and Shaji, "HQQ", 2023) moves zero points likewise, for
/// another norm.
fn fitted(members: &[(f64, f64)], start: (f64, Grid), least: f32, moves: bool) -> (f64, Grid) {
    let mut best = start;
    for _ in 0..ROUNDS {
        let mut grid = best.1;
        if moves {
            grid.zero_point = through(members, &grid).unwrap_or(grid.zero_point);
        }
        // For the integers that there are, not those of the moved grid.
        let (mut product, mut square) = (0f64, 0f64);
        for &(x, weight) in members {
            let steps = f64::from(nearest(&best.1, x) - grid.zero_point);
            product += weight * x * steps;
            square += weight * steps * steps;
        }
        if square <= 0.0 || product <= 0.0 {
            break;
        }
        grid.scale = ((product / square) as f32).max(least);
        let error = error(members, &grid);
        if !is_usable(&grid) || error >= best.0 {
            break;
        }
        best = (error, grid);
    }
    best
}

/// The zero point of the line through members and their integers.
fn through(members: &[(f64, f64)], grid: &Grid) -> Option<i32> {
    let mut sums = [0f64; 5];
    for &(x, weight) in members {
        let q = f64::from(nearest(grid, x));
        let terms = [1.0, q, x, q * q, q * x];
        sums.iter_mut().zip(terms).for_each(|(sum, term)| *sum += weight * term);
    }
    let [count, q, x, qq, qx] = sums;
    // `x = slope · (q - zero)`.
    let slope = (count * qx - q * x) / (count * qq - q * q);
    let zero = (q - x / slope) / count;
    let sound = slope.is_finite() && slope > 0.0 && zero.is_finite();
    sound.then(|| (zero.round_ties_even() as i32).clamp(grid.low, grid.high))
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
        let found = rescaled(weights, &[GRID], &importance, &[0.0], false);
        assert!(found[0].scale < 0.6 * 2.0 / 7.0, "{found:?}");
        importance[0][64] = 1e6;
        let found = rescaled(weights, &[GRID], &importance, &[0.0], false);
        assert!((found[0].scale - 2.0 / 7.0).abs() < 1e-4, "{found:?}");
        // A bias needs a scale of its own.
        importance[0][64] = 0.0;
        assert_eq!(rescaled(weights, &[GRID], &importance, &[0.5], false)[0].scale, 0.5);
    }

    #[test]
    fn a_zero_point_moves_to_where_the_weights_are() {
        // An outlier above that hardly matters keeps the zero point low.
        let members: Vec<(f64, f64)> =
            (0..60).map(|i| (f64::from(i) / 60.0 - 0.6, 1.0)).chain([(2.4, 0.01)]).collect();
        let (values, importance): (Vec<f64>, Vec<f64>) = members.iter().copied().unzip();
        let weights = Weights { rows: 1, columns: 61, values: &values, grid_of: &[0; 61] };
        let grid = Grid::asymmetric(-0.6, 2.4, 0, 7);
        let moved = |moves: bool| {
            let found =
                rescaled(weights, &[grid], std::slice::from_ref(&importance), &[0.0], moves)[0];
            (error(&members, &found), found.zero_point)
        };
        let (fixed, fitted) = (moved(false), moved(true));
        assert!(fitted.0 < 0.6 * fixed.0 && fitted.1 > fixed.1, "{fixed:?} {fitted:?}");
    }

    #[test]
    fn zeros_keep_their_grid() {
        let weights = Weights { rows: 1, columns: 2, values: &[0.0; 2], grid_of: &[0; 2] };
        assert_eq!(rescaled(weights, &[GRID], &[vec![1.0; 2]], &[0.0], true), [GRID]);
    }
}
