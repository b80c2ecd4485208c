//! Elements of one sample in the type that the model takes.

use std::borrow::Cow;

use half::{bf16, f16};

use crate::data::preprocess::Affine;
use crate::error::{Error, Result, err};
use crate::tensor::{DType, TensorView};

/// Can an input of this type be fed from an array of numbers?
pub(super) fn is_fed(dtype: DType) -> bool {
    match dtype {
        DType::Float | DType::Double | DType::Float16 | DType::Bfloat16 | DType::Bool => true,
        _ => dtype.is_integer() && dtype.bits() >= 8,
    }
}

/// The elements of `view` as little-endian `dtype`, after `affine` when that is a float type.
///
/// The same type without arithmetic is passed through bit by bit. Floats become integers only when
/// every value is one; nothing is ever clamped or truncated.
pub(super) fn convert<'a>(
    view: TensorView<'a>,
    dtype: DType,
    affine: Option<&Affine>,
) -> Result<Cow<'a, [u8]>> {
    if view.dtype == dtype && affine.is_none() {
        return Ok(Cow::Borrowed(view.bytes));
    }
    let mut out = Vec::new();
    if dtype.is_float() {
        let mut values = view.to_f64()?;
        if let Some(affine) = affine {
            affine.apply(&mut values);
        }
        for (at, &value) in values.iter().enumerate() {
            if !push_float(&mut out, dtype, value) {
                return Err(unfit(&view, at, value, dtype));
            }
        }
    } else if view.dtype.is_float() {
        for (at, &value) in view.to_f64()?.iter().enumerate() {
            // Up to 2^63 the conversion of an integral f64 is exact.
            let whole =
                (value.fract() == 0.0 && value.abs() < 2f64.powi(63)).then_some(value as i64);
            push_integer(&mut out, dtype, whole).ok_or_else(|| unfit(&view, at, value, dtype))?;
        }
    } else {
        for (at, &value) in view.to_i64()?.iter().enumerate() {
            push_integer(&mut out, dtype, Some(value))
                .ok_or_else(|| unfit(&view, at, value, dtype))?;
        }
    }
    Ok(Cow::Owned(out))
}

/// Refuses NaN and infinities.
pub(super) fn check_finite(view: &TensorView<'_>) -> Result<()> {
    let at = match view.dtype {
        DType::Float => {
            view.bytes.as_chunks().0.iter().position(|&b| !f32::from_le_bytes(b).is_finite())
        }
        DType::Double => {
            view.bytes.as_chunks().0.iter().position(|&b| !f64::from_le_bytes(b).is_finite())
        }
        DType::Float16 => {
            view.bytes.as_chunks().0.iter().position(|&b| !f16::from_le_bytes(b).is_finite())
        }
        _ => None,
    };
    match at {
        Some(at) => Err(err!(
            Data,
            "{} at index {:?}; expected finite numbers",
            view.to_f64()?.get(at).copied().unwrap_or(f64::NAN),
            index(at, view.dims)
        )),
        None => Ok(()),
    }
}

fn unfit(view: &TensorView<'_>, at: usize, value: impl std::fmt::Display, dtype: DType) -> Error {
    err!(
        Data,
        "{} {value} at index {:?} does not fit the input's type {dtype}",
        view.dtype,
        index(at, view.dims)
    )
}

/// Position of element `at` along each axis.
fn index(mut at: usize, dims: &[usize]) -> Vec<usize> {
    let mut index = vec![0; dims.len()];
    for (place, &dim) in index.iter_mut().zip(dims).rev() {
        *place = at % dim.max(1);
        at /= dim.max(1);
    }
    index
}

/// Appends `value` rounded to `dtype`; false when it overflows. The 16-bit floats are rounded by
/// way of `float`, as NumPy does and as every processor can.
pub(super) fn push_float(out: &mut Vec<u8>, dtype: DType, value: f64) -> bool {
    let single = value as f32;
    match dtype {
        DType::Double => {
            out.extend(value.to_le_bytes());
            value.is_finite()
        }
        DType::Float16 => {
            let half = f16::from_f32(single);
            out.extend(half.to_le_bytes());
            half.is_finite()
        }
        DType::Bfloat16 => {
            let half = bf16::from_f32(single);
            out.extend(half.to_le_bytes());
            half.is_finite()
        }
        _ => {
            out.extend(single.to_le_bytes());
            single.is_finite()
        }
    }
}

/// Appends `value` as an integer or `bool`; `None` when it is out of range.
pub(super) fn push_integer(out: &mut Vec<u8>, dtype: DType, value: Option<i64>) -> Option<()> {
    let value = i128::from(value?);
    let (low, high) = dtype.integer_range().unwrap_or((0, 1));
    if !(low..=high).contains(&value) {
        return None;
    }
    out.extend(value.to_le_bytes().into_iter().take(dtype.bits() / 8));
    Some(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tensor::Tensor;

    fn to(tensor: &Tensor, dtype: DType) -> Result<Tensor> {
        let bytes = convert(tensor.view(), dtype, None)?.into_owned();
        Tensor::new(dtype, tensor.dims().to_vec(), bytes.into())
    }

    #[test]
    fn integers_widen_and_narrow_only_within_range() {
        let array = Tensor::from_i32(&[3], &[-1, 0, 255]);
        assert_eq!(to(&array, DType::Int64).unwrap().to_i64().unwrap(), [-1, 0, 255]);
        let error = to(&array, DType::Uint8).unwrap_err().message;
        assert_eq!(error, "int32 -1 at index [0] does not fit the input's type uint8");
        assert!(to(&array, DType::Bool).is_err());
        let bits = Tensor::from_i8(&[2], &[0, 1]);
        assert_eq!(to(&bits, DType::Bool).unwrap().bytes().as_ref(), [0, 1]);
    }

    #[test]
    fn floats_become_integers_only_when_they_are_integral() {
        let array = Tensor::from_f32(&[2, 1], &[3.0, -7.0]);
        assert_eq!(to(&array, DType::Int8).unwrap().to_i64().unwrap(), [3, -7]);
        let error = to(&Tensor::from_f64(&[1, 2], &[1.0, 0.5]), DType::Int64).unwrap_err();
        assert!(error.message.contains("double 0.5 at index [0, 1]"), "{error}");
        assert!(to(&Tensor::from_f64(&[1], &[2f64.powi(63)]), DType::Int64).is_err());
    }

    #[test]
    fn half_precision_overflow_is_an_error() {
        let array = Tensor::from_f32(&[2], &[1.5, 70000.0]);
        assert!(to(&array, DType::Float16).is_err());
        assert_eq!(to(&array, DType::Bfloat16).unwrap().to_f32().unwrap(), [1.5, 70144.0]);
    }

    #[test]
    fn what_is_not_finite_is_named() {
        let array = Tensor::from_f32(&[2, 2], &[0.0, 1.0, f32::NAN, 0.0]);
        let error = check_finite(&array.view()).unwrap_err();
        assert_eq!(error.message, "NaN at index [1, 0]; expected finite numbers");
    }
}
