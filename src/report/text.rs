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

/// The end of a name of more than `most` characters, which tells more than its beginning.
pub(super) fn shortened(name: &str, most: usize) -> String {
    let length = name.chars().count();
    match length > most {
        true => format!("…{}", name.chars().skip(length - most + 1).collect::<String>()),
        false => name.to_owned(),
    }
}

/// Columns of the narrowest terminal that tables are made for.
const COLUMNS: usize = 80;
/// Characters of a name that a table shows in any case.
const LEAST_NAME: usize = 12;

/// A row of a table with the end of a name in what is left of the line, and what follows the name.
pub(super) fn row(before: &str, name: &str, behind: &str) -> String {
    let taken = before.chars().count() + behind.chars().count();
    let name = shortened(name, COLUMNS.saturating_sub(taken).max(LEAST_NAME));
    format!("{before}{name}{behind}")
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

/// `text` with lines of at most `width` characters: longer ones are folded at blanks, and go on further in
/// than they began. A word that is longer stays whole, so that it can be copied.
pub fn fit(text: &str, width: usize) -> String {
    let mut fitted = String::with_capacity(text.len());
    for line in text.lines() {
        fold(line, width, &mut fitted);
    }
    fitted
}

/// How much further in a folded line goes on.
const HANGING: usize = 4;

fn fold(line: &str, width: usize, fitted: &mut String) {
    let indent = line.chars().take_while(|c| *c == ' ').count();
    let hanging = (indent + HANGING).min(width / 2);
    let (mut rest, mut margin) = (line, 0);
    loop {
        let room = width.saturating_sub(margin).max(1);
        let end = rest.char_indices().nth(room).map(|(end, _)| end);
        // Behind what stands at the beginning, or after this line when a word is longer than that.
        let at = end.and_then(|end| {
            let start = rest.len() - rest.trim_start().len();
            let before = rest[start..end.max(start)].rfind(' ').map(|at| at + start);
            before.or_else(|| rest[end.max(start)..].find(' ').map(|at| at + end.max(start)))
        });
        fitted.extend(std::iter::repeat_n(' ', margin));
        let Some(at) = at else {
            fitted.push_str(rest);
            fitted.push('\n');
            return;
        };
        fitted.push_str(rest[..at].trim_end());
        fitted.push('\n');
        (rest, margin) = (rest[at..].trim_start(), hanging);
    }
}

/// The larger of a float and nothing: JSON has no infinity.
pub(super) fn finite(number: f64) -> Option<f64> {
    number.is_finite().then_some(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_folded_at_blanks() {
        assert_eq!(fit("a b\n\nc\n", 80), "a b\n\nc\n");
        assert_eq!(fit("  one two three four", 12), "  one two\n      three\n      four\n");
        // Columns stay columns as far as they fit.
        assert_eq!(fit("    12.0 dB   Conv `name`", 19), "    12.0 dB   Conv\n        `name`\n");
        let long = "x".repeat(30);
        assert_eq!(fit(&format!("  {long} y"), 10), format!("  {long}\n     y\n"));
        assert_eq!(fit("äöü äöü äöü", 8), "äöü äöü\n    äöü\n");
    }

    #[test]
    fn rows_have_eighty_columns() {
        assert_eq!(row("  1  ", "a/b", " <-"), "  1  a/b <-");
        let long = "x/".repeat(50);
        assert_eq!(row("  1  ", &long, " <-").chars().count(), COLUMNS);
        assert!(row("  1  ", &long, "").contains('…'));
    }

    #[test]
    fn numbers() {
        assert_eq!(grouped(0), "0");
        assert_eq!(grouped(999), "999");
        assert_eq!(grouped(1_234_567), "1,234,567");
        assert_eq!(decibel(f64::INFINITY), "equal");
        assert_eq!(finite_decibel(f64::NEG_INFINITY), -300.0);
    }
}
