//! Our tensors and those of ONNX Runtime.

use std::fmt::Debug;

use bytemuck::{Pod, cast_slice, pod_collect_to_vec};
use half::slice::HalfFloatSliceExt;
use half::vec::HalfBitsVecExt;
use half::{bf16, f16};
use ort::value::{
    DynValue, PrimitiveTensorElementType, Tensor as OrtTensor, TensorElementType, ValueType,
};

use super::session::engine;
use crate::error::{Result, err};
use crate::tensor::{DType, Tensor, TensorView};

/// A copy of `tensor` for ONNX Runtime.
pub(super) fn to_value(tensor: &Tensor) -> Result<DynValue> {
    fn plain<T: Pod + PrimitiveTensorElementType + Debug>(tensor: &Tensor) -> Result<DynValue> {
        value::<T>(tensor, pod_collect_to_vec(tensor.bytes()))
    }
    let halves = || pod_collect_to_vec::<u8, u16>(tensor.bytes());
    match tensor.dtype() {
        DType::Float => plain::<f32>(tensor),
        DType::Double => plain::<f64>(tensor),
        DType::Float16 => value::<f16>(tensor, halves().reinterpret_into()),
        DType::Bfloat16 => value::<bf16>(tensor, halves().reinterpret_into()),
        DType::Int8 => plain::<i8>(tensor),
        DType::Int16 => plain::<i16>(tensor),
        DType::Int32 => plain::<i32>(tensor),
        DType::Int64 => plain::<i64>(tensor),
        DType::Uint8 => plain::<u8>(tensor),
        DType::Uint16 => plain::<u16>(tensor),
        DType::Uint32 => plain::<u32>(tensor),
        DType::Uint64 => plain::<u64>(tensor),
        DType::Bool => {
            value::<bool>(tensor, tensor.bytes().iter().map(|&byte| byte != 0).collect())
        }
        other => Err(err!(Engine, "{other} tensors are not given to ONNX Runtime")),
    }
}

fn value<T>(tensor: &Tensor, elements: Vec<T>) -> Result<DynValue>
where
    T: PrimitiveTensorElementType + Debug + Clone + 'static,
{
    let made = OrtTensor::from_array((tensor.dims().to_vec(), elements));
    Ok(made.map_err(engine)?.into_dyn())
}

/// Shows a value of ONNX Runtime.
pub(super) fn show<R>(value: &DynValue, see: impl FnOnce(TensorView<'_>) -> R) -> Result<R> {
    let ValueType::Tensor { ty, .. } = value.dtype() else {
        return Err(err!(Engine, "ONNX Runtime gave no tensor, but a {}", value.dtype()));
    };
    /// The dims and elements of a tensor of this type.
    fn parts<T: PrimitiveTensorElementType>(value: &DynValue) -> Result<(Vec<usize>, &[T])> {
        let (shape, elements) = value.try_extract_tensor::<T>().map_err(engine)?;
        let dims: std::result::Result<_, _> = shape.iter().map(|&d| usize::try_from(d)).collect();
        Ok((dims.map_err(|_| err!(Engine, "ONNX Runtime gave a negative extent"))?, elements))
    }
    macro_rules! shown {
        ($($ort:ident $dtype:ident $native:ty => |$elements:ident| $bytes:expr;)*) => {
            match ty {
                $(TensorElementType::$ort => {
                    let (dims, $elements) = parts::<$native>(value)?;
                    Ok(see(TensorView { dtype: DType::$dtype, dims: &dims, bytes: $bytes }))
                })*
                other => Err(err!(Engine, "ONNX Runtime gave a tensor of {other}, which is not read")),
            }
        };
    }
    shown! {
        Float32 Float f32 => |x| cast_slice(x);
        Float64 Double f64 => |x| cast_slice(x);
        Float16 Float16 f16 => |x| cast_slice(x.reinterpret_cast());
        Bfloat16 Bfloat16 bf16 => |x| cast_slice(x.reinterpret_cast());
        Int8 Int8 i8 => |x| cast_slice(x);
        Int16 Int16 i16 => |x| cast_slice(x);
        Int32 Int32 i32 => |x| cast_slice(x);
        Int64 Int64 i64 => |x| cast_slice(x);
        Uint8 Uint8 u8 => |x| x;
        Uint16 Uint16 u16 => |x| cast_slice(x);
        Uint32 Uint32 u32 => |x| cast_slice(x);
        Uint64 Uint64 u64 => |x| cast_slice(x);
        Bool Bool bool => |x| &x.iter().map(|&bit| u8::from(bit)).collect::<Vec<_>>();
    }
}

/// A copy of a value of ONNX Runtime.
pub(super) fn from_value(value: &DynValue) -> Result<Tensor> {
    show(value, |view| Tensor::new(view.dtype, view.dims.to_vec(), view.bytes.to_vec().into()))?
}
