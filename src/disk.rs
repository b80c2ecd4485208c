//! Files for reading: regular ones only, as shared bytes. The one place with `unsafe`: mapping.

use std::fs::{File, Metadata, OpenOptions};
use std::path::Path;

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

/// The whole file as shared bytes, mapped: pages are read when they are touched.
///
/// The map shows the file as it is while it is used. Another process that truncates the file in
/// that time ends this one with a bus error; onnxpress itself never writes to an input file.
#[expect(unsafe_code, reason = "mapping is what keeps weights from being copied")]
pub(crate) fn map(file: &File, path: &Path) -> Result<Bytes> {
    // SAFETY: the map is read-only and private to this process; see the caveat above.
    let map = unsafe { Mmap::map(file) }.map_err(|e| Error::io(path, &e))?;
    Ok(Bytes::from_owner(map))
}
