//! How far two sequences of numbers are apart.

/// Sums from which signal-to-noise ratio, cosine similarity and absolute errors follow. They are
/// added in the order of the calls, in `f64`.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub struct Distance {
    count: u64,
    equal: u64,
    signal: f64,
    noise: f64,
    other: f64,
    product: f64,
    signed: f64,
    absolute: f64,
    largest: f64,
    not_finite: u64,
    nan: [u64; 2],
    infinite: [u64; 2],
}

impl Distance {
    /// The sums over two slices of the same length: `reference` and what replaces it.
    pub fn between(reference: &[f32], candidate: &[f32]) -> Self {
        let mut sums = Self::default();
        for (&a, &b) in reference.iter().zip(candidate) {
            let (a, b) = (f64::from(a), f64::from(b));
            sums.count += 1;
            sums.equal += u64::from(a == b || (a.is_nan() && b.is_nan()));
            for (side, x) in [a, b].into_iter().enumerate() {
                sums.nan[side] += u64::from(x.is_nan());
                sums.infinite[side] += u64::from(x.is_infinite());
            }
            if !a.is_finite() || !b.is_finite() {
                // Equal infinities and shared NaNs agree.
                if a.to_bits() != b.to_bits() && !(a.is_nan() && b.is_nan()) {
                    sums.not_finite += 1;
                }
                continue;
            }
            let error = (a - b).abs();
            sums.signal += a * a;
            sums.noise += error * error;
            sums.other += b * b;
            sums.product += a * b;
            sums.signed += b - a;
            sums.absolute += error;
            sums.largest = sums.largest.max(error);
        }
        sums
    }

    /// Of `count` elements of which so many are equal, and of which nothing else is known.
    pub fn of_equal(equal: u64, count: u64) -> Self {
        Self { count, equal, ..Self::default() }
    }

    /// The sums over both parts.
    #[must_use]
    pub fn merge(self, other: Self) -> Self {
        let both = |a: [u64; 2], b: [u64; 2]| [a[0] + b[0], a[1] + b[1]];
        Self {
            count: self.count + other.count,
            equal: self.equal + other.equal,
            signal: self.signal + other.signal,
            noise: self.noise + other.noise,
            other: self.other + other.other,
            product: self.product + other.product,
            signed: self.signed + other.signed,
            absolute: self.absolute + other.absolute,
            largest: self.largest.max(other.largest),
            not_finite: self.not_finite + other.not_finite,
            nan: both(self.nan, other.nan),
            infinite: both(self.infinite, other.infinite),
        }
    }

    /// Number of elements.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Signal-to-noise ratio `10 log10(Σ a² / Σ (a - b)²)` in decibel: infinite when equal,
    /// negative infinity when one side has a NaN or infinity that the other has not.
    pub fn sqnr_db(&self) -> f64 {
        match (self.not_finite, self.noise) {
            (1.., _) => f64::NEG_INFINITY,
            (0, 0.0) => f64::INFINITY,
            (0, noise) => 10.0 * (self.signal / noise).log10(),
        }
    }

    /// Cosine similarity, 1 for two sequences of zeros.
    pub fn cosine(&self) -> f64 {
        let norms = (self.signal * self.other).sqrt();
        match norms {
            0.0 if self.noise == 0.0 => 1.0,
            0.0 => 0.0,
            _ => self.product / norms,
        }
    }

    /// Largest absolute difference; infinite when one side alone is not finite.
    pub fn max_abs(&self) -> f64 {
        if self.not_finite > 0 { f64::INFINITY } else { self.largest }
    }

    /// Share of the elements that are equal; 1 when there are none.
    pub fn agreement(&self) -> f64 {
        if self.count == 0 { 1.0 } else { self.equal as f64 / self.count as f64 }
    }

    /// Mean absolute difference.
    pub fn mean_abs(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.absolute / self.count as f64 }
    }

    /// Mean difference, candidate less reference: what is left of the errors when they cancel.
    pub fn mean(&self) -> f64 {
        if self.count == 0 { 0.0 } else { self.signed / self.count as f64 }
    }

    /// How many elements are NaN: of the reference, of the candidate.
    pub fn nan(&self) -> [u64; 2] {
        self.nan
    }

    /// How many elements are infinite: of the reference, of the candidate.
    pub fn infinite(&self) -> [u64; 2] {
        self.infinite
    }
}

#[cfg(test)]
mod tests {
    use super::Distance;

    #[test]
    fn known_values() {
        let d = Distance::between(&[3.0, 4.0], &[3.0, 4.5]);
        assert!((d.sqnr_db() - 20.0).abs() < 1e-9);
        assert_eq!((d.max_abs(), d.mean_abs()), (0.5, 0.25));
        assert_eq!(Distance::between(&[1.0], &[1.0]).sqnr_db(), f64::INFINITY);
        assert_eq!(Distance::between(&[1.0], &[f32::NAN]).sqnr_db(), f64::NEG_INFINITY);
        assert_eq!(Distance::between(&[f32::NAN], &[f32::NAN]).sqnr_db(), f64::INFINITY);
        let d = Distance::between(&[1.0, 2.0, f32::NAN], &[2.0, 1.0, f32::INFINITY]);
        assert_eq!((d.mean(), d.mean_abs()), (0.0, 2.0 / 3.0));
        assert_eq!((d.nan(), d.infinite()), ([1, 0], [0, 1]));
        assert_eq!(d.merge(d).nan(), [2, 0]);
        assert_eq!(
            Distance::between(&[1.0, 2.0, f32::NAN], &[1.0, 3.0, f32::NAN]).agreement(),
            2.0 / 3.0
        );
    }
}
