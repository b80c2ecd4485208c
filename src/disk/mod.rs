//! Files for reading: regular ones only, as shared bytes. The one place with `unsafe`: mapping.
//!
//! Mapped files are remembered, so that a window of one can be copied to another file without
//! going through memory.

mod fault;
mod lost;

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, BufWriter, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError, Weak};

use bytes::Bytes;
use memmap2::Mmap;
use sha1::{Digest, Sha1};

use crate::error::{Error, Result, err};

pub use fault::watch_mapped_files;
pub(crate) use lost::{check_unchanged, was_read};

/// Files up to this size are read into memory, where nothing happens to them any more. 4 MiB.
const SMALL: u64 = 4 << 20;

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
    path: PathBuf,
    _watched: fault::Watched,
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

/// The whole file of `size` bytes as shared bytes: a small one is read, a large one mapped.
pub(crate) fn contents(mut file: File, size: u64, path: &Path) -> Result<Bytes> {
    let found = file.metadata().map_err(|e| Error::io(path, &e))?;
    lost::remember(path, &found, size > SMALL);
    if size > SMALL {
        let bytes = map(file, path)?;
        return if bytes.len() as u64 == size { Ok(bytes) } else { Err(truncated(path)) };
    }
    let mut bytes = Vec::with_capacity(size as usize);
    (&mut file).take(size).read_to_end(&mut bytes).map_err(|e| Error::io(path, &e))?;
    if bytes.len() as u64 == size { Ok(bytes.into()) } else { Err(truncated(path)) }
}

fn truncated(path: &Path) -> Error {
    err!(Io, "the file was truncated while it was read").in_file(path)
}

/// The whole file as shared bytes, mapped: pages are read when they are touched.
///
/// The map shows the file as it is while it is used. Touching pages that another process cut off in
/// that time is a bus error, for which see [`watch_mapped_files`]; what was written to it is noticed by
/// [`check_unchanged`]. onnxpress itself never writes to an input file.
#[expect(unsafe_code, reason = "mapping is what keeps weights from being copied")]
fn map(file: File, path: &Path) -> Result<Bytes> {
    // SAFETY: the map is read-only and private to this process; see the caveat above.
    let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, &e))?;
    let watched = fault::watch(&map, path);
    let mapped = Arc::new(Mapped { map, file, path: path.to_owned(), _watched: watched });
    let mut known = MAPPED.lock().unwrap_or_else(PoisonError::into_inner);
    known.retain(|mapped| mapped.strong_count() > 0);
    known.push(Arc::downgrade(&mapped));
    Ok(Bytes::from_owner(Owner(mapped)))
}

/// Gives back the memory that the pages of a large window of a mapped file take; they are read again when
/// they are touched. Other bytes stay where they are.
pub(crate) fn release(bytes: &[u8]) {
    let Some((mapped, start)) = large_source(bytes) else { return };
    release_window(&mapped.map, start, bytes.len());
}

#[cfg(unix)]
#[expect(unsafe_code, reason = "what was mapped and read once need not stay in memory")]
fn release_window(map: &Mmap, start: usize, length: usize) {
    // SAFETY: the map is of a file and never written to, so that the pages hold again what they held.
    // It is an optimization: a system that refuses changes nothing.
    let _ =
        unsafe { map.unchecked_advise_range(memmap2::UncheckedAdvice::DontNeed, start, length) };
}

#[cfg(not(unix))]
fn release_window(_: &Mmap, _: usize, _: usize) {}

/// Windows of mapped files from this size on go from file to file; smaller ones through memory.
/// 1 MiB.
const LARGE: usize = 1 << 20;
/// Bytes read at once from a file: a buffer of this size stays in the cache of a core. 256 KiB.
const CHUNK: usize = 256 << 10;

