//! A borrowed tensor.

use std::borrow::Cow;

use crate::tensor::DType;

/// A tensor that is only looked at: element type, dims and little-endian bytes.
#[derive(Debug, Clone, Copy)]
pub struct TensorView<'a> {
    /// Element type.
    pub dtype: DType,
    /// Extent of each axis.
    pub dims: &'a [usize],
    /// Little-endian, row-major, packed bytes.
    pub bytes: &'a [u8],
}

impl<'a> TensorView<'a> {
    /// The elements of a `float` tensor, borrowed when the bytes are aligned; `None` for other types.
    pub fn as_f32(&self) -> Option<Cow<'a, [f32]>> {
        if self.dtype != DType::Float {
            return None;
        }
        if cfg!(target_endian = "little")
            && let Ok(elements) = bytemuck::try_cast_slice(self.bytes)
        {
            return Some(Cow::Borrowed(elements));
        }
        let (chunks, _) = self.bytes.as_chunks::<4>();
        Some(Cow::Owned(chunks.iter().map(|&b| f32::from_le_bytes(b)).collect()))
    }
}
