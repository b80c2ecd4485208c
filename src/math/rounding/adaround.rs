//! AdaRound: whether each weight is rounded up or down is learned by descending along gradients.
//!
//! Nagel et al., "Up or Down? Adaptive Rounding for Post-Training Quantization", 2020: a weight is
//! `s (floor(w / s) + h(v))` with `h(v) = clip(1.2 σ(v) - 0.1, 0, 1)`, and the loss is the error of the outputs
//! plus `λ Σ 1 - |2h - 1|^β`, which drives `h` to 0 or 1 as `β` falls (here from 8, in a few hundred steps) to 2. The error is taken from `H`
//! instead of samples, so a step does not depend on how many there are.

use ndarray::linalg::general_mat_mul;
use ndarray::{Array2, ArrayView2};
use rayon::prelude::*;

use super::{Points, Rounded, Weights};
use crate::math::Grid;

/// Steps of Adam, and the share of them without the term that pushes to 0 and 1.
const STEPS: usize = 600;
const FREE: f32 = 0.2;
/// How far a step of Adam goes: from one end of `h` to the other in less than half of the steps.
const RATE: f32 = 0.02;
/// Weight of the term that pushes, at the last step, where rounding to nearest has an error of 1 for each
/// weight. It grows from 0, so that weights settle one after the other, those that matter least first.
const PUSH: f32 = 4.0;
const BETA: (f32, f32) = (8.0, 2.0);
/// Decay of the averages of gradients and of their squares (Kingma and Ba, "Adam", 2015).
const DECAY: (f32, f32) = (0.9, 0.999);
/// Rows that one thread works on at once.
const BLOCK: usize = 64;

/// Learns the rounding of the weights of all groups; `second` holds `H` of each.
pub fn adaround(weights: Weights<'_>, grids: &[Grid], second: &[Vec<f64>]) -> Rounded {
    let (columns, group) = (weights.columns, weights.per_group().max(1));
    let mut rounded = weights.nearest(&Points::Grids(grids.to_vec()));
    let block = (columns * BLOCK).max(1);
    let groups = rounded
        .integers
        .chunks_mut(group)
        .zip(weights.values.chunks(group))
        .zip(weights.grid_of.chunks(group))
        .zip(second);
    for (((integers, values), grid_of), second) in groups {
        let single: Vec<f32> = second.iter().map(|&x| x as f32).collect();
        let Ok(second) = ArrayView2::from_shape((columns, columns), &single[..]) else { continue };
        let blocks = integers.par_chunks_mut(block).zip(values.par_chunks(block));
        blocks.zip(grid_of.par_chunks(block)).for_each(|((integers, values), grid_of)| {
            let grids: Vec<&Grid> = grid_of.iter().map(|&grid| &grids[grid as usize]).collect();
            learn(integers, values, &grids, second);
        });
    }
    rounded
}

/// The rounding of some rows.
fn learn(integers: &mut [i32], values: &[f64], grids: &[&Grid], second: ArrayView2<'_, f32>) {
    let columns = second.ncols();
    let rows = values.len() / columns.max(1);
    // In steps of the grid: where the weight stands between two points.
    let scaled = |i: usize| values[i] / f64::from(grids[i].scale);
    let floors: Vec<f64> = (0..values.len()).map(|i| scaled(i).floor()).collect();
    let rest: Vec<f32> = (0..values.len()).map(|i| (scaled(i) - floors[i]) as f32).collect();
    let bound = |i: usize, steps: f64| {
        (steps as i32).saturating_add(grids[i].zero_point).clamp(grids[i].low, grids[i].high)
    };
    // Beyond the ends of the grid there is nothing to choose.
    let free: Vec<bool> =
        (0..values.len()).map(|i| bound(i, floors[i] + 1.0) > bound(i, floors[i])).collect();
    let mut v: Vec<f32> = rest.iter().map(|&r| inverse(r)).collect();
    let (mut first, mut square) = (vec![0f32; v.len()], vec![0f32; v.len()]);
    let mut change = Array2::<f32>::zeros((rows, columns));
    let mut slope = Array2::<f32>::zeros((rows, columns));
    let mut sigmoids = vec![0f32; v.len()];
    let set = |change: &mut Array2<f32>, h: &dyn Fn(usize) -> f32| {
        for (i, change) in change.iter_mut().enumerate() {
            let moved = if free[i] {
                h(i) - rest[i]
            } else {
                (f64::from(bound(i, floors[i]) - grids[i].zero_point) - scaled(i)) as f32
            };
            *change = moved * grids[i].scale;
        }
    };
    set(&mut change, &|i| rest[i].round());
    general_mat_mul(1.0, &change, &second, 0.0, &mut slope);
    let error: f32 = change.iter().zip(&slope).map(|(a, b)| a * b).sum();
    // Loss of 1 for each weight to begin with.
    let unit = values.len() as f32 / error.max(f32::MIN_POSITIVE);
    if !unit.is_finite() {
        return;
    }
    for step in 0..STEPS {
        let done = step as f32 / STEPS as f32;
        let beta = (done > FREE).then(|| BETA.0 + (BETA.1 - BETA.0) * (done - FREE) / (1.0 - FREE));
        let push = PUSH * ((done - FREE) / (1.0 - FREE)).max(0.0);
        for (i, up) in sigmoids.iter_mut().enumerate() {
            *up = 1.0 / (1.0 + (-v[i]).exp());
        }
        set(&mut change, &|i| (1.2 * sigmoids[i] - 0.1).clamp(0.0, 1.0));
        general_mat_mul(2.0 * unit, &change, &second, 0.0, &mut slope);
        let correction = (1.0 - DECAY.0.powi(step as i32 + 1), 1.0 - DECAY.1.powi(step as i32 + 1));
        for (i, slope) in slope.iter().enumerate() {
            let sigmoid = sigmoids[i];
            let h = 1.2 * sigmoid - 0.1;
            if !free[i] || !(0.0..=1.0).contains(&h) {
                continue;
            }
            let mut gradient = slope * grids[i].scale;
            if let Some(beta) = beta {
                let away = 2.0 * h - 1.0;
                gradient -= push * 2.0 * beta * away.abs().powf(beta - 1.0) * away.signum();
            }
            gradient *= 1.2 * sigmoid * (1.0 - sigmoid);
            first[i] = DECAY.0 * first[i] + (1.0 - DECAY.0) * gradient;
            square[i] = DECAY.1 * square[i] + (1.0 - DECAY.1) * gradient * gradient;
            let size = (square[i] / correction.1).sqrt() + 1e-8;
            v[i] -= RATE * first[i] / correction.0 / size;
        }
    }
    for (i, q) in integers.iter_mut().enumerate() {
        if free[i] {
            *q = bound(i, floors[i] + f64::from(h(v[i]).round()));
        }
    }
}

fn h(v: f32) -> f32 {
    (1.2 / (1.0 + (-v).exp()) - 0.1).clamp(0.0, 1.0)
}

/// The `v` with this `h`.
fn inverse(h: f32) -> f32 {
    -(1.2 / (h.clamp(0.0, 1.0) + 0.1) - 1.0).ln()
}
