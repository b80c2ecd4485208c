//! The range with the least expected squared error.

use crate::math::calibrate::{Form, GridError, Interval, within};
use crate::math::{Bin, Histogram};

/// Shares of an end that are tried from the whole of it downwards. The error is coarse between
/// them and nearly flat around its minimum.
const STEPS: usize = 20;
/// Each is so much smaller than the one before.
const SHRINK: f64 = 0.8;
/// Halvings of the distance between neighbours around the best.
const REFINEMENTS: usize = 4;
/// How often both ends are searched in turn; a third time changes nothing that counts.
const ROUNDS: usize = 2;
/// Bins are merged to at most so many: a few for each step of the grid, within which the error is
/// integrated in closed form.
const COARSE: usize = 1024;

/// Searches both ends, of an asymmetric grid each on its own, for the range whose grid has the least
/// squared error over the elements: finer steps against what is clipped.
pub fn least_squared_error(histogram: &Histogram, form: Form) -> Interval {
    let bins = coarse(histogram);
    let error =
        |low: f64, high: f64| GridError::new(form, within(histogram, (low, high))).total(&bins);
    let (low, high) = (f64::from(histogram.min()), f64::from(histogram.max()));
    if form.symmetric {
        let largest = high.max(-low);
        let best = search(|share| error(-largest * share, largest * share));
        return within(histogram, (-largest * best, largest * best));
    }
    let (mut bottom, mut top) = (1.0, 1.0);
    for _ in 0..ROUNDS {
        if high > 0.0 {
            top = search(|share| error(low * bottom, high * share));
        }
        if low < 0.0 {
            bottom = search(|share| error(low * share, high * top));
        }
        if low >= 0.0 || high <= 0.0 {
            break;
        }
    }
    within(histogram, (low * bottom.max(f64::from(u8::from(low > 0.0))), high * top))
}

/// The share in `0..=1` with the least error; the larger of equal ones.
fn search(error: impl Fn(f64) -> f64) -> f64 {
    let mut best = (error(1.0), 1.0);
    let consider = |share: f64, best: &mut (f64, f64)| {
        let found = error(share);
        if found < best.0 {
            *best = (found, share);
        }
    };
    let mut share = 1.0;
    for _ in 0..STEPS {
        share *= SHRINK;
        consider(share, &mut best);
    }
    let mut ratio = SHRINK;
    for _ in 0..REFINEMENTS {
        ratio = ratio.sqrt();
        let middle = best.1;
        consider((middle / ratio).min(1.0), &mut best);
        consider(middle * ratio, &mut best);
    }
    best.1
}

/// Neighbouring bins together, the one around 0 alone.
fn coarse(histogram: &Histogram) -> Vec<Bin> {
    let each = histogram.counts().len().div_ceil(COARSE).next_power_of_two();
    let wide = histogram.width() * each as f64;
    let mut bins: Vec<Bin> = Vec::with_capacity(COARSE);
    for bin in histogram.bins() {
        let home = (bin.middle() / wide).floor();
        match bins.last_mut() {
            Some(last) if !last.zero && !bin.zero && (last.middle() / wide).floor() == home => {
                last.high = bin.high;
                last.count += bin.count;
            }
            _ => bins.push(bin),
        }
    }
    bins
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::math::calibrate::testing::{BYTE, SYMMETRIC, histogram, normal};

    #[test]
    fn an_outlier_is_clipped_only_when_that_pays() {
        let mut elements = normal(50_000);
        let spread = elements.iter().copied().fold(0.0, f32::max);
        elements.push(60.0);
        let histogram = histogram(&elements);
        let (min, max) = least_squared_error(&histogram, BYTE);
        // Finer steps for 50,000 elements are worth a little of one.
        assert!(max < 59.0 && max > 50.0 && min < -3.0, "{min} {max}");
        let few = Form { levels: 16, symmetric: false };
        let (_, tight) = least_squared_error(&histogram, few);
        assert!(tight < spread && tight > 1.5, "{tight}");
        // With many levels nothing is worth a clip.
        let many = Form { levels: 1 << 16, symmetric: false };
        assert_eq!(least_squared_error(&histogram, many).1, 60.0);
    }

    #[test]
    fn normal_numbers_are_cut_near_the_optimum() {
        let elements = normal(50_000);
        let histogram = histogram(&elements);
        for (levels, expected) in [(16, 2.55f32), (8, 2.15)] {
            for symmetric in [false, true] {
                let (min, max) = least_squared_error(&histogram, Form { levels, symmetric });
                let half = (max - min) / 2.0;
                assert!((half - expected).abs() < 0.3, "{levels}: {min} {max}");
            }
        }
    }

    #[test]
    fn the_result_is_never_worse_than_min_max_and_never_outside() {
        for elements in [vec![0.0; 5], vec![3.0, 4.0], vec![-4.0, -1.0], normal(500)] {
            let histogram = histogram(&elements);
            let bins: Vec<Bin> = histogram.bins().collect();
            for form in [BYTE, SYMMETRIC] {
                let (min, max) = least_squared_error(&histogram, form);
                assert!(histogram.min() <= min && min <= max && max <= histogram.max());
                let error = |interval| GridError::new(form, interval).total(&bins);
                let whole = error((histogram.min(), histogram.max()));
                assert!(error((min, max)) <= whole * 1.01 + 1e-12, "{elements:?}");
            }
        }
    }
}
