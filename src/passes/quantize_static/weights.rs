//! Weights and biases as integers.

use crate::math::Grid;
use crate::tensor::Tensor;

/// Largest magnitude of a symmetric int8 weight.
const WEIGHT_LIMIT: i32 = 127;
/// Largest magnitude of a stored bias: half of what int32 holds, so that the accumulator keeps
/// room for the products.
const BIAS_LIMIT: f64 = (i32::MAX / 2) as f64;

/// Scale of each slice of `weight` along `axis` (one for the whole tensor without an axis), raised
/// where a bias would otherwise not fit int32.
///
/// `biases` holds, for each user of the weight, its bias and the scale of its input.
pub(super) fn scales(weight: &Tensor, axis: Option<usize>, biases: &[(&[f32], f32)]) -> Vec<f32> {
    let elements = weight.to_f32().unwrap_or_default();
    let slices = axis.map_or(1, |axis| weight.dims()[axis]);
    let mut largest = vec![0f32; slices];
    for_each_slice(weight.dims(), axis, elements.len(), |i, slice| {
        largest[slice] = largest[slice].max(elements[i].abs());
    });
    let mut scales: Vec<f32> =
        largest.iter().map(|&largest| Grid::symmetric(largest, WEIGHT_LIMIT).scale).collect();
    for slice in 0..slices {
        let of_slice = |bias: &[f32]| match axis {
            Some(_) => bias.get(slice).copied().unwrap_or(0.0).abs(),
            None => bias.iter().fold(0f32, |a, b| a.max(b.abs())),
        };
        let needed = biases
            .iter()
            .map(|(bias, input)| f64::from(of_slice(bias)) / f64::from(*input) / BIAS_LIMIT)
            .fold(0f64, f64::max) as f32;
        // A slice of zeros may have any scale: the smallest that holds the bias keeps it exact.
        if largest[slice] == 0.0 && needed > f32::MIN_POSITIVE {
            scales[slice] = needed;
        }
        scales[slice] = scales[slice].max(needed);
    }
    scales
}

/// The int8 elements of `weight` on the grids of `scales`.
pub(super) fn integers(weight: &Tensor, axis: Option<usize>, scales: &[f32]) -> Tensor {
    let elements = weight.to_f32().unwrap_or_default();
    let grids: Vec<Grid> = scales
        .iter()
        .map(|&scale| Grid { scale, zero_point: 0, low: -WEIGHT_LIMIT, high: WEIGHT_LIMIT })
        .collect();
    let mut integers = vec![0i8; elements.len()];
    for_each_slice(weight.dims(), axis, elements.len(), |i, slice| {
        integers[i] = grids[slice].quantize(elements[i]) as i8;
    });
    Tensor::from_i8(weight.dims(), &integers)
}

/// The int32 bias with scale `input · weight` for each element, and those scales.
pub(super) fn bias(bias: &[f32], input: f32, weight: &[f32]) -> (Tensor, Vec<f32>) {
    let of = |i: usize| if weight.len() == 1 { weight[0] } else { weight[i] };
    let scales: Vec<f32> = (0..bias.len()).map(|i| input * of(i)).collect();
    let integers: Vec<i32> = bias
        .iter()
        .zip(&scales)
        .map(|(&b, &scale)| (f64::from(b) / f64::from(scale)).round_ties_even() as i32)
        .collect();
    (Tensor::from_i32(&[bias.len()], &integers), scales)
}

/// Calls `visit(element, slice)` for each of `count` elements of a tensor of `dims`.
fn for_each_slice(
    dims: &[usize],
    axis: Option<usize>,
    count: usize,
    mut visit: impl FnMut(usize, usize),
) {
    let Some(axis) = axis else {
        (0..count).for_each(|i| visit(i, 0));
        return;
    };
    let inner: usize = dims[axis + 1..].iter().product();
    (0..count).for_each(|i| visit(i, i / inner % dims[axis]));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_column_has_its_scale() {
        let weight = Tensor::from_f32(&[2, 2], &[1.27, -12.7, 0.5, 0.0]);
        let scales = scales(&weight, Some(1), &[]);
        assert_eq!(scales, [1.27 / 127.0, 12.7 / 127.0]);
        let integers = integers(&weight, Some(1), &scales);
        assert_eq!(integers.to_i64().unwrap(), [127, -127, 50, 0]);
    }

    #[test]
    fn a_bias_that_would_overflow_raises_the_weight_scale() {
        let weight = Tensor::from_f32(&[1, 1], &[1e-9]);
        let (input, b) = (1e-3f32, [5.0f32]);
        let scales = scales(&weight, Some(0), &[(&b, input)]);
        let (integers, of_bias) = bias(&b, input, &scales);
        let back = integers.to_i64().unwrap()[0] as f32 * of_bias[0];
        assert!((back - 5.0).abs() < 1e-5, "{back}");
    }

    #[test]
    fn a_channel_of_zeros_keeps_its_bias() {
        let weight = Tensor::from_f32(&[1, 2], &[0.0, 0.0]);
        let b = [0.3f32];
        let scales = scales(&weight, Some(0), &[(&b, 0.02)]);
        let (integers, of_bias) = bias(&b, 0.02, &scales);
        assert!((integers.to_i64().unwrap()[0] as f32 * of_bias[0] - 0.3).abs() < 1e-6);
    }
}
