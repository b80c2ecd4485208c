//! Tensor -> `TensorProto`, in the field it was read from.

use crate::emit::Storage;
use crate::emit::types::entry;
use crate::ir::{Sparse, Stored, StoredAs};
use crate::tensor::{DType, Tensor};
use crate::wire::{Rope, Writer};

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i64 = 1;

/// The message of a tensor; an initializer is named after its value.
pub(super) fn tensor(stored: &Stored, name: Option<&str>, storage: &mut Storage<'_>) -> Rope {
    let tensor = &stored.tensor;
    let mut out = Writer::keeping(&stored.carried);
    tensor.dims().iter().for_each(|&dim| out.int(1, i64::try_from(dim).unwrap_or(i64::MAX)));
    out.int(2, i64::from(tensor.dtype().to_onnx()));
    if stored.stored_as == StoredAs::Field {
        early_field(tensor, &mut out);
    }
    if let Some(name) = name {
        out.bytes(8, name.as_bytes());
    }
    match stored.stored_as {
        StoredAs::Raw => match storage.place(stored) {
            None => out.shared(9, tensor.bytes()),
            Some(place) => {
                place.entries().for_each(|pair| out.message(13, entry(&pair)));
                out.int(14, EXTERNAL);
            }
        },
        StoredAs::Field => late_field(tensor, &mut out),
        StoredAs::Absent => {}
    }
    out.finish()
}

/// The message of a sparse initializer. All of it stands in the model: not every reader looks for parts of
/// sparse tensors in other files.
pub(super) fn sparse(sparse: &Sparse, name: &str) -> Rope {
    let mut out = Writer::keeping(&sparse.carried);
    out.message(1, tensor(&sparse.values, Some(name), &mut Storage::Inline));
    if let Some(indices) = &sparse.indices {
        out.message(2, tensor(indices, None, &mut Storage::Inline));
    }
    sparse.dims.iter().for_each(|&dim| out.int(3, i64::try_from(dim).unwrap_or(i64::MAX)));
    out.finish()
}

macro_rules! elements {
    ($tensor:expr, $native:ty) => {{
        let (chunks, _) = $tensor.bytes().as_chunks::<{ size_of::<$native>() }>();
        chunks.iter().map(|&b| <$native>::from_le_bytes(b))
    }};
}

/// The typed fields that stand before the name.
fn early_field(tensor: &Tensor, out: &mut Writer) {
    match tensor.dtype() {
        // The encoded list is the little-endian elements themselves.
        DType::Float | DType::Complex64 => out.shared(4, tensor.bytes()),
        DType::Int32 => out.packed(5, elements!(tensor, i32).map(i64::from)),
        DType::Int16 => out.packed(5, elements!(tensor, i16).map(i64::from)),
        DType::Int8 => out.packed(5, elements!(tensor, i8).map(i64::from)),
        DType::Uint16 | DType::Float16 | DType::Bfloat16 => {
            out.packed(5, elements!(tensor, u16).map(i64::from));
        }
        DType::String => {
            let strings = tensor.strings().unwrap_or_default();
            strings.iter().for_each(|text| out.shared(6, text));
        }
        DType::Int64 => out.packed(7, elements!(tensor, i64)),
        DType::Double | DType::Complex128 | DType::Uint32 | DType::Uint64 => {}
        _ => out.packed(5, tensor.bytes().iter().map(|&b| i64::from(b))),
    }
}

/// The typed fields that stand after the name.
fn late_field(tensor: &Tensor, out: &mut Writer) {
    match tensor.dtype() {
        DType::Double | DType::Complex128 => out.shared(10, tensor.bytes()),
        DType::Uint64 => out.packed(11, elements!(tensor, u64).map(|x| x as i64)),
        DType::Uint32 => out.packed(11, elements!(tensor, u32).map(i64::from)),
        _ => {}
    }
}
