//! Weights in a file of their own.

use std::collections::HashMap;
use std::path::Path;

use bytes::Bytes;

use crate::disk;
use crate::emit::onnx::{encode, within_limit};
use crate::error::{Error, Result};
use crate::ir::{Stored, Verified};
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
pub(super) enum Storage<'a> {
    /// Into the message.
    Inline,
    /// Into a data file.
    External(&'a mut DataFile),
}

/// A data file being put together.
#[derive(Debug, Default)]
pub(super) struct DataFile {
    location: String,
    data: Rope,
    /// Windows already written: tensors that share their bytes share them in the file, too.
    known: HashMap<(usize, usize), usize>,
    /// A tensor was read with a checksum of its file.
    wants_checksum: bool,
    /// The checksum of the file, when it is known already.
    checksum: Option<String>,
}

/// Where one tensor lies.
pub(super) struct Place {
    location: String,
    offset: usize,
    length: usize,
    checksum: Option<String>,
}

impl Place {
    /// The entries of `external_data`.
    pub(super) fn entries(self) -> impl Iterator<Item = (String, String)> {
        let checksum = self.checksum.map(|checksum| ("checksum".to_owned(), checksum));
        let entries = [
            ("location".to_owned(), self.location),
            ("offset".to_owned(), self.offset.to_string()),
            ("length".to_owned(), self.length.to_string()),
        ];
        entries.into_iter().chain(checksum)
    }
}

impl Storage<'_> {
    /// The place of a tensor's bytes in the data file; `None` when they stay in the message.
    pub(super) fn place(&mut self, stored: &Stored) -> Option<Place> {
        let bytes = stored.tensor.bytes();
        match self {
            Self::External(file) if bytes.len() >= SMALLEST => {
                let mut place = file.place(bytes);
                if stored.checksum {
                    file.wants_checksum = true;
                    place.checksum = file.checksum.clone();
                }
                Some(place)
            }
            _ => None,
        }
    }
}

impl DataFile {
    fn place(&mut self, bytes: &Bytes) -> Place {
        let (window, length) = ((bytes.as_ptr() as usize, bytes.len()), bytes.len());
        let location = self.location.clone();
        let place = |offset| Place { location, offset, length, checksum: None };
        if let Some(&offset) = self.known.get(&window) {
            return place(offset);
        }
        let alignment = if length < LARGE { ALIGNMENT } else { LARGE_ALIGNMENT };
        let padding = self.data.len().next_multiple_of(alignment) - self.data.len();
        self.data.push(&Bytes::from(vec![0; padding]));
        let offset = self.data.len();
        self.data.push(bytes);
        self.known.insert(window, offset);
        place(offset)
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
/// without one there is no data file. Tensors that were read with a checksum of their file get that
/// of the new file.
///
/// # Errors
/// When the message alone would pass 2 GiB, or a file that weights come from cannot be read.
pub fn with_external_data(verified: Verified<'_>, location: &str) -> Result<Encoded> {
    let (mut model, mut file) = laid_out(verified, location, None);
    if file.wants_checksum {
        // Only the complete file has a checksum; the layout does not depend on it.
        let checksum = disk::sha1(file.data.pieces());
        let checksum = checksum.map_err(|error| Error::io(Path::new(location), &error))?;
        (model, file) = laid_out(verified, location, Some(checksum));
    }
    let data = (!file.data.is_empty()).then_some((file.location, file.data));
    Ok(Encoded { model: within_limit(model)?, data })
}

fn laid_out(verified: Verified<'_>, location: &str, checksum: Option<String>) -> (Rope, DataFile) {
    let location = location.to_owned();
    let mut file = DataFile { location, checksum, ..DataFile::default() };
    let model = encode(verified, &mut Storage::External(&mut file));
    (model, file)
}
