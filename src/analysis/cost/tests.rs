use super::*;
use crate::analysis::Assume;
use crate::ir::{At, NewNode, TensorType};
use crate::tensor::{DType, element_count};

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::from_f32(dims, &vec![0.0; element_count(dims).unwrap()])
}

fn of(model: &Model) -> Cost {
    Cost::of(model, &Shapes::infer(model, &Assume::one_sample()))
}

fn add(model: &mut Model, graph: GraphId, node: NewNode) -> ValueId {
    let id = model.add_node(graph, At::End, node);
    model.node(id).output(0).unwrap()
}

/// `op` on `x` and float weights of these dims; its multiply-accumulates.
fn macs(x: &[usize], node: NewNode, weights: &[&[usize]]) -> Option<u64> {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::with_dims(DType::Float, x));
    let weights: Vec<_> =
        weights.iter().map(|dims| Some(m.add_initializer(main, "w", zeros(dims)))).collect();
    let inputs = std::iter::once(Some(x)).chain(weights).collect();
    add(&mut m, main, NewNode { inputs, ..node });
    of(&m).layers[0].macs
}

#[test]
fn each_kind_of_layer() {
    let new = |op| NewNode::new(op, &[], "y");
    let conv = new("Conv").attr("pads", vec![1, 1, 1, 1]).attr("group", 2);
    assert_eq!(macs(&[1, 4, 8, 8], conv, &[&[6, 2, 3, 3]]), Some(8 * 8 * 6 * 2 * 9));
    let transposed = new("ConvTranspose").attr("strides", vec![2, 2]);
    assert_eq!(macs(&[1, 4, 8, 8], transposed, &[&[4, 6, 3, 3]]), Some(4 * 8 * 8 * 6 * 9));
    assert_eq!(macs(&[1, 10], new("Gemm").attr("transB", 1), &[&[7, 10], &[7]]), Some(70));
    assert_eq!(macs(&[10, 1], new("Gemm").attr("transA", 1), &[&[10, 7]]), Some(70));
    assert_eq!(macs(&[2, 3, 10], new("MatMul"), &[&[10, 7]]), Some(2 * 3 * 10 * 7));
    assert_eq!(macs(&[10], new("MatMul"), &[&[10]]), Some(10));
    let einsum = new("Einsum").attr("equation", "bij,jk->bik");
    assert_eq!(macs(&[2, 3, 10], einsum, &[&[10, 7]]), Some(2 * 3 * 10 * 7));
    let lstm = new("LSTM").attr("hidden_size", 5).attr("direction", "bidirectional");
    let weights: [&[usize]; 2] = [&[2, 20, 3], &[2, 20, 5]];
    assert_eq!(macs(&[6, 1, 3], lstm, &weights), Some(6 * 2 * 20 * (3 + 5)));
    assert_eq!(
        macs(&[1, 4, 8, 8], new("Conv").attr("strides", vec![0, 0]), &[&[6, 4, 3, 3]]),
        None
    );
}

#[test]
fn quantized_weights_belong_to_the_layer_they_feed() {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::with_dims(DType::Float, &[1, 3]));
    let w = m.add_initializer(main, "w", Tensor::from_i8(&[4, 3], &[0; 12]));
    let scale = m.add_initializer(main, "s", zeros(&[]));
    let w = add(&mut m, main, NewNode::new("DequantizeLinear", &[w, scale], "dq"));
    let w = add(&mut m, main, NewNode::new("Transpose", &[w], "t"));
    add(&mut m, main, NewNode::new("MatMul", &[x, w], "y"));
    let cost = of(&m);
    assert_eq!((cost.macs, cost.unknown, cost.parameters, cost.weight_bytes), (12, 0, 13, 16));
    let layer = &cost.layers[0];
    assert_eq!((layer.parameters, layer.weight_bytes), (12, 12));
    assert_eq!((layer.op.as_str(), layer.name.as_str()), ("MatMul", "y"));
    assert_eq!(layer.output, Some(vec![1.into(), 4.into()]));
}

#[test]
fn a_layer_of_unknown_extents_is_counted_as_such() {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::of(DType::Float));
    let w = m.add_initializer(main, "w", zeros(&[3, 4]));
    add(&mut m, main, NewNode::new("MatMul", &[x, w], "y"));
    let cost = of(&m);
    assert_eq!((cost.macs, cost.unknown, cost.layers[0].parameters), (0, 1, 12));
}

/// A body that multiplies `x: [1, 3]` with weights `[3, columns]`.
fn product(m: &mut Model, x: ValueId, columns: usize) -> GraphId {
    let body = m.add_graph("body", None);
    let w = m.add_initializer(body, "w", zeros(&[3, columns]));
    let y = add(m, body, NewNode::new("MatMul", &[x, w], "y"));
    m.add_output(body, y, None);
    body
}

#[test]
fn bodies_count_by_branch_and_by_iteration() {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::with_dims(DType::Float, &[1, 3]));
    let c = m.add_input(main, "c", TensorType::with_dims(DType::Bool, &[]));
    let (yes, no) = (product(&mut m, x, 4), product(&mut m, x, 5));
    let branch = NewNode::new("If", &[c], "z").attr("then_branch", yes).attr("else_branch", no);
    add(&mut m, main, branch);
    assert_eq!((of(&m).macs, of(&m).layers.len(), of(&m).parameters), (15, 2, 27));

    let body = m.add_graph("loop", None);
    m.add_input(body, "i", TensorType::with_dims(DType::Int64, &[]));
    let running = m.add_input(body, "running", TensorType::with_dims(DType::Bool, &[]));
    let w = m.add_initializer(body, "w", zeros(&[3, 2]));
    let y = add(&mut m, body, NewNode::new("MatMul", &[x, w], "y"));
    let on = add(&mut m, body, NewNode::new("Identity", &[running], "on"));
    m.add_output(body, on, None);
    m.add_output(body, y, None);
    let count = m.add_initializer(main, "count", Tensor::from_i64(&[], &[10]));
    let node = m.add_node(main, At::End, NewNode::new("Loop", &[count], "all").attr("body", body));
    assert_eq!((of(&m).macs, of(&m).unknown), (15 + 10 * 6, 0));

    let open = m.add_input(main, "open", TensorType::with_dims(DType::Int64, &[]));
    m.set_input(node, 0, Some(open));
    assert_eq!((of(&m).macs, of(&m).unknown), (15 + 6, 1));
}
