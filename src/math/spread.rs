//! How numbers are spread, and how far the outliers are out.

use crate::math::Histogram;

/// Moments and extremes of finite numbers.
#[derive(Debug, Clone, PartialEq)]
pub struct Spread {
    /// How many.
    pub count: usize,
    /// Smallest.
    pub min: f64,
    /// Largest.
    pub max: f64,
    /// Mean.
    pub mean: f64,
    /// Standard deviation.
    pub deviation: f64,
    /// The largest distance from the mean in standard deviations; 0 when all are equal.
    pub outlier: f64,
    /// Fourth central moment by the square of the second: 3 for a normal distribution, more with heavy
    /// tails; 0 when all are equal.
    pub kurtosis: f64,
    /// Share of zeros.
    pub zeros: f64,
    /// How many are in each of equal parts from the smallest to the largest.
    pub histogram: Vec<u64>,
}

/// Parts of the histogram: what a small picture shows.
const PARTS: usize = 64;

impl Spread {
    /// The spread of `numbers`; `None` when there are none, or one is not finite.
    pub fn of(numbers: &[f32]) -> Option<Self> {
        let count = numbers.len();
        if count == 0 || numbers.iter().any(|x| !x.is_finite()) {
            return None;
        }
        let n = count as f64;
        let wide = || numbers.iter().map(|&x| f64::from(x));
        let (min, max) = wide()
            .fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), x| (low.min(x), high.max(x)));
        let mean = wide().sum::<f64>() / n;
        let moment = |power: i32| wide().map(|x| (x - mean).powi(power)).sum::<f64>() / n;
        let variance = moment(2);
        let deviation = variance.sqrt();
        // Beyond rounding of the mean, a deviation is one.
        let spread = min < max && variance > 0.0;
        Some(Self {
            count,
            min,
            max,
            mean,
            deviation,
            outlier: if spread { (max - mean).max(mean - min) / deviation } else { 0.0 },
            kurtosis: if spread { moment(4) / (variance * variance) } else { 0.0 },
            zeros: numbers.iter().filter(|x| **x == 0.0).count() as f64 / n,
            histogram: Histogram::of(numbers, min as f32, max as f32).coarse(PARTS),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_values() {
        let spread = Spread::of(&[-1.0, 1.0, -1.0, 1.0, 0.0, 0.0]).expect("finite");
        assert_eq!((spread.count, spread.min, spread.max, spread.mean), (6, -1.0, 1.0, 0.0));
        assert!((spread.deviation - (4.0f64 / 6.0).sqrt()).abs() < 1e-12);
        assert!((spread.kurtosis - 1.5).abs() < 1e-12);
        assert!((spread.outlier - 1.5f64.sqrt()).abs() < 1e-12);
        assert!((spread.zeros - 1.0 / 3.0).abs() < 1e-12);
        assert_eq!(spread.histogram.iter().sum::<u64>(), 6);
    }

    #[test]
    fn equal_and_odd_numbers() {
        let equal = Spread::of(&[2.5; 4]).expect("finite");
        assert_eq!((equal.outlier, equal.kurtosis), (0.0, 0.0));
        assert!(Spread::of(&[]).is_none());
        assert!(Spread::of(&[1.0, f32::NAN]).is_none());
    }
}
