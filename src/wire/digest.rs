//! FNV-1a, 64 bits (Fowler, Noll, Vo): a digest to tell contents apart, not to protect them.

/// The digest of nothing.
pub const FNV_BASIS: u64 = 0xcbf2_9ce4_8422_2325;

/// The digest of `bytes`, continuing from `state`.
pub fn fnv(state: u64, bytes: &[u8]) -> u64 {
    const PRIME: u64 = 0x0100_0000_01b3;
    bytes.iter().fold(state, |hash, &byte| (hash ^ u64::from(byte)).wrapping_mul(PRIME))
}
