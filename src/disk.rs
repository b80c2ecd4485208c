//! Files for reading: regular ones only, as shared bytes. The one place with `unsafe`: mapping.
//!
//! Mapped files are remembered, so that a window of one can be copied to another file without
//! going through memory.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use memmap2::Mmap;

use crate::error::{Error, Result, err};

/// Opens a regular file for reading without ever blocking on a pipe or a device.
pub(crate) fn open_regular(path: &Path) -> Result<(File, u64)> {
    let mut options = OpenOptions::new();
    options.read(true);
    #[cfg(unix)]
    {
        use std::os::unix::fs::OpenOptionsExt;
        /// `O_NONBLOCK` of Linux and the BSDs: opening a named pipe returns at once.
        const NON_BLOCKING: i32 = if cfg!(target_os = "linux") { 0o4000 } else { 0x4 };
        options.custom_flags(NON_BLOCKING);
    }
    let file = options.open(path).map_err(|e| Error::io(path, &e))?;
    let metadata = file.metadata().map_err(|e| Error::io(path, &e))?;
    if !metadata.is_file() {
        return Err(err!(Io, "expected a regular file").in_file(path));
    }
    Ok((file, metadata.len()))
}

/// True when a file has several names (hard links).
#[cfg(unix)]
pub(crate) fn is_shared(found: &Metadata) -> bool {
    use std::os::unix::fs::MetadataExt;
    found.nlink() > 1
}

/// True when a file is known to have several names (hard links).
#[cfg(not(unix))]
pub(crate) fn is_shared(_: &Metadata) -> bool {
    false
}

/// A mapped file. The handle stays open, so that untouched windows can be copied without the map.
struct Mapped {
    map: Mmap,
    file: File,
}

impl AsRef<[u8]> for Mapped {
    fn as_ref(&self) -> &[u8] {
        &self.map
    }
}

/// Keeps a mapped file alive inside shared bytes.
struct Owner(Arc<Mapped>);

impl AsRef<[u8]> for Owner {
    fn as_ref(&self) -> &[u8] {
        self.0.as_ref().as_ref()
    }
}

/// The files that are mapped now.
static MAPPED: Mutex<Vec<Weak<Mapped>>> = Mutex::new(Vec::new());

/// The whole file as shared bytes, mapped: pages are read when they are touched.
///
/// The map shows the file as it is while it is used. Another process that truncates the file in
/// that time ends this one with a bus error; onnxpress itself never writes to an input file.
#[expect(unsafe_code, reason = "mapping is what keeps weights from being copied")]
pub(crate) fn map(file: File, path: &Path) -> Result<Bytes> {
    // SAFETY: the map is read-only and private to this process; see the caveat above.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, &e))?;
    let mapped = Arc::new(Mapped { map, file });
    let mut known = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|mapped| mapped.strong_count() > 0);
    known.push(Arc::downgrade(&mapped));
    Ok(Bytes::from_owner(Owner(mapped)))
}

/// Bytes copied at once from file to file. 1 MiB.
const COPIED: usize = 1 << 20;

/// Writes `bytes` to `to`. A large window of a mapped file is copied from the file itself: its
/// pages never become resident, so a model of gigabytes is written with little memory.
pub(crate) fn copy(bytes: &[u8], to: &mut impl Write) -> io::Result<()> {
    let source = if bytes.len() < COPIED { None } else { source_of(bytes) };
    let Some((mapped, start)) = source else { return to.write_all(bytes) };
    let mut buffer = vec![0; COPIED];
    for done in (0..bytes.len()).step_by(COPIED) {
        let part = &mut buffer[..COPIED.min(bytes.len() - done)];
        match read_at(&mapped.file, part, (start + done) as u64) {
            Ok(()) => to.write_all(part)?,
            // A system that cannot read at a place still has the map.
            Err(_) => return to.write_all(&bytes[done..]),
        }
    }
    Ok(())
}

/// The mapped file that `bytes` is a window of, and where the window starts.
fn source_of(bytes: &[u8]) -> Option<(Arc<Mapped>, usize)> {
    let known = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    known.iter().filter_map(Weak::upgrade).find_map(|mapped| {
        let (window, whole) = (bytes.as_ptr_range(), mapped.map.as_ptr_range());
        let inside = whole.start <= window.start && window.end <= whole.end;
        inside.then(|| (window.start as usize - whole.start as usize, mapped)).map(|(s, m)| (m, s))
    })
}

#[cfg(unix)]
fn read_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    std::os::unix::fs::FileExt::read_exact_at(file, buffer, offset)
}

#[cfg(not(unix))]
fn read_at(_: &File, _: &mut [u8], _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn windows_of_mapped_files_are_copied_from_the_file() {
        let content: Vec<u8> = (0..3 * COPIED + 17).map(|i| (i % 251) as u8).collect();
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, &content).unwrap();
        let bytes = map(open_regular(&path).unwrap().0, &path).unwrap();
        let window = bytes.slice(5..content.len() - 3);
        assert_eq!(source_of(&window).map(|(_, start)| start), Some(5));
        assert!(source_of(&content).is_none());
        let mut copied = Vec::new();
        copy(&window, &mut copied).unwrap();
        assert!(copied == content[5..content.len() - 3]);
    }
}
