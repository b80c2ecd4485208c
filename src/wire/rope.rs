//! Bytes in pieces: what is small is copied, what is large is shared.

use bytes::{BufMut, Bytes, BytesMut};

use crate::wire::{FNV_BASIS, fnv};

/// Pieces from this size on are shared instead of copied. 4 KiB: a page.
const SHARED: usize = 4 << 10;

/// A sequence of bytes made of shared pieces.
#[derive(Debug, Clone, Default)]
pub struct Rope {
    done: Vec<Bytes>,
    tail: BytesMut,
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
        self.tail.put_slice(bytes);
        self.len += bytes.len();
    }

    /// Appends a `varint`.
    pub(super) fn put_varint(&mut self, value: u64) {
        let before = self.tail.len();
        prost::encoding::encode_varint(value, &mut self.tail);
        self.len += self.tail.len() - before;
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
        self.push(&other.tail.freeze());
    }

    fn flush(&mut self) {
        if !self.tail.is_empty() {
            self.done.push(self.tail.split().freeze());
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
