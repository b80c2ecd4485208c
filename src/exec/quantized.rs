//! Quantization in terms that tract knows: it has 8-bit integers with one scale or one for each slice.

use crate::analysis::{constant, dequantized};
use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Integers that tract quantizes to and from.
const KNOWN: [DType; 3] = [DType::Int8, DType::Uint8, DType::Int32];

/// Spells out what a QuantizeLinear or DequantizeLinear does when tract lacks its type or its blocks.
/// Integers of up to 16 bits between the two become whole floats, which are exact.
pub(super) fn spell_out(view: &mut Model, node: NodeId) {
    let entry = view.node(node);
    if entry.is("DequantizeLinear") {
        if is_known(view, node, 0) && entry.attr_int("block_size").unwrap_or(0) == 0 {
            return;
        }
        if let Some(floats) = dequantized(view, node) {
            fold(view, node, floats);
        }
    } else if entry.is("Cast") {
        let packed = entry.input(0).and_then(|value| constant(view, value));
        let packed = packed.filter(|integers| integers.dtype().bits() < 8);
        let to_float = entry.attr_int("to") == Some(i64::from(DType::Float.to_onnx()));
        if let (Some(Ok(floats)), true) = (packed.as_ref().map(Tensor::to_f32), to_float) {
            let dims = packed.as_ref().map(Tensor::dims).unwrap_or_default();
            fold(view, node, Tensor::from_f32(dims, &floats));
        }
    } else if entry.is("QuantizeLinear") && !is_known(view, node, 2) {
        whole_floats(view, node);
    }
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

/// The type of the constant in `slot` is known to tract; so is what is no constant, or missing.
fn is_known(view: &Model, node: NodeId, slot: usize) -> bool {
    let value = view.node(node).input(slot);
    value.and_then(|value| constant(view, value)).is_none_or(|q| KNOWN.contains(&q.dtype()))
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
    let (Some((low, high)), Ok(zeros), true) =
        (zero.dtype().integer_range(), zero.to_f32(), all && !view.value(integers).is_output())
    else {
        return;
    };
    let [zero_point] = zeros[..] else { return };
    let graph = view.node(quantize).graph();
    let number = |view: &mut Model, x: f32| {
        view.add_initializer(graph, "number", Tensor::from_f32(&[], &[x]))
    };
    let (low, high) = (number(view, low as f32), number(view, high as f32));
    let zero_point = number(view, zero_point);
    let at = At::Before(quantize);
    let step = |view: &mut Model, op: &str, inputs: &[ValueId], at: At| {
        let node = view.add_node(graph, at, NewNode::new(op, inputs, "spelled_out"));
        view.node(node).only_output().unwrap_or(x)
    };
    let divided = step(view, "Div", &[x, scale], at);
    let rounded = step(view, "Round", &[divided], at);
    let moved = step(view, "Add", &[rounded, zero_point], at);
    let raised = step(view, "Max", &[moved, low], at);
    let whole = step(view, "Min", &[raised, high], at);
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
