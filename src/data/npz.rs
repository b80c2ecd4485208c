//! Named arrays in NumPy's `.npz` format: a zip file of `.npy` members, stored or deflated.

use std::fs::File;
use std::io::BufReader;
use std::path::{Path, PathBuf};

use zip::result::ZipError;
use zip::{CompressionMethod, ZipArchive};

use crate::data::Limits;
use crate::data::array::Array;
use crate::data::npy::read_elements;
use crate::data::npy_header::{Header, read_error};
use crate::disk::open_regular;
use crate::error::{Error, Result, err};
use crate::tensor::Tensor;

/// Deflate cannot expand a byte to more than this many (zlib technical details, "Maximum
/// Compression Factor").
const DEFLATE_MAX_RATIO: u64 = 1032;

/// An open `.npz` file. Members are inflated one by one, when they are asked for.
pub struct Npz {
    path: PathBuf,
    file_len: u64,
    archive: ZipArchive<BufReader<File>>,
    names: Vec<String>,
    /// Index of each name in the archive.
    indices: Vec<usize>,
    limits: Limits,
    /// Bytes of the arrays in memory so far.
    taken: u64,
}

impl Npz {
    /// Opens `path` and lists its arrays; no array is read yet. Members that do not end in `.npy`
    /// are not arrays and are left alone.
    ///
    /// # Errors
    /// When the file cannot be read, is not a zip file, has more members than
    /// [`Limits::entries`], two members of one name, or no array.
    pub fn open(path: &Path, limits: Limits) -> Result<Self> {
        let (file, file_len) = open_regular(path)?;
        let here = |error: Error| error.in_file(path);
        let archive =
            ZipArchive::new(BufReader::new(file)).map_err(|error| here(zip_error(&error)))?;
        if archive.len() > limits.entries {
            let (found, most) = (archive.len(), limits.entries);
            let error = err!(Limit, "{found} members; at most {most} are read");
            return Err(here(error.help("allow more with --max-data-members")));
        }
        if archive.has_duplicate_names() {
            return Err(here(err!(Format, "two members of the .npz file have the same name")));
        }
        let (mut names, mut indices) = (Vec::new(), Vec::new());
        for (index, name) in archive.file_names().enumerate() {
            let name = name.map_err(|error| here(zip_error(&error)))?;
            if let Some(name) = name.strip_suffix(".npy") {
                names.push(name.to_owned());
                indices.push(index);
            }
        }
        if names.is_empty() {
            return Err(here(err!(Data, "the file holds no array (no member ends in .npy)")));
        }
        Ok(Self { path: path.to_owned(), file_len, archive, names, indices, limits, taken: 0 })
    }

    /// Names of the arrays, in the order of the file, without `.npy`.
    pub fn names(&self) -> &[String] {
        &self.names
    }

    /// Reads one array in its stored element type.
    ///
    /// # Errors
    /// When there is no such array, its checksum or length is wrong, it cannot be represented (see
    /// [`read_npy`](crate::data::read_npy)), or memory would pass [`Limits::array_bytes`] or
    /// [`Limits::expansion`].
    pub fn read(&mut self, name: &str) -> Result<Tensor> {
        self.open_array(name, usize::MAX)?.tensor(usize::MAX)
    }

    /// The first `keep` samples of one array; the others are inflated and thrown away, so that the
    /// checksum is always compared. What is stored as it is, and larger than
    /// [`Limits::resident_bytes`], stays in the file.
    pub(super) fn open_array(&mut self, name: &str, keep: usize) -> Result<Array> {
        let mut array = self
            .member(name, keep)
            .map_err(|error| error.at(format_args!("array `{name}`")).in_file(&self.path))?;
        array.name = Some(name.to_owned());
        Ok(array)
    }

    fn member(&mut self, name: &str, keep: usize) -> Result<Array> {
        let Some(at) = self.names.iter().position(|known| known == name) else {
            return Err(err!(Data, "not in the file, which holds {}", list(&self.names)));
        };
        let mut member =
            self.archive.by_index(self.indices[at]).map_err(|error| zip_error(&error))?;
        let stored = member.compression() == CompressionMethod::Stored;
        // Both sizes are only claims; what the file can hold bounds them.
        let packed = member.compressed_size().min(self.file_len);
        let available = if stored {
            packed
        } else {
            member.size().min(packed.saturating_mul(DEFLATE_MAX_RATIO))
        };
        let start = member.data_start();
        let header = Header::read(&mut member)?;
        let kept = header.kept_len(keep) as u64;
        if let Some(start) = start.filter(|_| stored)
            && header.is_row_major()
            && kept > self.limits.resident_bytes
        {
            let start = start.saturating_add(header.len as u64);
            read_elements(header.clone(), &mut member, available, 0)?;
            let (file, _) = open_regular(&self.path)?;
            return Ok(Array::in_file(header, file, start));
        }
        self.limits.check_arrays(kept, self.taken)?;
        if !stored {
            self.limits.check_expansion(kept, packed)?;
        }
        self.taken += kept;
        read_elements(header, &mut member, available, keep)
    }
}

/// Names in backquotes, for messages.
pub(super) fn list(names: &[String]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}

