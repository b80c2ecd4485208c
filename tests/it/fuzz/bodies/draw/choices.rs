//! Bytes as a source of choices.

use arbitrary::Unstructured;

/// Choices that bytes make; when the bytes run out, always the first one.
pub struct Choices<'a>(Unstructured<'a>);

impl<'a> Choices<'a> {
    pub fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    /// True when there is nothing left to choose by.
    pub fn is_exhausted(&self) -> bool {
        self.0.is_empty()
    }

    /// A number below `bound`, 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        match bound {
            0 | 1 => 0,
            _ => self.0.int_in_range(0..=bound - 1).unwrap_or_default(),
        }
    }

    /// A number from `low` to `high`.
    pub fn between(&mut self, low: usize, high: usize) -> usize {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// True once in `many` times.
    pub fn chance(&mut self, many: usize) -> bool {
        self.below(many) + 1 == many
    }

    /// One of the elements of a slice that is not empty.
    pub fn one_of<'b, T>(&mut self, of: &'b [T]) -> &'b T {
        &of[self.below(of.len())]
    }

    /// A text of at most `most` bytes.
    pub fn text(&mut self, most: usize) -> String {
        let bytes: Vec<u8> = (0..self.below(most + 1)).map(|_| self.below(256) as u8).collect();
        String::from_utf8_lossy(&bytes).into_owned()
    }
}
