//! Our tensors and tract's.

use tract_onnx::prelude::{DatumType, Tensor as TractTensor};

use crate::error::{Result, err};
use crate::tensor::{DType, Tensor, TensorView};

/// tract's name for an element type it can compute with.
pub(super) fn datum_type(dtype: DType) -> Option<DatumType> {
    Some(match dtype {
        DType::Bool => DatumType::Bool,
        DType::Uint8 => DatumType::U8,
        DType::Uint16 => DatumType::U16,
        DType::Uint32 => DatumType::U32,
        DType::Uint64 => DatumType::U64,
        DType::Int8 => DatumType::I8,
        DType::Int16 => DatumType::I16,
        DType::Int32 => DatumType::I32,
        DType::Int64 => DatumType::I64,
        DType::Float16 => DatumType::F16,
        DType::Float => DatumType::F32,
        DType::Double => DatumType::F64,
        _ => return None,
    })
}

fn dtype(datum: DatumType) -> Option<DType> {
    DType::ALL.iter().copied().find(|&dtype| datum_type(dtype) == Some(datum))
}

/// A copy of `tensor` for tract.
pub(super) fn to_tract(tensor: &Tensor) -> Result<TractTensor> {
    let datum = datum_type(tensor.dtype())
        .ok_or_else(|| err!(Engine, "tract has no {} tensors", tensor.dtype()))?;
    let engine = |error: tract_onnx::prelude::TractError| err!(Engine, "{error:#}");
    let mut copy = TractTensor::zero_dt(datum, tensor.dims()).map_err(engine)?;
    copy.try_as_plain_ram_mut().map_err(engine)?.as_bytes_mut().copy_from_slice(tensor.bytes());
    Ok(copy)
}

/// Shows a tensor of tract; symbolic dims that are numbers become `int64`.
pub(super) fn show<T>(tensor: &TractTensor, see: impl FnOnce(TensorView<'_>) -> T) -> Result<T> {
    let engine = |error: tract_onnx::prelude::TractError| err!(Engine, "{error:#}");
    if tensor.datum_type() == DatumType::TDim {
        let cast = tensor.cast_to_dt(DatumType::I64).map_err(engine)?;
        return show(&cast, see);
    }
    let dtype = dtype(tensor.datum_type())
        .ok_or_else(|| err!(Engine, "tract gave a {:?} tensor", tensor.datum_type()))?;
    let plain = tensor.try_as_plain_ram().map_err(engine)?;
    Ok(see(TensorView { dtype, dims: tensor.shape(), bytes: plain.as_bytes() }))
}

/// A copy of a tensor of tract.
pub(super) fn from_tract(tensor: &TractTensor) -> Result<Tensor> {
    show(tensor, |view| Tensor::new(view.dtype, view.dims.to_vec(), view.bytes.to_vec().into()))?
}
