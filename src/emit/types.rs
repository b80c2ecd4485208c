//! Declared types -> `ValueInfoProto` and `TypeProto`.

use crate::ir::{Dim, DimSize, Info, TensorType, ValueType};
use crate::wire::{Rope, Writer};

pub(super) fn info(name: &str, info: &Info) -> Rope {
    let mut out = Writer::keeping(&info.carried);
    out.bytes(1, name.as_bytes());
    match &info.ty {
        None => {}
        Some(ValueType::Opaque(encoded)) => out.shared(2, encoded),
        Some(ValueType::Tensor(ty)) => out.message(2, tensor_type(ty)),
    }
    for entry in &info.metadata {
        out.message(4, self::entry(entry));
    }
    out.finish()
}

/// An entry of metadata.
pub(super) fn entry((key, value): &(String, String)) -> Rope {
    let mut out = Writer::default();
    out.bytes(1, key.as_bytes());
    out.bytes(2, value.as_bytes());
    out.finish()
}

fn tensor_type(ty: &TensorType) -> Rope {
    let mut tensor = Writer::default();
    tensor.int(1, i64::from(ty.dtype.to_onnx()));
    if let Some(dims) = &ty.dims {
        let mut shape = Writer::default();
        dims.iter().for_each(|dim| shape.message(1, self::dim(dim)));
        tensor.message(2, shape.finish());
    }
    let mut out = Writer::default();
    out.message(1, tensor.finish());
    if let Some(denotation) = &ty.denotation {
        out.bytes(6, denotation.as_bytes());
    }
    out.finish()
}

fn dim(dim: &Dim) -> Rope {
    let mut out = Writer::default();
    match &dim.size {
        DimSize::Known(size) => out.int(1, *size),
        DimSize::Symbol(name) => out.bytes(2, name.as_bytes()),
        DimSize::Unknown => {}
    }
    if let Some(denotation) = &dim.denotation {
        out.bytes(3, denotation.as_bytes());
    }
    out.finish()
}
