//! Element types of ONNX, with their numbers in `TensorProto.DataType`.

use std::fmt;

use serde::{Deserialize, Serialize};

macro_rules! dtypes {
    ($($(#[$doc:meta])* $name:ident = $number:literal, $text:literal, $bits:literal;)*) => {
        /// Element type of a tensor: every data type of ONNX up to IR version 14.
        #[derive(
            Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize,
        )]
        pub enum DType { $($(#[$doc])* #[serde(rename = $text)] $name = $number,)* }

        impl DType {
            /// All element types, in the order of their ONNX numbers.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The type with this `TensorProto.DataType` number; `None` for 0 and unknown numbers.
            pub fn from_onnx(number: i32) -> Option<Self> {
                match number { $($number => Some(Self::$name),)* _ => None }
            }

            /// Name in ONNX text syntax, e.g. `float`, `int8`, `bfloat16`.
            pub fn name(self) -> &'static str {
                match self { $(Self::$name => $text,)* }
            }

            /// Bits one element takes in `raw_data`; 0 for strings, which have no fixed width.
            pub fn bits(self) -> usize {
                match self { $(Self::$name => $bits,)* }
            }
        }
    };
}

dtypes! {
    /// IEEE binary32.
    Float = 1, "float", 32;
    /// Unsigned 8-bit integer.
    Uint8 = 2, "uint8", 8;
    /// Signed 8-bit integer.
    Int8 = 3, "int8", 8;
    /// Unsigned 16-bit integer.
    Uint16 = 4, "uint16", 16;
    /// Signed 16-bit integer.
    Int16 = 5, "int16", 16;
    /// Signed 32-bit integer.
    Int32 = 6, "int32", 32;
    /// Signed 64-bit integer.
    Int64 = 7, "int64", 64;
    /// Byte strings, by convention UTF-8.
    String = 8, "string", 0;
    /// One byte, 0 or 1.
    Bool = 9, "bool", 8;
    /// IEEE binary16.
    Float16 = 10, "float16", 16;
    /// IEEE binary64.
    Double = 11, "double", 64;
    /// Unsigned 32-bit integer.
    Uint32 = 12, "uint32", 32;
    /// Unsigned 64-bit integer.
    Uint64 = 13, "uint64", 64;
    /// Two binary32: real, imaginary.
    Complex64 = 14, "complex64", 64;
    /// Two binary64: real, imaginary.
    Complex128 = 15, "complex128", 128;
    /// The upper half of binary32.
    Bfloat16 = 16, "bfloat16", 16;
    /// 4 exponent bits (bias 7), 3 mantissa bits, no infinities.
    Float8E4M3FN = 17, "float8e4m3fn", 8;
    /// 4 exponent bits (bias 8), 3 mantissa bits, no infinities, no negative zero.
    Float8E4M3FNUZ = 18, "float8e4m3fnuz", 8;
    /// 5 exponent bits (bias 15), 2 mantissa bits, IEEE-like.
    Float8E5M2 = 19, "float8e5m2", 8;
    /// 5 exponent bits (bias 16), 2 mantissa bits, no infinities, no negative zero.
    Float8E5M2FNUZ = 20, "float8e5m2fnuz", 8;
    /// Unsigned 4-bit integer, two in a byte, first element in the low half.
    Uint4 = 21, "uint4", 4;
    /// Signed 4-bit integer, two in a byte, first element in the low half.
    Int4 = 22, "int4", 4;
    /// 2 exponent bits, 1 mantissa bit, two in a byte.
    Float4E2M1 = 23, "float4e2m1", 4;
    /// 8 exponent bits only (a power of two), as used for block scales.
    Float8E8M0 = 24, "float8e8m0", 8;
    /// Unsigned 2-bit integer, four in a byte.
    Uint2 = 25, "uint2", 2;
    /// Signed 2-bit integer, four in a byte.
    Int2 = 26, "int2", 2;
    /// 2 exponent bits, 3 mantissa bits.
    Float6E2M3 = 27, "float6e2m3", 6;
    /// 3 exponent bits, 2 mantissa bits.
    Float6E3M2 = 28, "float6e3m2", 6;
}

impl DType {
    /// The number in `TensorProto.DataType`.
    pub fn to_onnx(self) -> i32 {
        self as i32
    }

    /// The type with this name in ONNX text syntax.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.iter().copied().find(|dtype| dtype.name() == name)
    }

    /// Bytes that `count` elements take in `raw_data` (sub-byte types are packed);
    /// `None` for strings or when the product overflows.
    pub fn byte_len(self, count: usize) -> Option<usize> {
        match self.bits() {
            0 => None,
            bits => count.checked_mul(bits).map(|total| total.div_ceil(8)),
        }
    }

    /// Real floating point: float, double, float16, bfloat16 and the 8- and 4-bit floats.
    pub fn is_float(self) -> bool {
        matches!(
            self,
            Self::Float
                | Self::Double
                | Self::Float16
                | Self::Bfloat16
                | Self::Float8E4M3FN
                | Self::Float8E4M3FNUZ
                | Self::Float8E5M2
                | Self::Float8E5M2FNUZ
                | Self::Float4E2M1
                | Self::Float8E8M0
                | Self::Float6E2M3
                | Self::Float6E3M2
        )
    }

    /// Signed or unsigned integer of any width; `bool` is not one.
    pub fn is_integer(self) -> bool {
        self.integer_range().is_some()
    }

    /// Smallest and largest value of an integer type; `None` for all other types.
    pub fn integer_range(self) -> Option<(i128, i128)> {
        let signed = |bits: u32| Some((-(1i128 << (bits - 1)), (1i128 << (bits - 1)) - 1));
        let unsigned = |bits: u32| Some((0, (1i128 << bits) - 1));
        match self {
            Self::Int2 => signed(2),
            Self::Int4 => signed(4),
            Self::Int8 => signed(8),
            Self::Int16 => signed(16),
            Self::Int32 => signed(32),
            Self::Int64 => signed(64),
            Self::Uint2 => unsigned(2),
            Self::Uint4 => unsigned(4),
            Self::Uint8 => unsigned(8),
            Self::Uint16 => unsigned(16),
            Self::Uint32 => unsigned(32),
            Self::Uint64 => unsigned(64),
            _ => None,
        }
    }
}

impl fmt::Display for DType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
