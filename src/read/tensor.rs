//! `TensorProto` -> tensor with how it was stored.

use bytes::Bytes;
use smol_str::SmolStr;

use crate::error::{Error, Result, err};
use crate::ir::{Stored, StoredAs};
use crate::read::onnx::entry;
use crate::read::{Folder, external};
use crate::tensor::{DType, Tensor, element_count};
use crate::wire::{Message, Rest};

/// `TensorProto.DataLocation.EXTERNAL`.
const EXTERNAL: i32 = 1;

/// The fields of a tensor message.
#[derive(Default)]
struct Parts {
    name: SmolStr,
    number: i32,
    dims: Vec<i64>,
    raw: Option<Bytes>,
    floats: Vec<[u8; 4]>,
    doubles: Vec<[u8; 8]>,
    ints: Vec<i32>,
    longs: Vec<i64>,
    unsigned: Vec<u64>,
    strings: Vec<Bytes>,
    /// Where external data lies.
    external: Vec<(String, String)>,
    is_external: bool,
}

/// An encoded `TensorProto` that keeps its data inside: its name, empty without one, and the tensor.
///
/// # Errors
/// When the bytes are no such message, or dims, type and data do not fit.
pub fn tensor(encoded: Bytes) -> Result<(String, Tensor)> {
    let (name, stored) = stored(&Message::new(encoded), &mut Folder::none())?;
    Ok((name.into(), stored.tensor))
}

/// The name of the tensor, and the tensor. A name stays in the kept fields, too, unless it stands
/// for an initializer; see [`initializer`].
pub(super) fn stored(message: &Message, folder: &mut Folder) -> Result<(SmolStr, Stored)> {
    read(message, folder, true)
}

/// As [`stored`]; the name belongs to the value and is not kept.
pub(super) fn initializer(message: &Message, folder: &mut Folder) -> Result<(SmolStr, Stored)> {
    read(message, folder, false)
}

fn read(message: &Message, folder: &mut Folder, keep_name: bool) -> Result<(SmolStr, Stored)> {
    let (mut parts, mut rest) = (Parts::default(), Rest::default());
    let mut entries = Rest::default();
    for field in message.fields() {
        let field = field?;
        match field.number {
            1 => field.append_varints(&mut parts.dims, |x| x as i64)?,
            2 => parts.number = field.i32()?,
            4 => field.append_fixed32(&mut parts.floats)?,
            5 => field.append_varints(&mut parts.ints, |x| x as i32)?,
            6 => parts.strings.push(field.bytes()?),
            7 => field.append_varints(&mut parts.longs, |x| x as i64)?,
            8 => {
                if keep_name {
                    rest.keep(&field);
                }
                parts.name = field.str()?.into();
            }
            9 => parts.raw = Some(field.bytes()?),
            10 => field.append_fixed64(&mut parts.doubles)?,
            11 => field.append_varints(&mut parts.unsigned, |x| x)?,
            13 => {
                entries.keep(&field);
                parts.external.extend(entry(&field.message()?)?);
            }
            14 => {
                parts.is_external = field.i32()? == EXTERNAL;
                if !parts.is_external {
                    rest.keep(&field);
                }
            }
            _ => rest.keep(&field),
        }
    }
    if !parts.is_external {
        // Entries without a location flag say nothing, but are part of the file.
        for field in Message::new(entries.finish()).fields() {
            rest.keep(&field?);
        }
    }
    let name = std::mem::take(&mut parts.name);
    let checksum = parts.is_external && external::has_checksum(&parts.external);
    let (tensor, stored_as) = parts.build(&name, folder).map_err(|error| match name.as_str() {
        "" => error,
        name => error.at(format_args!("tensor `{name}`")),
    })?;
    Ok((name, Stored { tensor, stored_as, checksum, carried: rest.finish() }))
}

