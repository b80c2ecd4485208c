//! Arrays in NumPy's `.npy` format, as tensors in row-major, little-endian order.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;

use crate::data::npy_header::{Header, read_error};
use crate::data::strided::Strided;
use crate::error::{Error, Result, err};
use crate::tensor::{DType, Tensor};

/// The array of an `.npy` file in its stored element type: `bool`, integers of 8 to 64 bits,
/// `float16`, `float32` or `float64`. Big-endian and Fortran-ordered arrays are converted.
///
/// # Errors
/// When the file cannot be read, is not one complete `.npy` array, holds bytes behind it, or holds
/// objects, strings, complex numbers or structures. Nothing is ever unpickled.
pub fn read_npy(path: &Path) -> Result<Tensor> {
    let open = || {
        let file = File::open(path)?;
        let len = file.metadata()?.len();
        Ok((BufReader::new(file), len))
    };
    let (mut reader, len) = open().map_err(|error| Error::io(path, &error))?;
    read(&mut reader, len).map_err(|error| error.in_file(path))
}

/// The one array that `reader` holds; `available` is how many bytes it can give at most.
fn read(reader: &mut impl Read, available: u64) -> Result<Tensor> {
    let header = Header::read(reader)?;
    read_elements(header, reader, available)
}

/// The elements behind `header`, which must be the last bytes of `reader`. Memory is taken only
/// after the shape was compared with `available`, the most bytes of header and elements together.
pub(super) fn read_elements(
    header: Header,
    reader: &mut impl Read,
    available: u64,
) -> Result<Tensor> {
    let left = available.saturating_sub(header.len as u64);
    if left < header.data_len as u64 {
        return Err(cut_short(&header, left));
    }
    let mut bytes = Vec::new();
    bytes
        .try_reserve_exact(header.data_len)
        .map_err(|_| err!(Limit, "no memory for {} bytes", header.data_len))?;
    let found = reader
        .by_ref()
        .take(header.data_len as u64)
        .read_to_end(&mut bytes)
        .map_err(|error| read_error(&error))?;
    if found < header.data_len {
        return Err(cut_short(&header, found as u64));
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
    finish(header, bytes)
}

fn cut_short(header: &Header, found: u64) -> Error {
    let Header { dtype, dims, data_len, .. } = header;
    err!(Format, "{dtype} array of shape {dims:?} takes {data_len} bytes, found {found}")
}

/// Row-major, little-endian elements.
fn finish(header: Header, mut bytes: Vec<u8>) -> Result<Tensor> {
    let width = header.dtype.bits() / 8;
    if header.dtype == DType::Bool
        && let Some(at) = bytes.iter().position(|&byte| byte > 1)
    {
        return Err(err!(Format, "bool element {at} is the byte {}, not 0 or 1", bytes[at]));
    }
    if header.big_endian {
        bytes.chunks_exact_mut(width).for_each(<[u8]>::reverse);
    }
    if header.fortran && header.dims.len() > 1 {
        bytes = Strided::column_major(&header.dims).gather(&bytes, width);
    }
    Tensor::new(header.dtype, header.dims, bytes.into())
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
