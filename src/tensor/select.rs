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

impl Tensor {
    /// The indices `kept` of an axis, in that order; `None` when one lies outside, or there is no such
    /// axis.
    pub fn keep(&self, axis: usize, kept: &[usize]) -> Option<Self> {
        let extent = *self.dims().get(axis)?;
        if kept.iter().any(|&index| index >= extent) {
            return None;
        }
        let mut dims = self.dims().to_vec();
        dims[axis] = kept.len();
        let outer = element_count(&self.dims()[..axis])?;
        let inner = element_count(&self.dims()[axis + 1..])?;
        let width = self.dtype().bits();
        if self.dtype() == DType::String || width < 8 {
            let rows = (0..outer).flat_map(|row| kept.iter().map(move |&i| row * extent + i));
            let indices: Vec<usize> =
                rows.flat_map(|start| start * inner..(start + 1) * inner).collect();
            return Self::select(std::slice::from_ref(self), &indices, dims);
        }
        let run = inner.checked_mul(width / 8)?;
        let mut bytes = Vec::with_capacity(outer.checked_mul(kept.len())?.checked_mul(run)?);
        for row in 0..outer {
            for &index in kept {
                let start = (row * extent + index) * run;
                bytes.extend_from_slice(self.bytes().get(start..start + run)?);
            }
        }
        Self::new(self.dtype(), dims, bytes.into()).ok()
    }
}
