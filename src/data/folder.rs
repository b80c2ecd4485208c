//! Lists folders, and looks at the names of files.

use std::ffi::OsStr;
use std::path::{Path, PathBuf};

use crate::error::{Error, Result};

/// What a folder holds, by name; entries that start with a dot are left out.
pub(super) struct Listing {
    pub files: Vec<PathBuf>,
    pub folders: Vec<PathBuf>,
}

/// Lists `folder`; links are followed.
pub(super) fn list(folder: &Path) -> Result<Listing> {
    let mut listing = Listing { files: Vec::new(), folders: Vec::new() };
    let failed = |error: std::io::Error| Error::io(folder, &error);
    for entry in folder.read_dir().map_err(failed)? {
        let path = entry.map_err(failed)?.path();
        if name(&path).starts_with('.') {
            continue;
        }
        if path.is_dir() {
            listing.folders.push(path);
        } else {
            listing.files.push(path);
        }
    }
    listing.files.sort();
    listing.folders.sort();
    Ok(listing)
}

/// The last part of a path as text.
pub(super) fn name(path: &Path) -> String {
    path.file_name().unwrap_or_default().to_string_lossy().into_owned()
}

/// Does the name end in one of these extensions, in either case?
pub(super) fn ends_in(path: &Path, extensions: &[&str]) -> bool {
    let found = path.extension().and_then(OsStr::to_str).unwrap_or_default();
    extensions.iter().any(|extension| found.eq_ignore_ascii_case(extension))
}
