//! Elements of any type, picked by their numbers.

use bytes::Bytes;

use crate::tensor::{DType, Tensor, bits, element_count};

impl Tensor {
    /// A tensor of `dims` whose elements are those at `indices` of `parts`, counted through all parts
    /// one after the other; `None` when an index lies outside, types differ, there are no parts, or
    /// `dims` ask for another number of elements.
    pub fn select(parts: &[Self], indices: &[usize], dims: Vec<usize>) -> Option<Self> {
        let dtype = parts.first()?.dtype();
        if parts.iter().any(|part| part.dtype() != dtype) || element_count(&dims)? != indices.len()
        {
            return None;
        }
        if dtype == DType::String {
            let all: Vec<&Bytes> = parts.iter().filter_map(Self::strings).flatten().collect();
            let strings = indices.iter().map(|&i| all.get(i).map(|&s| s.clone()));
            return Self::from_strings(dims, strings.collect::<Option<_>>()?).ok();
        }
        let width = dtype.bits();
        if width < 8 {
            let unpack = |part: &Self| bits::unpack(part.bytes(), width, part.len());
            let all: Vec<u8> = parts.iter().flat_map(unpack).collect();
            let picked: Option<Vec<u8>> = indices.iter().map(|&i| all.get(i).copied()).collect();
            return Self::new(dtype, dims, bits::pack(&picked?, width).into()).ok();
        }
        let width = width / 8;
        let joined: Vec<u8>;
        let all: &[u8] = match parts {
            [part] => part.bytes(),
            _ => {
                joined = parts.iter().flat_map(|part| part.bytes().iter().copied()).collect();
                &joined
            }
        };
        let mut picked = Vec::with_capacity(indices.len().checked_mul(width)?);
        for &i in indices {
            let start = i.checked_mul(width)?;
            picked.extend_from_slice(all.get(start..start.checked_add(width)?)?);
        }
        Self::new(dtype, dims, picked.into()).ok()
    }
}
