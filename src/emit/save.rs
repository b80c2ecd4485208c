//! Writing files so that nothing is ever torn or lost.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::Path;

use crate::error::{Error, ErrorKind, Result};
use crate::wire::Rope;

/// Small pieces are gathered into writes of this many bytes.
const BUFFER: usize = 1 << 20;

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// An existing file is an error.
    Never,
    /// An existing file is replaced, in one step.
    Replace,
}

/// Writes `content` to a temporary file beside `path`, flushes it to disk, and renames it.
///
/// # Errors
/// When the file exists and may not be replaced, or the operating system refuses; then nothing is
/// left behind.
pub fn save(path: &Path, content: &Rope, overwrite: Overwrite) -> Result<()> {
    let folder = match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let io = |error: &std::io::Error| Error::io(path, error);
    if overwrite == Overwrite::Never && path.symlink_metadata().is_ok() {
        return Err(exists(path));
    }
    let mut builder = tempfile::Builder::new();
    builder.prefix(".onnxpress-");
    like_a_new_file(&mut builder);
    let mut file = builder.tempfile_in(folder).map_err(|e| io(&e))?;
    let mut buffered = BufWriter::with_capacity(BUFFER, file.as_file_mut());
    content.write_to(&mut buffered).and_then(|()| buffered.flush()).map_err(|e| io(&e))?;
    drop(buffered);
    file.as_file().sync_all().map_err(|e| io(&e))?;
    match overwrite {
        Overwrite::Replace => file.persist(path).map_err(|e| io(&e.error))?,
        Overwrite::Never => file.persist_noclobber(path).map_err(|e| match e.error.kind() {
            std::io::ErrorKind::AlreadyExists => exists(path),
            _ => io(&e.error),
        })?,
    };
    // The rename is durable once the folder is; not every file system can say so.
    let _ = fs::File::open(folder).and_then(|folder| folder.sync_all());
    Ok(())
}

fn exists(path: &Path) -> Error {
    let error = Error::new(ErrorKind::Usage, "the file exists already").in_file(path);
    error.help("choose another name, or replace it with `--force`")
}

#[cfg(unix)]
fn like_a_new_file(builder: &mut tempfile::Builder<'_, '_>) {
    use std::os::unix::fs::PermissionsExt;
    /// Read and write for everybody the umask lets through.
    const NEW_FILE: u32 = 0o666;
    builder.permissions(fs::Permissions::from_mode(NEW_FILE));
}

#[cfg(not(unix))]
fn like_a_new_file(_: &mut tempfile::Builder<'_, '_>) {}
