//! Scales and tables that cost the outputs of a layer the least, for indices that are chosen.
//!
//! The error `tr((W' - W) H (W' - W)ᵀ)` is a quadratic form in the scales, and in the numbers of the table, so
//! each minimum is exact. Indices follow by coordinate descent, and so on in turn.

use faer::linalg::solvers::{Llt, Solve};
use faer::{Mat, Side};
use rayon::prelude::*;

use crate::math::rounding::{Freedom, Points, Rounded, Weights, descend};

/// Rounds of fitting points to indices and indices to points; later ones change little.
const ROUNDS: usize = 4;
/// Share of the mean of the diagonal that is added to it when a table is solved for: numbers that hardly
/// any weight stands on stay where they are.
const DAMPING: f64 = 1e-6;
/// Rounds over the parts of a row, whose scales depend on each other.
const SWEEPS: usize = 4;

/// Improves `start` where it stands on a table, as far as it is `free`. `second` holds `H` of each group.
pub fn tuned(weights: Weights<'_>, start: Rounded, second: &[Vec<f64>], free: Freedom) -> Rounded {
    let mut best = start;
    let mut least = weights.error(&best, second);
    for _ in 0..ROUNDS {
        let Some(points) = fitted(weights, &best, second, free) else { break };
        let next = Rounded { integers: best.integers.clone(), points };
        let next = descend(weights, next, second);
        let error = weights.error(&next, second);
        if error >= least {
            break;
        }
        (least, best) = (error, next);
    }
    best
}

fn fitted(
    weights: Weights<'_>,
    rounded: &Rounded,
    second: &[Vec<f64>],
    free: Freedom,
) -> Option<Points> {
    let Points::Table { numbers, scales } = &rounded.points else { return None };
    let scales = match free.scales.then(|| in_one_row(weights, scales.len())).flatten() {
        Some(rows) => rescaled(weights, rounded, second, &rows),
        None => scales.clone(),
    };
    let points = Points::Table { numbers: numbers.clone(), scales };
    if !free.numbers {
        return Some(points);
    }
    renumbered(weights, &rounded.integers, &points, second).or(Some(points))
}

/// For each row the parts that it has; nothing when a part reaches into several rows.
fn in_one_row(weights: Weights<'_>, parts: usize) -> Option<Vec<Vec<u32>>> {
    let mut row_of = vec![usize::MAX; parts];
    let mut rows = Vec::new();
    for (row, grids) in weights.grid_of.chunks(weights.columns.max(1)).enumerate() {
        let mut here = Vec::new();
        for &part in grids {
            let owner = &mut row_of[part as usize];
            if *owner == usize::MAX {
                *owner = row;
                here.push(part);
            }
            if *owner != row {
                return None;
            }
        }
        rows.push(here);
    }
    Some(rows)
}

