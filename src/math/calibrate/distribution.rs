//! Mean and standard deviation.

use crate::math::calibrate::{Form, Interval, within};
use crate::math::{Bin, Histogram};

/// Half-widths, in standard deviations, of the range with the least squared error for normally
/// distributed elements, for grids of 2 to 8 bits (Banner et al., "Post training 4-bit quantization
/// of convolutional networks for rapid-deployment", 2019).
const NORMAL: [f64; 7] = [1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92];
/// What each bit beyond 8 adds, in standard deviations: the difference of the last two.
const EACH_BIT: f64 = 0.31;

/// `mean ± k · deviation` with the `k` that suits the number of levels best when the elements are
/// normally distributed. Elements of one sign, as behind a Relu, are taken for one half of a
/// distribution around 0, whose other half became 0. For a symmetric grid the larger end counts on
/// both sides.
pub fn distribution(histogram: &Histogram, form: Form) -> Interval {
    let half = histogram.min() >= 0.0 || histogram.max() <= 0.0;
    let bins = || histogram.bins().filter(|bin| !(half && bin.zero));
    let total: f64 = bins().map(|bin| bin.count).sum();
    if total == 0.0 {
        return within(histogram, (0.0, 0.0));
    }
    let mean_of =
        |f: &dyn Fn(Bin) -> f64| bins().map(|bin| bin.count * f(bin)).sum::<f64>() / total;
    let mean = if half { 0.0 } else { mean_of(&|bin| bin.middle()) };
    let variance = mean_of(&|bin| bin.mean_square()) - mean * mean;
    let bits = form.levels.max(4).ilog2() as usize;
    let last = NORMAL.len() + 1;
    let k = NORMAL[bits.min(last) - 2] + bits.saturating_sub(last) as f64 * EACH_BIT;
    let reach = k * variance.max(0.0).sqrt();
    if form.symmetric {
        let largest = mean.abs() + reach;
        return within(histogram, (-largest, largest));
    }
    within(histogram, (mean - reach, mean + reach))
}

#[cfg(test)]
mod tests {
    use super::distribution;
    use crate::math::calibrate::testing::{BYTE, SYMMETRIC, histogram, normal};

    #[test]
    fn normal_numbers_are_cut_where_the_paper_says() {
        let mut elements = normal(50_000);
        elements.extend([40.0, -40.0]);
        for form in [BYTE, SYMMETRIC] {
            let (min, max) = distribution(&histogram(&elements), form);
            assert!((min + 3.92).abs() < 0.15 && (max - 3.92).abs() < 0.15, "{min} {max}");
        }
        let cut: Vec<f32> = elements.iter().map(|x| x.max(0.0)).collect();
        let (min, max) = distribution(&histogram(&cut), BYTE);
        assert!(min == 0.0 && (max - 3.92).abs() < 0.2, "{min} {max}");
        assert_eq!(distribution(&histogram(&[2.0, 2.0]), BYTE), (2.0, 2.0));
        assert_eq!(distribution(&histogram(&[0.0]), BYTE), (0.0, 0.0));
    }
}
