//! Sums of `f32` without rounding, and so the same in any order.
//!
//! A fixed-point number wide enough for every `f32` and 2^64 of them (Kulisch and Snyder, "The exact
//! dot product as basic tool for long interval arithmetic", 2011).

/// Words of 64 bits: 277 for all digits of `f32`, 64 for the carries, one for the sign.
const WORDS: usize = 6;

/// The last digit stands for 2^-149, the smallest denormal number.
const LAST_DIGIT: i32 = 149;

/// A sum in two's complement, the lowest word first.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct ExactSum([u64; WORDS]);

impl ExactSum {
    /// Adds a finite number; others are left out.
    pub fn add(&mut self, x: f32) {
        if !x.is_finite() {
            return;
        }
        let bits = x.to_bits();
        let exponent = (bits >> 23) & 0xff;
        let fraction = u64::from(bits & 0x7f_ffff);
        // Denormal numbers have no hidden digit, and the exponent of the smallest normal ones.
        let (mantissa, shift) = match exponent {
            0 => (fraction, 0),
            _ => (fraction | 1 << 23, exponent as usize - 1),
        };
        let mut term = [0; WORDS];
        let wide = u128::from(mantissa) << (shift % 64);
        term[shift / 64] = wide as u64;
        term[shift / 64 + 1] = (wide >> 64) as u64;
        let term = Self(term);
        *self = self.plus(if x < 0.0 { term.negated() } else { term });
    }

    /// The sum of both.
    #[must_use]
    pub fn plus(self, other: Self) -> Self {
        let mut carry = false;
        let mut sum = [0; WORDS];
        for (sum, (a, b)) in sum.iter_mut().zip(self.0.into_iter().zip(other.0)) {
            let (half, first) = a.overflowing_add(b);
            let (whole, second) = half.overflowing_add(u64::from(carry));
            (*sum, carry) = (whole, first || second);
        }
        Self(sum)
    }

    fn negated(self) -> Self {
        let mut one = [0; WORDS];
        one[0] = 1;
        Self(self.0.map(|word| !word)).plus(Self(one))
    }

    /// The sum, rounded a few times: the same for the same sum.
    pub fn to_f64(self) -> f64 {
        let negative = self.0[WORDS - 1] >> 63 == 1;
        let digits = if negative { self.negated() } else { self };
        let size = digits.0.iter().enumerate().rev().fold(0.0, |sum, (i, &word)| {
            sum + word as f64 * f64::from(64 * i as i32 - LAST_DIGIT).exp2()
        });
        if negative { -size } else { size }
    }

    /// The words as hexadecimal digits, the highest first.
    pub fn to_hex(self) -> String {
        self.0.iter().rev().map(|word| format!("{word:016x}")).collect()
    }

    /// What [`to_hex`](Self::to_hex) gave; `None` for anything else.
    pub fn from_hex(text: &str) -> Option<Self> {
        if text.len() != WORDS * 16 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
            return None;
        }
        let mut words = [0; WORDS];
        for (i, word) in words.iter_mut().rev().enumerate() {
            *word = u64::from_str_radix(text.get(i * 16..(i + 1) * 16)?, 16).ok()?;
        }
        Some(Self(words))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn sum(numbers: &[f32]) -> ExactSum {
        let mut sum = ExactSum::default();
        numbers.iter().for_each(|&x| sum.add(x));
        sum
    }

    #[test]
    fn nothing_is_lost() {
        assert_eq!(sum(&[1e30, 1.0, -1e30]).to_f64(), 1.0);
        assert_eq!(sum(&[f32::MAX, 1e-45, -f32::MAX]).to_f64(), f64::from(1e-45f32));
        assert_eq!(sum(&[f32::MAX; 4]).to_f64(), 4.0 * f64::from(f32::MAX));
        assert_eq!(sum(&[-0.5, -0.25]).to_f64(), -0.75);
        assert_eq!(sum(&[]).to_f64(), 0.0);
    }

    proptest! {
        #[test]
        fn order_does_not_matter_and_text_keeps_all(
            numbers in prop::collection::vec(any::<f32>(), 0..30), cut in 0usize..30,
        ) {
            let cut = cut.min(numbers.len());
            let whole = sum(&numbers);
            prop_assert_eq!(sum(&numbers[cut..]).plus(sum(&numbers[..cut])), whole);
            prop_assert_eq!(ExactSum::from_hex(&whole.to_hex()), Some(whole));
        }

        #[test]
        fn a_number_is_its_own_sum(x in any::<f32>().prop_filter("finite", |x| x.is_finite())) {
            prop_assert_eq!(sum(&[x]).to_f64(), f64::from(x));
        }
    }
}
