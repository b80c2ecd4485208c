//! 8-, 6- and 4-bit floating-point formats of ONNX, decoded exactly to `f32`.
//!
//! Formats: OCP 8-bit Floating Point Specification (E4M3FN, E5M2), the FNUZ variants of
//! Noune et al. 2022, and OCP Microscaling (E2M1, E2M3, E3M2, E8M0).

use crate::tensor::DType;

/// Value of the bit pattern `bits` of a small float format; `None` when `dtype` is not one.
pub(super) fn to_f32(dtype: DType, bits: u8) -> Option<f32> {
    Some(match dtype {
        DType::Float8E4M3FN if bits & 0x7f == 0x7f => f32::NAN,
        DType::Float8E4M3FN => decode(bits, 4, 3, 7),
        DType::Float8E4M3FNUZ | DType::Float8E5M2FNUZ if bits == 0x80 => f32::NAN,
        DType::Float8E4M3FNUZ => decode(bits, 4, 3, 8),
        DType::Float8E5M2FNUZ => decode(bits, 5, 2, 16),
        DType::Float8E5M2 => half::f16::from_bits(u16::from(bits) << 8).to_f32(),
        DType::Float4E2M1 => decode(bits & 0xf, 2, 1, 1),
        DType::Float6E2M3 => decode(bits & 0x3f, 2, 3, 1),
        DType::Float6E3M2 => decode(bits & 0x3f, 3, 2, 3),
        DType::Float8E8M0 if bits == 0xff => f32::NAN,
        DType::Float8E8M0 => 2f64.powi(i32::from(bits) - 127) as f32,
        _ => return None,
    })
}

/// Sign, exponent with `bias`, mantissa; every exponent is an ordinary one.
fn decode(bits: u8, exponent_bits: u32, mantissa_bits: u32, bias: i32) -> f32 {
    let mantissa = f32::from(bits & ((1 << mantissa_bits) - 1)) / (1u32 << mantissa_bits) as f32;
    let exponent = i32::from((bits >> mantissa_bits) & ((1 << exponent_bits) - 1));
    let magnitude = match exponent {
        0 => mantissa * 2f32.powi(1 - bias),
        _ => (1.0 + mantissa) * 2f32.powi(exponent - bias),
    };
    if bits >> (exponent_bits + mantissa_bits) & 1 == 1 { -magnitude } else { magnitude }
}

/// The bit pattern of the 8-bit float nearest to `x`, ties to the even one; what is too large becomes
/// the largest finite number (ONNX Cast with `saturate`). `None` when `dtype` is no 8-bit float with
/// a sign.
pub(super) fn from_f32(dtype: DType, x: f32) -> Option<u8> {
    let largest = match dtype {
        DType::Float8E4M3FN => 0x7e,
        DType::Float8E5M2 => 0x7b,
        DType::Float8E4M3FNUZ | DType::Float8E5M2FNUZ => 0x7f,
        _ => return None,
    };
    if x.is_nan() {
        return Some(if largest == 0x7f { 0x80 } else { 0x7f });
    }
    // Positive patterns grow with their numbers.
    let number = |bits: u8| to_f32(dtype, bits).map_or(0.0, f64::from);
    let magnitude = f64::from(x.abs()).min(number(largest));
    let mut below = 0u8;
    for step in [64u8, 32, 16, 8, 4, 2, 1] {
        if below + step <= largest && number(below + step) <= magnitude {
            below += step;
        }
    }
    let mut bits = below;
    if below < largest {
        let (down, up) = (magnitude - number(below), number(below + 1) - magnitude);
        bits += u8::from(up < down || up == down && below % 2 == 1);
    }
    // The FNUZ formats have no negative zero: its pattern is NaN.
    let negative = x.is_sign_negative() && (bits != 0 || largest != 0x7f);
    Some(if negative { bits | 0x80 } else { bits })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_finds_its_pattern_and_ties_go_to_even() {
        for dtype in
            [DType::Float8E4M3FN, DType::Float8E4M3FNUZ, DType::Float8E5M2, DType::Float8E5M2FNUZ]
        {
            for bits in 0..=255u8 {
                let x = to_f32(dtype, bits).unwrap();
                if x.is_finite() {
                    assert_eq!(from_f32(dtype, x), Some(bits), "{dtype} {x}");
                }
            }
        }
        let value = |x| to_f32(DType::Float8E4M3FN, from_f32(DType::Float8E4M3FN, x).unwrap());
        assert_eq!(value(17.0), Some(16.0));
        assert_eq!(value(19.0), Some(20.0));
        assert_eq!(value(-1e9), Some(-448.0));
        assert_eq!(value(2f32.powi(-10)), Some(0.0));
    }

    #[test]
    fn known_patterns() {
        let value = |dtype, bits| to_f32(dtype, bits).unwrap();
        assert_eq!(value(DType::Float8E4M3FN, 0x7e), 448.0);
        assert_eq!(value(DType::Float8E4M3FN, 0x01), 2f32.powi(-9));
        assert_eq!(value(DType::Float8E4M3FNUZ, 0x7f), 240.0);
        assert_eq!(value(DType::Float8E5M2, 0x7b), 57344.0);
        assert_eq!(value(DType::Float8E5M2, 0xfc), f32::NEG_INFINITY);
        assert_eq!(value(DType::Float8E5M2FNUZ, 0x7f), 57344.0);
        assert_eq!(value(DType::Float4E2M1, 0b0111), 6.0);
        assert_eq!(value(DType::Float4E2M1, 0b1001), -0.5);
        assert_eq!(value(DType::Float6E2M3, 0b011111), 7.5);
        assert_eq!(value(DType::Float6E3M2, 0b111111), -28.0);
        assert_eq!(value(DType::Float8E8M0, 127), 1.0);
        assert!(value(DType::Float8E4M3FN, 0xff).is_nan());
        assert!(value(DType::Float8E5M2FNUZ, 0x80).is_nan());
    }
}
