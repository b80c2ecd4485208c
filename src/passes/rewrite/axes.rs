//! Axes are an attribute in older operator sets and an input in newer ones.

use crate::ir::{GraphId, Model, NewNode};
use crate::tensor::Tensor;

/// The version of the operator set since which an operator takes its axes as an input.
pub(in crate::passes) fn axes_are_input_since(op: &str) -> i64 {
    match op {
        "Squeeze" | "Unsqueeze" | "ReduceSum" => 13,
        _ => 18,
    }
}

/// `node` with `axes`, as the operator set of the model wants them; they become an initializer of
/// `graph` where they are an input.
pub(in crate::passes) fn with_axes(
    model: &mut Model,
    graph: GraphId,
    mut node: NewNode,
    axes: &[i64],
) -> NewNode {
    if model.opset_in_force() < axes_are_input_since(&node.op) {
        return node.attr("axes", axes.to_vec());
    }
    let name = format!("{}_axes", node.name);
    let tensor = Tensor::from_i64(&[axes.len()], axes);
    node.inputs.push(Some(model.add_initializer(graph, &name, tensor)));
    node
}
