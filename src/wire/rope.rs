//! Bytes in pieces: what is small is copied, what is large is shared.

use bytes::Bytes;

use crate::wire::{FNV_BASIS, fnv};

/// Pieces from this size on are shared instead of copied. 4 KiB: a page.
const SHARED: usize = 4 << 10;

/// Room for the first small pieces: most messages are smaller. Bytes.
const FIRST: usize = 64;

/// A sequence of bytes made of shared pieces.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    done: Vec<Bytes>,
    tail: Vec<u8>,
    len: usize,
}

impl Rope {
    /// Number of bytes.
    pub fn len(&self) -> usize {
        self.len
    }

    /// True without any byte.
    pub fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Appends small bytes by copying.
    pub(super) fn put(&mut self, bytes: &[u8]) {
        if self.tail.capacity() == 0 {
            self.tail.reserve(bytes.len().max(FIRST));
        }
        self.tail.extend_from_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends a `varint`: seven bits in each byte, the lowest first, all but the last marked.
    pub(super) fn put_varint(&mut self, mut value: u64) {
        let (mut encoded, mut length) = ([0; 10], 0);
        while value >= 0x80 {
            encoded[length] = value as u8 | 0x80;
            value >>= 7;
            length += 1;
        }
        encoded[length] = value as u8;
        self.put(&encoded[..=length]);
    }

    /// Appends bytes, sharing them when they are large.
    pub fn push(&mut self, bytes: &Bytes) {
        if bytes.len() < SHARED {
            self.put(bytes);
        } else {
            self.flush();
            self.done.push(bytes.clone());
            self.len += bytes.len();
        }
    }

    /// Appends a whole rope.
    pub fn append(&mut self, other: Self) {
        for piece in &other.done {
            self.push(piece);
        }
        if other.tail.len() < SHARED {
            self.put(&other.tail);
        } else {
            self.push(&other.tail.into());
        }
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.done.push(std::mem::take(&mut self.tail).into());
        }
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl Iterator<Item = &[u8]> {
        self.done.iter().map(|piece| &piece[..]).chain([&self.tail[..]])
    }

    /// FNV-1a digest of all bytes: the same for the same bytes, however they are cut.
    pub fn digest(&self) -> u64 {
        self.pieces().fold(FNV_BASIS, fnv)
    }

    /// All bytes in one piece; copies, unless there is only one.
    pub fn to_bytes(&self) -> Bytes {
        match (&self.done[..], self.tail.is_empty()) {
            ([piece], true) => piece.clone(),
            _ => {
                let mut joined = Vec::with_capacity(self.len);
                self.pieces().for_each(|piece| joined.extend_from_slice(piece));
                joined.into()
            }
        }
    }
}
