//! What operators are to quantization, as data; and the few questions that take a look at the node.

use crate::analysis::constant;
use crate::ir::ops::{Conv, Gemm};
use crate::ir::{Model, Node, NodeId, ValueId};

/// An operator of the default domain.
pub(super) struct Row {
    pub op: &'static str,
    pub role: Role,
    /// The first operator set in which it means what the row says.
    pub since: i64,
    /// Where its output lies whatever the samples are.
    pub range: Option<(f32, f32)>,
}

/// What an operator does with numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Role {
    /// Multiplies inputs 0 and 1, a constant one being a weight, and adds input 2, the bias.
    Product,
    /// As a product, with a vector for a weight.
    Scaling,
    /// Multiplies with the constant inputs 1 and 2, one row for each gate and unit.
    Recurrent,
    /// Computes an output on a grid of its own from the inputs in these slots.
    Compute(&'static [usize]),
    /// Cuts off what is too small or too large: its range can be that of the node before it.
    Clip,
    /// Every output holds elements of input 0 and nothing else: all share one grid.
    Move,
    /// The output holds the elements of all inputs: all share one grid.
    Join,
}

use Role::{Clip, Compute, Join, Move, Product, Recurrent, Scaling};

const fn row(op: &'static str, role: Role) -> Row {
    Row { op, role, since: 1, range: None }
}

const fn ranged(op: &'static str, min: f32, max: f32) -> Row {
    Row { op, role: Compute(&[0]), since: 1, range: Some((min, max)) }
}

/// The operators that can be quantized.
const TABLE: &[Row] = &[
    row("Conv", Product),
    row("ConvTranspose", Product),
    row("Gemm", Product),
    row("MatMul", Product),
    row("BatchNormalization", Scaling),
    row("InstanceNormalization", Scaling),
    Row { since: 17, ..row("LayerNormalization", Scaling) },
    row("GRU", Recurrent),
    row("LSTM", Recurrent),
    row("RNN", Recurrent),
    Row { since: 7, ..row("Add", Compute(&[0, 1])) },
    Row { since: 7, ..row("Div", Compute(&[0, 1])) },
    Row { since: 7, ..row("Mul", Compute(&[0, 1])) },
    Row { since: 7, ..row("PRelu", Compute(&[0, 1])) },
    Row { since: 7, ..row("Sub", Compute(&[0, 1])) },
    Row { since: 9, ..row("Where", Compute(&[1, 2])) },
    row("AveragePool", Compute(&[0])),
    Row { since: 20, ..row("Gelu", Compute(&[0])) },
    row("GlobalAveragePool", Compute(&[0])),
    ranged("HardSigmoid", 0.0, 1.0),
    Row { since: 14, ..row("HardSwish", Compute(&[0])) },
    row("LeakyRelu", Compute(&[0])),
    row("ReduceMean", Compute(&[0])),
    ranged("Sigmoid", 0.0, 1.0),
    ranged("Softmax", 0.0, 1.0),
    ranged("Tanh", -1.0, 1.0),
    row("Clip", Clip),
    row("Relu", Clip),
    row("Concat", Join),
    row("DepthToSpace", Move),
    row("Expand", Move),
    row("Flatten", Move),
    row("Gather", Move),
    row("GatherElements", Move),
    row("GatherND", Move),
    row("Identity", Move),
    // On 8-bit integers since 12.
    Row { since: 12, ..row("MaxPool", Move) },
    row("Pad", Move),
    row("ReduceMax", Move),
    row("ReduceMin", Move),
    row("Reshape", Move),
    Row { since: 11, ..row("Resize", Move) },
    row("Slice", Move),
    row("SpaceToDepth", Move),
    row("Split", Move),
    row("Squeeze", Move),
    row("Tile", Move),
    row("TopK", Move),
    row("Transpose", Move),
    row("Unsqueeze", Move),
];