/// The scales of least error.
fn rescaled(
    weights: Weights<'_>,
    rounded: &Rounded,
    second: &[Vec<f64>],
    rows: &[Vec<u32>],
) -> Vec<f32> {
    let Points::Table { numbers, scales } = &rounded.points else { return Vec::new() };
    let columns = weights.columns.max(1);
    let row = |(row, parts): (usize, &Vec<u32>)| -> Vec<(u32, f32)> {
        let span = row * columns..(row + 1) * columns;
        let (values, grid_of) = (&weights.values[span.clone()], &weights.grid_of[span.clone()]);
        let second = &second[row / weights.rows.max(1)];
        let unit: Vec<f64> =
            rounded.integers[span].iter().map(|&q| f64::from(numbers[q as usize])).collect();
        let stored = |j: usize| unit[j] * f64::from(scales[grid_of[j] as usize]);
        let error: Vec<f64> = (0..columns).map(|j| stored(j) - values[j]).collect();
        // Half of the slope of the error in each weight.
        let mut slope: Vec<f64> = second.chunks(columns).map(|h| dot(h, &error)).collect();
        let mut found: Vec<(u32, f32)> =
            parts.iter().map(|&part| (part, scales[part as usize])).collect();
        let members: Vec<Vec<usize>> = parts
            .iter()
            .map(|&part| (0..columns).filter(|&j| grid_of[j] == part && unit[j] != 0.0).collect())
            .collect();
        // What a step of each scale adds to all slopes.
        let directions: Vec<Vec<f64>> = members
            .iter()
            .map(|members| {
                let mut direction = vec![0f64; columns];
                for &j in members {
                    let row = &second[j * columns..][..columns];
                    direction.iter_mut().zip(row).for_each(|(d, h)| *d += unit[j] * h);
                }
                direction
            })
            .collect();
        for _ in 0..if parts.len() == 1 { 1 } else { SWEEPS } {
            for ((members, direction), (_, scale)) in
                members.iter().zip(&directions).zip(&mut found)
            {
                let along =
                    |vector: &[f64]| -> f64 { members.iter().map(|&j| unit[j] * vector[j]).sum() };
                let curvature = along(direction);
                if curvature <= 0.0 {
                    continue;
                }
                let better = (f64::from(*scale) - along(&slope) / curvature).max(0.0) as f32;
                if !better.is_finite() {
                    continue;
                }
                let step = f64::from(better) - f64::from(*scale);
                slope.iter_mut().zip(direction).for_each(|(slope, d)| *slope += step * d);
                *scale = better;
            }
        }
        found
    };
    let mut better = scales.clone();
    let found: Vec<Vec<(u32, f32)>> = rows.par_iter().enumerate().map(row).collect();
    for (part, scale) in found.into_iter().flatten() {
        better[part as usize] = scale;
    }
    better
}

/// The table of least error, in rising order; nothing where it is not determined.
fn renumbered(
    weights: Weights<'_>,
    integers: &[i32],
    points: &Points,
    second: &[Vec<f64>],
) -> Option<Points> {
    let Points::Table { numbers, scales } = points else { return None };
    let (count, columns) = (numbers.len(), weights.columns.max(1));
    // Normal equations: each row adds the moments of its columns, summed over those with the same number.
    let row = |row: usize| {
        let span = row * columns..(row + 1) * columns;
        let (values, grid_of) = (&weights.values[span.clone()], &weights.grid_of[span.clone()]);
        let (integers, second) = (&integers[span], &second[row / weights.rows.max(1)]);
        let scale = |j: usize| f64::from(scales[grid_of[j] as usize]);
        let mut matrix = vec![0f64; count * count];
        let mut right = vec![0f64; count];
        let mut sums = vec![0f64; count];
        for i in 0..columns {
            let h = &second[i * columns..][..columns];
            sums.fill(0.0);
            for j in 0..columns {
                sums[integers[j] as usize] += scale(j) * h[j];
            }
            let at = integers[i] as usize;
            let into = &mut matrix[at * count..][..count];
            into.iter_mut().zip(&sums).for_each(|(m, sum)| *m += scale(i) * sum);
            right[at] += scale(i) * dot(h, values);
        }
        (matrix, right)
    };
    let add = |mut a: (Vec<f64>, Vec<f64>), b: (Vec<f64>, Vec<f64>)| {
        a.0.iter_mut().zip(b.0).for_each(|(a, b)| *a += b);
        a.1.iter_mut().zip(b.1).for_each(|(a, b)| *a += b);
        a
    };
    let rows = weights.values.len() / columns;
    // In the order of the rows, whatever thread adds them.
    let block = rows.div_ceil(BLOCKS).max(1);
    let sums: Vec<_> = (0..rows.div_ceil(block))
        .into_par_iter()
        .map(|at| (at * block..((at + 1) * block).min(rows)).map(row).reduce(add))
        .collect();
    let (mut matrix, mut right) = sums.into_iter().flatten().reduce(add)?;
    let mean = matrix.iter().step_by(count + 1).sum::<f64>() / count as f64;
    for (i, &number) in numbers.iter().enumerate() {
        matrix[i * (count + 1)] += DAMPING * mean;
        right[i] += DAMPING * mean * f64::from(number);
    }
    let matrix = Mat::from_fn(count, count, |i, j| matrix[i * count + j]);
    let right = Mat::from_fn(count, 1, |i, _| right[i]);
    let solved = Llt::new(matrix.as_ref(), Side::Lower).ok()?.solve(&right);
    let found: Vec<f32> = (0..count).map(|i| solved[(i, 0)] as f32).collect();
    let rising = found.windows(2).all(|pair| pair[0] < pair[1]);
    (rising && found.iter().all(|x| x.is_finite()))
        .then(|| Points::Table { numbers: found, scales: scales.clone() })
}

