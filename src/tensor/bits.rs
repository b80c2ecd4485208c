//! Packing of elements of up to 8 bits: one stream of bits, the first element in the lowest bits of
//! the first byte.

/// Packs the low `bits` (at most 8) of each element; the last byte is padded with 0.
pub fn pack(elements: &[u8], bits: usize) -> Vec<u8> {
    if bits == 4 {
        let byte = |pair: &[u8]| pair[0] & 0xf | pair.get(1).map_or(0, |high| high << 4);
        return elements.chunks(2).map(byte).collect();
    }
    let mask = (1u16 << bits) - 1;
    let mut bytes = vec![0u8; (elements.len() * bits).div_ceil(8)];
    for (i, &x) in elements.iter().enumerate() {
        let (byte, shift) = (i * bits / 8, i * bits % 8);
        let shifted = (u16::from(x) & mask) << shift;
        bytes[byte] |= shifted as u8;
        if shift + bits > 8 {
            bytes[byte + 1] |= (shifted >> 8) as u8;
        }
    }
    bytes
}

/// The inverse of [`pack`]: `count` elements, each in the low `bits` of a byte, not sign-extended;
/// elements beyond the end of `bytes` are 0.
pub fn unpack(bytes: &[u8], bits: usize, count: usize) -> Vec<u8> {
    if bits == 4 && bytes.len() >= count.div_ceil(2) {
        return bytes.iter().flat_map(|byte| [byte & 0xf, byte >> 4]).take(count).collect();
    }
    let mask = (1u16 << bits) - 1;
    let at = |i: usize| u16::from(bytes.get(i).copied().unwrap_or(0));
    let element = |i: usize| {
        let (byte, shift) = (i * bits / 8, i * bits % 8);
        (((at(byte) | at(byte + 1) << 8) >> shift) & mask) as u8
    };
    (0..count).map(element).collect()
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
            for bits in [2, 4, 6] {
                prop_assert_eq!(&unpack(&pack(&elements, bits), bits, elements.len()), &elements);
            }
        }
    }
}
