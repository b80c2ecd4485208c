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

/// A field of a message: a window of it.
#[derive(Debug, Clone, Copy)]
pub struct Field<'a> {
    /// Field number.
    pub number: u32,
    value: Value,
    message: &'a Message,
    /// Where key and value stand in the message.
    start: usize,
    end: usize,
}

/// The value of a field, as far as the wire format tells.
#[derive(Debug, Clone, Copy)]
enum Value {
    /// Integers, booleans, enumerations.
    Varint(u64),
    /// `fixed64`, `double`.
    Fixed64,
    /// `fixed32`, `float`.
    Fixed32(u32),
    /// Text, bytes, messages, packed lists: so many bytes at the end of the field.
    Length(usize),
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
    pub fn fields(&self) -> Fields<'_> {
        Fields { message: self, at: 0, end: self.data.len() }
    }

    fn window(&self, start: usize, end: usize) -> Self {
        Self { data: self.data.slice(start..end), offset: self.offset + start }
    }
}

fn malformed(offset: usize, what: &str) -> crate::error::Error {
    err!(Format, "malformed or truncated file: {what} at byte {offset} cannot be decoded")
}

/// Iterator over the fields of a message; ends after the first error.
#[derive(Debug, Clone)]
pub struct Fields<'a> {
    message: &'a Message,
    at: usize,
    end: usize,
}

impl<'a> Iterator for Fields<'a> {
    type Item = Result<Field<'a>>;

    #[inline]
    fn next(&mut self) -> Option<Self::Item> {
        if self.at >= self.end {
            return None;
        }
        if let Some(field) = self.short() {
            self.at = field.end;
            return Some(Ok(field));
        }
        let field = self.field();
        self.at = field.as_ref().map_or(self.end, |field| field.end);
        Some(field)
    }
}

impl<'a> Fields<'a> {
    /// The next field when it is what most are: key and length of one byte each, and contents.
    #[inline]
    fn short(&self) -> Option<Field<'a>> {
        let start = self.at;
        let [key @ 0x08..0x80, length @ 0..0x80] =
            *self.message.data[..self.end][start..].first_chunk()?
        else {
            return None;
        };
        let end = start + 2 + usize::from(length);
        let contents = key & 7 == WireType::LengthDelimited as u8 && end <= self.end;
        let (number, value) = (u32::from(key >> 3), Value::Length(usize::from(length)));
        contents.then_some(Field { number, value, message: self.message, start, end })
    }

    fn field(&self) -> Result<Field<'a>> {
        let data = &self.message.data[..self.end];
        let mut rest = &data[self.at..];
        let offset = self.message.offset + self.at;
        let (number, wire) = decode_key(&mut rest).map_err(|_| malformed(offset, "the field"))?;
        let value = read_value(&mut rest, number, wire, offset)?;
        let end = data.len() - rest.len();
        Ok(Field { number, value, message: self.message, start: self.at, end })
    }
}

/// Reads the value after a key; `offset` is where the field starts in the file.
fn read_value(rest: &mut &[u8], number: u32, wire: WireType, offset: usize) -> Result<Value> {
    let broken = || malformed(offset, &format!("field {number}"));
    let value = match wire {
        WireType::Varint => Value::Varint(decode_varint(rest).map_err(|_| broken())?),
        WireType::SixtyFourBit => {
            *rest = rest.get(size_of::<u64>()..).ok_or_else(broken)?;
            Value::Fixed64
        }
        WireType::ThirtyTwoBit => {
            let (bytes, after) = rest.split_first_chunk::<4>().ok_or_else(broken)?;
            *rest = after;
            Value::Fixed32(u32::from_le_bytes(*bytes))
        }
        WireType::LengthDelimited => {
            let claimed = decode_varint(rest).map_err(|_| broken())?;
            let length = usize::try_from(claimed).ok().filter(|&length| length <= rest.len());
            let length = length.ok_or_else(|| {
                err!(
                    Format,
                    "malformed or truncated file: field {number} at byte {offset} claims more bytes \
                     than the {} that are left",
                    rest.len()
                )
            })?;
            *rest = &rest[length..];
            Value::Length(length)
        }
        WireType::StartGroup => {
            let mut open = vec![number];
            while let Some(&innermost) = open.last() {
                let (inner, wire) = decode_key(rest).map_err(|_| broken())?;
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
                        read_value(rest, inner, wire, offset)?;
                    }
                }
            }
            Value::Group
        }
        WireType::EndGroup => return Err(broken()),
    };
    Ok(value)
}

