//! Several indices in a byte.

/// Indices below `base` as digits of bytes: as many in a byte as 256 has room for. Two numbers take one
/// bit, three 1.6, four two, and up to sixteen four.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Packing {
    base: usize,
    /// Digits in a byte.
    pub digits: usize,
}

/// Values of a byte.
const BYTE: usize = 256;

impl Packing {
    /// For indices into a table of `entries` numbers, of which a byte can hold one.
    pub fn of(entries: usize) -> Self {
        let base = entries.max(2);
        let digits =
            (1..).take_while(|&digits| base.checked_pow(digits).is_some_and(|n| n <= BYTE));
        Self { base, digits: digits.count().max(1) }
    }

    /// The bytes, the first index first in each.
    pub fn pack(self, indices: &[u8]) -> Vec<u8> {
        let byte = |digits: &[u8]| {
            let missing = std::iter::repeat_n(0, self.digits - digits.len());
            let digits = digits.iter().copied().chain(missing);
            digits.fold(0usize, |byte, digit| byte * self.base + usize::from(digit)) as u8
        };
        indices.chunks(self.digits).map(byte).collect()
    }

    /// For each byte its digits.
    pub fn rows(self) -> Vec<[u8; 8]> {
        let row = |byte: usize| {
            let mut row = [0; 8];
            let mut rest = byte;
            for digit in row[..self.digits].iter_mut().rev() {
                *digit = (rest % self.base) as u8;
                rest /= self.base;
            }
            row
        };
        (0..self.base.pow(self.digits as u32)).map(row).collect()
    }
}

/// Bytes of what all weights share whose tables have so many numbers: the digits of each byte.
pub(in crate::passes) fn shared_bytes(entries: usize) -> usize {
    let packing = Packing::of(entries);
    if packing.digits > 1 { packing.rows().len() * packing.digits } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_fit_into_a_byte_as_can() {
        let digits = |entries| Packing::of(entries).digits;
        assert_eq!([1, 2, 3, 4, 5, 6, 7, 16, 17, 256].map(digits), [8, 8, 5, 4, 3, 3, 2, 2, 1, 1]);
    }

    #[test]
    fn rows_undo_packing() {
        for entries in [2, 3, 5, 16] {
            let packing = Packing::of(entries);
            let indices: Vec<u8> = (0..100).map(|i| (i * 7 % entries) as u8).collect();
            let rows = packing.rows();
            let bytes = packing.pack(&indices);
            assert_eq!(bytes.len(), 100usize.div_ceil(packing.digits));
            let back = bytes.iter().flat_map(|&byte| &rows[usize::from(byte)][..packing.digits]);
            assert!(back.zip(&indices).all(|(a, b)| a == b));
        }
    }
}
