//! Which products of integers do not run, as data.
//!
//! A target that reads QuantizeLinear and DequantizeLinear looks for integer kernels itself. Where it takes a pattern for
//! one that it has no kernel for, it does not load the model, or fails when it runs it. `tests/peers/check_kernels.py`
//! loads and runs what is written for every operator, type and granularity, and finds what is missing here.

use crate::passes::quantize_static::weights::Share;
use crate::tensor::DType;

/// Products that no runtime computes on integers.
struct Gap {
    ops: &'static [&'static str],
    /// Types of the weight.
    weights: &'static [DType],
    /// Only with scales for blocks.
    blocks: bool,
    why: &'static str,
}

const GAPS: &[Gap] = &[
    Gap {
        ops: &["Conv", "ConvTranspose", "Gemm", "MatMul"],
        weights: &[DType::Int2, DType::Uint2],
        blocks: false,
        why: "no runtime multiplies 2-bit integers with integers",
    },
    Gap {
        ops: &["Gemm", "MatMul"],
        weights: &[DType::Int8, DType::Uint8],
        blocks: true,
        why: "kernels have scales for channels, and take those of blocks for such",
    },
];

/// Why a product with such a weight is not to read integers.
pub(super) fn missing(op: &str, weight: DType, share: Share) -> Option<&'static str> {
    let blocks = matches!(share, Share::Block { .. });
    let fits = |gap: &&Gap| {
        gap.ops.contains(&op) && gap.weights.contains(&weight) && (blocks || !gap.blocks)
    };
    GAPS.iter().find(fits).map(|gap| gap.why)
}