impl Parts {
    /// `name` is that of the tensor, for errors.
    fn build(self, name: &str, folder: &mut Folder) -> Result<(Tensor, StoredAs)> {
        let dtype = DType::from_onnx(self.number).ok_or_else(|| {
            err!(Unsupported, "unknown element type {} in `data_type`", self.number)
        })?;
        let dims = self
            .dims
            .iter()
            .map(|&d| {
                usize::try_from(d)
                    .map_err(|_| err!(Invalid, "dims {:?} hold a negative number", self.dims))
            })
            .collect::<Result<Vec<_>>>()?;
        let count = element_count(&dims)
            .ok_or_else(|| err!(Invalid, "the product of dims {dims:?} overflows"))?;
        let fields = [
            !self.floats.is_empty(),
            !self.doubles.is_empty(),
            !self.ints.is_empty(),
            !self.longs.is_empty(),
            !self.unsigned.is_empty(),
            !self.strings.is_empty(),
        ];
        let filled = fields.into_iter().filter(|&f| f).count();
        let raw = self.raw.as_ref().is_some_and(|raw| !raw.is_empty());
        if filled + usize::from(raw) + usize::from(self.is_external) > 1 {
            return Err(err!(Invalid, "its data stands in more than one field"));
        }
        if self.is_external {
            let length = dtype.byte_len(count).ok_or_else(|| {
                err!(Invalid, "{dtype} tensor of dims {dims:?} cannot lie in another file")
            })?;
            let data = folder.window(name, &self.external, length)?;
            return Ok((Tensor::new(dtype, dims, data)?, StoredAs::Raw));
        }
        match self.raw.clone() {
            Some(raw) => Ok((Tensor::new(dtype, dims, raw)?, StoredAs::Raw)),
            None if filled == 1 => Ok((self.take_field(dtype, dims, count)?, StoredAs::Field)),
            None if dtype == DType::String => {
                Ok((Tensor::from_strings(dims, Vec::new())?, StoredAs::Absent))
            }
            None => Ok((Tensor::new(dtype, dims, Bytes::new())?, StoredAs::Absent)),
        }
    }

    fn take_field(self, dtype: DType, dims: Vec<usize>, count: usize) -> Result<Tensor> {
        let wrong =
            |field: &str| -> Error { err!(Invalid, "{dtype} elements cannot stand in `{field}`") };
        let floats = matches!(dtype, DType::Float | DType::Complex64);
        let doubles = matches!(dtype, DType::Double | DType::Complex128);
        let data: Vec<u8> = if !self.floats.is_empty() {
            if floats { self.floats.concat() } else { return Err(wrong("float_data")) }
        } else if !self.doubles.is_empty() {
            if doubles { self.doubles.concat() } else { return Err(wrong("double_data")) }
        } else if !self.longs.is_empty() {
            if dtype != DType::Int64 {
                return Err(wrong("int64_data"));
            }
            self.longs.iter().flat_map(|x| x.to_le_bytes()).collect()
        } else if !self.unsigned.is_empty() {
            match dtype {
                DType::Uint64 => self.unsigned.iter().flat_map(|x| x.to_le_bytes()).collect(),
                DType::Uint32 => {
                    narrow(&self.unsigned, dtype, |&x| u32::try_from(x).ok().map(u32::to_le_bytes))?
                }
                _ => return Err(wrong("uint64_data")),
            }
        } else if !self.ints.is_empty() {
            let ints = &self.ints;
            match (dtype, dtype.bits()) {
                (DType::Int32, _) => ints.iter().flat_map(|x| x.to_le_bytes()).collect(),
                (DType::Int16, _) => {
                    narrow(ints, dtype, |&x| i16::try_from(x).ok().map(i16::to_le_bytes))?
                }
                (DType::Int8, _) => {
                    narrow(ints, dtype, |&x| i8::try_from(x).ok().map(i8::to_le_bytes))?
                }
                (DType::Uint16 | DType::Float16 | DType::Bfloat16, _) => {
                    narrow(ints, dtype, |&x| u16::try_from(x).ok().map(u16::to_le_bytes))?
                }
                (_, 2 | 4 | 8) => narrow(ints, dtype, |&x| u8::try_from(x).ok().map(|x| [x]))?,
                _ => return Err(wrong("int32_data")),
            }
        } else if dtype == DType::String && self.strings.len() == count {
            return Tensor::from_strings(dims, self.strings);
        } else {
            return Err(wrong("string_data"));
        };
        Tensor::new(dtype, dims, data.into())
    }
}

fn narrow<T: std::fmt::Display, const N: usize>(
    elements: &[T],
    dtype: DType,
    convert: impl Fn(&T) -> Option<[u8; N]>,
) -> Result<Vec<u8>> {
    let mut bytes = Vec::with_capacity(elements.len() * N);
    for (i, x) in elements.iter().enumerate() {
        let element =
            convert(x).ok_or_else(|| err!(Invalid, "element {i} is {x}, which is no {dtype}"))?;
        bytes.extend_from_slice(&element);
    }
    Ok(bytes)
}
