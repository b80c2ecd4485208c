//! Packing of 2- and 4-bit elements: the first element lies in the lowest bits of the first byte.

/// Packs the low `bits` (2 or 4) of each element, 4 or 2 to a byte; the last byte is padded with 0.
pub fn pack(elements: &[u8], bits: usize) -> Vec<u8> {
    let per_byte = 8 / bits;
    let mask = (1u8 << bits) - 1;
    elements
        .chunks(per_byte)
        .map(|chunk| {
            chunk.iter().enumerate().fold(0, |byte, (i, &x)| byte | ((x & mask) << (i * bits)))
        })
        .collect()
}

/// The inverse of [`pack`]: `count` elements, each in the low `bits` of a byte, not sign-extended.
pub fn unpack(bytes: &[u8], bits: usize, count: usize) -> Vec<u8> {
    let per_byte = 8 / bits;
    let mask = (1u8 << bits) - 1;
    (0..count).map(|i| (bytes[i / per_byte] >> ((i % per_byte) * bits)) & mask).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn first_element_is_in_the_low_bits() {
        assert_eq!(pack(&[0x1, 0x2, 0xf], 4), [0x21, 0x0f]);
        assert_eq!(pack(&[0, 1, 2, 3, 1], 2), [0b11_10_01_00, 0b01]);
    }

    proptest! {
        #[test]
        fn unpack_undoes_pack(elements in proptest::collection::vec(0u8..4, 0..40)) {
            for bits in [2, 4] {
                prop_assert_eq!(&unpack(&pack(&elements, bits), bits, elements.len()), &elements);
            }
        }
    }
}
