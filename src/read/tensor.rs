//! `TensorProto` -> tensor with how it was stored.

use bytes::Bytes;

use crate::error::{Error, Result, err};
use crate::ir::{Stored, StoredAs};
use crate::proto::TensorProto;
use crate::proto::tensor_proto::DataLocation;
use crate::read::Folder;
use crate::read::onnx::remainder;
use crate::tensor::{DType, Tensor, element_count};

pub(super) fn stored(mut proto: TensorProto, folder: &mut Folder) -> Result<Stored> {
    let number = proto.data_type.take().unwrap_or_default();
    let dtype = DType::from_onnx(number)
        .ok_or_else(|| err!(Unsupported, "unknown element type {number}"))?;
    let dims = std::mem::take(&mut proto.dims);
    let dims = dims
        .iter()
        .map(|&d| usize::try_from(d).map_err(|_| err!(Invalid, "dims {dims:?} hold a negative")))
        .collect::<Result<Vec<_>>>()?;
    let count = element_count(&dims)
        .ok_or_else(|| err!(Invalid, "the product of dims {dims:?} overflows"))?;
    let external = proto.data_location == Some(DataLocation::External as i32);
    let raw = proto.raw_data.take();
    let fields = [
        proto.float_data.len(),
        proto.int32_data.len(),
        proto.string_data.len(),
        proto.int64_data.len(),
        proto.double_data.len(),
        proto.uint64_data.len(),
    ];
    let filled = fields.iter().filter(|&&len| len > 0).count();
    if filled + usize::from(raw.as_ref().is_some_and(|r| !r.is_empty())) + usize::from(external) > 1
    {
        return Err(err!(Invalid, "its data stands in more than one field"));
    }
    let (tensor, stored_as) = if external {
        let entries = std::mem::take(&mut proto.external_data);
        proto.data_location = None;
        let length = dtype.byte_len(count).ok_or_else(|| {
            err!(Invalid, "{dtype} tensor of dims {dims:?} cannot lie in another file")
        })?;
        let data = folder.window(&entries, length)?;
        (Tensor::new(dtype, dims, data)?, StoredAs::Raw)
    } else if let Some(raw) = raw {
        (Tensor::new(dtype, dims, raw)?, StoredAs::Raw)
    } else if filled == 1 {
        (from_field(dtype, dims, count, &mut proto)?, StoredAs::Field)
    } else if dtype == DType::String {
        (Tensor::from_strings(dims, Vec::new())?, StoredAs::Absent)
    } else {
        (Tensor::new(dtype, dims, Bytes::new())?, StoredAs::Absent)
    };
    Ok(Stored { tensor, stored_as, carried: remainder(&mut proto) })
}

fn from_field(
    dtype: DType,
    dims: Vec<usize>,
    count: usize,
    proto: &mut TensorProto,
) -> Result<Tensor> {
    let wrong =
        |field: &str| -> Error { err!(Invalid, "{dtype} elements cannot stand in `{field}`") };
    let data: Vec<u8> = if !proto.float_data.is_empty() {
        if !matches!(dtype, DType::Float | DType::Complex64) {
            return Err(wrong("float_data"));
        }
        std::mem::take(&mut proto.float_data).iter().flat_map(|x| x.to_le_bytes()).collect()
    } else if !proto.double_data.is_empty() {
        if !matches!(dtype, DType::Double | DType::Complex128) {
            return Err(wrong("double_data"));
        }
        std::mem::take(&mut proto.double_data).iter().flat_map(|x| x.to_le_bytes()).collect()
    } else if !proto.int64_data.is_empty() {
        if dtype != DType::Int64 {
            return Err(wrong("int64_data"));
        }
        std::mem::take(&mut proto.int64_data).iter().flat_map(|x| x.to_le_bytes()).collect()
    } else if !proto.uint64_data.is_empty() {
        let elements = std::mem::take(&mut proto.uint64_data);
        match dtype {
            DType::Uint64 => elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
            DType::Uint32 => narrow(&elements, dtype, |&x| u32::try_from(x).ok())?
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
            _ => return Err(wrong("uint64_data")),
        }
    } else if !proto.int32_data.is_empty() {
        let elements = std::mem::take(&mut proto.int32_data);
        match (dtype, dtype.bits()) {
            (DType::Int32, _) => elements.iter().flat_map(|x| x.to_le_bytes()).collect(),
            (DType::Int16, _) => narrow(&elements, dtype, |&x| i16::try_from(x).ok())?
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
            (DType::Int8, _) => narrow(&elements, dtype, |&x| i8::try_from(x).ok())?
                .iter()
                .flat_map(|x| x.to_le_bytes())
                .collect(),
            (DType::Uint16 | DType::Float16 | DType::Bfloat16, _) => {
                narrow(&elements, dtype, |&x| u16::try_from(x).ok())?
                    .iter()
                    .flat_map(|x| x.to_le_bytes())
                    .collect()
            }
            (_, 2 | 4 | 8) => narrow(&elements, dtype, |&x| u8::try_from(x).ok())?,
            _ => return Err(wrong("int32_data")),
        }
    } else {
        let strings = std::mem::take(&mut proto.string_data);
        if dtype != DType::String || strings.len() != count {
            return Err(wrong("string_data"));
        }
        return Tensor::from_strings(dims, strings.into_iter().map(Into::into).collect());
    };
    Tensor::new(dtype, dims, data.into())
}

fn narrow<T: std::fmt::Display, U>(
    elements: &[T],
    dtype: DType,
    convert: impl Fn(&T) -> Option<U>,
) -> Result<Vec<U>> {
    elements
        .iter()
        .enumerate()
        .map(|(i, x)| {
            convert(x).ok_or_else(|| err!(Invalid, "element {i} is {x}, which is no {dtype}"))
        })
        .collect()
}
