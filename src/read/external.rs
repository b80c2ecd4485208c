//! Tensor data in other files, confined to the folder of the model.
//!
//! The location must be a relative path without `..`, and after links are resolved the file must
//! lie under the model's folder or under the folder of the resolved model path (so that link farms
//! such as the Hugging Face cache work). Each data file is opened once and mapped.

use std::collections::HashMap;
use std::path::{Component, Path, PathBuf};

use bytes::Bytes;

use crate::disk;
use crate::error::{Error, Result, err};

/// The folder that external data may come from.
#[derive(Debug, Default)]
pub struct Folder {
    base: Option<PathBuf>,
    allowed: Vec<PathBuf>,
    files: HashMap<String, Bytes>,
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

    /// The `length` bytes that the entries of a tensor point to.
    pub(super) fn window(&mut self, entries: &[(String, String)], length: usize) -> Result<Bytes> {
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
        let data = if size == 0 { Bytes::new() } else { disk::map(handle, &resolved)? };
        self.files.insert(location.to_owned(), data.clone());
        Ok(data)
    }
}
