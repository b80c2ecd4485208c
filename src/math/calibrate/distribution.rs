//! Mean and standard deviation.

use crate::math::Histogram;
use crate::math::calibrate::{Form, Interval, within};

/// Half-widths, in standard deviations, of the range with the least squared error for normally
/// distributed elements, for grids of 2 to 8 bits (Banner et al., "Post training 4-bit quantization
/// of convolutional networks for rapid-deployment", 2019).
const NORMAL: [f64; 7] = [1.71, 2.15, 2.55, 2.93, 3.28, 3.61, 3.92];
/// What each bit beyond 8 adds, in standard deviations: the difference of the last two.
const EACH_BIT: f64 = 0.31;

/// `mean ± k · deviation` with the `k` that suits the number of levels best when the elements are
/// normally distributed. For a symmetric grid the larger end counts on both sides.
pub fn distribution(histogram: &Histogram, form: Form) -> Interval {
    let total = histogram.total() as f64;
    let mean_of = |f: &dyn Fn(crate::math::Bin) -> f64| {
        histogram.bins().map(|bin| bin.count * f(bin)).sum::<f64>() / total
    };
    let mean = mean_of(&|bin| bin.middle());
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
        assert_eq!(distribution(&histogram(&[2.0, 2.0]), BYTE), (2.0, 2.0));
    }
}
