//! Reading: a message is a window of bytes, its fields are windows of it.

use bytes::Bytes;
use prost::encoding::{WireType, decode_key, decode_varint};

use crate::error::{Result, err};

/// Deepest nesting of (deprecated) groups inside an unknown field that is followed.
const GROUP_DEPTH: usize = 100;

/// An encoded message, and where it starts in the file.
#[derive(Debug, Clone)]
pub struct Message {
    data: Bytes,
    offset: usize,
}

/// A field of a message.
#[derive(Debug, Clone)]
pub struct Field {
    /// Field number.
    pub number: u32,
    /// What it holds.
    pub value: Value,
    /// Key and value as encoded.
    pub raw: Bytes,
    offset: usize,
}

/// The value of a field, as far as the wire format tells.
#[derive(Debug, Clone)]
pub enum Value {
    /// Integers, booleans, enumerations.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64(u64),
    /// `fixed32`, `float`.
    Fixed32(u32),
    /// Text, bytes, messages, packed lists.
    Length(Message),
    /// A group, which no current schema has.
    Group,
}

impl Message {
    /// A message that starts the file.
    pub fn new(data: Bytes) -> Self {
        Self { data, offset: 0 }
    }

    /// The message that protobuf makes of several occurrences of one field: their concatenation.
    pub fn merged(parts: Vec<Self>) -> Option<Self> {
        if parts.len() < 2 {
            return parts.into_iter().next();
        }
        let offset = parts.first()?.offset;
        let data: Vec<u8> = parts.iter().flat_map(|part| part.data.iter().copied()).collect();
        Some(Self { data: data.into(), offset })
    }

    /// The encoded bytes.
    pub fn bytes(&self) -> &Bytes {
        &self.data
    }

    /// The fields in the order in which they stand.
    pub fn fields(&self) -> Fields {
        Fields { rest: self.data.clone(), offset: self.offset }
    }

    /// The bytes as text.
    ///
    /// # Errors
    /// When they are not UTF-8.
    pub fn text(&self) -> Result<String> {
        std::str::from_utf8(&self.data).map(str::to_owned).map_err(|_| {
            err!(Format, "malformed file: the text at byte {} is not UTF-8", self.offset)
        })
    }

    fn window(&self, start: usize, end: usize) -> Self {
        Self { data: self.data.slice(start..end), offset: self.offset + start }
    }

    /// The elements of a packed list of `varint`s.
    fn varints(&self) -> Result<Vec<u64>> {
        let mut rest = self.data.clone();
        let mut elements = Vec::new();
        while !rest.is_empty() {
            elements.push(
                decode_varint(&mut rest).map_err(|_| malformed(self.offset, "a packed list"))?,
            );
        }
        Ok(elements)
    }

    /// The elements of a packed list of `N` bytes each.
    fn fixed<const N: usize>(&self) -> Result<&[[u8; N]]> {
        match self.data.as_chunks::<N>() {
            (elements, []) => Ok(elements),
            _ => Err(malformed(self.offset, "a packed list")),
        }
    }
}

fn malformed(offset: usize, what: &str) -> crate::error::Error {
    err!(Format, "malformed or truncated file: {what} at byte {offset} cannot be decoded")
}

/// Iterator over the fields of a message; ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields {
    rest: Bytes,
    offset: usize,
}

impl Iterator for Fields {
    type Item = Result<Field>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.rest.is_empty() {
            return None;
        }
        let field = self.field();
        match &field {
            Ok(field) => {
                let length = field.raw.len();
                self.offset += length;
                self.rest = self.rest.slice(length..);
            }
            Err(_) => self.rest.clear(),
        }
        Some(field)
    }
}

impl Fields {
    fn field(&self) -> Result<Field> {
        let here = Message { data: self.rest.clone(), offset: self.offset };
        let total = self.rest.len();
        let mut rest = self.rest.clone();
        let (number, wire) =
            decode_key(&mut rest).map_err(|_| malformed(self.offset, "the field"))?;
        let (value, used) = read_value(&here, rest, number, wire)?;
        debug_assert!(used <= total);
        Ok(Field { number, value, raw: self.rest.slice(..used), offset: self.offset })
    }
}