/// Where the fields of one number stand in a message. Writers keep them together, so going through
/// them again does not mean going through the whole message.
#[derive(Debug, Clone, Default)]
pub struct Span {
    number: u32,
    start: usize,
    end: usize,
    count: usize,
}

impl Span {
    /// Notes a field; all that are noted have one number.
    pub fn add(&mut self, field: &Field<'_>) {
        if self.count == 0 {
            (self.number, self.start) = (field.number, field.start);
        }
        self.end = field.end;
        self.count += 1;
    }

    /// How many fields were noted.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The messages in these fields of `message`.
    ///
    /// # Errors
    /// Each that holds something else.
    pub fn messages<'a>(&self, message: &'a Message) -> impl Iterator<Item = Result<Message>> + 'a {
        let number = self.number;
        let fields = Fields { message, at: self.start, end: self.end };
        fields
            .filter(move |field| field.as_ref().map_or(true, |field| field.number == number))
            .map(|field| field?.message())
    }
}

impl<'a> Field<'a> {
    fn wrong(&self, expected: &str) -> crate::error::Error {
        err!(
            Format,
            "malformed file: field {} at byte {} has the wrong wire type, expected {expected}",
            self.number,
            self.offset()
        )
    }

    fn offset(&self) -> usize {
        self.message.offset + self.start
    }

    /// Key and value as encoded.
    pub fn raw(&self) -> Bytes {
        self.message.data.slice(self.start..self.end)
    }

    /// Where the value of a field with a length starts.
    fn content(&self) -> Result<usize> {
        match self.value {
            Value::Length(length) => Ok(self.end - length),
            _ => Err(self.wrong("a message, text or bytes")),
        }
    }

    /// A message, text or bytes.
    ///
    /// # Errors
    /// When the field is of another wire type; so for all that follow.
    pub fn message(self) -> Result<Message> {
        Ok(self.message.window(self.content()?, self.end))
    }

    /// Text where it stands.
    ///
    /// # Errors
    /// Also when it is not UTF-8.
    pub fn str(self) -> Result<&'a str> {
        let start = self.content()?;
        std::str::from_utf8(&self.message.data[start..self.end]).map_err(|_| {
            let offset = self.message.offset + start;
            err!(Format, "malformed file: the text at byte {offset} is not UTF-8")
        })
    }

    /// Text.
    ///
    /// # Errors
    /// As [`Field::str`].
    pub fn text(self) -> Result<String> {
        self.str().map(str::to_owned)
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
        match self.value {
            Value::Varint(x) => to.push(convert(x)),
            Value::Length(length) => {
                let mut rest = &self.message.data[self.end - length..self.end];
                while !rest.is_empty() {
                    let element = decode_varint(&mut rest);
                    to.push(convert(element.map_err(|_| self.torn_list())?));
                }
            }
            _ => return Err(self.wrong("integers")),
        }
        Ok(())
    }

    /// Appends the little-endian bytes of a repeated `float`, packed or not.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn append_fixed32(self, to: &mut Vec<[u8; 4]>) -> Result<()> {
        self.append_fixed(to, matches!(self.value, Value::Fixed32(_)))
    }

    /// Appends the little-endian bytes of a repeated `double`, packed or not.
    ///
    /// # Errors
    /// See [`Field::message`].
    pub fn append_fixed64(self, to: &mut Vec<[u8; 8]>) -> Result<()> {
        self.append_fixed(to, matches!(self.value, Value::Fixed64))
    }

    /// `single`: the field holds one element, not a packed list.
    fn append_fixed<const N: usize>(self, to: &mut Vec<[u8; N]>, single: bool) -> Result<()> {
        let length = match self.value {
            _ if single => N,
            Value::Length(length) => length,
            _ => return Err(self.wrong("floats")),
        };
        match self.message.data[self.end - length..self.end].as_chunks::<N>() {
            (elements, []) => to.extend_from_slice(elements),
            _ => return Err(self.torn_list()),
        }
        Ok(())
    }

    fn torn_list(&self) -> crate::error::Error {
        malformed(self.offset(), "a packed list")
    }
}
