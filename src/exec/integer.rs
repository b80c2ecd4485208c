//! Operators on integers that tract lacks, in terms of DequantizeLinear, the float operator and
//! QuantizeLinear: what they stand for.

use crate::analysis::constant;
use crate::ir::ops::{BiasType, IntegerForm, MICROSOFT, Output};
use crate::ir::{At, Attribute, Model, NewNode, Node, NodeId, ValueId};
use crate::tensor::Tensor;

/// Whether [`spell_out`] knows the operator.
pub(super) fn is_spelled_out(node: &Node) -> bool {
    IntegerForm::of(node).is_some() && node.domain() == MICROSOFT
}

/// Puts the float operator with its conversions in the place of an operator of com.microsoft.
/// Leaves a node alone that is none of these, or has no weights of constant extents.
pub(super) fn spell_out(view: &mut Model, id: NodeId) {
    let node = view.node(id);
    let Some(form) = IntegerForm::of(node).filter(|_| is_spelled_out(node)) else { return };
    let Some(y) = node.only_output() else { return };
    if node.attr_int("channels_last").unwrap_or(0) != 0 {
        return;
    }
    let Some(floats) = operands(view, id, form) else { return };
    let node = view.node(id);
    let attributes: Vec<Attribute> = node
        .attributes()
        .iter()
        .filter(|attribute| !form.extra.contains(&attribute.name.as_str()))
        .cloned()
        .collect();
    let mut inputs: Vec<Option<ValueId>> = Vec::new();
    for &slot in form.shared {
        put(&mut inputs, slot, node.input(slot));
    }
    for (slot, value) in floats {
        put(&mut inputs, slot, Some(value));
    }
    let bias = form.bias.and_then(|(slot, of)| Some((node.input(slot)?, of)));
    let made = match form.result {
        Output::Integer(slots) => Some(slots),
        Output::Either(slots) => node.input(slots[0]).map(|_| slots),
        Output::Float => None,
    };
    let given = made.map(|slots| slots.map(|slot| node.input(slot)));
    let bias = bias.map(|(bias, of)| match of {
        BiasType::Float => bias,
        BiasType::Integer => float_bias(view, id, form, bias),
    });
    let own = form.is_product() && form.float != "MatMul";
    if let Some(bias) = bias.filter(|_| own) {
        put(&mut inputs, 2, Some(bias));
    }
    let graph = view.node(id).graph();
    let op = NewNode {
        op: form.float.to_owned(),
        inputs,
        name: "spelled_out".to_owned(),
        outputs: vec!["spelled_out".to_owned()],
        attributes,
        ..NewNode::default()
    };
    let op = view.add_node(graph, At::Before(id), op);
    let mut result = output(view, op, y);
    if let Some(bias) = bias.filter(|_| !own) {
        result = step(view, id, "Add", &[result, bias]);
    }
    if let Some(parameters) = given {
        let inputs: Vec<ValueId> =
            std::iter::once(result).chain(parameters.into_iter().flatten()).collect();
        result = step(view, id, "QuantizeLinear", &inputs);
    }
    if view.substitute(y, result) {
        view.remove_node(id);
    }
}

/// For each operand the input of the float operator and the float behind a DequantizeLinear.
fn operands(view: &mut Model, id: NodeId, form: &IntegerForm) -> Option<Vec<(usize, ValueId)>> {
    let places = form.operands(view.node(id).inputs().len());
    let mut found = Vec::with_capacity(places.len());
    for (position, place) in places.into_iter().enumerate() {
        let [value, scale, zero] = place.integer.map(|slot| view.node(id).input(slot));
        let (value, scale) = (value?, scale?);
        let axis = match constant(view, scale).map_or(1, |scales| scales.len()) {
            1 => None,
            _ => Some(axis(view, id, form, position, value)?),
        };
        let graph = view.node(id).graph();
        let inputs = [Some(value), Some(single(view, scale)), zero.map(|zero| single(view, zero))];
        let node = NewNode {
            op: "DequantizeLinear".to_owned(),
            inputs: inputs.to_vec(),
            name: "spelled_out".to_owned(),
            outputs: vec!["spelled_out".to_owned()],
            attributes: axis.map(|axis| Attribute::new("axis", axis)).into_iter().collect(),
            ..NewNode::default()
        };
        let node = view.add_node(graph, At::Before(id), node);
        view.trim_inputs(node);
        found.push((place.float, output(view, node, value)));
    }
    Some(found)
}

/// The axis of several scales: that of the output channels of a constant weight.
fn axis(
    view: &Model,
    id: NodeId,
    form: &IntegerForm,
    position: usize,
    weight: ValueId,
) -> Option<i64> {
    if !form.is_product() || position != 1 {
        return None;
    }
    let rows = view.node(id).attr_int("transB").unwrap_or(0) != 0;
    match form.float {
        "Conv" => Some(0),
        "Gemm" => Some(i64::from(!rows)),
        _ => i64::try_from(constant(view, weight)?.dims().len()).ok().map(|rank| rank - 1),
    }
}

/// One scale or zero point as a scalar: DequantizeLinear takes a vector for one of an axis.
fn single(view: &mut Model, value: ValueId) -> ValueId {
    match constant(view, value) {
        Some(tensor) if tensor.len() == 1 && !tensor.dims().is_empty() => {
            let scalar = Tensor::new(tensor.dtype(), Vec::new(), tensor.bytes().clone());
            match scalar {
                Ok(scalar) => view.add_initializer(view.main(), "scalar", scalar),
                Err(_) => value,
            }
        }
        _ => value,
    }
}

/// An int32 bias as floats: times both scales, which stand along the last axis.
fn float_bias(view: &mut Model, id: NodeId, form: &IntegerForm, bias: ValueId) -> ValueId {
    let places = form.operands(view.node(id).inputs().len());
    let scales: Vec<ValueId> =
        places.iter().filter_map(|place| view.node(id).input(place.integer[1])).collect();
    let graph = view.node(id).graph();
    let cast = NewNode::new("Cast", &[bias], "spelled_out");
    let cast = cast.attr("to", i64::from(crate::tensor::DType::Float.to_onnx()));
    let cast = view.add_node(graph, At::Before(id), cast);
    let mut floats = output(view, cast, bias);
    for scale in scales {
        floats = step(view, id, "Mul", &[floats, scale]);
    }
    floats
}

fn put(inputs: &mut Vec<Option<ValueId>>, slot: usize, value: Option<ValueId>) {
    if inputs.len() <= slot {
        inputs.resize(slot + 1, None);
    }
    inputs[slot] = value;
}

fn step(view: &mut Model, before: NodeId, op: &str, inputs: &[ValueId]) -> ValueId {
    let graph = view.node(before).graph();
    let node = view.add_node(graph, At::Before(before), NewNode::new(op, inputs, "spelled_out"));
    output(view, node, inputs[0])
}

fn output(view: &Model, node: NodeId, otherwise: ValueId) -> ValueId {
    view.node(node).only_output().unwrap_or(otherwise)
}
