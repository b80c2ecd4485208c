//! Operators of com.microsoft that read weights as integers and give floats, in terms of the float operator.

use crate::analysis::constant;
use crate::ir::ops::MICROSOFT;
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::tensor::Tensor;

/// Whether [`spell_out`] knows the operator.
pub(super) fn is_spelled_out(node: &Node) -> bool {
    node.domain() == MICROSOFT && node.op() == "DynamicQuantizeLSTM"
}

/// Puts the float operator in the place of one whose weights are constants.
pub(super) fn spell_out(view: &mut Model, id: NodeId) {
    if is_spelled_out(view.node(id)) {
        let _ = lstm(view, id);
    }
}

/// DynamicQuantizeLSTM has the inputs of LSTM first.
const LSTM_INPUTS: usize = 8;
/// Its weights and recurrent weights, each with the slots of scale and zero point.
const LSTM_FACTORS: [[usize; 3]; 2] = [[1, 8, 9], [2, 10, 11]];

/// An LSTM whose weights are the floats that the integers stand for; what it reads is not rounded.
fn lstm(view: &mut Model, id: NodeId) -> Option<()> {
    let mut inputs = view.node(id).inputs().to_vec();
    inputs.resize(LSTM_INPUTS + 4, None);
    let mut floats = Vec::new();
    for slots in LSTM_FACTORS {
        let [weight, scale, zero] = slots.map(|slot| inputs[slot]);
        floats.push(factor(view, weight?, scale?, zero?)?);
    }
    let read: Vec<ValueId> = view.node(id).inputs().iter().flatten().copied().collect();
    for ([slot, ..], tensor) in LSTM_FACTORS.into_iter().zip(floats) {
        inputs[slot] = Some(view.add_initializer(view.main(), "spelled_out", tensor));
    }
    let attributes = view.node(id).attributes().to_vec();
    view.turn_into(id, "", "LSTM", &inputs[..LSTM_INPUTS], attributes);
    view.trim_inputs(id);
    sweep(view, &read);
    Some(())
}

/// `[directions, gates, inputs]` of the integers `[directions, inputs, gates]` with a scale and zero point
/// for each direction or gate.
fn factor(view: &Model, weight: ValueId, scale: ValueId, zero: ValueId) -> Option<Tensor> {
    let integers = constant(view, weight)?;
    let &[directions, inputs, gates] = integers.dims() else { return None };
    let numbers = |value: ValueId| {
        let numbers = constant(view, value)?.to_f32().ok()?;
        let each = numbers.len().checked_div(directions)?;
        [1, gates].contains(&each).then_some(numbers)
    };
    let (scales, zeros, integers) = (numbers(scale)?, numbers(zero)?, integers.to_f32().ok()?);
    let of = |numbers: &[f32], direction: usize, gate: usize| {
        let each = numbers.len() / directions;
        numbers[direction * each + gate % each]
    };
    let at = |i: usize| {
        let (direction, gate, input) = (i / inputs / gates, i / inputs % gates, i % inputs);
        let q = integers[(direction * inputs + input) * gates + gate];
        (q - of(&zeros, direction, gate)) * of(&scales, direction, gate)
    };
    let floats: Vec<f32> = (0..integers.len()).map(at).collect();
    Some(Tensor::from_f32(&[directions, gates, inputs], &floats))
}

/// Takes constants away that nobody reads any more: tract reads all of them.
fn sweep(view: &mut Model, values: &[ValueId]) {
    for &value in values {
        if view.is_live_value(value) && view.value(value).uses().is_empty() {
            view.remove_initializer(value);
        }
    }
}
