//! Elements as `f32`, `f64` or `i64`, whatever their stored type.

use half::{bf16, f16};

use crate::error::{Result, err};
use crate::tensor::{DType, Tensor, TensorView, bits, element_count, small_float};

macro_rules! decode {
    ($bytes:expr, $native:ty, $into:expr) => {{
        let (chunks, _) = $bytes.as_chunks::<{ size_of::<$native>() }>();
        chunks.iter().map(|&b| $into(<$native>::from_le_bytes(b))).collect()
    }};
}

impl TensorView<'_> {
    /// All elements as `f32` (rounded to nearest where the type is wider; `bool` is 0 or 1).
    ///
    /// # Errors
    /// For string and complex tensors.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        Ok(match self.dtype {
            DType::Float => decode!(self.bytes, f32, |x| x),
            DType::Float16 => decode!(self.bytes, f16, f16::to_f32),
            DType::Bfloat16 => decode!(self.bytes, bf16, bf16::to_f32),
            _ => self.to_f64()?.into_iter().map(|x| x as f32).collect(),
        })
    }

    /// All elements as `f64` (64-bit integers are rounded to nearest).
    ///
    /// # Errors
    /// For string and complex tensors.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        Ok(match self.dtype {
            DType::Float => decode!(self.bytes, f32, f64::from),
            DType::Double => decode!(self.bytes, f64, |x| x),
            DType::Float16 => decode!(self.bytes, f16, f16::to_f64),
            DType::Bfloat16 => decode!(self.bytes, bf16, bf16::to_f64),
            DType::Uint64 => decode!(self.bytes, u64, |x| x as f64),
            DType::String | DType::Complex64 | DType::Complex128 => {
                return Err(err!(Unsupported, "{} elements are not real numbers", self.dtype));
            }
            dtype if dtype.is_float() => self
                .unpacked()
                .into_iter()
                .filter_map(|bits| small_float::to_f32(dtype, bits))
                .map(f64::from)
                .collect(),
            _ => self.to_i64()?.into_iter().map(|x| x as f64).collect(),
        })
    }

    /// All elements of an integer or `bool` tensor.
    ///
    /// # Errors
    /// For other types, and for a `uint64` above the largest `i64`.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        let sign_extend = |bits: u32| move |x: u8| i64::from((x << (8 - bits)) as i8 >> (8 - bits));
        Ok(match self.dtype {
            DType::Int64 => decode!(self.bytes, i64, |x| x),
            DType::Int32 => decode!(self.bytes, i32, i64::from),
            DType::Int16 => decode!(self.bytes, i16, i64::from),
            DType::Int8 => decode!(self.bytes, i8, i64::from),
            DType::Uint32 => decode!(self.bytes, u32, i64::from),
            DType::Uint16 => decode!(self.bytes, u16, i64::from),
            DType::Uint8 | DType::Bool => decode!(self.bytes, u8, i64::from),
            DType::Uint4 | DType::Uint2 => self.unpacked().into_iter().map(i64::from).collect(),
            DType::Int4 => self.unpacked().into_iter().map(sign_extend(4)).collect(),
            DType::Int2 => self.unpacked().into_iter().map(sign_extend(2)).collect(),
            DType::Uint64 => {
                let wide: Vec<u64> = decode!(self.bytes, u64, |x| x);
                wide.into_iter()
                    .map(|x| i64::try_from(x).map_err(|_| err!(Unsupported, "{x} exceeds int64")))
                    .collect::<Result<_>>()?
            }
            _ => return Err(err!(Unsupported, "{} elements are not integers", self.dtype)),
        })
    }

    /// One byte for each element of an 8-bit or sub-byte type.
    fn unpacked(&self) -> Vec<u8> {
        match self.dtype.bits() {
            8 => self.bytes.to_vec(),
            width => bits::unpack(self.bytes, width, element_count(self.dims).unwrap_or_default()),
        }
    }
}

impl Tensor {
    /// All elements as `f32`; see [`TensorView::to_f32`].
    ///
    /// # Errors
    /// For string and complex tensors.
    pub fn to_f32(&self) -> Result<Vec<f32>> {
        self.view().to_f32()
    }

    /// All elements as `f64`; see [`TensorView::to_f64`].
    ///
    /// # Errors
    /// For string and complex tensors.
    pub fn to_f64(&self) -> Result<Vec<f64>> {
        self.view().to_f64()
    }