/// The value after a key, and how many bytes key and value take.
fn read_value(
    here: &Message,
    mut rest: Bytes,
    number: u32,
    wire: WireType,
) -> Result<(Value, usize)> {
    let total = here.data.len();
    let broken = || malformed(here.offset, &format!("field {number}"));
    let value = match wire {
        WireType::Varint => Value::Varint(decode_varint(&mut rest).map_err(|_| broken())?),
        WireType::SixtyFourBit => {
            let bytes = *rest.first_chunk::<8>().ok_or_else(broken)?;
            rest = rest.slice(8..);
            Value::Fixed64(u64::from_le_bytes(bytes))
        }
        WireType::ThirtyTwoBit => {
            let bytes = *rest.first_chunk::<4>().ok_or_else(broken)?;
            rest = rest.slice(4..);
            Value::Fixed32(u32::from_le_bytes(bytes))
        }
        WireType::LengthDelimited => {
            let length = decode_varint(&mut rest).map_err(|_| broken())?;
            let length = usize::try_from(length).ok().filter(|&length| length <= rest.len());
            let length = length.ok_or_else(|| {
                err!(
                    Format,
                    "malformed or truncated file: field {number} at byte {} claims more bytes than \
                     the {} that are left",
                    here.offset,
                    rest.len()
                )
            })?;
            let start = total - rest.len();
            rest = rest.slice(length..);
            Value::Length(here.window(start, start + length))
        }
        WireType::StartGroup => {
            let mut open = vec![number];
            while let Some(&innermost) = open.last() {
                let at = Message { data: rest.clone(), offset: here.offset + (total - rest.len()) };
                let (inner, wire) = decode_key(&mut rest).map_err(|_| broken())?;
                match wire {
                    WireType::StartGroup if open.len() == GROUP_DEPTH => {
                        return Err(err!(Limit, "groups are nested deeper than {GROUP_DEPTH}"));
                    }
                    WireType::StartGroup => open.push(inner),
                    WireType::EndGroup if inner == innermost => {
                        open.pop();
                    }
                    WireType::EndGroup => return Err(broken()),
                    _ => {
                        let (_, used) = read_value(&at, rest, inner, wire)?;
                        rest = at.data.slice(used..);
                    }
                }
            }
            Value::Group
        }
        WireType::EndGroup => return Err(broken()),
    };
    Ok((value, total - rest.len()))
}

impl Field {
    fn wrong(&self, expected: &str) -> crate::error::Error {
        err!(
            Format,
            "malformed file: field {} at byte {} has the wrong wire type, expected {expected}",
            self.number,
            self.offset
        )
    }

    /// A message, text or bytes.
    ///
    /// # Errors
    /// When the field is of another wire type; so for all that follow.
    pub fn message(self) -> Result<Message> {
        match self.value {
            Value::Length(message) => Ok(message),
            _ => Err(self.wrong("a message, text or bytes")),
        }
    }

    /// Text.
    ///
    /// # Errors
    /// Also when it is not UTF-8.
    pub fn text(self) -> Result<String> {
        self.message()?.text()
    }

    /// Bytes.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn bytes(self) -> Result<Bytes> {
        Ok(self.message()?.data)
    }

    /// An `int64`.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn i64(self) -> Result<i64> {
        match self.value {
            Value::Varint(x) => Ok(x as i64),
            _ => Err(self.wrong("an integer")),
        }
    }

    /// An `int32` or an enumeration; higher bits are cut off, as protobuf says.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn i32(self) -> Result<i32> {
        Ok(self.i64()? as i32)
    }

    /// A `float`.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn f32(self) -> Result<f32> {
        match self.value {
            Value::Fixed32(bits) => Ok(f32::from_bits(bits)),
            _ => Err(self.wrong("a float")),
        }
    }

    /// Appends the elements of a repeated integer, packed or not.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn append_varints<T>(self, to: &mut Vec<T>, convert: impl Fn(u64) -> T) -> Result<()> {
        match &self.value {
            Value::Varint(x) => to.push(convert(*x)),
            Value::Length(packed) => to.extend(packed.varints()?.into_iter().map(convert)),
            _ => return Err(self.wrong("integers")),
        }
        Ok(())
    }

    /// Appends the little-endian bytes of a repeated `float`, packed or not.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn append_fixed32(self, to: &mut Vec<[u8; 4]>) -> Result<()> {
        match &self.value {
            Value::Fixed32(x) => to.push(x.to_le_bytes()),
            Value::Length(packed) => to.extend_from_slice(packed.fixed()?),
            _ => return Err(self.wrong("floats")),
        }
        Ok(())
    }

    /// Appends the little-endian bytes of a repeated `double`, packed or not.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn append_fixed64(self, to: &mut Vec<[u8; 8]>) -> Result<()> {
        match &self.value {
            Value::Fixed64(x) => to.push(x.to_le_bytes()),
            Value::Length(packed) => to.extend_from_slice(packed.fixed()?),
            _ => return Err(self.wrong("doubles")),
        }
        Ok(())
    }
}
