//! A tensor: element type, dims and shared little-endian bytes.

use std::borrow::Cow;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;

use crate::disk;
use crate::error::{Result, err};
use crate::tensor::{DType, TensorView, bits};

/// An immutable tensor whose bytes are shared: cloning costs nothing, and a tensor read from a
/// mapped file is a window of that file.
///
/// Elements are little-endian in row-major order, sub-byte types packed as in ONNX `raw_data`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Tensor {
    dtype: DType,
    dims: Vec<usize>,
    data: Data,
}

#[derive(Clone, Eq, Hash)]
#[allow(
    clippy::derived_hash_with_manual_eq,
    reason = "equality is that of the derive, only sooner"
)]
enum Data {
    Bytes(Bytes),
    Strings(Arc<[Bytes]>),
}

impl PartialEq for Data {
    /// Windows of the same bytes are equal without a look at them.
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Bytes(a), Self::Bytes(b)) => std::ptr::eq(a.as_ref(), b.as_ref()) || a == b,
            (Self::Strings(a), Self::Strings(b)) => Arc::ptr_eq(a, b) || a == b,
            _ => false,
        }
    }
}

/// Number of elements of a tensor with these dims; `None` when the product overflows.
pub fn element_count(dims: &[usize]) -> Option<usize> {
    dims.iter().try_fold(1usize, |product, &dim| product.checked_mul(dim))
}

impl Tensor {
    /// A tensor of `dtype` (not string) over little-endian `data`.
    ///
    /// # Errors
    /// When the byte length is not what `dims` and `dtype` ask for, or the product of dims overflows.
    pub fn new(dtype: DType, dims: Vec<usize>, data: Bytes) -> Result<Self> {
        let expected = element_count(&dims).and_then(|count| dtype.byte_len(count));
        match expected {
            Some(expected) if expected == data.len() => {
                Ok(Self { dtype, dims, data: Data::Bytes(data) })
            }
            Some(expected) => Err(err!(
                Invalid,
                "{dtype} tensor of dims {dims:?} takes {expected} bytes, found {}",
                data.len()
            )),
            None => Err(err!(Invalid, "{dtype} tensor of dims {dims:?} has no valid byte length")),
        }
    }

    /// A `bool` tensor.
    ///
    /// # Panics
    /// When the number of elements is not the product of `dims` (a bug of the caller).
    pub fn from_bools(dims: &[usize], elements: &[bool]) -> Self {
        let bytes: Vec<u8> = elements.iter().map(|&x| u8::from(x)).collect();
        Self { dtype: DType::Bool, ..Self::from_u8(dims, &bytes) }
    }

    /// A string tensor.
    ///
    /// # Errors
    /// When the number of strings is not the product of `dims`.
    pub fn from_strings(dims: Vec<usize>, strings: Vec<Bytes>) -> Result<Self> {
        if element_count(&dims) != Some(strings.len()) {
            return Err(err!(
                Invalid,
                "string tensor of dims {dims:?} does not hold {} strings",
                strings.len()
            ));
        }
        Ok(Self { dtype: DType::String, dims, data: Data::Strings(strings.into()) })
    }

    /// Integers stored as `dtype`, an integer type of any width; sub-byte types are packed. Bits that
    /// the type does not have are cut off.
    ///
    /// # Panics
    /// When `dtype` is no integer type, or the number of elements is not the product of `dims` (a bug
    /// of the caller).
    pub fn from_integers(dtype: DType, dims: &[usize], integers: &[i32]) -> Self {
        assert!(dtype.is_integer(), "{dtype} holds no integers");
        assert_eq!(element_count(dims), Some(integers.len()), "elements of dims {dims:?}");
        let bytes: Vec<u8> = match dtype.bits() {
            width if width < 8 => {
                let elements: Vec<u8> = integers.iter().map(|&q| q as u8).collect();
                bits::pack(&elements, width)
            }
            width => {
                let wide = |&q: &i32| i64::from(q).to_le_bytes().into_iter().take(width / 8);
                integers.iter().flat_map(wide).collect()
            }
        };
        Self { dtype, dims: dims.to_vec(), data: Data::Bytes(bytes.into()) }
    }

    /// Integers of at most 8 bits, of which each byte of `elements` holds the low bits.
    ///
    /// # Panics
    /// When the type has more bits, or their number is not the product of `dims` (a bug of the caller).
    pub fn from_small_integers(dtype: DType, dims: &[usize], elements: &[u8]) -> Self {
        assert!(dtype.is_integer() && dtype.bits() <= 8, "{dtype} holds no small integers");
        assert_eq!(element_count(dims), Some(elements.len()), "elements of dims {dims:?}");
        let bytes = match dtype.bits() {
            8 => elements.to_vec(),
            width => bits::pack(elements, width),
        };
        Self { dtype, dims: dims.to_vec(), data: Data::Bytes(bytes.into()) }
    }

