//! What tract would compute wrongly, or cannot compute, is refused with the name of the node.

use onnxpress::ErrorKind;
use onnxpress::data::Options;
use onnxpress::ir::{Model, NewNode, Sparse, ValueId};
use onnxpress::tensor::{DType, Tensor};

use crate::support::{add, add_input, add_output, floats, load, run, samples};

/// A model whose only node is `node` on an input `x`, and what the engine says to it.
fn refused(dims: &[usize], build: impl FnOnce(&mut Model, ValueId) -> NewNode) -> String {
    let mut model = Model::new(8, 17);
    let x = add_input(&mut model, "x", dims);
    let node = build(&mut model, x);
    let y = add(&mut model, node);
    add_output(&mut model, y);
    let zeros = vec![0.0; dims.iter().product()];
    let error = run(&model, &[("x".into(), Tensor::from_f32(dims, &zeros))]);
    let error = error.expect_err("it is refused");
    assert_eq!(error.kind, ErrorKind::Engine);
    error.to_string()
}

#[test]
fn what_tract_computes_wrongly_is_refused_by_name() {
    let cells = refused(&[4, 1, 2], |model, x| {
        let weight = |model: &mut Model, name: &str, width: usize| {
            let zeros = Tensor::from_f32(&[1, 12, width], &vec![0.1; 12 * width]);
            model.add_initializer(model.main(), name, zeros)
        };
        let (w, r) = (weight(model, "w", 2), weight(model, "r", 3));
        let lens = Tensor::new(DType::Int32, vec![1], vec![2, 0, 0, 0].into()).unwrap();
        let lens = model.add_initializer(model.main(), "lens", lens);
        let inputs = [Some(x), Some(w), Some(r), None, Some(lens)];
        let lstm = NewNode::new("LSTM", &[], "memory").attr("hidden_size", 3i64);
        let lstm = lstm.attr("layout", 1i64);
        NewNode { inputs: inputs.to_vec(), ..lstm }
    });
    let expected = "tract does not compute lengths of sequences with the batch first";
    assert_eq!(cells, format!("node `memory` (LSTM): {expected}"));
    let dropout = refused(&[4], |model, x| {
        let ratio = model.add_initializer(model.main(), "ratio", Tensor::from_f32(&[], &[0.5]));
        let yes = Tensor::new(DType::Bool, vec![], vec![1].into()).unwrap();
        let training = model.add_initializer(model.main(), "training", yes);
        NewNode::new("Dropout", &[x, ratio, training], "dropped")
    });
    assert_eq!(dropout, "node `dropped` (Dropout): training mode is random");
    let custom = refused(&[4], |model, x| {
        model.header.opsets.push(("com.example".into(), 1));
        NewNode { domain: "com.example".into(), ..NewNode::new("Relu", &[x], "mine") }
    });
    let expected = "node `mine` (Relu): operators of domain `com.example` are unknown to tract";
    assert_eq!(custom, expected, "a known name in another domain is another operator");
    let unknown = refused(&[4], |_, x| NewNode::new("Frobnicate", &[x], "odd"));
    assert_eq!(unknown, "node `odd` (Frobnicate): tract does not implement Frobnicate");
    let random = refused(&[4], |_, x| NewNode::new("RandomNormalLike", &[x], "noise"));
    assert_eq!(random, "node `noise` (RandomNormalLike): its output is random");
}

#[test]
fn sparse_weights_are_spelled_out() {
    let sparse = load("graphs/sparse_init.onnx");
    let mut dense = sparse.clone();
    dense.make_dense().unwrap();
    let weights = |model: &Model| model.sparse_initializers_of(model.main()).count();
    assert_eq!((weights(&sparse), weights(&dense)), (2, 0));
    let x = samples(&sparse, "random:1", &Options::default()).run(0).unwrap().inputs;
    let (of_sparse, of_dense) = (run(&sparse, &x).unwrap(), run(&dense, &x).unwrap());
    assert_eq!(floats(&of_sparse[0].1), floats(&of_dense[0].1));
    assert!(floats(&of_dense[0].1).iter().any(|&y| y != 0.0));
    // A few bytes can claim any size: the engine's limit is named, and no memory is taken.
    let mut huge = sparse.clone();
    let main = huge.main();
    let weight = huge.add_initializer(main, "huge", Tensor::from_f32(&[200], &[0.0; 200]));
    let mut stored = Sparse::of(huge.value(weight).initializer().unwrap()).unwrap();
    stored.dims = vec![1 << 40];
    assert!(huge.make_sparse(weight, stored));
    let error = run(&huge, &x).expect_err("it is refused");
    assert_eq!(error.kind, ErrorKind::Engine);
    assert!(error.to_string().starts_with("sparse initializer `huge`"), "{error}");
}

#[test]
fn inference_dropout_is_no_obstacle() {
    let mut model = Model::new(8, 17);
    let x = add_input(&mut model, "x", &[4]);
    let main = model.main();
    let ratio = model.add_initializer(main, "ratio", Tensor::from_f32(&[], &[0.5]));
    let no = Tensor::new(DType::Bool, vec![], vec![0].into()).unwrap();
    let training = model.add_initializer(main, "training", no);
    let y = add(&mut model, NewNode::new("Dropout", &[x, ratio, training], "y"));
    add_output(&mut model, y);
    let x = Tensor::from_f32(&[4], &[1.0, -2.0, 3.0, 4.0]);
    let outputs = run(&model, &[("x".into(), x.clone())]).unwrap();
    assert_eq!(floats(&outputs[0].1), floats(&x));
}
