//! Random numbers that are the same in every run.

/// SplitMix64.
#[derive(Debug, Clone)]
pub struct Random(u64);

impl Random {
    /// From a seed.
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// 64 random bits.
    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1.
    pub fn unit(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1u64 << 53) as f64
    }

    /// 1 or -1.
    pub fn sign(&mut self) -> f64 {
        if self.next().is_multiple_of(2) { 1.0 } else { -1.0 }
    }

    /// A share from the beta distribution with both parameters `a`, at most 1 (Jöhnk, 1964).
    pub fn share(&mut self, a: f64) -> f64 {
        loop {
            let (x, y) = (self.unit().powf(1.0 / a), self.unit().powf(1.0 / a));
            if x + y <= 1.0 && x + y > 0.0 {
                return x / (x + y);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn shares_are_mostly_of_one() {
        let mut random = Random::new(3);
        let shares: Vec<f64> = (0..1000).map(|_| random.share(0.2)).collect();
        let mean = shares.iter().sum::<f64>() / 1000.0;
        let extreme = shares.iter().filter(|s| **s < 0.1 || **s > 0.9).count();
        assert!((mean - 0.5).abs() < 0.05 && extreme > 500, "{mean} {extreme}");
    }
}
