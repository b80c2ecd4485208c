//! Quantization in terms that tract knows: it has 8-bit integers with one scale or one for each slice.

use crate::analysis::{constant, dequantized};
use crate::ir::{At, GraphId, Model, NewNode, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Integers that tract quantizes to and from.
const KNOWN: [DType; 3] = [DType::Int8, DType::Uint8, DType::Int32];

/// Spells out what a QuantizeLinear or DequantizeLinear does when tract lacks its type or its blocks.
/// Integers of up to 16 bits between the two become whole floats, which are exact.
pub(super) fn spell_out(view: &mut Model, node: NodeId) {
    let entry = view.node(node);
    if entry.is("DequantizeLinear") {
        let known = is_known(view, node, 0) && is_known(view, node, 2);
        if known && entry.attr_int("block_size").unwrap_or(0) == 0 {
            return;
        }
        if !fold_weights(view, node) {
            floats_first(view, node);
        }
    } else if entry.is("Cast") {
        let packed = entry.input(0).and_then(|value| constant(view, value));
        let small = |dtype: DType| dtype.bits() < 8 || dtype.is_float() && dtype.bits() == 8;
        let unknown = |dtype: DType| small(dtype) || dtype == DType::Bfloat16;
        let packed = packed.filter(|stored| unknown(stored.dtype()));
        let to_float = entry.attr_int("to") == Some(i64::from(DType::Float.to_onnx()));
        if let (Some(Ok(floats)), true) = (packed.as_ref().map(Tensor::to_f32), to_float) {
            let dims = packed.as_ref().map(Tensor::dims).unwrap_or_default();
            fold(view, node, Tensor::from_f32(dims, &floats));
        }
    } else if entry.is("QuantizeLinear") && (!is_known(view, node, 2) || is_table(view, node)) {
        whole_floats(view, node);
    }
}

/// Makes floats of a DequantizeLinear of constants, which tract does in three steps for a scale of each
/// slice. False when it is none.
pub(super) fn fold_weights(view: &mut Model, node: NodeId) -> bool {
    let floats = dequantized(view, node);
    floats.map(|floats| fold(view, node, floats)).is_some()
}

/// Operators that read a whole axis for each element, which tract overlooks.
const OF_AN_AXIS: &[&str] = &["Hardmax", "LogSoftmax", "LpNormalization", "Softmax"];
/// Most operators of one value in a row that tract is expected to make one table of.
const LONGEST_CHAIN: usize = 16;

/// tract makes a table of 256 entries of what stands between a DequantizeLinear and a QuantizeLinear,
/// and does not see that one of these operators is no function of one element.
fn is_table(view: &Model, quantize: NodeId) -> bool {
    let mut at = quantize;
    for _ in 0..LONGEST_CHAIN {
        let producer = view.node(at).input(0).and_then(|value| view.value(value).producer());
        let Some(producer) = producer else { return false };
        let node = view.node(producer);
        if OF_AN_AXIS.iter().any(|op| node.is(op)) {
            return true;
        }
        if node.is("DequantizeLinear") || node.is("QuantizeLinear") {
            return false;
        }
        at = producer;
    }
    false
}

/// Puts floats in the place of a node, and takes away the integers they were made of: tract reads all
/// constants, used or not.
fn fold(view: &mut Model, node: NodeId, floats: Tensor) {
    let inputs: Vec<ValueId> = view.node(node).inputs().iter().flatten().copied().collect();
    view.fold_node(node, vec![Some(floats)]);
    for value in inputs {
        if view.value(value).uses().is_empty() {
            view.remove_initializer(value);
        }
    }
}

/// Integers that move before they are dequantized, as rows of a table do, become floats first when tract lacks their
/// type. Those that a QuantizeLinear makes are spelled out with it.
fn floats_first(view: &mut Model, node: NodeId) {
    let entry = view.node(node);
    let (Some(x), Some(scale), Some(zero), Some(output)) =
        (entry.input(0), entry.input(1), entry.input(2), entry.only_output())
    else {
        return;
    };
    let one = |view: &Model, value| constant(view, value).filter(|tensor| tensor.len() == 1);
    let producer = view.value(x).producer();
    let quantized = producer.is_some_and(|producer| view.node(producer).is("QuantizeLinear"));
    let (Some(scales), Some(zeros), false) = (one(view, scale), one(view, zero), quantized) else {
        return;
    };
    let (DType::Float, Ok(zeros)) = (scales.dtype(), zeros.to_f32()) else { return };
    let graph = entry.graph();
    let step = |view: &mut Model, node_of: NewNode| {
        let made = view.add_node(graph, At::Before(node), node_of);
        view.node(made).only_output().unwrap_or(x)
    };
    let to_float = i64::from(DType::Float.to_onnx());
    let mut floats = step(view, NewNode::new("Cast", &[x], "spelled_out").attr("to", to_float));
    let zero_point = view.add_initializer(graph, "number", Tensor::from_f32(&[], &zeros));
    floats = step(view, NewNode::new("Sub", &[floats, zero_point], "spelled_out"));
    floats = step(view, NewNode::new("Mul", &[floats, scale], "spelled_out"));
    if view.substitute(output, floats) {
        view.remove_node(node);
        if view.value(zero).uses().is_empty() {
            view.remove_initializer(zero);
        }
    }
}

/// The type of the constant in `slot` is known to tract; so is what is no constant, or missing.
fn is_known(view: &Model, node: NodeId, slot: usize) -> bool {
    let value = view.node(node).input(slot);
    value.and_then(|value| constant(view, value)).is_none_or(|q| KNOWN.contains(&q.dtype()))
}

/// An 8-bit float, whose rounding is spelled out in `float`.
struct SmallFloat {
    dtype: DType,
    /// Largest finite number.
    largest: f32,
    /// Bits of the significand, the hidden one included.
    significand: i32,
    /// Smallest normal number.
    normal: f32,
}

const SMALL_FLOATS: [SmallFloat; 2] = [
    SmallFloat { dtype: DType::Float8E4M3FN, largest: 448.0, significand: 4, normal: 0.015_625 },
    SmallFloat {
        dtype: DType::Float8E5M2,
        largest: 57_344.0,
        significand: 3,
        normal: 6.103_515_6e-5,
    },
];

impl SmallFloat {
    /// `x` rounded to a number of this type. Normal numbers lose their last bits by Dekker's splitting
    /// (1971), where a tie may go to the odd neighbour; the others by adding and taking away a number
    /// whose last bit is their step.
    fn round(&self, view: &mut Model, graph: GraphId, at: At, x: ValueId) -> ValueId {
        let number = |view: &mut Model, x: f32| {
            view.add_initializer(graph, "number", Tensor::from_f32(&[], &[x]))
        };
        let digits = f32::MANTISSA_DIGITS as i32;
        let factor = number(view, 2f32.powi(digits - self.significand) + 1.0);
        let step_below_normal = self.normal * 2f32.powi(1 - self.significand);
        let carrier = number(view, 1.5 * step_below_normal * 2f32.powi(digits - 1));
        let normal = number(view, self.normal);
        let step = |view: &mut Model, op: &str, inputs: &[ValueId]| {
            let node = view.add_node(graph, at, NewNode::new(op, inputs, "spelled_out"));
            view.node(node).only_output().unwrap_or(x)
        };
        let spread = step(view, "Mul", &[x, factor]);
        let rest = step(view, "Sub", &[spread, x]);
        let split = step(view, "Sub", &[spread, rest]);
        let carried = step(view, "Add", &[x, carrier]);
        let whole = step(view, "Sub", &[carried, carrier]);
        let magnitude = step(view, "Abs", &[x]);
        let small = step(view, "Less", &[magnitude, normal]);
        step(view, "Where", &[small, whole, split])
    }
}

/// `x / s` rounded, moved, cut off; and back for every DequantizeLinear that reads it.
fn whole_floats(view: &mut Model, quantize: NodeId) {
    let entry = view.node(quantize);
    let (Some(x), Some(scale), Some(zero), Some(integers)) =
        (entry.input(0), entry.input(1), entry.input(2), entry.only_output())
    else {
        return;
    };
    let Some(zero) = constant(view, zero) else { return };
    let readers: Vec<NodeId> = view.value(integers).consumers().map(|(node, _)| node).collect();
    let all = readers.iter().all(|&node| {
        view.node(node).is("DequantizeLinear") && view.node(node).input(1) == Some(scale)
    });
    let small = SMALL_FLOATS.iter().find(|small| small.dtype == zero.dtype());
    let bounds = match small {
        Some(small) => Some((-small.largest, small.largest)),
        None => zero.dtype().integer_range().map(|(low, high)| (low as f32, high as f32)),
    };
    let (Some((low, high)), Ok(zeros), true) =
        (bounds, zero.to_f32(), all && !view.value(integers).is_output())
    else {
        return;
    };
    let [zero_point] = zeros[..] else { return };
    let graph = view.node(quantize).graph();
    let number = |view: &mut Model, x: f32| {
        view.add_initializer(graph, "number", Tensor::from_f32(&[], &[x]))
    };
    let (low, high) = (number(view, low), number(view, high));
    let zero_point = number(view, zero_point);
    let at = At::Before(quantize);
    let step = |view: &mut Model, op: &str, inputs: &[ValueId], at: At| {
        let node = view.add_node(graph, at, NewNode::new(op, inputs, "spelled_out"));
        view.node(node).only_output().unwrap_or(x)
    };
    let divided = step(view, "Div", &[x, scale], at);
    let whole = if let Some(small) = small {
        let raised = step(view, "Max", &[divided, low], at);
        let cut = step(view, "Min", &[raised, high], at);
        small.round(view, graph, at, cut)
    } else {
        let rounded = step(view, "Round", &[divided], at);
        let moved = step(view, "Add", &[rounded, zero_point], at);
        let raised = step(view, "Max", &[moved, low], at);
        step(view, "Min", &[raised, high], at)
    };
    for reader in readers {
        let at = At::Before(reader);
        let centred = step(view, "Sub", &[whole, zero_point], at);
        let floats = step(view, "Mul", &[centred, scale], at);
        if let Some(output) = view.node(reader).only_output()
            && view.substitute(output, floats)
        {
            view.remove_node(reader);
        }
    }
    if view.value(integers).uses().is_empty() {
        let zero = view.node(quantize).input(2);
        view.remove_node(quantize);
        if let Some(zero) = zero.filter(|&zero| view.value(zero).uses().is_empty()) {
            view.remove_initializer(zero);
        }
    }
}
