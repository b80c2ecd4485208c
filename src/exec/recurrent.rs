//! Recurrent layers as tract computes them rightly: forward, and with initial states.

use crate::analysis::constant;
use crate::error::{Result, err};
use crate::ir::{At, Attribute, Model, NewNode, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Slots of the initial states: hidden, and that of the cell of an LSTM.
const INITIAL: [usize; 2] = [5, 6];

/// Makes missing initial states explicit, which tract takes for those of a batch of one, and turns the sequence
/// around for a layer that reads it backwards.
///
/// # Errors
/// When a layer cannot be turned around.
pub(super) fn spell_out(view: &mut Model, id: NodeId) -> Result<()> {
    let node = view.node(id);
    if !["LSTM", "GRU", "RNN"].iter().any(|op| node.is(op)) {
        return Ok(());
    }
    let states = if node.is("LSTM") { 2 } else { 1 };
    for &slot in &INITIAL[..states] {
        if view.node(id).input(slot).is_none()
            && let Some(zeros) = zero_states(view, id)
        {
            view.set_input(id, slot, Some(zeros));
        }
    }
    let node = view.node(id);
    if node.attr_str("direction") == Some("reverse") {
        let label = view.label(id);
        turn_around(view, id)
            .ok_or_else(|| err!(Engine, "tract computes direction `reverse` wrongly").at(label))?;
    }
    Ok(())
}

/// Whether [`spell_out`] makes a layer that reads forward of one that reads backwards: not where sequences of other
/// lengths begin elsewhere.
pub(super) fn is_turned_around(node: &Node) -> bool {
    const LENGTHS: usize = 4;
    node.input(LENGTHS).is_none()
}

/// The axis of the sequence in what the layer reads and makes: the batch may come first.
fn time_axis(node: &Node) -> i64 {
    i64::from(is_batch_first(node))
}

fn is_batch_first(node: &Node) -> bool {
    node.attr_int("layout").unwrap_or(0) == 1
}

/// A state of zeros for each direction and element of the batch, which is known while running.
fn zero_states(view: &mut Model, id: NodeId) -> Option<ValueId> {
    let node = view.node(id);
    let (x, weight, recurrent) = (node.input(0)?, node.input(1)?, node.input(2)?);
    let batch_first = is_batch_first(node);
    let recurrent = constant(view, recurrent)?;
    let [directions, _, hidden] = recurrent.dims() else { return None };
    let [directions, hidden] = [directions, hidden].map(|&dim| dim as i64);
    let zero = match constant(view, weight)?.dtype() {
        DType::Float => Tensor::from_f32(&[1], &[0.0]),
        other => Tensor::from_f32_as(other, &[1], &[0.0]).ok()?,
    };
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
    if !is_turned_around(node) {
        return None;
    }
    let (axis, x, graph) = (time_axis(node), node.input(0)?, node.graph());
    let (op, mut inputs) = (node.op().to_owned(), node.inputs().to_vec());
    let outputs: Vec<_> = node.outputs().to_vec();
    let direction = |attribute: &&Attribute| attribute.name != "direction";
    let attributes = node.attributes().iter().filter(direction).cloned().collect();
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
        let (Some(old), Some(new)) = (output, view.node(forward).output(slot)) else { continue };
        let new = if slot == 0 { flipped(view, id, new, axis)? } else { new };
        if !view.can_substitute(old, new) {
            return None;
        }
        pairs.push((old, new));
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
