//! What a verb gives.

use std::path::Path;

use crate::emit::{self, Encoded, Overwrite};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Model;

/// The result of a verb.
#[derive(Debug)]
#[non_exhaustive]
pub struct Outcome<R> {
    /// The model.
    pub model: Model,
    /// The bytes of its file, and of its data file when weights have one.
    pub encoded: Encoded,
    /// What was done, declined and measured.
    pub report: R,
    /// What was asked for and missed, in words: bounds, budgets, or that nothing could be done.
    pub missed: Vec<String>,
}

impl<R> Outcome<R> {
    /// Everything that was asked for was done.
    pub fn passed(&self) -> bool {
        self.missed.is_empty()
    }

    /// Writes the model beside `path` and renames it: whoever reads meanwhile sees the old file or the new one.
    ///
    /// # Errors
    /// When the file exists and may not be replaced, or cannot be written.
    pub fn save(&self, path: &Path, overwrite: Overwrite) -> Result<()> {
        let name = path
            .file_name()
            .ok_or_else(|| Error::new(ErrorKind::Usage, "is no name for a file").in_file(path))?;
        match &self.encoded.data {
            None => emit::write(path, &self.encoded, overwrite),
            Some(_) => {
                let name = format!("{}.data", name.to_string_lossy());
                let verified = self.model.verify().map_err(Error::from)?;
                emit::write(path, &emit::with_external_data(verified, &name)?, overwrite)
            }
        }
    }
}
