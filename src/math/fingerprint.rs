//! A digest to tell contents apart, not to protect them: FNV-1a (Fowler, Noll, Vo) over words of 64
//! bits, with a final mix (Murmur3) so that all bits depend on all words.

/// The digest of nothing.
const BASIS: u64 = 0xcbf2_9ce4_8422_2325;
const PRIME: u64 = 0x0100_0000_01b3;

/// The digest in the making.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Fingerprint(u64);

impl Default for Fingerprint {
    fn default() -> Self {
        Self(BASIS)
    }
}

impl Fingerprint {
    /// Adds bytes; where they end counts.
    pub fn add(&mut self, bytes: &[u8]) {
        let (words, rest) = bytes.as_chunks::<8>();
        let mut last = [0; 8];
        last[..rest.len()].copy_from_slice(rest);
        let words = words.iter().copied().chain([last, (bytes.len() as u64).to_le_bytes()]);
        self.0 = words.fold(self.0, |hash, word| mixed(hash ^ u64::from_le_bytes(word)));
    }

    /// The digest of all that was added.
    pub fn finish(self) -> u64 {
        let hash = (self.0 ^ (self.0 >> 33)).wrapping_mul(0xff51_afd7_ed55_8ccd);
        hash ^ (hash >> 33)
    }
}

/// High bits come down, so that words of trailing zeros leave a trace.
fn mixed(hash: u64) -> u64 {
    let hash = hash.wrapping_mul(PRIME);
    hash ^ (hash >> 32)
}

#[cfg(test)]
mod tests {
    use super::Fingerprint;

    #[test]
    fn contents_and_cuts_are_told_apart() {
        let digest = |parts: &[&[u8]]| {
            let mut digest = Fingerprint::default();
            parts.iter().for_each(|part| digest.add(part));
            digest.finish()
        };
        let all = [
            digest(&[]),
            digest(&[b""]),
            digest(&[b"a"]),
            digest(&[b"a\0"]),
            digest(&[b"ab", b"c"]),
            digest(&[b"a", b"bc"]),
            digest(&[b"abcdefgh"]),
            digest(&[b"abcdefgh\0"]),
        ];
        let different: std::collections::HashSet<u64> = all.into_iter().collect();
        assert_eq!(different.len(), all.len());
        assert_eq!(digest(&[b"abc"]), digest(&[b"abc"]));
    }
}