/// Parts in which sums over rows are made.
const BLOCKS: usize = 16;

fn dot(a: &[f64], b: &[f64]) -> f64 {
    a.iter().zip(b).map(|(a, b)| a * b).sum()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Second moments of columns with a common signal.
    fn second(columns: usize) -> Vec<Vec<f64>> {
        let entry = |i: usize| {
            let (a, b) = ((i / columns) as f64, (i % columns) as f64);
            if a == b { 2.0 + a / 8.0 } else { 1.0 + 0.1 * ((a - b).abs() % 3.0) }
        };
        vec![(0..columns * columns).map(entry).collect()]
    }

    #[test]
    fn scales_that_are_off_are_found_again() {
        let (rows, columns) = (3, 8);
        let numbers = vec![-1.0f32, 0.0, 1.0];
        let integers: Vec<i32> = (0..rows * columns).map(|i| (i * i % 3) as i32).collect();
        // Two parts in each row.
        let parts: Vec<u32> = (0..rows * columns).map(|i| (i / 4) as u32).collect();
        let truth: Vec<f32> = (0..6).map(|i| 0.5 + 0.25 * i as f32).collect();
        let points = Points::Table { numbers: numbers.clone(), scales: truth.clone() };
        let values: Vec<f64> =
            integers.iter().zip(&parts).map(|(&q, &part)| points.point(part, q)).collect();
        let weights = Weights { rows, columns, values: &values, grid_of: &parts };
        let scales = truth.iter().map(|s| s * 1.3).collect();
        let start =
            Rounded { integers: integers.clone(), points: Points::Table { numbers, scales } };
        let second = second(columns);
        let before = weights.error(&start, &second);
        let fixed = tuned(weights, start.clone(), &second, Freedom::default());
        assert!(weights.error(&fixed, &second) <= before);
        let found = tuned(weights, start, &second, Freedom { scales: true, ..Freedom::default() });
        assert!(weights.error(&found, &second) < 0.02 * before, "{found:?}");
    }

    #[test]
    fn a_table_that_is_off_is_found_again() {
        let (rows, columns) = (4, 8);
        let truth = Points::Table { numbers: vec![-1.5, -0.25, 0.5, 2.0], scales: vec![1.0] };
        let integers: Vec<i32> = (0..rows * columns).map(|i| (i * i % 7 % 4) as i32).collect();
        let parts = vec![0u32; rows * columns];
        let values: Vec<f64> = integers.iter().map(|&q| truth.point(0, q)).collect();
        let weights = Weights { rows, columns, values: &values, grid_of: &parts };
        let numbers = vec![-1.2, -0.3, 0.7, 1.8];
        let start = Rounded { integers, points: Points::Table { numbers, scales: vec![1.0] } };
        let second = second(columns);
        let before = weights.error(&start, &second);
        let found = tuned(weights, start, &second, Freedom { numbers: true, ..Freedom::default() });
        assert!(weights.error(&found, &second) < 1e-6 * before, "{found:?}");
    }
}
