//! Any text as a model in text form.

use onnxpress::read;

use super::{bytes, model};

/// What the parser accepts (then the answer is true) is printed, parsed again and printed the same, and is a model like any
/// other.
pub fn check(data: &[u8]) -> bool {
    let Ok(source) = std::str::from_utf8(data) else { return false };
    let Ok(parsed) = read::text(source) else { return false };
    model::text_round_trip(&parsed);
    bytes::check(&model::encode(&parsed))
}
