//! Tensors as text.

use bytes::Bytes;

use crate::emit::text::{Elements, words};
use crate::tensor::{DType, Tensor, TensorView};
use crate::wire::{FNV_BASIS, fnv};

/// Lists and tensors up to this many elements are always shown whole.
const SHOWN_WHOLE: usize = 16;

/// Elements shown of a longer one.
const SHOWN_OF_MORE: usize = 4;

/// Elements in braces or brackets, and what a comment says about them.
pub(super) struct List {
    pub(super) text: String,
    pub(super) comment: Option<String>,
}

/// `{1, 2}`; `name` is what a comment calls the tensor.
pub(super) fn elements(name: &str, tensor: &Tensor, show: Elements) -> List {
    let List { text, comment } = match tensor.strings() {
        Some(strings) => {
            list(strings.len(), show, |i| words::quoted(&strings[i]), || fnv_strings(strings))
        }
        None => {
            let numbers = tensor.len() * parts(tensor.dtype());
            list(numbers, show, |i| number(tensor, i), || fnv(FNV_BASIS, tensor.bytes()))
        }
    };
    let notes: Vec<String> = comment.into_iter().chain(decimals(tensor)).collect();
    let comment =
        (!notes.is_empty()).then(|| format!("{}: {}", name.escape_debug(), notes.join(", ")));
    List { text: format!("{{{text}}}"), comment }
}

/// `count` things with commas between them. Of more than [`SHOWN_WHOLE`], unless all are wanted,
/// only the first [`SHOWN_OF_MORE`] are shown; count and digest go to the comment.
pub(super) fn list(
    count: usize,
    show: Elements,
    text: impl Fn(usize) -> String,
    digest: impl Fn() -> u64,
) -> List {
    let whole = show == Elements::All || count <= SHOWN_WHOLE;
    let shown = if whole { count } else { SHOWN_OF_MORE };
    let mut shown: Vec<String> = (0..shown).map(text).collect();
    if whole {
        return List { text: shown.join(", "), comment: None };
    }
    shown.push("...".to_owned());
    let comment = format!("{count} elements, fnv1a {:016x}", digest());
    List { text: shown.join(", "), comment: Some(comment) }
}

/// Numbers that make one element: a complex one is written as real part, imaginary part.
fn parts(dtype: DType) -> usize {
    if matches!(dtype, DType::Complex64 | DType::Complex128) { 2 } else { 1 }
}

/// Number `i` of a tensor: a decimal, an integer, or for the narrow floats their bit pattern.
fn number(tensor: &Tensor, i: usize) -> String {
    let dtype = tensor.dtype();
    let width = dtype.bits() / parts(dtype);
    let pattern = pattern(tensor.bytes(), width, i);
    match dtype {
        DType::Float | DType::Complex64 => {
            words::element(words::float(f32::from_bits(pattern as u32)))
        }
        DType::Double | DType::Complex128 => words::element(words::double(f64::from_bits(pattern))),
        _ if dtype.integer_range().is_some_and(|(low, _)| low < 0) => {
            // Moves the sign bit to the top and back.
            ((pattern << (64 - width)) as i64 >> (64 - width)).to_string()
        }
        _ => pattern.to_string(),
    }
}

/// Bits `i * width ..` of `bytes`, the lowest first.
fn pattern(bytes: &[u8], width: usize, i: usize) -> u64 {
    let start = i * width;
    let window = bytes.iter().skip(start / 8).take(9);
    let bits =
        window.enumerate().fold(0u128, |bits, (k, &byte)| bits | u128::from(byte) << (8 * k));
    ((bits >> (start % 8)) & ((1u128 << width) - 1)) as u64
}

/// What the bit patterns of a narrow float tensor mean, as far as they are shown at least.
fn decimals(tensor: &Tensor) -> Option<String> {
    let dtype = tensor.dtype();
    let narrow = dtype.is_float() && matches!(dtype.bits(), 4 | 8 | 16);
    let count = if tensor.len() <= SHOWN_WHOLE { tensor.len() } else { SHOWN_OF_MORE };
    if !narrow || count == 0 {
        return None;
    }
    let bytes = tensor.bytes().get(..dtype.byte_len(count)?)?;
    let values = TensorView { dtype, dims: &[count], bytes }.to_f32().ok()?;
    let values: Vec<String> = values.into_iter().map(|x| words::element(words::float(x))).collect();
    let more = if count < tensor.len() { ", ..." } else { "" };
    Some(format!("values {}{more}", values.join(", ")))
}

/// Digest of strings, each preceded by its length in 8 bytes.
pub(super) fn fnv_strings(strings: &[Bytes]) -> u64 {
    strings
        .iter()
        .fold(FNV_BASIS, |hash, text| fnv(fnv(hash, &(text.len() as u64).to_le_bytes()), text))
}
