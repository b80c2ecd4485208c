//! Frames on a pipe: small fields in a head, bulk data behind it, neither copied nor escaped.
//!
//! A frame is the length of the head, the length of the body, the head, the body. All numbers are
//! little-endian and have 64 bits. Both sides are the same program, so there are no versions.

use std::io::{self, Read, Write};

use bytes::{Buf, Bytes};

use crate::error::{Result, err};

/// A frame in the making.
#[derive(Debug, Default)]
pub(super) struct Frame {
    head: Vec<u8>,
    body: Vec<Bytes>,
}

impl Frame {
    pub(super) fn put(&mut self, field: &impl Wire) {
        field.put(self);
    }

    pub(super) fn write(&self, to: &mut impl Write) -> io::Result<()> {
        let body: usize = self.body.iter().map(Bytes::len).sum();
        let mut start = Vec::with_capacity(16 + self.head.len());
        start.extend_from_slice(&(self.head.len() as u64).to_le_bytes());
        start.extend_from_slice(&(body as u64).to_le_bytes());
        start.extend_from_slice(&self.head);
        to.write_all(&start)?;
        for part in &self.body {
            to.write_all(part)?;
        }
        to.flush()
    }
}

/// A frame as received; fields are taken in the order in which they were put.
#[derive(Debug)]
pub(super) struct Received {
    head: Bytes,
    body: Bytes,
}

impl Received {
    /// The next frame; `None` when the other side has closed the pipe.
    pub(super) fn read(from: &mut impl Read) -> io::Result<Option<Self>> {
        let mut lengths = [0; 16];
        match from.read_exact(&mut lengths) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let mut lengths = &lengths[..];
        let (head, body) = (lengths.get_u64_le(), lengths.get_u64_le());
        Ok(Some(Self { head: part(from, head)?, body: part(from, body)? }))
    }

    pub(super) fn take<T: Wire>(&mut self) -> Result<T> {
        T::take(self)
    }
}

/// Exactly `length` bytes. A length that lies reserves addresses, but no memory.
fn part(from: &mut impl Read, length: u64) -> io::Result<Bytes> {
    let mut bytes = Vec::new();
    let room = usize::try_from(length).map_err(|_| io::ErrorKind::OutOfMemory)?;
    bytes.try_reserve_exact(room).map_err(|_| io::ErrorKind::OutOfMemory)?;
    from.take(length).read_to_end(&mut bytes)?;
    if bytes.len() != room {
        return Err(io::ErrorKind::UnexpectedEof.into());
    }
    Ok(bytes.into())
}

/// What can be a field of a frame.
pub(super) trait Wire: Sized {
    fn put(&self, frame: &mut Frame);
    fn take(frame: &mut Received) -> Result<Self>;
}

pub(super) fn unreadable() -> crate::error::Error {
    err!(Engine, "a message of the engine's process cannot be read")
}

impl Wire for u64 {
    fn put(&self, frame: &mut Frame) {
        frame.head.extend_from_slice(&self.to_le_bytes());
    }

    fn take(frame: &mut Received) -> Result<Self> {
        frame.head.try_get_u64_le().map_err(|_| unreadable())
    }
}

impl Wire for i64 {
    fn put(&self, frame: &mut Frame) {
        self.cast_unsigned().put(frame);
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok(u64::take(frame)?.cast_signed())
    }
}

impl Wire for usize {
    fn put(&self, frame: &mut Frame) {
        (*self as u64).put(frame);
    }

    fn take(frame: &mut Received) -> Result<Self> {
        usize::try_from(u64::take(frame)?).map_err(|_| unreadable())
    }
}

impl Wire for String {
    fn put(&self, frame: &mut Frame) {
        self.len().put(frame);
        frame.head.extend_from_slice(self.as_bytes());
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let length = usize::take(frame)?;
        if length > frame.head.len() {
            return Err(unreadable());
        }
        String::from_utf8(frame.head.split_to(length).into()).map_err(|_| unreadable())
    }
}

/// Bulk data.
impl Wire for Bytes {
    fn put(&self, frame: &mut Frame) {
        self.len().put(frame);
        frame.body.push(self.clone());
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let length = usize::take(frame)?;
        if length > frame.body.len() {
            return Err(unreadable());
        }
        Ok(frame.body.split_to(length))
    }
}

impl<T: Wire> Wire for Option<T> {
    fn put(&self, frame: &mut Frame) {
        u64::from(self.is_some()).put(frame);
        if let Some(inner) = self {
            inner.put(frame);
        }
    }

    fn take(frame: &mut Received) -> Result<Self> {
        match u64::take(frame)? {
            0 => Ok(None),
            1 => T::take(frame).map(Some),
            _ => Err(unreadable()),
        }
    }
}

impl<T: Wire> Wire for Vec<T> {
    fn put(&self, frame: &mut Frame) {
        self.len().put(frame);
        self.iter().for_each(|item| item.put(frame));
    }

    fn take(frame: &mut Received) -> Result<Self> {
        let length = usize::take(frame)?;
        // Each item takes a byte at least, so a length that lies ends soon.
        if length > frame.head.len() {
            return Err(unreadable());
        }
        (0..length).map(|_| T::take(frame)).collect()
    }
}

impl<A: Wire, B: Wire> Wire for (A, B) {
    fn put(&self, frame: &mut Frame) {
        self.0.put(frame);
        self.1.put(frame);
    }

    fn take(frame: &mut Received) -> Result<Self> {
        Ok((A::take(frame)?, B::take(frame)?))
    }
}
