//! The range that leaves out a share of the elements.

use crate::math::calibrate::{Form, Interval, within};
use crate::math::{Bin, Histogram};

/// The interval that holds `percent` of the elements: half of the others lie below it, half above.
/// For a symmetric grid it is centred at 0.
pub fn percentile(histogram: &Histogram, form: Form, percent: f64) -> Interval {
    let outside = (1.0 - percent / 100.0).clamp(0.0, 1.0) * histogram.total() as f64;
    let mut bins: Vec<Bin> = histogram.bins().collect();
    if form.symmetric {
        let mirrored = bins.iter().map(|bin| match bin.high <= 0.0 {
            true => Bin { low: -bin.high, high: -bin.low, ..*bin },
            false => *bin,
        });
        let mut sizes: Vec<Bin> = mirrored.collect();
        sizes.sort_by(|a, b| b.low.total_cmp(&a.low));
        let largest = tail(&sizes, outside, false);
        return within(histogram, (-largest, largest));
    }
    let low = tail(&bins, outside / 2.0, true);
    bins.reverse();
    let high = tail(&bins, outside / 2.0, false);
    within(histogram, (low, high.max(low)))
}

/// Where `outside` elements of the bins, in the order given, have been passed; `rising` says which
/// end of a bin comes first.
fn tail(bins: &[Bin], mut outside: f64, rising: bool) -> f64 {
    for bin in bins {
        if outside < bin.count {
            // Elements that count as 0 have no share: the range keeps the bin, and an extent.
            let share = if bin.zero { 0.0 } else { outside / bin.count };
            let (start, end) = if rising { (bin.low, bin.high) } else { (bin.high, bin.low) };
            return start + share * (end - start);
        }
        outside -= bin.count;
    }
    0.0
}

#[cfg(test)]
mod tests {
    use super::percentile;
    use crate::math::calibrate::testing::{BYTE, SYMMETRIC, histogram};

    #[test]
    fn both_tails_are_cut() {
        let mut elements: Vec<f32> = (-500..=500).map(|i| i as f32 / 100.0).collect();
        elements.extend([-100.0, 100.0, 100.0]);
        let histogram = histogram(&elements);
        assert_eq!(percentile(&histogram, BYTE, 100.0), (-100.0, 100.0));
        let (min, max) = percentile(&histogram, BYTE, 99.0);
        assert!((min + 4.95).abs() < 0.1 && (max - 4.95).abs() < 0.1, "{min} {max}");
        let (min, max) = percentile(&histogram, SYMMETRIC, 99.0);
        assert!(min == -max && (max - 4.96).abs() < 0.1, "{min} {max}");
        let (min, max) = percentile(&histogram, SYMMETRIC, 100.0);
        assert_eq!((min, max), (-100.0, 100.0));
    }

    #[test]
    fn zeros_are_not_cut_in_half() {
        let elements = [vec![0.0; 900], vec![1.0; 100]].concat();
        let (min, max) = percentile(&histogram(&elements), BYTE, 50.0);
        assert_eq!((min, max), (0.0, 1.0 / 2048.0), "never without an extent");
        assert_eq!(percentile(&histogram(&elements), BYTE, 99.0), (0.0, 1.0));
    }
}
