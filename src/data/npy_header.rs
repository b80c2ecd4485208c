//! The header of an `.npy` file: a Python dict literal, read without evaluating anything.
//!
//! Format: NumPy's `numpy.lib.format`, versions 1.0, 2.0 and 3.0.

use std::io::{self, Read};

use crate::error::{Error, ErrorKind, Result, err};
use crate::tensor::{DType, element_count};

/// Most bytes of the header text. NumPy writes 118 bytes for ordinary arrays; the format allows
/// 4 GiB, which no array that can be read here needs.
pub const MAX_HEADER: usize = 64 * 1024;
/// Most axes of an array; the limit of NumPy 2.
pub const MAX_RANK: usize = 64;

const MAGIC: &[u8; 6] = b"\x93NUMPY";

/// What the header says about the bytes behind it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Header {
    pub dtype: DType,
    pub big_endian: bool,
    pub fortran: bool,
    pub dims: Vec<usize>,
    /// Bytes that the elements take.
    pub data_len: usize,
    /// Bytes of magic, version, length and text.
    pub len: usize,
}

impl Header {
    /// Does the last axis run fastest? Only then are samples contiguous.
    pub fn is_row_major(&self) -> bool {
        !self.fortran || self.dims.len() < 2
    }

    /// Bytes of the first `keep` samples, or of all elements if those cannot be told apart.
    pub fn kept_len(&self, keep: usize) -> usize {
        match self.dims.first() {
            Some(&samples) if self.is_row_major() && keep < samples => {
                self.data_len / samples * keep
            }
            _ => self.data_len,
        }
    }

    pub fn read(reader: &mut impl Read) -> Result<Self> {
        let mut start = [0; 8];
        fill(reader, &mut start)?;
        if !start.starts_with(MAGIC) {
            return Err(err!(Format, "not an .npy array: it does not start with \\x93NUMPY"));
        }
        let (text_len, prefix) = match start[6..] {
            [1, 0] => {
                let mut bytes = [0; 2];
                fill(reader, &mut bytes)?;
                (usize::from(u16::from_le_bytes(bytes)), 10)
            }
            [2 | 3, 0] => {
                let mut bytes = [0; 4];
                fill(reader, &mut bytes)?;
                (usize::try_from(u32::from_le_bytes(bytes)).unwrap_or(usize::MAX), 12)
            }
            [major, minor] => {
                return Err(err!(
                    Unsupported,
                    ".npy version {major}.{minor}; 1.0, 2.0 and 3.0 can be read"
                ));
            }
            _ => return Err(err!(Format, "the .npy version is missing")),
        };
        if text_len > MAX_HEADER {
            return Err(err!(
                Limit,
                ".npy header of {text_len} bytes; at most {MAX_HEADER} are read"
            ));
        }
        let mut text = vec![0; text_len];
        fill(reader, &mut text)?;
        Self::parse(&text, prefix + text_len)
    }

    fn parse(text: &[u8], len: usize) -> Result<Self> {
        let mut scan = Scanner { text, at: 0 };
        let (mut descr, mut fortran, mut dims) = (None, None, None);
        scan.expect(b'{')?;
        while !scan.take(b'}') {
            let key = scan.string()?;
            scan.expect(b':')?;
            let fresh = match key {
                "descr" => descr.replace(scan.element_type()?).is_none(),
                "fortran_order" => fortran.replace(scan.boolean()?).is_none(),
                "shape" => dims.replace(scan.tuple()?).is_none(),
                _ => return Err(err!(Format, ".npy header has the unknown key `{key}`")),
            };
            if !fresh {
                return Err(err!(Format, ".npy header has the key `{key}` twice"));
            }
            if !scan.take(b',') {
                scan.expect(b'}')?;
                break;
            }
        }
        if scan.peek().is_some() {
            return Err(scan.unexpected("the end of the header"));
        }
        let missing = |key| err!(Format, ".npy header lacks the key `{key}`");
        let (dtype, big_endian) = descr.ok_or_else(|| missing("descr"))?;
        let fortran = fortran.ok_or_else(|| missing("fortran_order"))?;
        let dims = dims.ok_or_else(|| missing("shape"))?;
        let data_len = element_count(&dims)
            .and_then(|count| dtype.byte_len(count))
            .ok_or_else(|| err!(Format, ".npy shape {dims:?} has too many elements"))?;
        Ok(Self { dtype, big_endian, fortran, dims, data_len, len })
    }
}

/// `read_exact` with our errors.
fn fill(reader: &mut impl Read, buffer: &mut [u8]) -> Result<()> {
    reader.read_exact(buffer).map_err(|error| match error.kind() {
        io::ErrorKind::UnexpectedEof => err!(Format, ".npy array ends inside its header"),
        _ => read_error(&error),
    })
}

/// An error of the operating system is `Io`; one that a decoder raised is about the bytes.
pub(super) fn read_error(error: &io::Error) -> Error {
    let kind = if error.raw_os_error().is_some() { ErrorKind::Io } else { ErrorKind::Format };
    Error::new(kind, error.to_string())
}

