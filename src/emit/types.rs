//! Declared types -> `ValueInfoProto` and `TypeProto`.

use crate::emit::onnx::{carried, entry};
use crate::error::Result;
use crate::ir::{Dim, DimSize, Info, TensorType, ValueType};
use crate::proto::tensor_shape_proto::{Dimension, dimension};
use crate::proto::{TensorShapeProto, TypeProto, ValueInfoProto, type_proto};

pub(super) fn info(name: &str, info: &Info) -> Result<ValueInfoProto> {
    let mut proto: ValueInfoProto = carried(&info.carried)?;
    proto.name = Some(name.to_owned());
    proto.metadata_props.extend(info.metadata.iter().map(entry));
    proto.r#type = match &info.ty {
        None => None,
        Some(ValueType::Opaque(encoded)) => Some(carried::<TypeProto>(encoded)?),
        Some(ValueType::Tensor(ty)) => Some(tensor_type(ty)),
    };
    Ok(proto)
}

fn tensor_type(ty: &TensorType) -> TypeProto {
    let tensor = type_proto::Tensor {
        elem_type: Some(ty.dtype.to_onnx()),
        shape: ty
            .dims
            .as_ref()
            .map(|dims| TensorShapeProto { dim: dims.iter().map(dim).collect() }),
    };
    TypeProto {
        denotation: ty.denotation.clone(),
        value: Some(type_proto::Value::TensorType(tensor)),
    }
}

fn dim(dim: &Dim) -> Dimension {
    let value = match &dim.size {
        DimSize::Known(size) => Some(dimension::Value::DimValue(*size)),
        DimSize::Symbol(name) => Some(dimension::Value::DimParam(name.clone())),
        DimSize::Unknown => None,
    };
    Dimension { value, denotation: dim.denotation.clone() }
}
