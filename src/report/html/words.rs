//! Fields and numbers as people read them.

use serde_json::{Number, Value};

use crate::report::html::markup::Markup;
use crate::report::text::{DECIBEL_LIMIT, grouped};

/// Ends of names of fields that are units.
const UNITS: &[(&str, &str)] = &[
    ("_db", "dB"),
    ("_bytes", "bytes"),
    ("_ms", "ms"),
    ("milliseconds", "ms"),
    ("_share", "share"),
];

/// Names that are written otherwise than as words.
const NAMES: &[(&str, &str)] = &[
    ("sqnr", "SQNR"),
    ("macs", "MACs"),
    ("macs unknown", "layers of unknown MACs"),
    ("ir version", "IR version"),
    ("max abs", "largest error"),
    ("mean abs", "mean error"),
    ("mean error", "bias"),
    ("kl mean", "KL divergence, mean"),
    ("kl max", "KL divergence, largest"),
    ("nan", "NaN"),
    ("op", "operator"),
    ("top1", "top-1"),
    ("top5", "top-5"),
];

/// The heading of a field: `size_bytes` is `size (bytes)`, `input.from` is `input: from`.
pub(super) fn heading(field: &str) -> String {
    let mut parts: Vec<String> = field.split('.').map(part).collect();
    if parts.len() > 1 && parts.last().is_some_and(String::is_empty) {
        parts.pop();
    }
    parts.join(": ")
}

fn part(field: &str) -> String {
    let unit = UNITS.iter().find(|(end, _)| field.len() > end.len() && field.ends_with(end));
    let stem = unit.map_or(field, |(end, _)| &field[..field.len() - end.len()]);
    let words = stem.replace('_', " ");
    let words = NAMES.iter().find(|(name, _)| *name == words).map_or(&*words, |(_, text)| text);
    match unit {
        Some((_, unit)) => format!("{words} ({unit})"),
        None => words.to_owned(),
    }
}

/// Headings of sections that say more than their field.
const TITLES: &[(&str, &str)] = &[
    ("drift", "original and result, on the samples"),
    ("test", "original and result, on the test samples"),
    ("unquantized", "original and result before it was quantized"),
    ("fall_back", "layers that are quantized less"),
    ("calibration", "ranges of activations"),
    ("calibrated", "one calibrator for all"),
    ("equalized", "channels equalized"),
    ("methods", "what was done for the accuracy of layers"),
    ("worst", "samples that differ most"),
    ("values", "values inside"),
    ("possible", "what could be done, and what is in the way"),
];

/// The heading of a section.
fn title(field: &str) -> String {
    let known = TITLES.iter().find(|(name, _)| *name == field);
    known.map_or_else(|| heading(field), |(_, title)| (*title).to_owned())
}

/// Fields whose entries go by names of the model, or of operators: these stay as they are.
const OF_NAMES: [&str; 5] = ["operators", "opsets", "ranks", "counts", "widths"];

/// How the entries of a field are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Entries {
    /// By fields of reports.
    Fields,
    /// By names, which are shown as they are.
    Names,
}

impl Entries {
    /// Of a field.
    pub fn of(field: &str) -> Self {
        if OF_NAMES.contains(&field) { Self::Names } else { Self::Fields }
    }

    /// The heading of an entry within a line.
    pub fn heading(self, entry: &str) -> String {
        if self == Self::Names { entry.to_owned() } else { heading(entry) }
    }

    /// The heading of an entry that is a section.
    pub fn title(self, entry: &str) -> String {
        if self == Self::Names { entry.to_owned() } else { title(entry) }
    }
}

/// Significant digits that are shown; the element carries all.
const DIGITS: i32 = 6;

/// A number: integers in groups, others with six digits. The element `data` carries the whole number.
pub(super) fn number(page: &mut Markup, field: &str, number: &Number) {
    page.raw("<data").attribute("value", number).raw(">");
    page.text(shown(field, number)).raw("</data>");
}

fn shown(field: &str, number: &Number) -> String {
    if let Some(whole) = number.as_u64() {
        return grouped(whole);
    }
    if let Some(whole) = number.as_i64() {
        return format!("-{}", grouped(whole.unsigned_abs()));
    }
    let Some(x) = number.as_f64() else { return number.to_string() };
    if field.ends_with("_db") && x.abs() >= DECIBEL_LIMIT {
        return if x > 0.0 { "equal" } else { "not finite" }.to_owned();
    }
    float(x)
}

/// Six significant digits.
pub(super) fn float(x: f64) -> String {
    let size = x.abs();
    if size == 0.0 {
        return "0".to_owned();
    }
    if !(1e-4..1e9).contains(&size) {
        return format!("{x:.2e}");
    }
    let digits = (DIGITS - 1 - size.log10().floor() as i32).max(0) as usize;
    let text = format!("{x:.digits$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text,
    }
}

/// A value that is neither list nor object.
pub(super) fn scalar(page: &mut Markup, field: &str, value: &Value) {
    match value {
        Value::Null => page.raw("–"),
        Value::Bool(true) => page.raw("yes"),
        Value::Bool(false) => page.raw("no"),
        Value::Number(found) => {
            number(page, field, found);
            page
        }
        Value::String(text) => page.text(text),
        other => page.text(other),
    };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn headings_and_numbers() {
        assert_eq!(Entries::of("ranks").title("/1.a/Conv_2"), "/1.a/Conv_2");
        assert_eq!(Entries::of("drift").title("worst"), "samples that differ most");
        assert_eq!(heading("size_bytes"), "size (bytes)");
        assert_eq!(heading("input.expected_sqnr_db"), "input: expected sqnr (dB)");
        assert_eq!(heading("milliseconds"), "milliseconds");
        let texts = [0.0, 1.0, -1234.5678, 0.000123456, 1e-7, 3.25e12, 38.841].map(float);
        let expected = ["0", "1", "-1234.57", "0.000123456", "1.00e-7", "3.25e12", "38.841"];
        assert_eq!(texts, expected);
        let number = |text: &str| serde_json::from_str::<Number>(text).expect("a number");
        assert_eq!(shown("size", &number("1234567")), "1,234,567");
        assert_eq!(shown("x", &number("-1234")), "-1,234");
        assert_eq!(shown("sqnr_db", &number("300.0")), "equal");
        assert_eq!(shown("sqnr_db", &number("-300.0")), "not finite");
    }
}
