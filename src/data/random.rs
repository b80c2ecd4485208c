//! Samples that depend on nothing but a seed.

use bytes::Bytes;

use crate::data::convert::{is_fed, push_float, push_integer};
use crate::error::{Result, err};
use crate::tensor::{DType, Tensor, element_count};

/// A standard normal tensor of a float type; equal for equal seeds and streams, independent of those
/// of other streams.
///
/// # Errors
/// When the tensor is too large for the memory, or of a type that is not drawn, such as strings.
pub fn random_tensor(dtype: DType, dims: &[usize], seed: u64, stream: u64) -> Result<Tensor> {
    random_below(dtype, dims, seed, stream, 0)
}

/// As [`random_tensor`], and for integers: uniform in `0..below`.
///
/// # Errors
/// When the tensor is too large for the memory, or of a type that is not drawn, such as strings.
pub fn random_below(
    dtype: DType,
    dims: &[usize],
    seed: u64,
    stream: u64,
    below: u64,
) -> Result<Tensor> {
    if !is_fed(dtype) {
        return Err(err!(Data, "no random {dtype} can be drawn"));
    }
    let too_large = || err!(Data, "a random tensor of dims {dims:?} is too large");
    let count = element_count(dims).ok_or_else(too_large)?;
    let mut out = Vec::new();
    let bytes = dtype.byte_len(count).ok_or_else(too_large)?;
    out.try_reserve_exact(bytes).map_err(|_| too_large())?;
    SplitMix64::for_sample(seed, stream, 0).fill(&mut out, dtype, count, below);
    Tensor::new(dtype, dims.to_vec(), Bytes::from(out))
}

/// SplitMix64 (Steele, Lea and Flood 2014): one 64-bit state, good enough to fill test inputs.
#[derive(Debug, Clone)]
pub(super) struct SplitMix64(u64);

impl SplitMix64 {
    /// A stream for one sample of one input, independent of every other one.
    pub fn for_sample(seed: u64, input: u64, sample: u64) -> Self {
        let mut mixed = Self(seed);
        for part in [input, sample] {
            mixed = Self(mixed.next().wrapping_add(part));
        }
        Self(mixed.next())
    }

    pub fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Uniform in `(0, 1)`, in steps of 2^-53.
    fn unit(&mut self) -> f64 {
        ((self.next() >> 11) as f64 + 0.5) / (1u64 << 53) as f64
    }

    /// Standard normal (Box and Muller 1958).
    fn normal(&mut self) -> f64 {
        let radius = (-2.0 * self.unit().ln()).sqrt();
        radius * (std::f64::consts::TAU * self.unit()).cos()
    }

    /// Appends `count` elements: standard normal for floats, 0 or 1 for `bool`, uniform in
    /// `0..below` (but within the type) for integers.
    pub fn fill(&mut self, out: &mut Vec<u8>, dtype: DType, count: usize, below: u64) {
        let most = match dtype.integer_range() {
            Some((_, high)) => u64::try_from(high).unwrap_or(u64::MAX).min(i64::MAX as u64),
            None => 1,
        };
        let below = if dtype == DType::Bool { 2 } else { below.clamp(1, most.saturating_add(1)) };
        for _ in 0..count {
            if dtype.is_float() {
                push_float(out, dtype, self.normal());
            } else {
                push_integer(out, dtype, i64::try_from(self.next() % below).ok());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_number_is_the_published_one() {
        assert_eq!(SplitMix64(0).next(), 0xe220_a839_7b1d_cdaf);
    }

    #[test]
    fn floats_are_standard_normal_and_integers_in_range() {
        let mut random = SplitMix64::for_sample(1, 2, 3);
        let values: Vec<f64> = (0..20_000).map(|_| random.normal()).collect();
        let mean = values.iter().sum::<f64>() / 20_000.0;
        let variance = values.iter().map(|x| x * x).sum::<f64>() / 20_000.0;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
        for (dtype, most) in [(DType::Bool, 1), (DType::Uint8, 7)] {
            let mut out = Vec::new();
            random.fill(&mut out, dtype, 1000, 8);
            assert_eq!((out.len(), out.iter().copied().max()), (1000, Some(most)));
        }
        let mut out = Vec::new();
        random.fill(&mut out, DType::Int8, 10, u64::MAX);
        assert_eq!(out.len(), 10);
    }
}
