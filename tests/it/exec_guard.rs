//! What tract would compute wrongly, or cannot compute, is refused with the name of the node.

use onnxpress::ErrorKind;
use onnxpress::data::Options;
use onnxpress::ir::{Model, NewNode, ValueId};
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
    let reverse = refused(&[4, 1, 2], |model, x| {
        let weight = |model: &mut Model, name: &str, width: usize| {
            let zeros = Tensor::from_f32(&[1, 12, width], &vec![0.1; 12 * width]);
            model.add_initializer(model.main(), name, zeros)
        };
        let (w, r) = (weight(model, "w", 2), weight(model, "r", 3));
        let lstm = NewNode::new("LSTM", &[x, w, r], "memory").attr("hidden_size", 3i64);
        lstm.attr("direction", "reverse")
    });
    assert_eq!(reverse, "node `memory` (LSTM): tract computes direction `reverse` wrongly");
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

/// A Softmax over an axis of which every second element is used, found by fuzzing.
fn thinned(softmax: &str, between: &[&str]) -> Model {
    let source = format!(
        r#"<ir_version: 8, opset_import: ["" : 13]>
        main (float[1,2,4,1] x) => (float[1,2,2,1] y) <
            int64[1] start = {{0}}, int64[1] end = {{4}}, int64[1] axis = {{2}}, int64[1] step = {{2}}
        > {{
            soft = {softmax}
            {}
            [skip] y = Slice (last, start, end, axis, step)
        }}"#,
        between.join("\n")
    );
    onnxpress::read::text(&source).unwrap_or_else(|error| panic!("{error}"))
}

#[test]
fn a_stride_that_tract_would_move_through_softmax_is_refused() {
    let x = [("x".to_owned(), Tensor::from_f32(&[1, 2, 4, 1], &[0.0; 8]))];
    for (softmax, between) in [
        ("Softmax <axis = 2> (x)", vec!["last = Relu (soft)"]),
        ("LogSoftmax <axis = 1> (x)", vec!["a = Add (x, soft)", "last = Identity (a)"]),
    ] {
        let error = run(&thinned(softmax, &between), &x).err().unwrap();
        assert_eq!(error.kind, ErrorKind::Engine);
        let text = error.to_string();
        let expected = "tract may skip elements before it instead of at node `skip` (Slice)";
        assert!(text.ends_with(expected), "{text}");
    }
    let reshaped = ["shape = Shape (x)", "last = Reshape (soft, shape)"];
    let outputs = run(&thinned("Softmax <axis = 2> (x)", &reshaped), &x).unwrap();
    assert_eq!(floats(&outputs[0].1), [0.25; 4]);
}

#[test]
fn sparse_weights_are_refused_by_name() {
    let model = load("graphs/sparse_init.onnx");
    let x = samples(&model, "random:1", &Options::default()).run(0).unwrap().inputs;
    let error = run(&model, &x).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Engine);
    assert_eq!(error.to_string(), "initializer `w1`: tract does not know sparse initializers");
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
