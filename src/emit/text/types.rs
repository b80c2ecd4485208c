//! Declared types as text.

use prost::Message as _;

use crate::emit::text::words;
use crate::ir::{DimSize, TensorType, ValueType};
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{TensorShapeProto, TypeProto, type_proto};
use crate::tensor::DType;

/// The type; nothing for one that the syntax cannot say, or not all of it.
pub(super) fn value(ty: &ValueType) -> Option<String> {
    match ty {
        ValueType::Tensor(ty) => Some(tensor_type(ty)),
        ValueType::Opaque(encoded) => {
            let proto = TypeProto::decode(encoded.clone()).ok()?;
            // Decoding drops the fields that this version of the format does not know.
            let whole = proto.encode_to_vec() == encoded[..];
            whole.then(|| message(&proto)).flatten()
        }
    }
}

fn tensor_type(ty: &TensorType) -> String {
    let dims = ty.dims.as_ref().map(|dims| {
        let size = |size: &DimSize| match size {
            DimSize::Known(size) => size.to_string(),
            DimSize::Symbol(name) => words::name(name),
            DimSize::Unknown => "?".to_owned(),
        };
        dims.iter().map(|dim| size(&dim.size)).collect()
    });
    with_dims(ty.dtype, dims)
}

/// `float` is a scalar, `float[]` has an unknown rank.
fn with_dims(dtype: DType, dims: Option<Vec<String>>) -> String {
    match dims {
        None => format!("{dtype}[]"),
        Some(dims) if dims.is_empty() => dtype.to_string(),
        Some(dims) => format!("{dtype}[{}]", dims.join(",")),
    }
}

/// A type as the file says it; recursion is bounded by the decoder's limit on nested messages.
pub(super) fn message(ty: &TypeProto) -> Option<String> {
    let dtype = |number: Option<i32>| DType::from_onnx(number?);
    let inner = |ty: &Option<Box<TypeProto>>| ty.as_deref().and_then(message);
    Some(match ty.value.as_ref()? {
        type_proto::Value::TensorType(tensor) => {
            with_dims(dtype(tensor.elem_type)?, tensor.shape.as_ref().map(dims))
        }
        type_proto::Value::SequenceType(of) => format!("seq({})", inner(&of.elem_type)?),
        type_proto::Value::OptionalType(of) => format!("optional({})", inner(&of.elem_type)?),
        type_proto::Value::MapType(of) => {
            format!("map({}, {})", dtype(of.key_type)?, inner(&of.value_type)?)
        }
        type_proto::Value::SparseTensorType(of) => {
            format!(
                "sparse_tensor({})",
                with_dims(dtype(of.elem_type)?, of.shape.as_ref().map(dims))
            )
        }
        type_proto::Value::OpaqueType(of) => {
            let parts = [&of.domain, &of.name].into_iter().flatten();
            format!("opaque({})", parts.map(|part| path(part)).collect::<Vec<_>>().join(","))
        }
    })
}

fn dims(shape: &TensorShapeProto) -> Vec<String> {
    let size = |value: &Option<dimension::Value>| match value {
        Some(dimension::Value::DimValue(size)) => size.to_string(),
        Some(dimension::Value::DimParam(name)) => words::name(name),
        None => "?".to_owned(),
    };
    shape.dim.iter().map(|dim| size(&dim.value)).collect()
}

/// A dotted name whose parts are quoted where they must be.
pub(super) fn path(path: &str) -> String {
    path.split('.').map(words::name).collect::<Vec<_>>().join(".")
}
