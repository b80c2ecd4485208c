//! Tensor data in other files, confined to the folder of the model.
//!
//! The location must be a relative path without `..`, and after links are resolved the file must
//! lie under the model's folder or under the folder of the resolved model path (so that link farms
//! such as the Hugging Face cache work). Each data file is opened once and mapped.

use std::collections::{BTreeSet, HashMap};
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use rayon::prelude::*;

use crate::disk;
use crate::error::{Error, Result, err};

/// What a tensor says about the file its data lies in.
#[derive(Debug)]
struct Checksum {
    location: String,
    expected: String,
    /// The first tensor that says so.
    tensor: String,
}

/// The key of the checksum among the entries of a tensor.
const CHECKSUM: &str = "checksum";
/// Hexadecimal digits of a SHA-1 checksum.
const CHECKSUM_DIGITS: usize = 40;

/// Whether the entries of a tensor hold a checksum.
pub(super) fn has_checksum(entries: &[(String, String)]) -> bool {
    entries.iter().any(|(key, _)| key == CHECKSUM)
}

/// The folder that external data may come from.
#[derive(Debug, Default)]
pub struct Folder {
    base: Option<PathBuf>,
    allowed: Vec<PathBuf>,
    files: HashMap<String, Bytes>,
    checksums: Vec<Checksum>,
    /// The model file itself has several names.
    model_is_shared: bool,
}

impl Folder {
    /// The folder of a model file.
    pub fn of(model: &Path) -> Self {
        let parent = |path: &Path| match path.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent.to_owned(),
            _ => PathBuf::from("."),
        };
        let base = parent(model);
        let resolved = model.canonicalize().ok();
        let allowed = [base.canonicalize().ok(), resolved.map(|path| parent(&path))];
        let allowed = allowed.into_iter().flatten().collect();
        let model_is_shared = model.metadata().is_ok_and(|found| disk::is_shared(&found));
        Self { base: Some(base), allowed, model_is_shared, ..Self::default() }
    }

    /// No folder: external data is an error.
    pub fn none() -> Self {
        Self::default()
    }

    /// Total size of the data files opened so far.
    pub(super) fn bytes_read(&self) -> u64 {
        self.files.values().map(|file| file.len() as u64).sum()
    }

    /// The `length` bytes that the entries of a tensor point to. A checksum among them is noted for
    /// [`Folder::verify_checksums`].
    pub(super) fn window(
        &mut self,
        tensor: &str,
        entries: &[(String, String)],
        length: usize,
    ) -> Result<Bytes> {
        let get = |key: &str| {
            entries.iter().find(|(known, _)| known == key).map(|(_, value)| value.as_str())
        };
        let number = |key: &str| -> Result<Option<usize>> {
            get(key)
                .map(|text| {
                    let digits = !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
                    digits.then(|| text.parse().ok()).flatten().ok_or_else(|| {
                        err!(
                            Invalid,
                            "external data: `{key}` is `{text}`, expected a number of bytes"
                        )
                    })
                })
                .transpose()
        };
        let location =
            get("location").ok_or_else(|| err!(Invalid, "external data without a location"))?;
        let offset = number("offset")?.unwrap_or(0);
        if let Some(declared) = number("length")?
            && declared != length
        {
            return Err(err!(
                Invalid,
                "external data: dims and type ask for {length} bytes, `length` says {declared}"
            ));
        }
        if let Some(expected) = get(CHECKSUM) {
            self.note_checksum(tensor, location, expected)?;
        }
        let data = self.file(location)?;
        match offset.checked_add(length) {
            Some(end) if end <= data.len() => Ok(data.slice(offset..end)),
            _ => Err(err!(
                Invalid,
                "external data: {length} bytes at offset {offset} lie outside `{location}` ({} bytes)",
                data.len()
            )),
        }
    }

    fn note_checksum(&mut self, tensor: &str, location: &str, expected: &str) -> Result<()> {
        if expected.len() != CHECKSUM_DIGITS || !expected.bytes().all(|b| b.is_ascii_hexdigit()) {
            return Err(err!(
                Invalid,
                "external data: `{CHECKSUM}` is `{expected}`, expected a SHA-1 checksum of \
                 {CHECKSUM_DIGITS} hexadecimal digits"
            ));
        }
        let expected = expected.to_ascii_lowercase();
        let known = |known: &Checksum| known.location == location && known.expected == expected;
        // Tensors of one file come one after the other, and say the same.
        if !self.checksums.last().is_some_and(known) {
            let (location, tensor) = (location.to_owned(), tensor.to_owned());
            self.checksums.push(Checksum { location, expected, tensor });
        }
        Ok(())
    }

    /// Compares the data files with the checksums given by the tensors read so far. Each file is
    /// read once, several at the same time.
    ///
    /// # Errors
    /// When a file has another checksum, or cannot be read.
    pub(super) fn verify_checksums(&self) -> Result<()> {
        let locations: BTreeSet<&str> =
            self.checksums.iter().map(|c| c.location.as_str()).collect();
        let digest = |location: &str| {
            let file = self.files.get(location).map_or(&[][..], |data| data);
            disk::sha1([file].into_iter()).map_err(|e| Error::io(Path::new(location), &e))
        };
        let found: HashMap<&str, String> = locations
            .into_par_iter()
            .map(|location| Ok((location, digest(location)?)))
            .collect::<Result<_>>()?;
        for Checksum { location, expected, tensor } in &self.checksums {
            let found = &found[location.as_str()];
            if found != expected {
                return Err(err!(
                    Invalid,
                    "external data: `{location}` has the SHA-1 checksum {found}, expected {expected}"
                )
                .at(format_args!("tensor `{tensor}`"))
                .help("the data file is damaged, or belongs to another model"));
            }
        }
        Ok(())
    }

    fn file(&mut self, location: &str) -> Result<Bytes> {
        if let Some(data) = self.files.get(location) {
            return Ok(data.clone());
        }
        let base = self.base.as_ref().ok_or_else(|| {
            err!(
                Unsupported,
                "its data lies in `{location}`, but the model is not read from a file"
            )
        })?;
        let relative = Path::new(location);
        let plain =
            relative.components().all(|c| matches!(c, Component::Normal(_) | Component::CurDir));
        if location.is_empty() || !plain || location.contains(['\0', '\\']) {
            return Err(err!(
                Invalid,
                "external data location `{location}` is not a plain relative path"
            ));
        }
        let path = base.join(relative);
        let resolved = path.canonicalize().map_err(|e| Error::io(&path, &e))?;
        if !self.allowed.iter().any(|folder| resolved.starts_with(folder)) {
            return Err(err!(
                Invalid,
                "external data location `{location}` leads outside the folder of the model"
            ));
        }
        let (handle, size) = disk::open_regular(&resolved)?;
        // A link farm has links beside the model's own; a lone model with a linked data file may
        // show somebody else's file under another name.
        if !self.model_is_shared && handle.metadata().is_ok_and(|found| disk::is_shared(&found)) {
            return Err(err!(
                Invalid,
                "external data `{location}` has several names (hard links), the model has one"
            )
            .help("copy the data file if it is what you want"));
        }
        let data = disk::contents(handle, size, &resolved)?;
        self.files.insert(location.to_owned(), data.clone());
        Ok(data)
    }
}
