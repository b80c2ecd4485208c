//! Arrays in NumPy's `.npy` format, as tensors in row-major, little-endian order.

use std::io::{self, BufReader, Read};
use std::path::Path;

use crate::data::array::{Array, normalise};
use crate::data::npy_header::{Header, read_error};
use crate::data::options::Limits;
use crate::data::strided::Strided;
use crate::disk::open_regular;
use crate::error::{Error, Result, err};
use crate::tensor::Tensor;

/// The array of an `.npy` file in its stored element type: `bool`, integers of 8 to 64 bits,
/// `float16`, `float32` or `float64`. Big-endian and Fortran-ordered arrays are converted.
///
/// # Errors
/// When the file cannot be read, is not one complete `.npy` array, holds bytes behind it, or holds
/// objects, strings, complex numbers or structures. Nothing is ever unpickled.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    let whole = || {
        let (file, len) = open_regular(path)?;
        read(&mut BufReader::new(file), len)
    };
    whole().map_err(|error| error.in_file(path))
}

/// The one array that `reader` holds; `available` is how many bytes it can give at most.
fn read(reader: &mut impl Read, available: u64) -> Result<Tensor> {
    let header = Header::read(reader)?;
    read_elements(header, reader, available, usize::MAX)?.tensor(usize::MAX)
}

/// The first `keep` samples of an `.npy` file. Where more than [`Limits::resident_bytes`] would be
/// kept they stay in the file, unless their order keeps them from being read one by one.
pub(super) fn open(path: &Path, keep: usize, limits: &Limits) -> Result<Array> {
    let (file, len) = open_regular(path)?;
    let mut reader = BufReader::new(file);
    let header = Header::read(&mut reader)?;
    let kept = header.kept_len(keep) as u64;
    if header.is_row_major() && kept > limits.resident_bytes {
        let left = len.saturating_sub(header.len as u64);
        if left != header.data_len as u64 {
            return Err(wrong_length(&header, left));
        }
        let start = header.len as u64;
        return Ok(Array::in_file(header, reader.into_inner(), start));
    }
    limits.check_arrays(kept, 0)?;
    read_elements(header, &mut reader, len, keep)
}

/// The first `keep` samples behind `header`. The rest is read and thrown away; the elements must be
/// the last bytes of `reader`. Memory is taken only after the shape was compared with `available`,
/// the most bytes of header and elements together.
pub(super) fn read_elements(
    header: Header,
    reader: &mut impl Read,
    available: u64,
    keep: usize,
) -> Result<Array> {
    let left = available.saturating_sub(header.len as u64);
    if left < header.data_len as u64 {
        return Err(wrong_length(&header, left));
    }
    let kept = header.kept_len(keep);
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(kept).map_err(|_| err!(Limit, "no memory for {kept} bytes"))?;
    let found = reader
        .by_ref()
        .take(kept as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| read_error(&error))? as u64;
    let rest = (header.data_len - kept) as u64;
    let skipped = io::copy(&mut reader.by_ref().take(rest), &mut io::sink())
        .map_err(|error| read_error(&error))?;
    if found + skipped < header.data_len as u64 {
        return Err(wrong_length(&header, found + skipped));
    }
    // Reading to the end is also what makes a zip member compare its checksum.
    if reader.read(&mut [0]).map_err(|error| read_error(&error))? != 0 {
        return Err(err!(
            Format,
            "bytes follow the {} bytes of {} {:?}",
            header.data_len,
            header.dtype,
            header.dims
        ));
    }
    normalise(&mut bytes, header.dtype, header.big_endian)?;
    if !header.is_row_major() {
        bytes = Strided::column_major(&header.dims).gather(&bytes, header.dtype.bits() / 8);
    }
    Ok(Array::in_memory(header, bytes))
}

