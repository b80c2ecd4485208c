//! Tensor -> `TensorProto`, in the field it was read from.

use crate::emit::onnx::carried;
use crate::error::Result;
use crate::ir::{Stored, StoredAs};
use crate::proto::TensorProto;
use crate::tensor::{DType, Tensor};

pub(super) fn tensor(stored: &Stored) -> Result<TensorProto> {
    let tensor = &stored.tensor;
    let mut proto: TensorProto = carried(&stored.carried)?;
    proto.dims = tensor.dims().iter().map(|&d| i64::try_from(d).unwrap_or(i64::MAX)).collect();
    proto.data_type = Some(tensor.dtype().to_onnx());
    match stored.stored_as {
        StoredAs::Raw => proto.raw_data = Some(tensor.bytes().clone()),
        StoredAs::Field => into_field(tensor, &mut proto),
        StoredAs::Absent => {}
    }
    Ok(proto)
}

fn into_field(tensor: &Tensor, proto: &mut TensorProto) {
    macro_rules! elements {
        ($native:ty) => {{
            let (chunks, _) = tensor.bytes().as_chunks::<{ size_of::<$native>() }>();
            chunks.iter().map(|&b| <$native>::from_le_bytes(b))
        }};
    }
    match tensor.dtype() {
        DType::Float | DType::Complex64 => proto.float_data = elements!(f32).collect(),
        DType::Double | DType::Complex128 => proto.double_data = elements!(f64).collect(),
        DType::Int64 => proto.int64_data = elements!(i64).collect(),
        DType::Uint64 => proto.uint64_data = elements!(u64).collect(),
        DType::Uint32 => proto.uint64_data = elements!(u32).map(u64::from).collect(),
        DType::Int32 => proto.int32_data = elements!(i32).collect(),
        DType::Int16 => proto.int32_data = elements!(i16).map(i32::from).collect(),
        DType::Int8 => proto.int32_data = elements!(i8).map(i32::from).collect(),
        DType::Uint16 | DType::Float16 | DType::Bfloat16 => {
            proto.int32_data = elements!(u16).map(i32::from).collect();
        }
        DType::String => {
            let strings = tensor.strings().unwrap_or_default();
            proto.string_data = strings.iter().map(|s| s.to_vec()).collect();
        }
        _ => proto.int32_data = tensor.bytes().iter().map(|&b| i32::from(b)).collect(),
    }
}