    /// All elements of an integer or `bool` tensor; see [`TensorView::to_i64`].
    ///
    /// # Errors
    /// For other types.
    pub fn to_i64(&self) -> Result<Vec<i64>> {
        self.view().to_i64()
    }

    /// Elements `values` stored as `dtype`, a floating-point or integer type of at least 8 bits.
    /// Floats are rounded to nearest-even; integers are rounded to nearest-even and clamped.
    ///
    /// # Errors
    /// For types that cannot hold plain numbers.
    ///
    /// # Panics
    /// When the number of elements is not the product of `dims` (a bug of the caller).
    pub fn from_f32_as(dtype: DType, dims: &[usize], values: &[f32]) -> Result<Self> {
        let bytes: Vec<u8> = match dtype {
            DType::Float => return Ok(Self::from_f32(dims, values)),
            DType::Double => values.iter().flat_map(|&x| f64::from(x).to_le_bytes()).collect(),
            DType::Float16 => values.iter().flat_map(|&x| f16::from_f32(x).to_le_bytes()).collect(),
            DType::Bfloat16 => {
                values.iter().flat_map(|&x| bf16::from_f32(x).to_le_bytes()).collect()
            }
            DType::Bool => values.iter().map(|&x| u8::from(x != 0.0)).collect(),
            _ => match dtype.integer_range() {
                Some((low, high)) if dtype.bits() >= 8 => values
                    .iter()
                    .flat_map(|&x| {
                        let whole = (f64::from(x).round_ties_even() as i128).clamp(low, high);
                        whole.to_le_bytes().into_iter().take(dtype.bits() / 8)
                    })
                    .collect(),
                _ => values
                    .iter()
                    .map(|&x| small_float::from_f32(dtype, x))
                    .collect::<Option<Vec<u8>>>()
                    .ok_or_else(|| err!(Unsupported, "numbers cannot be stored as {dtype}"))?,
            },
        };
        Self::new(dtype, dims.to_vec(), bytes.into())
    }

    /// Elements `values` stored as `dtype`, an integer type or `bool`.
    ///
    /// # Errors
    /// When the type cannot hold them all, or their number is not the product of `dims`.
    pub fn from_i64_as(dtype: DType, dims: &[usize], values: &[i64]) -> Result<Self> {
        let (low, high) = match dtype {
            DType::Bool => (0, 1),
            _ => dtype
                .integer_range()
                .ok_or_else(|| err!(Unsupported, "integers cannot be stored as {dtype}"))?,
        };
        if let Some(x) = values.iter().find(|&&x| !(low..=high).contains(&i128::from(x))) {
            return Err(err!(Unsupported, "{x} cannot be stored as {dtype}"));
        }
        let bytes: Vec<u8> = match dtype.bits() {
            width @ 0..8 => bits::pack(&values.iter().map(|&x| x as u8).collect::<Vec<_>>(), width),
            width => {
                values.iter().flat_map(|x| x.to_le_bytes().into_iter().take(width / 8)).collect()
            }
        };
        Self::new(dtype, dims.to_vec(), bytes.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;

    #[test]
    fn sub_byte_integers_are_sign_extended() {
        let int4 = Tensor::new(DType::Int4, vec![3], Bytes::from_static(&[0x8f, 0x07])).unwrap();
        assert_eq!(int4.to_i64().unwrap(), [-1, -8, 7]);
        let uint2 =
            Tensor::new(DType::Uint2, vec![4], Bytes::from_static(&[0b11_10_01_00])).unwrap();
        assert_eq!(uint2.to_f32().unwrap(), [0.0, 1.0, 2.0, 3.0]);
    }

    #[test]
    fn six_bit_floats_share_bytes() {
        let data = Bytes::from_static(&[0b01_000001, 0b0000_0000, 0]);
        let tensor = Tensor::new(DType::Float6E2M3, vec![4], data).unwrap();
        assert_eq!(tensor.to_f32().unwrap(), [0.125, 0.125, 0.0, 0.0]);
    }

    #[test]
    fn integers_are_rounded_half_to_even_and_clamped() {
        let t = Tensor::from_f32_as(DType::Int8, &[4], &[0.5, 1.5, -300.0, 127.4]).unwrap();
        assert_eq!(t.to_i64().unwrap(), [0, 2, -128, 127]);
    }

    #[test]
    fn wrong_byte_length_is_refused_with_both_numbers() {
        let error =
            Tensor::new(DType::Float, vec![2, 2], Bytes::from_static(&[0; 12])).unwrap_err();
        assert_eq!(error.message, "float tensor of dims [2, 2] takes 16 bytes, found 12");
    }
}
