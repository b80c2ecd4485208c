//! Operators of com.microsoft that read weights as integers and give floats, in terms of the float operator.

use crate::analysis::{constant, unpacked_matrix, unpacked_table};
use crate::ir::ops::MICROSOFT;
use crate::ir::{At, Attribute, Model, NewNode, Node, NodeId, ValueId};
use crate::tensor::Tensor;

const OPERATORS: &[&str] = &["DynamicQuantizeLSTM", "GatherBlockQuantized", "MatMulNBits"];

/// Whether [`spell_out`] knows the operator.
pub(super) fn is_spelled_out(node: &Node) -> bool {
    node.domain() == MICROSOFT && OPERATORS.contains(&node.op())
}

/// Puts the float operator in the place of one whose weights are constants.
pub(super) fn spell_out(view: &mut Model, id: NodeId) {
    if is_spelled_out(view.node(id)) {
        let _ = match view.node(id).op() {
            "GatherBlockQuantized" => table(view, id),
            "MatMulNBits" => product(view, id),
            _ => lstm(view, id),
        };
    }
}

/// MatMulNBits has its bias there.
const NBITS_BIAS: usize = 5;

/// A MatMul, and an Add of the bias.
fn product(view: &mut Model, id: NodeId) -> Option<()> {
    let matrix = unpacked_matrix(view, id)?;
    let entry = view.node(id);
    let (x, bias, graph) = (entry.input(0)?, entry.input(NBITS_BIAS), entry.graph());
    let read: Vec<ValueId> = entry.inputs().iter().flatten().copied().collect();
    let matrix = view.add_initializer(view.main(), "spelled_out", matrix);
    match bias {
        None => view.turn_into(id, "", "MatMul", &[Some(x), Some(matrix)], Vec::new()),
        Some(bias) => {
            let product = NewNode::new("MatMul", &[x, matrix], "spelled_out");
            let product = view.add_node(graph, At::Before(id), product);
            let product = view.node(product).only_output();
            view.turn_into(id, "", "Add", &[product, Some(bias)], Vec::new());
        }
    }
    sweep(view, &read);
    Some(())
}

/// A Gather of the table in floats.
fn table(view: &mut Model, id: NodeId) -> Option<()> {
    let table = unpacked_table(view, id)?;
    let entry = view.node(id);
    let read: Vec<ValueId> = entry.inputs().iter().flatten().copied().collect();
    let axis = Attribute::new("axis", entry.attr_int("gather_axis").unwrap_or(0));
    let indices = entry.input(1);
    let table = view.add_initializer(view.main(), "spelled_out", table);
    view.turn_into(id, "", "Gather", &[Some(table), indices], vec![axis]);
    sweep(view, &read);
    Some(())
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