/// Appends `bytes` to the file `to`; small ones are gathered in `buffered`.
///
/// A large window of a mapped file is copied by the operating system, which may even share the
/// blocks of both files. Its pages never become resident, so a model of gigabytes is written with
/// little memory.
pub(crate) fn append(bytes: &[u8], buffered: &mut BufWriter<&File>) -> io::Result<()> {
    let Some((mapped, start)) = large_source(bytes) else { return buffered.write_all(bytes) };
    buffered.flush()?;
    let done = transfer(&mapped.file, start as u64, buffered.get_ref(), bytes.len());
    chunks(&bytes[done..], |chunk| buffered.write_all(chunk))
}

/// Lets the system copy from file to file; how many bytes it did copy.
#[cfg(target_os = "linux")]
fn transfer(from: &File, start: u64, to: &File, length: usize) -> usize {
    let (mut at, mut done) = (start, 0);
    while done < length {
        match rustix::fs::copy_file_range(from, Some(&mut at), to, None, length - done) {
            Ok(copied @ 1..) => done += copied,
            // Not between these files, or a real failure, which writing will meet again.
            Ok(0) | Err(_) => break,
        }
    }
    done
}

#[cfg(not(target_os = "linux"))]
fn transfer(_: &File, _: u64, _: &File, _: usize) -> usize {
    0
}

/// Hands over `bytes` piece by piece. A large window of a mapped file is read from the file itself,
/// so that its pages do not become resident.
fn chunks(bytes: &[u8], mut each: impl FnMut(&[u8]) -> io::Result<()>) -> io::Result<()> {
    let Some((mapped, start)) = large_source(bytes) else { return each(bytes) };
    let mut buffer = vec![0; CHUNK];
    for done in (0..bytes.len()).step_by(CHUNK) {
        let part = &mut buffer[..CHUNK.min(bytes.len() - done)];
        match read_at(&mapped.file, part, (start + done) as u64) {
            Ok(()) => each(part)?,
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => {
                return Err(io::Error::new(error.kind(), truncated(&mapped.path).to_string()));
            }
            // A system that cannot read at a place still has the map.
            Err(_) => return each(&bytes[done..]),
        }
    }
    Ok(())
}

/// SHA-1 (FIPS 180-4) of all pieces together, as hexadecimal digits.
pub(crate) fn sha1<'a>(pieces: impl Iterator<Item = &'a [u8]>) -> io::Result<String> {
    let mut digest = Sha1::new();
    for piece in pieces {
        chunks(piece, |chunk| {
            digest.update(chunk);
            Ok(())
        })?;
    }
    Ok(digest.finalize().iter().map(|byte| format!("{byte:02x}")).collect())
}

fn large_source(bytes: &[u8]) -> Option<(Arc<Mapped>, usize)> {
    if bytes.len() < LARGE { None } else { source_of(bytes) }
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
        let content: Vec<u8> = (0..3 * LARGE + 17).map(|i| (i % 251) as u8).collect();
        let path = tempfile::NamedTempFile::new().unwrap().into_temp_path();
        std::fs::write(&path, &content).unwrap();
        let bytes = map(open_regular(&path).unwrap().0, &path).unwrap();
        let window = bytes.slice(5..content.len() - 3);
        assert_eq!(source_of(&window).map(|(_, start)| start), Some(5));
        assert!(source_of(&content).is_none());
        let target = tempfile::NamedTempFile::new().unwrap();
        let mut buffered = BufWriter::new(target.as_file());
        for piece in [&b"before"[..], &window, b"between", &window, b"after"] {
            append(piece, &mut buffered).unwrap();
        }
        buffered.flush().unwrap();
        let wanted = [b"before", &window[..], b"between", &window[..], b"after"].concat();
        assert!(std::fs::read(target.path()).unwrap() == wanted);
        release(&window);
        assert!(window[..] == content[5..content.len() - 3]);
        let mut read = Vec::new();
        chunks(&window, |chunk| {
            read.extend_from_slice(chunk);
            Ok(())
        })
        .unwrap();
        assert!(read == content[5..content.len() - 3]);
    }

    #[test]
    fn sha1_is_that_of_the_standard() {
        let pieces = [&b"a"[..], b"", b"bc"];
        let digest = sha1(pieces.into_iter()).unwrap();
        assert_eq!(digest, "a9993e364706816aba3e25717850c26c9cd0d89d");
    }
}
