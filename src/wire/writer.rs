//! Writing: the fields of a message in ascending order of their numbers.

use std::collections::VecDeque;

use bytes::Bytes;
use prost::encoding::WireType;

use crate::wire::{Message, Rope};

/// A message being written. Modelled fields are given in ascending order; kept fields are put
/// between them where their numbers belong.
#[derive(Debug, Default)]
pub struct Writer {
    rope: Rope,
    kept: VecDeque<(u32, Bytes)>,
}

impl Writer {
    /// A message that holds `kept`, the encoded fields that were not modelled.
    pub fn keeping(kept: &Bytes) -> Self {
        if kept.is_empty() {
            return Self::default();
        }
        let (mut place, kept) = (0, Message::new(kept.clone()));
        let fields = kept.fields().map_while(Result::ok).map(|field| {
            // Kept fields stay in their order, also where it is not that of their numbers.
            place = field.number.max(place);
            (place, field.raw())
        });
        Self { rope: Rope::default(), kept: fields.collect() }
    }

    fn key(&mut self, number: u32, wire: WireType) {
        while self.kept.front().is_some_and(|(kept, _)| *kept <= number) {
            if let Some((_, raw)) = self.kept.pop_front() {
                self.rope.push(&raw);
            }
        }
        self.rope.put_varint(u64::from(number) << 3 | wire as u64);
    }

    /// An integer or enumeration; negative ones take ten bytes, as protobuf says.
    pub fn int(&mut self, number: u32, value: i64) {
        self.key(number, WireType::Varint);
        self.rope.put_varint(value as u64);
    }

    /// A `float`.
    pub fn float(&mut self, number: u32, value: f32) {
        self.key(number, WireType::ThirtyTwoBit);
        self.rope.put(&value.to_le_bytes());
    }

    /// Text or bytes.
    pub fn bytes(&mut self, number: u32, value: &[u8]) {
        self.key(number, WireType::LengthDelimited);
        self.rope.put_varint(value.len() as u64);
        self.rope.put(value);
    }

    /// Bytes that are shared when they are large.
    pub fn shared(&mut self, number: u32, value: &Bytes) {
        self.key(number, WireType::LengthDelimited);
        self.rope.put_varint(value.len() as u64);
        self.rope.push(value);
    }

    /// Text, unless it is empty.
    pub fn text(&mut self, number: u32, value: &str) {
        if !value.is_empty() {
            self.bytes(number, value.as_bytes());
        }
    }

    /// A message.
    pub fn message(&mut self, number: u32, value: Rope) {
        self.key(number, WireType::LengthDelimited);
        self.rope.put_varint(value.len() as u64);
        self.rope.append(value);
    }

    /// A packed list of integers, unless it is empty.
    pub fn packed(&mut self, number: u32, values: impl IntoIterator<Item = i64>) {
        let mut list = Rope::default();
        values.into_iter().for_each(|value| list.put_varint(value as u64));
        if !list.is_empty() {
            self.message(number, list);
        }
    }

    /// The encoded message.
    pub fn finish(mut self) -> Rope {
        for (_, raw) in &self.kept {
            self.rope.push(raw);
        }
        self.rope
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kept_fields_stand_where_their_numbers_belong() {
        let mut other = Writer::default();
        other.bytes(2, b"x");
        other.int(9, 1);
        other.int(7, 1);
        let kept = other.finish().to_bytes();
        let mut writer = Writer::keeping(&kept);
        writer.int(1, 7);
        writer.float(5, 0.5);
        let message = Message::new(writer.finish().to_bytes());
        let numbers: Vec<u32> = message.fields().map(|field| field.unwrap().number).collect();
        assert_eq!(numbers, [1, 2, 5, 9, 7]);
    }

    #[test]
    fn truncated_and_oversized_fields_are_errors_with_an_offset() {
        for bytes in [&[0x0a][..], &[0x0a, 0x05, 1], &[0x0d, 0, 0], &[0x0b, 0x08]] {
            let message = Message::new(Bytes::copy_from_slice(bytes));
            let mut fields = message.fields();
            let error = fields.next().unwrap().unwrap_err();
            assert!(error.message.contains("at byte"), "{error}");
            assert!(fields.next().is_none());
        }
    }
}
