//! Weights in a file of their own.

use std::collections::HashMap;

use bytes::Bytes;

use crate::emit::onnx::{encode, within_limit};
use crate::error::Result;
use crate::ir::Verified;
use crate::wire::Rope;

/// Tensors below this many bytes stay in the model: readers need shapes and axes at once.
const SMALLEST: usize = 1 << 10;
/// Where a tensor may start: a cache line, so that mapped data can be used as it is.
const ALIGNMENT: usize = 64;
/// Where a tensor of at least [`LARGE`] bytes may start: a page.
const LARGE_ALIGNMENT: usize = 4 << 10;
/// From this size on a tensor starts on a page. 1 MiB.
const LARGE: usize = 1 << 20;

/// Where the data of tensors goes while a model is encoded.
#[derive(Debug)]
pub(super) enum Storage {
    /// Into the message.
    Inline,
    /// Into a data file.
    External(DataFile),
}

/// A data file being put together.
#[derive(Debug, Default)]
pub(super) struct DataFile {
    location: String,
    data: Rope,
    /// Windows already written: tensors that share their bytes share them in the file, too.
    known: HashMap<(usize, usize), usize>,
}

/// Where one tensor lies.
pub(super) struct Place {
    location: String,
    offset: usize,
    length: usize,
}

impl Place {
    /// The entries of `external_data`.
    pub(super) fn entries(&self) -> [(String, String); 3] {
        [
            ("location".to_owned(), self.location.clone()),
            ("offset".to_owned(), self.offset.to_string()),
            ("length".to_owned(), self.length.to_string()),
        ]
    }
}

impl Storage {
    /// The place of these bytes in the data file; `None` when they stay in the message.
    pub(super) fn place(&mut self, bytes: &Bytes) -> Option<Place> {
        match self {
            Self::External(file) if bytes.len() >= SMALLEST => Some(file.place(bytes)),
            _ => None,
        }
    }
}

impl DataFile {
    fn place(&mut self, bytes: &Bytes) -> Place {
        let (window, length) = ((bytes.as_ptr() as usize, bytes.len()), bytes.len());
        let location = self.location.clone();
        if let Some(&offset) = self.known.get(&window) {
            return Place { location, offset, length };
        }
        let alignment = if length < LARGE { ALIGNMENT } else { LARGE_ALIGNMENT };
        let padding = self.data.len().next_multiple_of(alignment) - self.data.len();
        self.data.push(&Bytes::from(vec![0; padding]));
        let offset = self.data.len();
        self.data.push(bytes);
        self.known.insert(window, offset);
        Place { location, offset, length }
    }
}

/// An encoded model, with or without a data file beside it.
#[derive(Debug, Clone)]
pub struct Encoded {
    /// The model file.
    pub model: Rope,
    /// Name and contents of the data file, to which the model refers by this name.
    pub data: Option<(String, Rope)>,
}

impl Encoded {
    /// Bytes of both files.
    pub fn len(&self) -> usize {
        self.model.len() + self.data.as_ref().map_or(0, |(_, data)| data.len())
    }

    /// True without any byte.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

/// The encoded model and its data file, to which the model refers as `location` (a name in the
/// folder of the model). Tensors of at least 1 KiB lie in the data file in the order of the model;
/// without one there is no data file.
///
/// # Errors
/// When the message alone would pass 2 GiB.
pub fn with_external_data(verified: Verified<'_>, location: &str) -> Result<Encoded> {
    let file = DataFile { location: location.to_owned(), ..DataFile::default() };
    let mut storage = Storage::External(file);
    let model = within_limit(encode(verified, &mut storage))?;
    let data = match storage {
        Storage::External(file) if !file.data.is_empty() => Some((file.location, file.data)),
        _ => None,
    };
    Ok(Encoded { model, data })
}
