//! Numbers as people read them.

/// Signal-to-noise ratios beyond this many decibel are shown as this many, so that equal outputs
/// and NaN have a number in JSON.
pub(super) const DECIBEL_LIMIT: f64 = 300.0;

/// `1234567` as `1,234,567`.
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// A number of bytes, e.g. `1,250,405 bytes`.
pub fn bytes(number: u64) -> String {
    format!("{} bytes", grouped(number))
}

/// A share as a percentage with two digits.
pub fn percent(share: f64) -> String {
    format!("{:.2} %", share * 100.0)
}

/// A ratio in decibel as text; equal outputs are `equal`.
pub fn decibel(ratio: f64) -> String {
    if ratio >= DECIBEL_LIMIT { "equal".into() } else { format!("{ratio:.1} dB") }
}

/// A ratio in decibel as a finite number.
pub(super) fn finite_decibel(ratio: f64) -> f64 {
    if ratio.is_nan() { -DECIBEL_LIMIT } else { ratio.clamp(-DECIBEL_LIMIT, DECIBEL_LIMIT) }
}

/// The larger of a float and nothing: JSON has no infinity.
pub(super) fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(decibel(f64::INFINITY), "equal");
        assert_eq!(finite_decibel(f64::NEG_INFINITY), -300.0);
    }
}
