//! Writing files so that nothing is ever torn or lost.

use std::fs;
use std::io::{BufWriter, Write};
use std::path::{Path, PathBuf};

use tempfile::NamedTempFile;

use crate::disk;
use crate::emit::Encoded;
use crate::error::{Error, ErrorKind, Result, err};
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
    refuse_existing(path, overwrite)?;
    let file = written(path, content)?;
    place(file, path, overwrite)?;
    flush_folder(path);
    Ok(())
}

/// Writes a model and, when it has one, its data file beside it. Both are complete on disk before
/// the first is renamed; the data comes first, so that a model never lacks its data.
///
/// # Errors
/// As [`save`], for either file; then nothing is left behind.
pub fn write(path: &Path, encoded: &Encoded, overwrite: Overwrite) -> Result<()> {
    let Some((location, data)) = &encoded.data else {
        return save(path, &encoded.model, overwrite);
    };
    let data_path = folder_of(path).join(location);
    refuse_existing(path, overwrite)?;
    // An old model may still need the old data: a data file is never replaced in place.
    refuse_existing(&data_path, Overwrite::Never)?;
    let model = written(path, &encoded.model)?;
    let data = written(&data_path, data)?;
    place(data, &data_path, Overwrite::Never)?;
    place(model, path, overwrite).inspect_err(|_| {
        let _ = fs::remove_file(&data_path);
    })?;
    flush_folder(path);
    Ok(())
}

fn folder_of(path: &Path) -> PathBuf {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder.to_owned(),
        _ => PathBuf::from("."),
    }
}

/// Checks that `path` may be written, so that no work is done in vain; [`save`] checks again.
///
/// # Errors
/// When it exists and may not be replaced, or is no regular file.
pub fn refuse_existing(path: &Path, overwrite: Overwrite) -> Result<()> {
    match path.symlink_metadata() {
        Ok(_) if overwrite == Overwrite::Never => Err(exists(path)),
        // Renaming onto a folder, a pipe or a device would fail late, or destroy it.
        Ok(found) if !found.is_file() && !found.is_symlink() => {
            Err(err!(Usage, "exists and is no regular file").in_file(path))
        }
        _ => Ok(()),
    }
}

/// A temporary file beside `path` that holds `content`, flushed to disk.
fn written(path: &Path, content: &Rope) -> Result<NamedTempFile> {
    let io = |error: std::io::Error| Error::io(path, &error);
    let mut builder = tempfile::Builder::new();
    builder.prefix(".onnxpress-");
    like_a_new_file(&mut builder);
    let mut file = builder.tempfile_in(folder_of(path)).map_err(io)?;
    let mut buffered = BufWriter::with_capacity(BUFFER, file.as_file_mut());
    let pieces = content.pieces().try_for_each(|piece| disk::copy(piece, &mut buffered));
    pieces.and_then(|()| buffered.flush()).map_err(io)?;
    drop(buffered);
    file.as_file().sync_all().map_err(io)?;
    Ok(file)
}

fn place(file: NamedTempFile, path: &Path, overwrite: Overwrite) -> Result<()> {
    let failed = |error: &std::io::Error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::io(path, error),
    };
    match overwrite {
        Overwrite::Replace => file.persist(path).map_err(|e| failed(&e.error))?,
        Overwrite::Never => file.persist_noclobber(path).map_err(|e| failed(&e.error))?,
    };
    Ok(())
}

/// A rename is durable once the folder is; not every file system can say so.
fn flush_folder(path: &Path) {
    let _ = fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all());
}

fn exists(path: &Path) -> Error {
    let error = Error::new(ErrorKind::Usage, "the file exists already").in_file(path);
    error.help("choose another name, or replace it with --force")
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
