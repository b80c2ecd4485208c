//! Integers in place of floats: ranges, scales, weights, rounding, biases, and the way back.

pub(super) mod correct_bias;
pub(super) mod equalize_channels;
pub(super) mod quantize_dynamic;
pub(super) mod quantize_static;
pub(super) mod quantize_weights;
pub(super) mod round_weights;
pub(super) mod strip_quantization;

pub use correct_bias::CorrectBias;
pub use equalize_channels::{Equalize, EqualizeChannels};
pub use quantize_dynamic::QuantizeDynamic;
pub use quantize_static::{
    Existing, Format, Granularity, IntegerOperators, Port, QuantizeStatic, Target,
    quantize_interface,
};
pub use quantize_weights::{QuantizeWeights, Storage, WeightSite, Width, WidthCost, spread_widths};
pub use round_weights::{Decisions, RoundWeights, Rounding};
pub use strip_quantization::StripQuantization;
