//! Writing files so that nothing is ever torn or lost.

use std::fs::{self, File};
use std::io::{BufWriter, Read, Write};
use std::path::Path;
use std::sync::mpsc;

use crate::disk;
use crate::emit::Encoded;
use crate::emit::draft::{Draft, folder_of};
use crate::error::{Error, ErrorKind, Result, err};
use crate::wire::Rope;

/// Small pieces are gathered into writes of this many bytes.
const BUFFER: usize = 1 << 20;
/// The disk gets to work whenever this many bytes wait for it. 64 MiB: less than a second's work.
const FLUSHED: usize = 64 << 20;

/// Bytes that are written to try a folder out: a block of most file systems.
const TRIED: usize = 4 << 10;

/// Whether an existing file may be replaced.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Overwrite {
    /// An existing file is an error.
    Never,
    /// An existing file is replaced, in one step.
    Replace,
}

/// Writes `content` to a file without a name, flushes it to disk, and gives it the name `path`.
///
/// # Errors
/// When the file exists and may not be replaced, or the operating system refuses; then nothing is
/// left behind.
pub fn save(path: &Path, content: &Rope, overwrite: Overwrite) -> Result<()> {
    refuse_existing(path, overwrite)?;
    let file = written(path, content)?;
    disk::check_unchanged()?;
    place(file, path, overwrite)?;
    flush_folder(path);
    Ok(())
}

/// Writes a model and, when it has one, its data file beside it. Both are complete on disk before
/// the first gets its name; the data comes first, so that a model never lacks its data.
///
/// # Errors
/// As [`save`], for either file; then nothing is left behind.
pub fn write(path: &Path, encoded: &Encoded, overwrite: Overwrite) -> Result<()> {
    let Some((location, data)) = &encoded.data else {
        return save(path, &encoded.model, overwrite);
    };
    let data_path = folder_of(path).join(location);
    refuse_existing(path, overwrite)?;
    let model = written(path, &encoded.model)?;
    if holds(&data_path, data) {
        // What the model needs is there.
        place(model, path, overwrite)?;
        flush_folder(path);
        return Ok(());
    }
    // An old model may still need the old data: a data file is never replaced in place.
    refuse_existing(&data_path, Overwrite::Never)?;
    let data = written(&data_path, data)?;
    disk::check_unchanged()?;
    place(data, &data_path, Overwrite::Never)?;
    place(model, path, overwrite).inspect_err(|_| {
        let _ = fs::remove_file(&data_path);
    })?;
    flush_folder(path);
    Ok(())
}

/// Whether `path` is a regular file that holds exactly `content`.
pub fn holds(path: &Path, content: &Rope) -> bool {
    let Ok((mut file, size)) = disk::open_regular(path) else { return false };
    if size != content.len() as u64 || path.is_symlink() {
        return false;
    }
    let mut buffer = vec![0; BUFFER];
    content.pieces().flat_map(|piece| piece.chunks(BUFFER)).all(|part| {
        let read = &mut buffer[..part.len()];
        file.read_exact(read).is_ok() && read == part
    })
}

/// Checks that `path` may be written, so that no work is done in vain; [`save`] checks again.
///
/// # Errors
/// When it exists and may not be replaced, or is no regular file, or its folder takes no files.
pub fn refuse_existing(path: &Path, overwrite: Overwrite) -> Result<()> {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        let text = format!("there is no folder `{}`", folder.display());
        return Err(err!(Usage, "{text}")
            .in_file(path)
            .help("make it first, or choose another name"));
    }
    match path.symlink_metadata() {
        Ok(_) if path.is_dir() => Err(err!(Usage, "expected the name of a file, found a folder")
            .in_file(path)
            .help("name a file in it")),
        Ok(_) if overwrite == Overwrite::Never => Err(exists(path)),
        // Renaming onto a folder, a pipe or a device would fail late, or destroy it.
        Ok(found) if !found.is_file() && !found.is_symlink() => {
            Err(err!(Usage, "exists and is no regular file").in_file(path))
        }
        _ => try_out(path),
    }
}

/// Writes a little beside `path`, without a name, as [`written`] will: a folder that may not be written to, or a
/// full disk, is better found before the work than after it.
fn try_out(path: &Path) -> Result<()> {
    let tried = Draft::beside(path).and_then(|draft| {
        let mut file = draft.file();
        file.write_all(&[0; TRIED])?;
        file.sync_data()
    });
    tried.map_err(|error| {
        let error = Error::io(path, &error);
        error.help("choose another folder for the output, or make room in this one")
    })
}

/// A file without a name beside `path` that holds `content`, flushed to disk.
fn written(path: &Path, content: &Rope) -> Result<Draft> {
    // Writing also fails when what is to be written is gone.
    let io = |error: std::io::Error| {
        disk::check_unchanged().err().unwrap_or_else(|| Error::io(path, &error))
    };
    let draft = Draft::beside(path).map_err(io)?;
    let file = draft.file();
    if content.len() <= FLUSHED {
        append(file, content, || ()).map_err(io)?;
    } else {
        std::thread::scope(|scope| {
            let (more, wanted) = mpsc::sync_channel(1);
            // The disk works while the rest is being written. The system tells of an error once.
            let flush = move || wanted.iter().try_for_each(|()| file.sync_data());
            let flusher = std::thread::Builder::new().spawn_scoped(scope, flush);
            let appended = append(file, content, || {
                let _ = more.try_send(());
            });
            drop(more);
            let flushed = flusher.map_or(Ok(()), |thread| thread.join().unwrap_or(Ok(())));
            appended.and(flushed)
        })
        .map_err(io)?;
    }
    file.sync_all().map_err(io)?;
    Ok(draft)
}

/// Writes `content` and calls `flushable` from time to time.
fn append(file: &File, content: &Rope, flushable: impl Fn()) -> std::io::Result<()> {
    let mut buffered = BufWriter::with_capacity(BUFFER, file);
    let mut waiting = 0;
    for piece in content.pieces() {
        for part in piece.chunks(FLUSHED) {
            disk::append(part, &mut buffered)?;
            waiting += part.len();
            if waiting >= FLUSHED {
                flushable();
                waiting = 0;
            }
        }
    }
    buffered.flush()
}

fn place(draft: Draft, path: &Path, overwrite: Overwrite) -> Result<()> {
    draft.place(path, overwrite).map_err(|error| match error.kind() {
        std::io::ErrorKind::AlreadyExists => exists(path),
        _ => Error::io(path, &error),
    })
}

/// A rename is durable once the folder is; not every file system can say so.
fn flush_folder(path: &Path) {
    let _ = fs::File::open(folder_of(path)).and_then(|folder| folder.sync_all());
}

fn exists(path: &Path) -> Error {
    let error = Error::new(ErrorKind::Usage, "the file exists already").in_file(path);
    error.help("choose another name, or replace it with --force")
}
