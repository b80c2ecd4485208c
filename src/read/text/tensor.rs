//! `float[2] {1, 2}` -> `TensorProto`.

use half::{bf16, f16};

use crate::error::{Error, Result};
use crate::proto::{TensorProto, TypeProto, tensor_shape_proto::dimension, type_proto};
use crate::read::text::cursor::{Cursor, Literal, real};
use crate::tensor::{DType, element_count};

/// Takes the elements of a tensor of type `ty`, whose dims must all be numbers. `start` is where
/// the type stands, for errors.
pub(super) fn elements(
    cursor: &mut Cursor<'_>,
    start: &Cursor<'_>,
    ty: Option<&TypeProto>,
) -> Result<TensorProto> {
    let (dtype, dims) = fixed(ty).ok_or_else(|| {
        start.error("expected a tensor type whose dims are all numbers, because elements follow")
    })?;
    let sizes: Option<Vec<usize>> = dims.iter().map(|&dim| usize::try_from(dim).ok()).collect();
    let count = sizes
        .and_then(|sizes| element_count(&sizes))
        .and_then(|count| count.checked_mul(parts(dtype)))
        .ok_or_else(|| start.error(format_args!("dims {dims:?} hold no number of elements")))?;
    let open = *cursor;
    cursor.expect('{')?;
    let mut bits = Bits { width: dtype.bits() / parts(dtype), ..Bits::default() };
    let mut strings = Vec::new();
    let mut found = 0usize;
    if !cursor.eat('}') {
        loop {
            if dtype == DType::String {
                strings.push(cursor.quoted()?);
            } else {
                bits.push(element(cursor, dtype)?);
            }
            found += 1;
            if !cursor.eat(',') {
                break;
            }
        }
        cursor.expect('}')?;
    }
    if found != count {
        return Err(
            open.error(format_args!("{dtype} dims {dims:?} hold {count} elements, found {found}"))
        );
    }
    let mut tensor =
        TensorProto { dims, data_type: Some(dtype.to_onnx()), ..TensorProto::default() };
    if dtype == DType::String {
        tensor.string_data = strings;
    } else {
        tensor.raw_data = Some(bits.bytes().into());
    }
    Ok(tensor)
}

/// Element type and dims of a tensor type without symbols.
fn fixed(ty: Option<&TypeProto>) -> Option<(DType, Vec<i64>)> {
    let Some(type_proto::Value::TensorType(tensor)) = &ty?.value else { return None };
    let number = |size: &Option<dimension::Value>| match size {
        Some(dimension::Value::DimValue(size)) => Some(*size),
        _ => None,
    };
    let dims = tensor.shape.as_ref()?.dim.iter().map(|dim| number(&dim.value));
    Some((DType::from_onnx(tensor.elem_type?)?, dims.collect::<Option<_>>()?))
}

/// Numbers that make one element: a complex one is written as real part, imaginary part.
fn parts(dtype: DType) -> usize {
    if matches!(dtype, DType::Complex64 | DType::Complex128) { 2 } else { 1 }
}

/// The bit pattern of the next element.
fn element(cursor: &mut Cursor<'_>, dtype: DType) -> Result<u64> {
    let start = *cursor;
    let text = match cursor.literal() {
        Ok(Literal::Int(text) | Literal::Float(text)) => text,
        _ if start.elided() => return Err(elided(&start)),
        _ => return Err(start.expected(format_args!("an element of type {dtype}"))),
    };
    pattern(dtype, text).ok_or_else(|| {
        start.error(format_args!("expected an element of type {dtype}, found {text}"))
    })
}

fn elided(place: &Cursor<'_>) -> Error {
    place
        .error("the elements of this tensor were left out when the text was printed")
        .help("print the model with all elements")
}

/// The bit pattern that `text` means for `dtype`: a number, or for the narrow floats the pattern
/// itself as an integer, as in onnx.parser. float16 and bfloat16 are also read as decimals.
fn pattern(dtype: DType, text: &str) -> Option<u64> {
    let single = || real::<f32>(text);
    match dtype {
        DType::Float | DType::Complex64 => Some(u64::from(single()?.to_bits())),
        DType::Double | DType::Complex128 => Some(real::<f64>(text)?.to_bits()),
        DType::Float16 if text.parse::<i64>().is_err() => {
            Some(u64::from(f16::from_f32(single()?).to_bits()))
        }
        DType::Bfloat16 if text.parse::<i64>().is_err() => {
            Some(u64::from(bf16::from_f32(single()?).to_bits()))
        }
        _ => {
            let (low, high) = dtype.integer_range().unwrap_or((0, (1 << dtype.bits()) - 1));
            let number = text.parse::<i128>().ok().filter(|x| (low..=high).contains(x))?;
            // Two's complement; `Bits` takes the low bits.
            Some(number as u64)
        }
    }
}

/// Elements of `width` bits one after another, the first in the lowest bits.
#[derive(Default)]
struct Bits {
    width: usize,
    done: Vec<u8>,
    /// Bits that do not fill a byte yet, and their number.
    open: (u128, usize),
}

impl Bits {
    fn push(&mut self, element: u64) {
        let mask = (1u128 << self.width) - 1;
        self.open.0 |= (u128::from(element) & mask) << self.open.1;
        self.open.1 += self.width;
        while self.open.1 >= 8 {
            self.done.push(self.open.0 as u8);
            self.open = (self.open.0 >> 8, self.open.1 - 8);
        }
    }

    fn bytes(mut self) -> Vec<u8> {
        if self.open.1 > 0 {
            self.done.push(self.open.0 as u8);
        }
        self.done
    }
}
