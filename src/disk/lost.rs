//! Files that change while they are used: a file that is truncated takes its mapped pages with it, and touching one
//! is a bus error; one that is written to gives half of the old and half of the new.

use std::fs::Metadata;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use crate::error::{Result, err};

/// A file as it was when it was opened.
struct Known {
    path: PathBuf,
    found: Metadata,
    mapped: bool,
}

/// All files that were opened for reading, of which a process has few.
static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Remembers a file that is read.
pub(super) fn remember(path: &Path, found: &Metadata, mapped: bool) {
    let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|known| known.path != path);
    known.push(Known { path: path.to_owned(), found: found.clone(), mapped });
}

/// An error when a file whose bytes are used where they lie was truncated or written to since.
pub(crate) fn check_unchanged() -> Result<()> {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    for Known { path, found, .. } in known.iter().filter(|known| known.mapped) {
        // A file that was replaced is still there for those who had opened it.
        let Some(now) = path.metadata().ok().filter(|now| is_same(found, now)) else { continue };
        if now.len() != found.len() || now.modified().ok() != found.modified().ok() {
            return Err(err!(
                Io,
                "the file was {} while it was read",
                if now.len() < found.len() { "truncated" } else { "changed" }
            )
            .in_file(path)
            .help("run the command again when nothing writes to the file any more"));
        }
    }
    Ok(())
}

/// Whether `path` is a file that was read, under whatever name.
pub(crate) fn was_read(path: &Path) -> bool {
    let known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let Ok(now) = path.metadata() else { return false };
    known.iter().any(|known| is_same(&known.found, &now))
}

#[cfg(unix)]
fn is_same(a: &Metadata, b: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    (a.dev(), a.ino()) == (b.dev(), b.ino())
}

#[cfg(not(unix))]
fn is_same(_: &Metadata, _: &Metadata) -> bool {
    false
}
