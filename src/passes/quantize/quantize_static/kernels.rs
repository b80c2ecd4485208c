//! Which products of integers do not run, as data.
//!
//! A target that reads QuantizeLinear and DequantizeLinear looks for integer kernels itself. Where it takes a pattern for
//! one that it has no kernel for, it does not load the model, or fails when it runs it. `tests/peers/check_kernels.py`
//! loads and runs what is written for every operator, type and granularity, and finds what is missing here.

use crate::ir::ops::LINEAR;
use crate::passes::quantize::quantize_static::Format;
use crate::tensor::DType;

/// Products that no runtime computes on integers.
struct Gap {
    ops: &'static [&'static str],
    /// Types of the weight.
    weights: &'static [DType],
    why: &'static str,
}

const GAPS: &[Gap] = &[Gap {
    ops: LINEAR,
    weights: &[DType::Int2, DType::Uint2],
    why: "no runtime multiplies 2-bit integers with integers",
}];

/// Products, and types of their weights, of which kernels have scales for channels and take those of blocks for such.
const UNBLOCKED: (&[&str], &[DType]) = (&["Gemm", "MatMul"], &[DType::Int8, DType::Uint8]);

/// Types of tables that stand behind a DequantizeLinear as what a product reads does: then rows with a scale for each
/// column are taken for such. No kernel is looked for with int8 there.
const UNFIT_TABLES: &[DType] = &[DType::Uint8];

/// Why a product with such a weight is not to read integers.
pub(super) fn missing(op: &str, weight: DType) -> Option<&'static str> {
    let fits = |gap: &&Gap| gap.ops.contains(&op) && gap.weights.contains(&weight);
    GAPS.iter().find(fits).map(|gap| gap.why)
}

/// Whether such a weight can have scales for blocks beside activations of integers.
pub(super) fn has_blocks(op: &str, weight: DType) -> bool {
    let (ops, weights) = UNBLOCKED;
    !(ops.contains(&op) && weights.contains(&weight))
}

/// What a table is stored as where weights have this format.
pub(super) fn of_table(format: Format) -> Format {
    let unfit = UNFIT_TABLES.contains(&format.dtype);
    Format { dtype: if unfit { DType::Int8 } else { format.dtype }, ..format }
}
