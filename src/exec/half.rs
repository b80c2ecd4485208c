//! Products of halves, which tract cannot type: computed with floats, as ONNX Runtime does on processors.

use crate::analysis::Shapes;
use crate::ir::{At, Attribute, Model, NewNode, NodeId};
use crate::tensor::DType;

/// Puts Casts around a Gemm of halves.
pub(super) fn spell_out(view: &mut Model, node: NodeId, shapes: &Shapes) {
    let entry = view.node(node);
    let halves =
        |slot: usize| entry.input(slot).and_then(|x| shapes.dtype(x)) == Some(DType::Float16);
    if !entry.is("Gemm") || !(halves(0) || halves(1)) {
        return;
    }
    let (graph, name) = (entry.graph(), view.name_of(node).to_owned());
    let inputs: Vec<_> = entry.inputs().iter().flatten().copied().collect();
    let attributes: Vec<Attribute> = entry.attributes().to_vec();
    let to = |dtype: DType| i64::from(dtype.to_onnx());
    let mut floats = Vec::new();
    for input in inputs {
        let cast = NewNode::new("Cast", &[input], &format!("{name}_float"));
        let cast = view.add_node(graph, At::Before(node), cast.attr("to", to(DType::Float)));
        floats.extend(view.node(cast).output(0));
    }
    let product = NewNode::new("Gemm", &floats, &format!("{name}_product"));
    let product = view.add_node(graph, At::Before(node), product);
    attributes.into_iter().for_each(|attribute| view.set_attr(product, attribute));
    let product = view.node(product).output(0);
    let half = Attribute::new("to", to(DType::Float16));
    view.turn_into(node, "", "Cast", &[product], vec![half]);
}
