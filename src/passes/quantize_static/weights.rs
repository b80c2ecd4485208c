//! Weights and biases as integers.

use ndarray::{ArrayD, ArrayViewD, ArrayViewMutD, Axis, Zip};

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
pub(super) fn scales(
    weight: &ArrayD<f32>,
    axis: Option<usize>,
    biases: &[(&[f32], f32)],
) -> Vec<f32> {
    let largest = |slice: ArrayViewD<'_, f32>| slice.iter().fold(0f32, |a, x| a.max(x.abs()));
    let largest: Vec<f32> = match axis {
        Some(axis) => weight.axis_iter(Axis(axis)).map(largest).collect(),
        None => vec![largest(weight.view())],
    };
    let scale = |(slice, &largest): (usize, &f32)| {
        let of_slice = |bias: &[f32]| match axis {
            Some(_) => bias.get(slice).copied().unwrap_or(0.0).abs(),
            None => bias.iter().fold(0f32, |a, b| a.max(b.abs())),
        };
        let needed = biases
            .iter()
            .map(|(bias, input)| f64::from(of_slice(bias)) / f64::from(*input) / BIAS_LIMIT)
            .fold(0f64, f64::max) as f32;
        match largest {
            // A slice of zeros may have any scale: the smallest that holds the bias keeps it exact.
            0.0 if needed > f32::MIN_POSITIVE => needed,
            _ => Grid::symmetric(largest, WEIGHT_LIMIT).scale.max(needed),
        }
    };
    largest.iter().enumerate().map(scale).collect()
}

/// The int8 elements of `weight` on the grids of `scales`.
pub(super) fn integers(weight: &ArrayD<f32>, axis: Option<usize>, scales: &[f32]) -> Tensor {
    let grid = |scale| Grid { scale, zero_point: 0, low: -WEIGHT_LIMIT, high: WEIGHT_LIMIT };
    let mut integers = ArrayD::<i8>::zeros(weight.raw_dim());
    let store = |to: ArrayViewMutD<'_, i8>, from: ArrayViewD<'_, f32>, scale: f32| {
        let grid = grid(scale);
        Zip::from(to).and(from).for_each(|to, &from| *to = grid.quantize(from) as i8);
    };
    match axis {
        Some(axis) => {
            let slices = integers.axis_iter_mut(Axis(axis)).zip(weight.axis_iter(Axis(axis)));
            slices.zip(scales).for_each(|((to, from), &scale)| store(to, from, scale));
        }
        None => store(integers.view_mut(), weight.view(), scales[0]),
    }
    Tensor::from_i8(weight.shape(), &integers.into_iter().collect::<Vec<_>>())
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

#[cfg(test)]
mod tests {
    use super::*;
    use ndarray::array;

    #[test]
    fn each_column_has_its_scale() {
        let weight = array![[1.27f32, -12.7], [0.5, 0.0]].into_dyn();
        let scales = scales(&weight, Some(1), &[]);
        assert_eq!(scales, [1.27 / 127.0, 12.7 / 127.0]);
        let integers = integers(&weight, Some(1), &scales);
        assert_eq!(integers.to_i64().unwrap(), [127, -127, 50, 0]);
    }

    #[test]
    fn a_bias_that_would_overflow_raises_the_weight_scale() {
        let weight = array![[1e-9f32]].into_dyn();
        let (input, b) = (1e-3f32, [5.0f32]);
        let scales = scales(&weight, Some(0), &[(&b, input)]);
        let (integers, of_bias) = bias(&b, input, &scales);
        let back = integers.to_i64().unwrap()[0] as f32 * of_bias[0];
        assert!((back - 5.0).abs() < 1e-5, "{back}");
    }

    #[test]
    fn a_channel_of_zeros_keeps_its_bias() {
        let weight = array![[0.0f32, 0.0]].into_dyn();
        let b = [0.3f32];
        let scales = scales(&weight, Some(0), &[(&b, 0.02)]);
        let (integers, of_bias) = bias(&b, 0.02, &scales);
        assert!((integers.to_i64().unwrap()[0] as f32 * of_bias[0] - 0.3).abs() < 1e-6);
    }
}
