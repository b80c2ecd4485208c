//! Names, strings and numbers as the syntax writes them.

use std::fmt::Write as _;

use crate::tensor::DType;

/// A name: bare when it is an identifier that cannot be taken for a type or a number.
pub(super) fn name(name: &str) -> String {
    let mut chars = name.chars();
    let starts = chars.next().is_some_and(|c| c.is_ascii_alphabetic() || c == '_');
    let identifier = starts && chars.all(|c| c.is_ascii_alphanumeric() || c == '_');
    if identifier && !is_word(name) { name.to_owned() } else { quoted(name.as_bytes()) }
}

/// Words that mean something of their own where a name may stand.
fn is_word(name: &str) -> bool {
    DType::from_name(name).is_some()
        || matches!(name, "seq" | "map" | "optional" | "sparse_tensor" | "opaque")
        || ["inf", "infinity", "nan"].iter().any(|word| name.eq_ignore_ascii_case(word))
}

/// A string in quotes; bytes that are not UTF-8 become `\xHH`.
pub(super) fn quoted(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len() + 2);
    out.push('"');
    for chunk in text.utf8_chunks() {
        for c in chunk.valid().chars() {
            if matches!(c, '"' | '\\') {
                out.push('\\');
            }
            out.push(c);
        }
        for byte in chunk.invalid() {
            // Writing to a string cannot fail.
            let _ = write!(out, "\\x{byte:02x}");
        }
    }
    out.push('"');
    out
}

/// The shortest decimal that reads back as `x`, always with a point, an exponent or a word.
pub(super) fn float(x: f32) -> String {
    real(f64::from(x), || format!("{x:?}"))
}

/// The same without a useless `.0`: inside a tensor the type is known.
pub(super) fn element(text: String) -> String {
    text.strip_suffix(".0").map(str::to_owned).unwrap_or(text)
}

/// As [`float`], for `f64`.
pub(super) fn double(x: f64) -> String {
    real(x, || format!("{x:?}"))
}

fn real(x: f64, text: impl Fn() -> String) -> String {
    match (x.is_nan(), x.is_sign_negative()) {
        (true, true) => "-nan".to_owned(),
        (true, false) => "nan".to_owned(),
        _ => text(),
    }
}
