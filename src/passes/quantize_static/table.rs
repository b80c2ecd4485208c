//! What operators ask for: which inputs are quantized, and what happens to outputs.

use crate::analysis::constant;
use crate::ir::{Model, Node, NodeId, ValueId};

/// How an operator with quantized inputs is treated.
pub(super) struct Quantized {
    /// Operator type of the default domain.
    pub op: &'static str,
    /// The two factors of its product; a constant one is a weight, others are activations.
    pub operands: [usize; 2],
    /// Slot of the bias, when it has one.
    pub bias: Option<usize>,
    /// Quantize the output even when nobody needs it quantized: runtimes have an integer kernel
    /// only with an integer output.
    pub output: bool,
}

/// Operators that become integer kernels.
pub(super) const QUANTIZED: &[Quantized] = &[
    Quantized { op: "Conv", operands: [0, 1], bias: Some(2), output: true },
    Quantized { op: "Gemm", operands: [0, 1], bias: Some(2), output: false },
    Quantized { op: "MatMul", operands: [0, 1], bias: None, output: false },
];

/// Operators whose output holds elements of input 0 and nothing else: both share one grid.
const DATA_MOVEMENT: &[&str] = &[
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "GatherND",
    "Identity",
    "MaxPool",
    "Reshape",
    "Slice",
    "SpaceToDepth",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

/// Activations that only cut off: their range can be the range of the node before them.
const CLIPPING: &[&str] = &["Relu", "Clip"];

/// Operators whose output lies in a known range whatever the samples are.
const KNOWN_RANGE: &[(&str, f32, f32)] =
    &[("Softmax", 0.0, 1.0), ("Sigmoid", 0.0, 1.0), ("HardSigmoid", 0.0, 1.0)];

/// The row of a node.
pub(super) fn quantized(node: &Node) -> Option<&'static Quantized> {
    QUANTIZED.iter().find(|row| node.is(row.op))
}

/// The values whose elements the output `slot` of a node is made of.
pub(super) fn moved_from(node: &Node) -> Vec<ValueId> {
    if !node.is_standard() {
        Vec::new()
    } else if node.op() == "Concat" {
        node.inputs().iter().flatten().copied().collect()
    } else if node.op() == "MaxPool" && node.output(1).is_some() {
        Vec::new()
    } else if DATA_MOVEMENT.contains(&node.op()) {
        node.input(0).into_iter().collect()
    } else {
        Vec::new()
    }
}

/// True for operators that may be skipped when looking for the end of a producer's range.
pub(super) fn is_clipping(model: &Model, node: NodeId) -> bool {
    let node = model.node(node);
    node.is_standard() && CLIPPING.contains(&node.op())
}

/// The bounds of a Relu or Clip whose bounds are constants.
pub(super) fn clipped_to(model: &Model, node: NodeId) -> Option<(f32, f32)> {
    let node = model.node(node);
    if node.is("Relu") {
        return Some((0.0, f32::INFINITY));
    }
    if !node.is("Clip") {
        return None;
    }
    // Bounds are attributes below opset 11, and inputs since.
    let bound = |slot: usize, attribute: &str, default: f32| match node.input(slot) {
        Some(value) => constant(model, value)?.to_f32().ok()?.first().copied(),
        None => Some(node.attr_float(attribute).unwrap_or(default)),
    };
    let (min, max) = (bound(1, "min", f32::NEG_INFINITY)?, bound(2, "max", f32::INFINITY)?);
    (min <= max).then_some((min, max))
}

/// The range of a node's output that holds for all inputs.
pub(super) fn known_range(node: &Node) -> Option<(f32, f32)> {
    let row = KNOWN_RANGE.iter().find(|(op, ..)| node.is(op))?;
    Some((row.1, row.2))
}
