//! Tensors of which only some elements are stored.

use bytes::{Bytes, BytesMut};

use crate::error::{Result, err};
use crate::ir::{Constant, Def, Model, Stored, ValueId};
use crate::tensor::{DType, Tensor, element_count};

/// A `SparseTensorProto`: elements, and where they stand in a tensor of zeros.
#[derive(Debug, Clone)]
pub struct Sparse {
    /// The elements, along one axis.
    pub values: Stored,
    /// For each the position in the flattened tensor, or its index on each axis; ascending. `None` only
    /// without elements.
    pub indices: Option<Stored>,
    /// Extents of the whole tensor.
    pub dims: Vec<usize>,
    /// Encoded fields that the IR does not model.
    pub carried: Bytes,
}

/// Bytes of an index, which the specification wants to be `int64`.
const INDEX_BYTES: usize = size_of::<i64>();
/// Bytes that two tensors inside a message take beyond the one that they replace, at most.
const OVERHEAD: usize = 64;
/// Largest tensor that is spelled out, 1 GiB: a few bytes of a file can claim any size.
const MOST_BYTES: usize = 1 << 30;

impl Sparse {
    /// The elements of a dense tensor that have any bit set (so a negative zero stays one), by their
    /// positions.
    ///
    /// # Errors
    /// Why the tensor should stay dense: it would get no smaller, or its elements are no whole bytes.
    pub fn of(tensor: &Tensor) -> Result<Self> {
        let dtype = tensor.dtype();
        let width = dtype.bits() / 8;
        if width == 0 || !dtype.bits().is_multiple_of(8) || tensor.strings().is_some() {
            return Err(err!(Unsupported, "{dtype} elements are not stored sparsely"));
        }
        let kept = || {
            let elements = tensor.bytes().chunks_exact(width).enumerate();
            elements.filter(|(_, element)| element.iter().any(|&byte| byte != 0))
        };
        let (count, all) = (kept().count(), tensor.len());
        let bytes = count.saturating_mul(width + INDEX_BYTES).saturating_add(OVERHEAD);
        if bytes >= tensor.bytes().len() {
            let zeros = 100.0 * (all - count) as f64 / all.max(1) as f64;
            let least = 100.0 * INDEX_BYTES as f64 / (width + INDEX_BYTES) as f64;
            return Err(err!(
                Unsupported,
                "{zeros:.1} % of it are zeros; with an index of {INDEX_BYTES} bytes for each other \
                 {dtype} it gets smaller from {least:.1} % on"
            ));
        }
        let mut values = BytesMut::with_capacity(count * width);
        let mut indices = Vec::with_capacity(count);
        for (position, element) in kept() {
            values.extend_from_slice(element);
            indices.push(position as i64);
        }
        Ok(Self {
            values: Tensor::new(dtype, vec![count], values.freeze())?.into(),
            indices: Some(Tensor::from_i64(&[count], &indices).into()),
            dims: tensor.dims().to_vec(),
            carried: Bytes::new(),
        })
    }

    /// Type of the elements.
    pub fn dtype(&self) -> DType {
        self.values.tensor.dtype()
    }

    /// For each element its position in the flattened tensor.
    ///
    /// # Errors
    /// When values, indices and dims do not fit each other, or indices do not ascend.
    pub fn positions(&self) -> Result<Vec<usize>> {
        let Self { values, indices, dims, .. } = self;
        let total = element_count(dims)
            .ok_or_else(|| err!(Invalid, "the product of dims {dims:?} overflows"))?;
        let [nonzero] = *values.tensor.dims() else {
            let found = values.tensor.dims();
            return Err(err!(Invalid, "its values have dims {found:?}, expected one axis"));
        };
        let empty = Tensor::from_i64(&[0], &[]);
        let indices = indices.as_ref().map_or(&empty, |stored| &stored.tensor);
        let width = match *indices.dims() {
            [count] if count == nonzero => 1,
            [count, rank] if count == nonzero && rank == dims.len() => rank.max(1),
            _ => {
                return Err(err!(
                    Invalid,
                    "{nonzero} values of dims {dims:?} do not fit indices of dims {:?}",
                    indices.dims()
                ));
            }
        };
        let flat = indices.dims().len() == 1;
        let mut positions: Vec<usize> = Vec::new();
        for row in indices.to_i64()?.chunks(width) {
            let within =
                |index: i64, size: usize| usize::try_from(index).ok().filter(|&i| i < size);
            let position = match flat {
                true => within(row[0], total),
                false => row.iter().zip(dims).try_fold(0usize, |position, (&index, &size)| {
                    position.checked_mul(size)?.checked_add(within(index, size)?)
                }),
            };
            let position = position
                .ok_or_else(|| err!(Invalid, "index {row:?} lies outside dims {dims:?}"))?;
            if positions.last().is_some_and(|&last| last >= position) {
                return Err(err!(Invalid, "index {row:?} is not in ascending order"));
            }
            positions.push(position);
        }
        Ok(positions)
    }

