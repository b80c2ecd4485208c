//! Types of values as a model declares them.

use bytes::Bytes;

use crate::tensor::DType;

/// The declared type of a value.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ValueType {
    /// A dense tensor.
    Tensor(TensorType),
    /// A sequence, map, optional, sparse or unknown type: the encoded `TypeProto`.
    Opaque(Bytes),
}

/// Element type and, when declared, shape of a tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TensorType {
    /// Element type.
    pub dtype: DType,
    /// Dims; `None` when not even the rank is declared.
    pub dims: Option<Vec<Dim>>,
    /// `TypeProto.denotation`, e.g. `IMAGE`.
    pub denotation: Option<String>,
}

/// One axis of a declared shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Dim {
    /// Its extent.
    pub size: DimSize,
    /// `Dimension.denotation`, e.g. `DATA_BATCH`.
    pub denotation: Option<String>,
}

/// Extent of an axis.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DimSize {
    /// A number; negative numbers appear in real files and mean "unknown".
    Known(i64),
    /// A name: equal names are equal extents.
    Symbol(String),
    /// Nothing declared.
    Unknown,
}

impl Dim {
    /// An axis of `size` elements.
    pub fn known(size: usize) -> Self {
        Self { size: DimSize::Known(i64::try_from(size).unwrap_or(i64::MAX)), denotation: None }
    }

    /// The extent when it is a number that an extent can be.
    pub fn fixed(&self) -> Option<usize> {
        match self.size {
            DimSize::Known(size) => usize::try_from(size).ok(),
            _ => None,
        }
    }
}

impl TensorType {
    /// A tensor type of unknown rank.
    pub fn of(dtype: DType) -> Self {
        Self { dtype, dims: None, denotation: None }
    }

    /// A tensor type with fixed dims.
    pub fn with_dims(dtype: DType, dims: &[usize]) -> Self {
        let dims = dims.iter().map(|&size| Dim::known(size)).collect();
        Self { dtype, dims: Some(dims), denotation: None }
    }

    /// All extents when every one is a number.
    pub fn fixed_dims(&self) -> Option<Vec<usize>> {
        self.dims.as_ref()?.iter().map(Dim::fixed).collect()
    }

    /// Number of axes, when declared.
    pub fn rank(&self) -> Option<usize> {
        self.dims.as_ref().map(Vec::len)
    }
}