fn wrong_length(header: &Header, found: u64) -> Error {
    let Header { dtype, dims, data_len, .. } = header;
    err!(Format, "{dtype} array of shape {dims:?} takes {data_len} bytes, found {found}")
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::data::testing::npy;
    use crate::error::ErrorKind;

    fn parse(bytes: &[u8]) -> Result<Tensor> {
        read(&mut &bytes[..], bytes.len() as u64)
    }

    #[test]
    fn big_endian_and_fortran_are_converted() {
        // [[1, 2, 3], [4, 5, 6]] stored column by column.
        let data: Vec<u8> = [1i16, 4, 2, 5, 3, 6].iter().flat_map(|x| x.to_be_bytes()).collect();
        let tensor = parse(&npy(">i2", true, &[2, 3], &data)).unwrap();
        assert_eq!(tensor.dims(), [2, 3]);
        assert_eq!(tensor.to_i64().unwrap(), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn sizes_that_do_not_match_are_refused() {
        let short = parse(&npy("<f4", false, &[2, 2], &[0; 12])).unwrap_err();
        assert_eq!(short.to_string(), "float array of shape [2, 2] takes 16 bytes, found 12");
        let huge = parse(&npy("<f4", false, &[1 << 40], &[0; 12])).unwrap_err();
        assert_eq!(huge.kind, ErrorKind::Format);
        assert!(parse(&npy("<f4", false, &[2], &[0; 12])).is_err());
        assert!(parse(&npy("|b1", false, &[2], &[0, 2])).is_err());
    }

    #[test]
    fn every_prefix_is_an_error_and_long_headers_are_refused() {
        let whole = npy("<i8", false, &[2], &[0; 16]);
        for len in 0..whole.len() {
            assert!(parse(&whole[..len]).is_err());
        }
        let error = parse(b"\x93NUMPY\x02\x00\xff\xff\xff\xff").unwrap_err();
        assert_eq!(error.kind, ErrorKind::Limit);
        assert_eq!(parse(b"\x93NUMPY\x04\x00\0\0\0\0").unwrap_err().kind, ErrorKind::Unsupported);
    }

    #[test]
    fn only_the_first_samples_are_kept_and_the_rest_is_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("x.npy");
        let big: Vec<u8> = (1i16..=8).flat_map(i16::to_be_bytes).collect();
        let write = |data: &[u8]| std::fs::write(&path, npy(">i2", false, &[4, 2], data)).unwrap();
        for resident_bytes in [0, 1 << 20] {
            let limits = Limits { resident_bytes, ..Limits::default() };
            write(&big);
            let array = open(&path, 3, &limits).unwrap();
            assert_eq!(array.dims, [4, 2]);
            assert_eq!(array.rows(2..3).unwrap().as_ref(), [5, 0, 6, 0]);
            assert_eq!(array.tensor(3).unwrap().to_i64().unwrap(), [1, 2, 3, 4, 5, 6]);
            assert_eq!(array.rows(3..4).is_ok(), resident_bytes == 0);
            for wrong in [15, 17] {
                write(&[&big[..], &[0]].concat()[..wrong]);
                assert_eq!(open(&path, 3, &limits).unwrap_err().kind, ErrorKind::Format);
            }
        }
        let tight = Limits { array_bytes: 15, ..Limits::default() };
        write(&big);
        assert_eq!(open(&path, 4, &tight).unwrap_err().kind, ErrorKind::Limit);
        assert!(open(&path, 3, &tight).is_ok());
        // Column by column, no sample can be left out.
        std::fs::write(&path, npy(">i2", true, &[4, 2], &big)).unwrap();
        let columns = Limits { resident_bytes: 0, ..Limits::default() };
        let array = open(&path, 1, &columns).unwrap();
        assert_eq!(array.rows(1..2).unwrap().as_ref(), [2, 0, 6, 0]);
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_back(
            elements in proptest::collection::vec(any::<i32>(), 24),
            dims in prop_oneof![
                Just(vec![24]), Just(vec![4, 6]), Just(vec![2, 3, 4]), Just(vec![1, 24, 1])
            ],
            big in any::<bool>(),
        ) {
            let order = if big { i32::to_be_bytes } else { i32::to_le_bytes };
            let data: Vec<u8> = elements.iter().flat_map(|&x| order(x)).collect();
            let file = npy(if big { ">i4" } else { "<i4" }, false, &dims, &data);
            prop_assert_eq!(parse(&file).unwrap(), Tensor::from_i32(&dims, &elements));
        }

        #[test]
        fn damage_never_panics(at in 0usize..120, byte in any::<u8>()) {
            let mut file = npy("<u2", false, &[2, 2], &[0; 8]);
            if let Some(place) = file.get_mut(at) {
                *place = byte;
            }
            let _ = parse(&file);
        }
    }
}