    /// The low bits of each element of an integer type of at most 8 bits, in a byte each, not sign-extended; `None` for
    /// other types.
    pub fn small_integers(&self) -> Option<Vec<u8>> {
        let small = self.dtype.is_integer() && self.dtype.bits() <= 8;
        small.then(|| match self.dtype.bits() {
            8 => self.bytes().to_vec(),
            width => bits::unpack(self.bytes(), width, self.len()),
        })
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.dtype
    }

    /// Extent of each axis; empty for a scalar.
    pub fn dims(&self) -> &[usize] {
        &self.dims
    }

    /// Number of elements.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// True when some dim is 0.
    pub fn is_empty(&self) -> bool {
        self.dims.contains(&0)
    }

    /// Little-endian bytes; empty for a string tensor.
    pub fn bytes(&self) -> &Bytes {
        static NONE: Bytes = Bytes::new();
        match &self.data {
            Data::Bytes(bytes) => bytes,
            Data::Strings(_) => &NONE,
        }
    }

    /// The strings of a string tensor.
    pub fn strings(&self) -> Option<&[Bytes]> {
        match &self.data {
            Data::Bytes(_) => None,
            Data::Strings(strings) => Some(strings),
        }
    }

    /// Bytes the elements take in a file (for strings: the sum of their lengths).
    pub fn byte_size(&self) -> usize {
        match &self.data {
            Data::Bytes(bytes) => bytes.len(),
            Data::Strings(strings) => strings.iter().map(Bytes::len).sum(),
        }
    }

    /// Gives back the memory that a window of a mapped file takes: for when the elements will hardly be
    /// looked at again. They are read from the file when they are.
    pub fn release(&self) {
        disk::release(self.bytes());
    }

    /// All elements as `float`: where they are, or in a copy. A mapped file gives back its pages while it is copied, so
    /// that they are in memory once. Nothing for what holds no numbers.
    pub fn floats(&self) -> Cow<'_, [f32]> {
        /// Elements that are copied at once: 4 MiB.
        const CHUNK: usize = 1 << 20;
        if self.dtype != DType::Float {
            return Cow::Owned(self.to_f32().unwrap_or_default());
        }
        if cfg!(target_endian = "little")
            && let Ok(elements) = bytemuck::try_cast_slice(self.bytes())
        {
            return Cow::Borrowed(elements);
        }
        let (elements, _) = self.bytes().as_chunks::<4>();
        let mut floats = Vec::with_capacity(elements.len());
        for chunk in elements.chunks(CHUNK) {
            floats.extend(chunk.iter().map(|bytes| f32::from_le_bytes(*bytes)));
            disk::release(chunk.as_flattened());
        }
        Cow::Owned(floats)
    }

    /// The same elements under other dims.
    ///
    /// # Errors
    /// When the number of elements differs.
    pub fn reshaped(&self, dims: Vec<usize>) -> Result<Self> {
        if element_count(&dims) != Some(self.len()) {
            return Err(err!(Invalid, "cannot view dims {:?} as {dims:?}", self.dims));
        }
        Ok(Self { dims, ..self.clone() })
    }

    /// A borrowed view; string tensors show no bytes.
    pub fn view(&self) -> TensorView<'_> {
        TensorView { dtype: self.dtype, dims: &self.dims, bytes: self.bytes() }
    }
}

macro_rules! from_native {
    ($($(#[$doc:meta])* $name:ident, $native:ty, $dtype:ident;)*) => {
        impl Tensor {$(
            $(#[$doc])*
            ///
            /// # Panics
            /// When the number of elements is not the product of `dims` (a bug of the caller).
            pub fn $name(dims: &[usize], elements: &[$native]) -> Self {
                assert_eq!(element_count(dims), Some(elements.len()), "elements of dims {dims:?}");
                let bytes: Vec<u8> = elements.iter().flat_map(|x| x.to_le_bytes()).collect();
                Self { dtype: DType::$dtype, dims: dims.to_vec(), data: Data::Bytes(bytes.into()) }
            }
        )*}
    };
}

from_native! {
    /// A `float` tensor.
    from_f32, f32, Float;
    /// A `double` tensor.
    from_f64, f64, Double;
    /// An `int8` tensor.
    from_i8, i8, Int8;
    /// A `uint8` tensor.
    from_u8, u8, Uint8;
    /// An `int32` tensor.
    from_i32, i32, Int32;
    /// An `int64` tensor.
    from_i64, i64, Int64;
}

impl fmt::Debug for Tensor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{:?}", self.dtype, self.dims)
    }
}
