//! Recurrent layers as tract computes them rightly: forward, and with initial states.

use crate::analysis::constant;
use crate::error::{Result, err};
use crate::exec::lengths;
use crate::ir::{At, Attribute, Model, NewNode, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Slots of the initial states: hidden, and that of the cell of an LSTM.
const INITIAL: [usize; 2] = [5, 6];
/// The first operator set with ConstantOfShape.
const ZEROS_OPSET: i64 = 9;
/// The first operator set with Slice that goes backwards.
const TURN_OPSET: i64 = 10;

/// Why [`spell_out`] leaves something of a recurrent layer that tract computes wrongly.
pub(super) fn obstacle(model: &Model, node: &Node) -> Option<&'static str> {
    if node.input(lengths::LENGTHS).is_some() {
        lengths::obstacle(model, node)
    } else if node.attr_str("direction") == Some("reverse") && model.opset() < Some(TURN_OPSET) {
        Some("tract computes direction `reverse` wrongly")
    } else {
        None
    }
}

/// Makes missing initial states explicit, which tract takes for those of a batch of one, turns the sequence around
/// for a layer that reads it backwards, and spells lengths out.
///
/// # Errors
/// When a layer cannot be spelled out.
pub(super) fn spell_out(view: &mut Model, id: NodeId) -> Result<()> {
    let node = view.node(id);
    if !["LSTM", "GRU", "RNN"].iter().any(|op| node.is(op)) {
        return Ok(());
    }
    let states = if node.is("LSTM") { 2 } else { 1 };
    for &slot in &INITIAL[..states] {
        if view.node(id).input(slot).is_none()
            && view.opset() >= Some(ZEROS_OPSET)
            && let Some(zeros) = zero_states(view, id)
        {
            view.set_input(id, slot, Some(zeros));
        }
    }
    let node = view.node(id);
    if node.input(lengths::LENGTHS).is_some() {
        return lengths::spell_out(view, id);
    }
    if node.attr_str("direction") == Some("reverse") {
        let label = view.label(id);
        turn_around(view, id)
            .ok_or_else(|| err!(Engine, "tract computes direction `reverse` wrongly").at(label))?;
    }
    Ok(())
}

fn is_batch_first(node: &Node) -> bool {
    node.attr_int("layout").unwrap_or(0) == 1
}

/// The number of units of a layer.
pub(super) fn units(view: &Model, node: &Node) -> Option<i64> {
    let of_weights = || {
        let recurrent = constant(view, node.input(2)?)?;
        i64::try_from(*recurrent.dims().get(2)?).ok()
    };
    node.attr_int("hidden_size").or_else(of_weights)
}

/// A zero of the type that a layer computes with: that of its weights, which may be made of integers.
pub(super) fn zero(view: &Model, node: &Node, dims: &[usize]) -> Option<Tensor> {
    let weight = node.input(1)?;
    let made_of = view.value(weight).producer().map(|producer| view.node(producer));
    let scale = made_of.filter(|node| node.is("DequantizeLinear")).and_then(|node| node.input(1));
    let like = constant(view, weight).or_else(|| constant(view, scale?));
    let dtype = like.map_or(DType::Float, |like| like.dtype());
    Tensor::from_f32_as(dtype, dims, &vec![0.0; dims.iter().product()]).ok()
}

/// A state of zeros for each direction and element of the batch, which is known while running.
fn zero_states(view: &mut Model, id: NodeId) -> Option<ValueId> {
    let node = view.node(id);
    let (x, hidden, zero) = (node.input(0)?, units(view, node)?, zero(view, node, &[1])?);
    let directions = if node.attr_str("direction") == Some("bidirectional") { 2 } else { 1 };
    let batch_first = is_batch_first(node);
    let graph = view.node(id).graph();
    let number = |view: &mut Model, n: i64| {
        view.add_initializer(graph, "dims", Tensor::from_i64(&[1], &[n]))
    };
    let step = |view: &mut Model, node: NewNode| {
        let made = view.add_node(graph, At::Before(id), node);
        view.node(made).only_output()
    };
    let shape = step(view, NewNode::new("Shape", &[x], "dims"))?;
    let axis = number(view, i64::from(!batch_first));
    let batch = step(view, NewNode::new("Gather", &[shape, axis], "batch"))?;
    let (directions, hidden) = (number(view, directions), number(view, hidden));
    let dims = if batch_first { [batch, directions, hidden] } else { [directions, batch, hidden] };
    let dims = step(view, NewNode::new("Concat", &dims, "dims").attr("axis", 0i64))?;
    step(view, NewNode::new("ConstantOfShape", &[dims], "zeros").attr("value", zero))
}

/// Reads the sequence from its end with a layer that reads forward, and turns the output back.
fn turn_around(view: &mut Model, id: NodeId) -> Option<()> {
    let node = view.node(id);
    let (axis, x, graph) = (i64::from(is_batch_first(node)), node.input(0)?, node.graph());
    let (op, mut inputs) = (node.op().to_owned(), node.inputs().to_vec());
    let outputs: Vec<_> = node.outputs().to_vec();
    let plain = |attribute: &&Attribute| attribute.name != "direction";
    let attributes = node.attributes().iter().filter(plain).cloned().collect();
    let name = format!("{}_forward", view.name_of(id));
    inputs[0] = Some(flipped(view, id, x, axis)?);
    let forward = NewNode {
        op,
        name,
        inputs,
        outputs: vec!["forward".to_owned(); outputs.len()],
        attributes,
        ..NewNode::default()
    };
    let forward = view.add_node(graph, At::Before(id), forward);
    let mut pairs = Vec::new();
    for (slot, output) in outputs.into_iter().enumerate() {
        let new = view.node(forward).output(slot)?;
        let new = if slot == 0 { flipped(view, id, new, axis)? } else { new };
        pairs.push((output, new));
    }
    replace(view, id, &pairs)
}

/// Lets values stand for the outputs of a node, under their names, and removes it. `None`, and nothing is changed,
/// when that is impossible.
pub(super) fn replace(
    view: &mut Model,
    id: NodeId,
    pairs: &[(Option<ValueId>, ValueId)],
) -> Option<()> {
    let pairs: Vec<_> = pairs.iter().filter_map(|&(old, new)| Some((old?, new))).collect();
    if !pairs.iter().all(|&(old, new)| view.can_substitute(old, new)) {
        return None;
    }
    let names = pairs.iter().map(|&(old, _)| view.value(old).name().to_owned());
    let names: Vec<String> = names.collect();
    for &(old, new) in &pairs {
        view.substitute(old, new);
    }
    view.remove_node(id);
    // Values are observed by their names.
    for (&(_, new), name) in pairs.iter().zip(&names) {
        if view.value(new).name() != name {
            view.rename(new, name);
        }
    }
    Some(())
}

/// `x` from its end on.
fn flipped(view: &mut Model, before: NodeId, x: ValueId, axis: i64) -> Option<ValueId> {
    let graph = view.node(before).graph();
    let mut inputs = vec![x];
    for n in [-1, i64::MIN + 1, axis, -1] {
        inputs.push(view.add_initializer(graph, "bounds", Tensor::from_i64(&[1], &[n])));
    }
    let made = view.add_node(graph, At::Before(before), NewNode::new("Slice", &inputs, "turned"));
    view.node(made).only_output()
}
