//! Damages bytes without knowing what they mean; the same seed gives the same damage.

/// Numbers that formats trip over, as bytes or as lengths of a varint.
const ODD_BYTES: [u8; 8] = [0x00, 0x01, 0x7f, 0x80, 0xff, 0x20, 0x0a, 0xfe];
/// Most bytes that one edit moves.
const LONGEST: usize = 64;

/// A generator of damage (SplitMix64).
pub struct Mutator(u64);

impl Mutator {
    pub fn new(seed: u64) -> Self {
        Self(seed)
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `bound`, 0 when that is 0.
    pub fn below(&mut self, bound: usize) -> usize {
        (self.next() % bound.max(1) as u64) as usize
    }

    /// Noise.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.next() as u8).collect()
    }

    /// One of the seeds with a few edits.
    pub fn damaged(&mut self, seeds: &[Vec<u8>]) -> Vec<u8> {
        let mut bytes = seeds[self.below(seeds.len())].clone();
        loop {
            self.edit(&mut bytes, seeds);
            // Few edits leave more of the rules in force.
            if self.below(2) == 0 {
                return bytes;
            }
        }
    }

    fn edit(&mut self, bytes: &mut Vec<u8>, seeds: &[Vec<u8>]) {
        let (at, len) = (self.below(bytes.len()), self.below(LONGEST));
        let end = bytes.len().min(at + len);
        match self.below(9) {
            _ if bytes.is_empty() => bytes.extend(self.bytes(len)),
            0 => bytes[at] ^= 1 << self.below(8),
            1 => bytes[at] = ODD_BYTES[self.below(ODD_BYTES.len())],
            2 => bytes[at] = bytes[at].wrapping_add([1, 0xff][self.below(2)]),
            3 => drop(bytes.drain(at..end)),
            4 => {
                let copy = bytes[at..end].to_vec();
                let to = self.below(bytes.len() + 1);
                bytes.splice(to..to, copy);
            }
            5 => {
                let other = &seeds[self.below(seeds.len())];
                let from = self.below(other.len());
                let piece = other[from..other.len().min(from + len)].to_vec();
                bytes.splice(at..end, piece);
            }
            6 => bytes.truncate(at),
            7 => self.varint(bytes, at),
            _ => {
                let noise = self.bytes(len / 8);
                bytes.splice(at..at, noise);
            }
        }
    }

    /// Replaces the varint that begins at a place, if it is one, by another.
    fn varint(&mut self, bytes: &mut Vec<u8>, at: usize) {
        let rest = bytes[at..].iter().take_while(|byte| **byte >= 0x80).count();
        let end = bytes.len().min(at + rest + 1);
        let mut number = match self.below(4) {
            0 => self.next() >> self.below(64),
            1 => 1 << self.below(64),
            2 => (1u64 << self.below(64)).wrapping_sub(1),
            _ => u64::MAX - self.below(3) as u64,
        };
        let mut encoded = Vec::new();
        while number >= 0x80 {
            encoded.push(number as u8 | 0x80);
            number >>= 7;
        }
        encoded.push(number as u8);
        bytes.splice(at..end, encoded);
    }
}
