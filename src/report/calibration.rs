//! How ranges of activations were chosen.

use std::fmt;

use serde::Serialize;

use crate::calibrate::Choice;
use crate::report::text::{decibel, finite, finite_decibel, percent};

/// The range of one activation.
#[derive(Debug, Clone, Serialize)]
pub struct ChoiceReport {
    /// Name of the value.
    pub value: String,
    /// Smallest element seen; `null` when it is not finite.
    pub min: Option<f64>,
    /// Largest element seen.
    pub max: Option<f64>,
    /// Smallest number of the range chosen.
    pub from: Option<f64>,
    /// Largest number of the range chosen.
    pub to: Option<f64>,
    /// The calibrator that gave it.
    pub calibrator: &'static str,
    /// The share of the elements outside the range; `null` when the elements were not counted.
    pub clipped_share: Option<f64>,
    /// Expected signal-to-noise ratio of the quantized value in decibel; 300 stands for no error.
    pub expected_sqnr_db: Option<f64>,
    /// How many elements are in each of 64 equal parts from `min` to `max`; `null` when they were not
    /// counted.
    pub histogram: Option<Vec<u64>>,
}

impl ChoiceReport {
    /// The report of a choice.
    pub fn new(choice: &Choice) -> Self {
        let number = |x: f32| finite(f64::from(x));
        Self {
            value: choice.value.clone(),
            min: number(choice.seen.min),
            max: number(choice.seen.max),
            from: number(choice.range.min),
            to: number(choice.range.max),
            calibrator: choice.calibrator.name(),
            clipped_share: choice.clipped,
            expected_sqnr_db: choice.sqnr_db.map(finite_decibel),
            histogram: choice.spread.clone(),
        }
    }
}

/// The rows of a table, with a heading.
pub(super) fn write(f: &mut fmt::Formatter<'_>, choices: &[ChoiceReport]) -> fmt::Result {
    let columns = ["seen", "range", "calibrator", "clipped", "expected"];
    let [seen, range, by, clipped, expected] = columns;
    writeln!(f, "activations\n    {seen:<22}{range:<22}{by:<12}{clipped:>9}{expected:>10}")?;
    for choice in choices {
        let (seen, range) = (span(choice.min, choice.max), span(choice.from, choice.to));
        let clipped = choice.clipped_share.map_or("-".to_owned(), percent);
        let expected = choice.expected_sqnr_db.map_or("-".to_owned(), decibel);
        let (by, value) = (choice.calibrator, &choice.value);
        writeln!(f, "  `{value}`")?;
        writeln!(f, "    {seen:<22}{range:<22}{by:<12}{clipped:>9}{expected:>10}")?;
    }
    Ok(())
}

/// An interval.
pub(super) fn span(low: Option<f64>, high: Option<f64>) -> String {
    match (low, high) {
        (Some(low), Some(high)) => format!("{} .. {}", short(low), short(high)),
        _ => "not finite".to_owned(),
    }
}

/// Five significant digits.
fn short(x: f64) -> String {
    let size = x.abs();
    if size != 0.0 && !(1e-3..1e5).contains(&size) {
        return format!("{x:.3e}");
    }
    let digits = if size < 1.0 { 5 } else { 4 - size.log10().floor() as usize };
    format!("{x:.digits$}")
}

#[cfg(test)]
mod tests {
    use super::short;

    #[test]
    fn numbers_are_short() {
        let texts = [0.0, 1.0, -12.345678, 99_999.4, 1e5, 1e-4, 0.015].map(short);
        let expected = ["0.00000", "1.0000", "-12.346", "99999", "1.000e5", "1.000e-4", "0.01500"];
        assert_eq!(texts, expected);
    }
}
