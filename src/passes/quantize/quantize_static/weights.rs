//! Weights and biases as integers.

use half::f16;

use crate::analysis::Range;
use crate::math::Grid;
use crate::passes::quantize::quantize_static::Format;
use crate::passes::stored::Share;
use crate::tensor::{DType, Tensor};

/// Largest magnitude of a stored bias: half of what int32 holds, so that the accumulator keeps
/// room for the products.
const BIAS_LIMIT: f64 = (i32::MAX / 2) as f64;

/// A tensor as integers.
pub(super) struct Integers {
    pub tensor: Tensor,
    /// One for each part that shares a grid.
    pub grids: Vec<Grid>,
}

/// Puts `weight` on grids of `format`. Scales are raised where a bias would otherwise not fit int32:
/// `biases` holds, for each user of the weight, its bias and the scale of its input. Scales are stored as `scales`.
pub(super) fn integers(
    weight: &[f32],
    (dims, share): (&[usize], Share),
    format: Format,
    scales: DType,
    biases: &[(&[f32], f32)],
) -> Integers {
    let count: usize = share.dims(dims).iter().product();
    let ranges = share.ranges(dims, weight, count);
    let grid = |(part, &range): (usize, &Range)| {
        let needed = biases
            .iter()
            .map(|(bias, input)| {
                f64::from(of_part(bias, part, count)) / f64::from(*input) / BIAS_LIMIT
            })
            .fold(0f64, f64::max) as f32;
        let grid = format.grid(range);
        let zeros = range.min == range.max;
        let scale = match needed {
            // A part of zeros may have any scale: the smallest that holds the bias keeps it exact.
            _ if zeros && needed > f32::MIN_POSITIVE => needed,
            _ => grid.scale.max(needed),
        };
        Grid { scale: stored_scale(scale, scales), ..grid }
    };
    let grids: Vec<Grid> = ranges.iter().enumerate().map(grid).collect();
    drop(ranges);
    let index = share.index(dims);
    let tensor = match share.small_integers(dims, weight, &grids) {
        Some(bytes) if format.is_small() => Tensor::from_small_integers(format.dtype, dims, &bytes),
        _ => format.stored(dims, weight, |i| grids[index(i)]),
    };
    Integers { tensor, grids }
}

/// A scale as it is stored.
fn stored_scale(scale: f32, dtype: DType) -> f32 {
    match dtype {
        // No scale may become 0: the smallest half stands for all that are smaller.
        DType::Float16 => f16::from_f32(scale).max(f16::from_bits(1)).to_f32(),
        _ => scale,
    }
}

/// Puts all of `weight` on one grid of `format`; what lies beyond it becomes its ends.
pub(super) fn on_grid(weight: &[f32], dims: &[usize], format: Format, grid: Grid) -> Integers {
    let tensor = match Share::Tensor.small_integers(dims, weight, &[grid]) {
        Some(bytes) if format.is_small() => Tensor::from_small_integers(format.dtype, dims, &bytes),
        _ => format.stored(dims, weight, |_| grid),
    };
    Integers { tensor, grids: vec![grid] }
}

/// The largest magnitude of a bias that is scaled with part `part` of `count`. The channels of a
/// grouped ConvTranspose go around the parts.
fn of_part(bias: &[f32], part: usize, count: usize) -> f32 {
    bias.iter().skip(part).step_by(count).fold(0f32, |a, b| a.max(b.abs()))
}

/// The int32 bias with scale `input · weight` for each element, and those scales.
pub(super) fn bias(bias: &[f32], input: f32, weight: &[Grid]) -> (Tensor, Vec<f32>) {
    let scales: Vec<f32> =
        (0..bias.len()).map(|i| input * weight[i % weight.len()].scale).collect();
    let integers: Vec<i32> = bias
        .iter()
        .zip(&scales)
        .map(|(&b, &scale)| (f64::from(b) / f64::from(scale)).round_ties_even() as i32)
        .collect();
    (Tensor::from_i32(&[bias.len()], &integers), scales)
}

#[cfg(test)]
mod tests {
    use super::*;

    const INT8: Format = Format::symmetric(DType::Int8);

    #[test]
    fn each_column_has_its_scale() {
        let weight = [1.27f32, -12.7, 0.5, 0.0];
        let found = integers(&weight, (&[2, 2], Share::Axis(1)), INT8, DType::Float, &[]);
        let scales: Vec<f32> = found.grids.iter().map(|grid| grid.scale).collect();
        assert_eq!(scales, [1.27 / 127.0, 12.7 / 127.0]);
        assert_eq!(found.tensor.to_i64().unwrap(), [127, -127, 50, 0]);
    }

    #[test]
    fn blocks_divide_an_axis_and_the_last_may_be_short() {
        let weight = [1f32, 2.0, 10.0, 20.0, 7.0, 0.7];
        let share = Share::Block { axis: 0, size: 2 };
        assert_eq!(share.dims(&[3, 2]), [2, 2]);
        let found = integers(&weight, (&[3, 2], share), INT8, DType::Float, &[]);
        let scales: Vec<f32> = found.grids.iter().map(|grid| grid.scale * 127.0).collect();
        assert_eq!(scales, [10.0, 20.0, 7.0, 0.7]);
    }

    #[test]
    fn four_bits_are_packed() {
        let format = Format::asymmetric(DType::Uint4);
        let found = integers(&[0.0, 7.5, 15.0], (&[3], Share::Tensor), format, DType::Float, &[]);
        assert_eq!(found.tensor.bytes().len(), 2);
        assert_eq!(found.tensor.to_i64().unwrap(), [0, 8, 15]);
    }

    #[test]
    fn a_bias_that_would_overflow_raises_the_weight_scale() {
        let (input, b) = (1e-3f32, [5.0f32]);
        let found =
            integers(&[1e-9], (&[1, 1], Share::Axis(0)), INT8, DType::Float, &[(&b, input)]);
        let (integers, of_bias) = bias(&b, input, &found.grids);
        let back = integers.to_i64().unwrap()[0] as f32 * of_bias[0];
        assert!((back - 5.0).abs() < 1e-5, "{back}");
    }

    #[test]
    fn a_channel_of_zeros_keeps_its_bias() {
        let b = [0.3f32];
        let found =
            integers(&[0.0, 0.0], (&[1, 2], Share::Axis(0)), INT8, DType::Float, &[(&b, 0.02)]);
        let (integers, of_bias) = bias(&b, 0.02, &found.grids);
        assert!((integers.to_i64().unwrap()[0] as f32 * of_bias[0] - 0.3).abs() < 1e-6);
    }

    #[test]
    fn biases_of_groups_go_around_the_slices() {
        let b = [1.0f32, 2.0, 3.0, 4.0];
        let found = integers(&[1.27, 2.54], (&[1, 2], Share::Axis(1)), INT8, DType::Float, &[]);
        let (integers, _) = bias(&b, 1.0, &found.grids);
        assert_eq!(integers.to_i64().unwrap(), [100, 100, 300, 200]);
        assert_eq!(of_part(&b, 1, 2), 4.0);
    }
}