fn zip_error(error: &ZipError) -> Error {
    match error {
        ZipError::Io(error) => read_error(error),
        error => err!(Format, "{error}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::data::testing::{npy, npy_f32, npy_i64, npz, npz_with};
    use crate::error::ErrorKind;

    #[test]
    fn stored_and_deflated_members_are_read() {
        let folder = tempfile::tempdir().unwrap();
        for method in [CompressionMethod::Stored, CompressionMethod::Deflated] {
            let arrays = [("b", npy_i64(&[2], &[7, -1])), ("a/x:0", npy_f32(&[1], &[0.5]))];
            let path = npz_with(folder.path(), &arrays, method);
            let mut file = Npz::open(&path, Limits::default()).unwrap();
            assert_eq!(file.names(), ["b", "a/x:0"]);
            assert_eq!(file.read("a/x:0").unwrap(), Tensor::from_f32(&[1], &[0.5]));
            assert_eq!(file.read("b").unwrap(), Tensor::from_i64(&[2], &[7, -1]));
            let error = file.read("c").unwrap_err().to_string();
            assert!(error.ends_with("array `c`: not in the file, which holds `b`, `a/x:0`"));
        }
    }

    #[test]
    fn limits_hold_before_memory_is_taken() {
        let folder = tempfile::tempdir().unwrap();
        let arrays = [("a", npy("|u1", false, &[100], &[0; 100])), ("b", npy_i64(&[1], &[0]))];
        let path = npz(folder.path(), &arrays);
        let few = Limits { entries: 1, ..Limits::default() };
        assert_eq!(Npz::open(&path, few).err().unwrap().kind, ErrorKind::Limit);
        let tight = Limits { array_bytes: 104, ..Limits::default() };
        let mut file = Npz::open(&path, tight).unwrap();
        assert!(file.read("a").is_ok());
        assert_eq!(file.read("b").unwrap_err().kind, ErrorKind::Limit);
        let path = npz(folder.path(), &[("a", npy("|u1", false, &[9000], &[0; 9000]))]);
        let zeros = Limits { resident_bytes: 99, expansion: 20, ..Limits::default() };
        let mut file = Npz::open(&path, zeros).unwrap();
        assert_eq!(file.read("a").unwrap_err().kind, ErrorKind::Limit);
        assert_eq!(file.open_array("a", 7).unwrap().rows(0..7).unwrap().as_ref(), [0; 7]);
        let any = Limits { expansion: u64::MAX, ..Limits::default() };
        // A header that asks for far more than the member can inflate to.
        let path = npz(folder.path(), &[("a", npy("|u1", false, &[1 << 29], &[0; 10]))]);
        let error = Npz::open(&path, any).unwrap().read("a").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Format);
    }

    #[test]
    fn large_stored_arrays_stay_in_the_file_after_their_checksum_was_compared() {
        let folder = tempfile::tempdir().unwrap();
        let arrays = [("a", npy_i64(&[3], &[4, 5, 6])), ("b", npy_f32(&[1], &[0.5]))];
        let path = npz_with(folder.path(), &arrays, CompressionMethod::Stored);
        let limits = Limits { resident_bytes: 4, array_bytes: 4, ..Limits::default() };
        let mut file = Npz::open(&path, limits).unwrap();
        assert_eq!(file.read("a").unwrap(), Tensor::from_i64(&[3], &[4, 5, 6]));
        assert_eq!(file.read("b").unwrap(), Tensor::from_f32(&[1], &[0.5]));
        let mut bytes = std::fs::read(&path).unwrap();
        let at = bytes.windows(8).position(|window| window == 5i64.to_le_bytes()).unwrap();
        bytes[at] ^= 2;
        std::fs::write(&path, &bytes).unwrap();
        let error = Npz::open(&path, limits).unwrap().open_array("a", 1).unwrap_err();
        assert!(error.message.to_lowercase().contains("checksum"), "{error}");
    }

    #[test]
    fn damage_is_an_error() {
        let folder = tempfile::tempdir().unwrap();
        let array = npy("|u1", false, &[9], b"payload!!");
        let path = npz_with(folder.path(), &[("a", array)], CompressionMethod::Stored);
        let sound = std::fs::read(&path).unwrap();
        let mut bytes = sound.clone();
        let at = bytes.windows(9).position(|window| window == b"payload!!").unwrap();
        bytes[at] ^= 1;
        std::fs::write(&path, &bytes).unwrap();
        let error = Npz::open(&path, Limits::default()).unwrap().read("a").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Format);
        assert!(error.message.to_lowercase().contains("checksum"), "{error}");
        for len in 0..sound.len() {
            std::fs::write(&path, &sound[..len]).unwrap();
            assert!(Npz::open(&path, Limits::default()).is_err());
        }
        // Whatever byte is wrong: never a panic, and never other contents.
        for at in 0..sound.len() {
            let mut bytes = sound.clone();
            bytes[at] ^= 0xff;
            std::fs::write(&path, &bytes).unwrap();
            if let Ok(array) = Npz::open(&path, Limits::default()).and_then(|mut f| f.read("a")) {
                assert_eq!(array.bytes().as_ref(), b"payload!!");
            }
        }
    }

    #[test]
    fn two_members_of_one_name_are_refused() {
        let folder = tempfile::tempdir().unwrap();
        let arrays = [("aa", npy_i64(&[1], &[1])), ("ab", npy_i64(&[1], &[2]))];
        let path = npz(folder.path(), &arrays);
        let mut bytes = std::fs::read(&path).unwrap();
        let names: Vec<_> =
            (0..bytes.len() - 6).filter(|&at| &bytes[at..at + 6] == b"ab.npy").collect();
        for at in names {
            bytes[at + 1] = b'a';
        }
        std::fs::write(&path, &bytes).unwrap();
        let error = Npz::open(&path, Limits::default()).err().unwrap();
        assert!(error.message.contains("same name"), "{error}");
    }
}
