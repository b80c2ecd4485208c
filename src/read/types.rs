//! `ValueInfoProto` and `TypeProto` -> declared types.

use crate::error::Result;
use crate::ir::{Dim, DimSize, Info, TensorType, ValueType};
use crate::proto::tensor_shape_proto::dimension;
use crate::proto::{TypeProto, ValueInfoProto, tensor_shape_proto, type_proto};
use crate::read::onnx::{remainder, take_entries};
use crate::tensor::DType;

/// What a `ValueInfoProto` (whose name was taken) declares.
pub(super) fn info(proto: &mut ValueInfoProto) -> Result<Info> {
    let ty = proto.r#type.take().map(|ty| match tensor_type(&ty) {
        Some(tensor) => ValueType::Tensor(tensor),
        None => ValueType::Opaque(remainder(&mut ty.clone())),
    });
    Ok(Info { ty, metadata: take_entries(&mut proto.metadata_props), carried: remainder(proto) })
}

/// The dense tensor type, when the message is one and of a known element type.
fn tensor_type(proto: &TypeProto) -> Option<TensorType> {
    let Some(type_proto::Value::TensorType(tensor)) = &proto.value else { return None };
    let dtype = DType::from_onnx(tensor.elem_type?)?;
    let dims = tensor.shape.as_ref().map(|shape| shape.dim.iter().map(dim).collect());
    Some(TensorType { dtype, dims, denotation: proto.denotation.clone() })
}

fn dim(proto: &tensor_shape_proto::Dimension) -> Dim {
    let size = match &proto.value {
        Some(dimension::Value::DimValue(size)) => DimSize::Known(*size),
        Some(dimension::Value::DimParam(name)) => DimSize::Symbol(name.clone()),
        None => DimSize::Unknown,
    };
    Dim { size, denotation: proto.denotation.clone() }
}
