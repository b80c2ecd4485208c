//! An array of a file: in memory, or read from the file sample by sample.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::ops::Range;
use std::sync::{Mutex, PoisonError};

use bytes::Bytes;

use crate::data::npy_header::{Header, read_error};
use crate::error::{Result, err};
use crate::tensor::{DType, Tensor, element_count};

/// An array whose first axis counts samples; an `.npy` file does not name its only one.
#[derive(Debug)]
pub(super) struct Array {
    pub name: Option<String>,
    pub dtype: DType,
    /// Extents as the file has them; fewer samples than that may have been kept.
    pub dims: Vec<usize>,
    elements: Elements,
}

#[derive(Debug)]
enum Elements {
    /// Row-major and little-endian; perhaps only the first samples.
    Memory(Bytes),
    /// Row-major, from byte `start` of an open file.
    File { file: Mutex<File>, start: u64, big_endian: bool },
}

impl Array {
    /// The first samples of an array, which `bytes` holds in row-major, little-endian order.
    pub fn in_memory(header: Header, bytes: Vec<u8>) -> Self {
        let Header { dtype, dims, .. } = header;
        Self { name: None, dtype, dims, elements: Elements::Memory(bytes.into()) }
    }

    /// An array that a tensor holds.
    pub fn of_tensor(name: &str, tensor: &Tensor) -> Self {
        Self {
            name: Some(name.to_owned()),
            dtype: tensor.dtype(),
            dims: tensor.dims().to_vec(),
            elements: Elements::Memory(Bytes::copy_from_slice(tensor.bytes())),
        }
    }

    /// An array of row-major elements that stay in the file, from byte `start` on.
    pub fn in_file(header: Header, file: File, start: u64) -> Self {
        let Header { dtype, dims, big_endian, .. } = header;
        let file = Mutex::new(file);
        Self { name: None, dtype, dims, elements: Elements::File { file, start, big_endian } }
    }

    /// The array in words, for messages.
    pub fn place(&self) -> String {
        self.name.as_ref().map_or("the array".to_owned(), |name| format!("array `{name}`"))
    }

    /// The samples `rows` as little-endian elements; a scalar is one sample.
    pub fn rows(&self, rows: Range<usize>) -> Result<Bytes> {
        let sample = self.dims.get(1..).unwrap_or_default();
        let len = element_count(sample).and_then(|count| self.dtype.byte_len(count));
        let end = len.and_then(|len| rows.end.checked_mul(len));
        let (Some(len), Some(end)) = (len, end) else {
            return Err(err!(Limit, "samples {rows:?} of shape {sample:?} have too many bytes"));
        };
        let start = rows.start.saturating_mul(len);
        match &self.elements {
            Elements::Memory(bytes) if start <= end && end <= bytes.len() => {
                Ok(bytes.slice(start..end))
            }
            Elements::Memory(_) => Err(err!(Usage, "samples {rows:?} were not read")),
            Elements::File { file, start: first, big_endian } => {
                let mut bytes = vec![0; end.saturating_sub(start)];
                let mut file = file.lock().unwrap_or_else(PoisonError::into_inner);
                file.seek(SeekFrom::Start(first.saturating_add(start as u64)))
                    .and_then(|_| file.read_exact(&mut bytes))
                    .map_err(|error| read_error(&error))?;
                drop(file);
                normalise(&mut bytes, self.dtype, *big_endian)?;
                Ok(bytes.into())
            }
        }
    }

    /// The samples that were kept; all of them if `keep` was at least their number.
    pub fn tensor(&self, keep: usize) -> Result<Tensor> {
        let mut dims = self.dims.clone();
        if let Some(first) = dims.first_mut() {
            *first = keep.min(*first);
        }
        let rows = dims.first().map_or(1, |first| *first);
        Tensor::new(self.dtype, dims, self.rows(0..rows)?)
    }
}

/// Makes elements little-endian, and refuses `bool` bytes other than 0 and 1.
pub(super) fn normalise(bytes: &mut [u8], dtype: DType, big_endian: bool) -> Result<()> {
    if dtype == DType::Bool
        && let Some(at) = bytes.iter().position(|&byte| byte > 1)
    {
        return Err(err!(Format, "bool element {at} is the byte {}, not 0 or 1", bytes[at]));
    }
    if big_endian {
        bytes.chunks_exact_mut(dtype.bits() / 8).for_each(<[u8]>::reverse);
    }
    Ok(())
}