/// The row of a node.
pub(super) fn of(model: &Model, node: &Node) -> Option<&'static Row> {
    let opset = model.opset_in_force();
    TABLE.iter().find(|row| node.is(row.op) && opset >= row.since)
}

/// The values whose elements the output `value` of a node is made of.
pub(super) fn moved_from(model: &Model, node: &Node, value: ValueId) -> Vec<ValueId> {
    match of(model, node).map(|row| row.role) {
        Some(Join) => node.inputs().iter().flatten().copied().collect(),
        Some(Move) if moves(model, node, value) => node.input(0).into_iter().collect(),
        _ => Vec::new(),
    }
}

/// Whether the output `value` of a node of role `Move` really holds elements of input 0 alone.
fn moves(model: &Model, node: &Node, value: ValueId) -> bool {
    match node.op() {
        "MaxPool" => node.output(1).is_none(),
        "TopK" => node.output(0) == Some(value),
        // Cubic interpolation overshoots.
        "Resize" => node.attr_str("mode") != Some("cubic"),
        // 0 is on every grid.
        "Pad" => match (node.attr_str("mode").unwrap_or("constant"), node.input(2)) {
            ("constant", None) => node.attr_float("value").unwrap_or(0.0) == 0.0,
            ("constant", Some(fill)) => {
                let fill = constant(model, fill).and_then(|fill| fill.to_f32().ok());
                fill.is_some_and(|fill| fill.iter().all(|&x| x == 0.0))
            }
            _ => true,
        },
        _ => true,
    }
}

/// The inputs that hold numbers, when the node computes, cuts off or moves them.
pub(super) fn operands(node: &Node, role: Role) -> Vec<ValueId> {
    match role {
        Compute(slots) => slots.iter().filter_map(|&slot| node.input(slot)).collect(),
        Clip | Move => node.input(0).into_iter().collect(),
        Join => node.inputs().iter().flatten().copied().collect(),
        Product | Scaling | Recurrent => Vec::new(),
    }
}

/// The outputs that hold numbers of the kind of the inputs.
pub(super) fn results(node: &Node) -> Vec<ValueId> {
    // The second outputs of MaxPool and TopK are indices.
    let all = if node.is("Split") { usize::MAX } else { 1 };
    node.outputs().iter().take(all).flatten().copied().collect()
}

/// True for operators that may be skipped when looking for the end of a producer's range.
pub(super) fn is_clipping(model: &Model, node: NodeId) -> bool {
    of(model, model.node(node)).is_some_and(|row| row.role == Clip)
}

/// The bounds of a Relu or Clip whose bounds are constants.
pub(in crate::passes) fn clipped_to(model: &Model, node: NodeId) -> Option<(f32, f32)> {
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

/// The weight axes whose slices belong to one output channel, and to one input channel.
pub(super) fn weight_axes(
    model: &Model,
    id: NodeId,
    slot: usize,
    rank: usize,
) -> Option<(usize, usize)> {
    let node = model.node(id);
    if let Some(conv) = Conv::of(model, id) {
        return Some((conv.output_axis(), 1 - conv.output_axis()));
    }
    if let Some(gemm) = Gemm::of(model, id) {
        return (slot == 1).then(|| (gemm.output_axis(), 1 - gemm.output_axis()));
    }
    match of(model, node)?.role {
        // Runtimes scale columns of the right factor of a MatMul only for matrices.
        Product => (slot == 1 && rank == 2).then_some((1, 0)),
        Recurrent => Some((1, 2)),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_operator_has_a_case() {
        let cases = include_str!("../../../../tests/passes/quantize-static.md");
        let has =
            |op: &str| [" (", " <"].iter().any(|behind| cases.contains(&format!("= {op}{behind}")));
        let missing: Vec<&str> = TABLE.iter().map(|row| row.op).filter(|op| !has(op)).collect();
        assert!(missing.is_empty(), "tests/passes/quantize-static.md has no case of {missing:?}");
    }
}