    /// The whole tensor.
    ///
    /// # Errors
    /// When it would take more than 1 GiB, its elements are no whole bytes, or as [`Sparse::positions`].
    pub fn dense(&self) -> Result<Tensor> {
        let dtype = self.dtype();
        let width = dtype.bits() / 8;
        if width == 0 || !dtype.bits().is_multiple_of(8) || self.values.tensor.strings().is_some() {
            return Err(err!(Unsupported, "sparse {dtype} elements are not spelled out"));
        }
        let bytes = element_count(&self.dims).and_then(|count| dtype.byte_len(count));
        let Some(bytes) = bytes.filter(|&bytes| bytes <= MOST_BYTES) else {
            let dims = &self.dims;
            return Err(err!(
                Limit,
                "{dtype} zeros of dims {dims:?} take more than {MOST_BYTES} bytes"
            ));
        };
        let mut dense = vec![0; bytes];
        let elements = self.values.tensor.bytes().chunks_exact(width);
        for (position, element) in self.positions()?.into_iter().zip(elements) {
            dense[position * width..][..width].copy_from_slice(element);
        }
        Tensor::new(dtype, self.dims.clone(), dense.into())
    }
}

impl Model {
    /// Stores a constant of the main graph or a body as it is given here. False, and nothing changes, for
    /// anything but a dense initializer that nobody may override.
    pub fn make_sparse(&mut self, value: ValueId, sparse: Sparse) -> bool {
        let entry = &mut self.values[value.index()];
        if entry.initializer().is_none() {
            return false;
        }
        entry.def = Def::Initializer(Constant::Sparse(sparse));
        let graph = &mut self.graphs[entry.graph.index()];
        graph.initializers.retain(|&other| other != value);
        graph.sparse_initializers.push(value);
        true
    }

    /// Spells out all sparse initializers that nobody may override.
    ///
    /// # Errors
    /// As [`Sparse::dense`], with the name of the initializer; nothing changes then.
    pub fn make_dense(&mut self) -> Result<()> {
        let mut found = Vec::new();
        for id in self.graphs().flat_map(|graph| self.sparse_initializers_of(graph)) {
            let value = self.value(id);
            if let Def::Initializer(Constant::Sparse(sparse)) = &value.def {
                let at = format!("sparse initializer `{}`", value.name());
                found.push((id, sparse.dense().map_err(|error| error.at(at))?));
            }
        }
        for (id, tensor) in found {
            let entry = &mut self.values[id.index()];
            entry.def = Def::Initializer(Constant::Dense(tensor.into()));
            let graph = &mut self.graphs[entry.graph.index()];
            graph.sparse_initializers.retain(|&other| other != id);
            graph.initializers.push(id);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stored_sparsely_is_the_same_tensor() {
        let mut elements = vec![0.0f32; 300];
        for at in [0, 7, 150, 299] {
            elements[at] = at as f32 - 3.0;
        }
        elements[20] = -0.0;
        for dtype in [DType::Float, DType::Float16, DType::Bfloat16, DType::Double] {
            let tensor = Tensor::from_f32_as(dtype, &[3, 100], &elements).unwrap();
            let sparse = Sparse::of(&tensor).unwrap();
            assert_eq!(sparse.positions().unwrap(), [0, 7, 20, 150, 299]);
            let dense = sparse.dense().unwrap();
            assert_eq!((dense.dims(), dense.bytes()), (tensor.dims(), tensor.bytes()), "{dtype}");
        }
    }

    #[test]
    fn what_gets_no_smaller_stays_dense() {
        let share = |zeros: usize| {
            let elements: Vec<f32> = (0..3000).map(|i| f32::from(i >= zeros)).collect();
            Sparse::of(&Tensor::from_f32(&[3000], &elements)).map(|_| ())
        };
        assert!(share(2100).is_ok());
        let error = share(1900).unwrap_err().to_string();
        assert!(error.contains("63.3 %") && error.contains("66.7 %"), "{error}");
        let nibbles = Tensor::new(DType::Int4, vec![400], vec![0; 200].into()).unwrap();
        assert!(Sparse::of(&nibbles).is_err());
        assert!(Sparse::of(&Tensor::from_strings(vec![0], Vec::new()).unwrap()).is_err());
    }

    #[test]
    fn a_claim_of_size_takes_no_memory() {
        let none = |dims: Vec<usize>| Sparse {
            values: Tensor::from_f32(&[0], &[]).into(),
            indices: None,
            dims,
            carried: Bytes::new(),
        };
        assert!(none(vec![1 << 40]).dense().is_err());
        assert!(none(vec![1 << 40, 1 << 40]).dense().is_err());
        assert_eq!(none(vec![2, 3]).dense().unwrap().bytes().len(), 24);
    }
}
