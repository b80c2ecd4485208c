//! Fields that are kept as they were read.

use bytes::Bytes;

use crate::wire::Field;

/// The fields of a message that the reader does not model, in their order.
#[derive(Debug, Clone, Default)]
pub struct Rest {
    first: Bytes,
    more: Vec<u8>,
}

impl Rest {
    /// Keeps a field.
    pub fn keep(&mut self, field: &Field<'_>) {
        if self.first.is_empty() {
            // One field is kept as a window; several are joined.
            self.first = field.raw();
        } else {
            self.more.extend_from_slice(&field.raw());
        }
    }

    /// The encoded fields, one after the other.
    pub fn finish(self) -> Bytes {
        if self.more.is_empty() {
            return self.first;
        }
        let mut joined = Vec::with_capacity(self.first.len() + self.more.len());
        joined.extend_from_slice(&self.first);
        joined.extend_from_slice(&self.more);
        joined.into()
    }
}
