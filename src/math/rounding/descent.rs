//! Coordinate descent: each weight in turn takes the integer that is best while all others stay.
//!
//! Behdin et al., "QuantEase: Optimization-based Quantization for Language Models", 2023. The error never
//! grows, so whatever integers it starts from become better or stay.

use ndarray::ArrayView2;
use rayon::prelude::*;

use super::{Rounded, TOGETHER, Weights};

/// Most rounds over all weights of a row; most rows end after a few, when none of theirs moves.
const ROUNDS: usize = 16;

/// Improves `start`; `second` holds `H` of each group.
pub fn descend(weights: Weights<'_>, start: Rounded, second: &[Vec<f64>]) -> Rounded {
    let Rounded { mut integers, points } = start;
    let (columns, group) = (weights.columns, weights.per_group().max(1));
    let block = (columns * TOGETHER).max(1);
    let groups = integers
        .chunks_mut(group)
        .zip(weights.values.chunks(group))
        .zip(weights.grid_of.chunks(group))
        .zip(second);
    for (((integers, values), grid_of), second) in groups {
        let blocks = integers.par_chunks_mut(block).zip(values.par_chunks(block));
        blocks.zip(grid_of.par_chunks(block)).for_each(|((integers, values), grid_of)| {
            let error: Vec<f64> = (0..values.len())
                .map(|i| points.point(grid_of[i], integers[i]) - values[i])
                .collect();
            let rows = values.len() / columns;
            let view = |elements, rows| ArrayView2::from_shape((rows, columns), elements);
            let (Ok(left), Ok(right)) = (view(&error, rows), view(second, columns)) else { return };
            // Half of the slope of the error in each weight.
            let mut slopes: Vec<f64> = left.dot(&right).into_iter().collect();
            for row in 0..rows {
                let span = row * columns..(row + 1) * columns;
                let slope = &mut slopes[span.clone()];
                let (integers, grid_of) = (&mut integers[span.clone()], &grid_of[span]);
                for _ in 0..ROUNDS {
                    let mut moved = false;
                    for j in 0..columns {
                        let curvature = second[j * (columns + 1)];
                        if curvature <= 0.0 {
                            continue;
                        }
                        let now = points.point(grid_of[j], integers[j]);
                        let q = points.nearest(grid_of[j], now - slope[j] / curvature);
                        if q != integers[j] {
                            let step = points.point(grid_of[j], q) - now;
                            integers[j] = q;
                            moved = true;
                            let row = &second[j * columns..][..columns];
                            slope.iter_mut().zip(row).for_each(|(slope, h)| *slope += step * h);
                        }
                    }
                    if !moved {
                        break;
                    }
                }
            }
        });
    }
    Rounded { integers, points }
}