/// The element type of a type string such as `<f4`, and whether it is big-endian.
fn element_type(descr: &str) -> Result<(DType, bool)> {
    let (order, code) = descr.split_at_checked(1).unwrap_or(("", descr));
    let dtype = match code {
        "b1" => DType::Bool,
        "i1" => DType::Int8,
        "i2" => DType::Int16,
        "i4" => DType::Int32,
        "i8" => DType::Int64,
        "u1" => DType::Uint8,
        "u2" => DType::Uint16,
        "u4" => DType::Uint32,
        "u8" => DType::Uint64,
        "f2" => DType::Float16,
        "f4" => DType::Float,
        "f8" => DType::Double,
        _ => {
            let (what, help) = match code.as_bytes().first() {
                Some(b'O') => ("Python objects", "objects are never unpickled; save numbers"),
                Some(b'V') => ("raw bytes", "bfloat16 is saved this way; save float32 instead"),
                Some(b'c') => ("complex numbers", "save real numbers"),
                Some(b'S' | b'a' | b'U') => ("strings", "save numbers"),
                Some(b'M' | b'm') => ("dates", "save numbers"),
                _ => ("an element type that cannot be read", "save bool, integers or floats"),
            };
            return Err(err!(Unsupported, "`{descr}` arrays hold {what}").help(help));
        }
    };
    match order {
        "<" => Ok((dtype, false)),
        ">" => Ok((dtype, true)),
        "|" if dtype.bits() == 8 => Ok((dtype, false)),
        _ => Err(err!(Format, "element type `{descr}` does not give its byte order")),
    }
}

struct Scanner<'a> {
    text: &'a [u8],
    at: usize,
}

impl<'a> Scanner<'a> {
    /// The next byte that is not white space.
    fn peek(&mut self) -> Option<u8> {
        while self.text.get(self.at).is_some_and(u8::is_ascii_whitespace) {
            self.at += 1;
        }
        self.text.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn expect(&mut self, byte: u8) -> Result<()> {
        if self.take(byte) { Ok(()) } else { Err(self.unexpected(&format!("`{}`", byte as char))) }
    }

    fn unexpected(&mut self, expected: &str) -> Error {
        let found = match self.peek() {
            Some(byte) => format!("`{}`", byte.escape_ascii()),
            None => "the end".to_owned(),
        };
        err!(Format, ".npy header, byte {}: expected {expected}, found {found}", self.at)
    }

    /// The bytes from here on that satisfy `keep`.
    fn span(&mut self, keep: impl Fn(u8) -> bool) -> &'a str {
        let rest = self.text.get(self.at..).unwrap_or_default();
        let len = rest.iter().position(|&byte| !keep(byte)).unwrap_or(rest.len());
        self.at += len;
        std::str::from_utf8(&rest[..len]).unwrap_or_default()
    }

    /// A quoted string of printable ASCII without escapes, which is all that keys and types need.
    fn string(&mut self) -> Result<&'a str> {
        let quote = match self.peek() {
            Some(quote @ (b'\'' | b'"')) => quote,
            _ => return Err(self.unexpected("a quoted string")),
        };
        self.at += 1;
        let text = self.span(|byte| byte != quote && byte != b'\\' && matches!(byte, b' '..=b'~'));
        if self.text.get(self.at) != Some(&quote) {
            return Err(self.unexpected("a closing quote"));
        }
        self.at += 1;
        Ok(text)
    }

    fn element_type(&mut self) -> Result<(DType, bool)> {
        if self.peek() == Some(b'[') {
            return Err(err!(Unsupported, "structured arrays cannot be read")
                .help("save each field as an array of its own"));
        }
        element_type(self.string()?)
    }

    fn boolean(&mut self) -> Result<bool> {
        self.peek();
        match self.span(|byte| byte.is_ascii_alphabetic()) {
            "True" => Ok(true),
            "False" => Ok(false),
            _ => Err(self.unexpected("True or False")),
        }
    }

    /// `()`, `(3,)`, `(2, 3)`; the `L` that Python 2 wrote behind numbers is skipped.
    fn tuple(&mut self) -> Result<Vec<usize>> {
        let mut dims = Vec::new();
        self.expect(b'(')?;
        while !self.take(b')') {
            self.peek();
            let digits = self.span(|byte| byte.is_ascii_digit());
            if digits.is_empty() {
                return Err(self.unexpected("an extent"));
            }
            let dim =
                digits.parse().map_err(|_| err!(Format, ".npy extent {digits} is too large"))?;
            self.take(b'L');
            dims.push(dim);
            if dims.len() > MAX_RANK {
                return Err(err!(Limit, ".npy array of more than {MAX_RANK} axes"));
            }
            if !self.take(b',') {
                self.expect(b')')?;
                break;
            }
        }
        Ok(dims)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Header> {
        Header::parse(text.as_bytes(), 0)
    }

    #[test]
    fn numpy_headers_are_understood() {
        let header =
            parse("{'descr': '>f8', 'fortran_order': True, 'shape': (2, 3), }      \n").unwrap();
        assert_eq!((header.dtype, header.big_endian, header.fortran), (DType::Double, true, true));
        assert_eq!((header.dims, header.data_len), (vec![2, 3], 48));
        let scalar = parse("{\"shape\":(),\"descr\":\"|u1\",\"fortran_order\":False}").unwrap();
        assert_eq!((scalar.dims, scalar.data_len), (vec![], 1));
    }

    #[test]
    fn what_cannot_be_read_is_named() {
        let message = |descr: &str| {
            let text = format!("{{'descr': {descr}, 'fortran_order': False, 'shape': (1,)}}");
            parse(&text).unwrap_err().to_string()
        };
        assert!(message("'|O'").contains("never unpickled"));
        assert!(message("[('a', '<f4')]").contains("structured"));
        assert!(message("'|V2'").contains("bfloat16"));
        assert!(message("'<c8'").contains("complex"));
        assert!(message("'|f4'").contains("byte order"));
    }

    #[test]
    fn damaged_headers_are_refused() {
        for text in [
            "",
            "{",
            "{'descr': '<f4', 'fortran_order': False}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,), 'shape': (2,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} x",
            "{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296)}",
            "{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999999,)}",
            "{'descr': '<f4', 'extra': 1}",
        ] {
            assert_eq!(parse(text).unwrap_err().kind, ErrorKind::Format, "{text}");
        }
    }
}
