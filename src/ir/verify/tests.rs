//! One small model for each rule.

use std::time::Instant;

use bytes::Bytes;

use crate::ir::{
    At, AttrValue, Attribute, Def, Function, GraphId, Info, Model, NewNode, NodeId, TensorType,
    ValueId, ValueType,
};
use crate::tensor::{DType, Tensor};

/// A model with a float input `x` that returns what `build` makes of it.
fn model(opset: i64, build: impl FnOnce(&mut Model, ValueId) -> NodeId) -> Model {
    let mut model = Model::new(8, opset);
    let main = model.main();
    let x = model.add_input(main, "x", TensorType::with_dims(DType::Float, &[1, 4]));
    let node = build(&mut model, x);
    let outputs: Vec<ValueId> = model.node(node).outputs().iter().flatten().copied().collect();
    outputs.into_iter().for_each(|output| model.add_output(main, output, None));
    model
}

/// A model of one node on `inputs` copies of `x`.
fn one(opset: i64, op: &str, inputs: usize, edit: impl FnOnce(NewNode) -> NewNode) -> Model {
    model(opset, |model, x| {
        let node = edit(NewNode::new(op, &vec![x; inputs], "y"));
        model.add_node(model.main(), At::End, node)
    })
}

/// A model of one node on `x` and weights.
fn weighted(op: &str, weights: &[Tensor], edit: impl FnOnce(NewNode) -> NewNode) -> Model {
    model(13, |model, x| {
        let main = model.main();
        let weights = ["w", "b", "c", "d"].iter().zip(weights).map(|(name, w)| (name, w.clone()));
        let mut inputs = vec![x];
        for (name, tensor) in weights.collect::<Vec<_>>() {
            inputs.push(model.add_initializer(main, name, tensor));
        }
        model.add_node(main, At::End, edit(NewNode::new(op, &inputs, "y")))
    })
}

fn zeros(dims: &[usize]) -> Tensor {
    Tensor::from_f32(dims, &vec![0.0; dims.iter().product()])
}

/// The only violation, as a message.
#[track_caller]
fn broken(model: &Model) -> String {
    let violations = model.verify().expect_err("a rule is broken");
    assert_eq!(violations.len(), 1, "{violations:?}");
    violations[0].to_string()
}

/// The only warning of a valid model.
#[track_caller]
fn odd(model: &Model) -> String {
    model.verify().expect("no rule is broken");
    let warnings = model.warnings();
    assert_eq!(warnings.len(), 1, "{warnings:?}");
    warnings[0].to_string()
}

#[track_caller]
fn fine(model: &Model) {
    assert_eq!(model.verify().err(), None);
    assert_eq!(model.warnings(), []);
}

fn relu() -> Model {
    one(13, "Relu", 1, |node| node)
}

fn edited(edit: impl FnOnce(&mut Model)) -> Model {
    let mut model = relu();
    edit(&mut model);
    model
}

#[test]
fn versions_must_make_sense() {
    fine(&relu());
    let ir = |version| edited(|model| model.header.ir_version = version);
    assert_eq!(broken(&ir(None)), "model: ir_version is missing; every ONNX file states it");
    for version in [0, -1, 9999] {
        let text = format!("model: ir_version is {version}; known are IR versions 1 to 14");
        assert_eq!(broken(&ir(Some(version))), text);
    }
    assert!(odd(&ir(Some(15))).contains("ir_version 15 is newer"));
    let opset = |version| edited(|model| model.header.opsets[0].1 = version);
    for version in [0, -1, 9999, i64::MAX, (1 << 32) + 17] {
        let text =
            format!("operator set `ai.onnx`: version {version}; onnxpress knows versions 1 to 28");
        assert_eq!(broken(&opset(version)), text);
    }
    assert!(odd(&opset(30)).contains("so its operators are not checked"));
    let none = edited(|model| model.header.opsets.clear());
    assert_eq!(none.verify().unwrap_err().len(), 2);
    let first = edited(|model| {
        model.header.opsets.clear();
        model.header.ir_version = Some(2);
    });
    fine(&first);
    let twice = edited(|model| model.header.opsets.push(("ai.onnx".into(), 7)));
    assert!(broken(&twice).ends_with("is imported as version 13 and as version 7"));
}

#[test]
fn the_public_face_must_be_complete() {
    let untyped = edited(|model| {
        let x = model.graph(model.main()).inputs()[0];
        model.set_info(x, Info::default());
    });
    assert_eq!(broken(&untyped), "input `x`: declares no type");
    let mut silent = Model::new(8, 13);
    silent.add_input(silent.main(), "x", TensorType::of(DType::Float));
    assert!(broken(&silent).contains("has no output"));
    let twice = edited(|model| {
        for domain in ["", "ai.onnx"] {
            model.push_function(Function::new(domain, "F", 13));
        }
    });
    assert!(broken(&twice).starts_with("function `ai.onnx::F`: is defined twice"));
}

#[test]
fn initializers_must_hold_what_is_declared() {
    let declared = |dtype, dims: &[usize]| {
        let mut model = weighted("Add", &[zeros(&[4])], |node| node);
        let w = model.find_value(model.main(), "w").unwrap();
        let ty = Some(ValueType::Tensor(TensorType::with_dims(dtype, dims)));
        model.set_info(w, Info { ty, ..Info::default() });
        model
    };
    fine(&declared(DType::Float, &[4]));
    assert_eq!(
        broken(&declared(DType::Int64, &[4])),
        "initializer `w`: is declared as int64, but holds float"
    );
    assert!(odd(&declared(DType::Float, &[5])).contains("other dims than [4]"));
    let mut old = weighted("Add", &[zeros(&[4])], |node| node);
    old.header.ir_version = Some(3);
    assert!(odd(&old).contains("no graph inputs"));
}

#[test]
fn operators_must_exist_at_the_version_in_force() {
    assert_eq!(
        broken(&one(13, "Gelu", 1, |node| node)),
        "node `y` (Gelu): `Gelu` is an operator since version 20 of `ai.onnx`, but the model \
         imports version 13"
    );
    let early = one(11, "LayerNormalization", 2, |node| node);
    assert!(odd(&early).contains("ONNX Runtime runs it, other runtimes may not"));
    let unknown = one(13, "NoSuchOperator", 1, |node| node);
    assert!(odd(&unknown).contains("is no operator of `ai.onnx` and is kept as it is"));
    assert!(odd(&one(13, "Upsample", 2, |node| node)).contains("deprecated since version 10"));
    let custom = |node: NewNode| NewNode { domain: "acme".into(), ..node };
    let foreign = one(13, "Foo", 1, custom);
    assert_eq!(
        broken(&foreign),
        "node `y` (Foo): its domain `acme` is not among the opset imports"
    );
    let mut imported = foreign;
    imported.header.opsets.push(("acme".into(), 1));
    fine(&imported);
    let newer = edited(|model| model.header.opsets[0].1 = 29);
    newer.verify().unwrap();
}

#[test]
fn local_functions_stand_above_operators() {
    let mut model = one(13, "Relu", 3, |node| node);
    assert!(broken(&model).contains("number of inputs: expected 1, found 3"));
    let mut function = Function::new("ai.onnx", "Relu", 13);
    let inputs = ["a", "b", "c"].map(|name| function.add_input(name));
    function.add_output(inputs[0]);
    model.push_function(function);
    fine(&model);
}

#[test]
fn arity_must_fit() {
    let message = |op, inputs| broken(&one(13, op, inputs, |node| node));
    assert_eq!(message("Relu", 2), "node `y` (Relu): number of inputs: expected 1, found 2");
    assert_eq!(message("Add", 1), "node `y` (Add): number of inputs: expected 2, found 1");
    assert_eq!(message("Clip", 4), "node `y` (Clip): number of inputs: expected 1 to 3, found 4");
    let concat = one(13, "Concat", 0, |node| node.attr("axis", 0));
    assert_eq!(
        broken(&concat),
        "node `y` (Concat): number of inputs: expected at least 1, found 0"
    );
    let outputs = one(13, "Relu", 1, |mut node| {
        node.outputs.push("z".into());
        node
    });
    assert_eq!(broken(&outputs), "node `y` (Relu): number of outputs: expected 1, found 2");
    let gap = |op: &str, opset, slot: usize, count| {
        one(opset, op, count, |mut node| {
            node.inputs[slot] = None;
            node
        })
    };
    assert_eq!(
        broken(&gap("Add", 13, 1, 2)),
        "node `y` (Add): leaves out input 1 `B`, which it needs"
    );
    fine(&gap("Clip", 13, 1, 3));
    // Optional since version 13.
    assert!(odd(&gap("Resize", 11, 1, 3)).contains("leaves out input 1 `roi`"));
    let nothing = edited(|model| {
        let node = NewNode { op: "Relu".into(), name: "n".into(), ..NewNode::default() };
        model.add_node(model.main(), At::End, node);
    });
    assert_eq!(broken(&nothing), "node `n` (Relu): has neither inputs nor outputs");
}

#[test]
fn attributes_must_fit() {
    let leaky = |edit: fn(NewNode) -> NewNode| broken(&one(13, "LeakyRelu", 1, edit));
    assert_eq!(
        leaky(|node| node.attr("alpha", 0.1).attr("alpha", 0.2)),
        "node `y` (LeakyRelu): attribute `alpha` is given twice"
    );
    assert_eq!(
        leaky(|node| node.attr("alpha", 1)),
        "node `y` (LeakyRelu): attribute `alpha` has type INT, but LeakyRelu takes FLOAT"
    );
    assert!(leaky(|node| node.attr("beta", 1.0)).contains("attribute `beta` is unknown"));
    assert!(leaky(|node| node.attr("consumed_inputs", vec![1_i64])).contains("version 1 of"));
    assert!(leaky(|node| node.attr("", 1.0)).contains("attribute 0 has no name"));
    fine(&one(13, "LeakyRelu", 1, |node| node.attr("__cached", 1)));
    fine(&one(13, "LeakyRelu", 1, |mut node| {
        node.attributes.push(Attribute::new("alpha", AttrValue::Opaque));
        node
    }));
    assert_eq!(
        broken(&one(13, "Cast", 1, |node| node)),
        "node `y` (Cast): attribute `to` (INT) is missing"
    );
    let garbage = one(13, "Cast", 1, |node| node.attr("to", 9999));
    assert!(broken(&garbage).contains("`to` is 9999, which is no element type"));
    assert_eq!(
        broken(&one(13, "LeakyRelu", 1, |mut node| {
            let untyped = Attribute { untyped: true, ..Attribute::new("alpha", 0.5) };
            node.attributes.push(untyped);
            node
        })),
        "node `y` (LeakyRelu): attribute `alpha` does not state its type"
    );
    let many = one(13, "LeakyRelu", 1, |mut node| {
        node.domain = "acme".into();
        (0..40).fold(node, |node, i| node.attr(&format!("a{}", i % 39), 1))
    });
    assert!(many.verify().unwrap_err().iter().any(|v| v.message.contains("`a0` is given twice")));
}

#[test]
fn element_types_must_fit() {
    let ints = Tensor::from_i64(&[4], &[0; 4]);
    assert_eq!(
        broken(&weighted("Add", &[ints], |node| node)),
        "node `y` (Add): inputs `x` (float) and `w` (int64) must have one element type"
    );
    let shape = weighted("Reshape", &[zeros(&[1])], |node| node);
    assert_eq!(
        broken(&shape),
        "node `y` (Reshape): input `w` is float, but `shape` of Reshape at version 13 is one of: \
         int64"
    );
    let mut early = one(7, "Relu", 1, |node| node);
    let x = early.graph(early.main()).inputs()[0];
    let int8 = Some(ValueType::Tensor(TensorType::of(DType::Int8)));
    early.set_info(x, Info { ty: int8, ..Info::default() });
    assert!(odd(&early).contains("input `x` is int8"));
}

/// A model whose node `op` has bodies with these numbers of inputs and outputs.
fn with_bodies(op: &str, inputs: usize, bodies: &[(&str, usize, usize)]) -> Model {
    let mut model = one(13, "Identity", 1, |node| node);
    let main = model.main();
    let flag = Tensor::new(DType::Bool, vec![], Bytes::from_static(&[1])).unwrap();
    let c = model.add_initializer(main, "c", flag);
    let trips = model.add_initializer(main, "m", Tensor::from_i64(&[], &[1]));
    let x = model.graph(main).inputs()[0];
    let mut node = NewNode::new(op, &[c], "z");
    if op == "Loop" {
        node.inputs = vec![Some(trips), Some(c)];
        node.inputs.resize(inputs, Some(x));
    }
    for &(name, inputs, outputs) in bodies {
        let body: GraphId = model.add_graph(name, None);
        for _ in 0..inputs {
            model.add_input(body, "i", TensorType::of(DType::Float));
        }
        for _ in 0..outputs {
            let id = model.add_node(body, At::End, NewNode::new("Identity", &[x], "o"));
            let output = model.node(id).only_output().unwrap();
            model.add_output(body, output, None);
        }
        node = node.attr(name, body);
    }
    model.add_node(main, At::End, node);
    model
}

#[test]
fn bodies_must_fit_their_nodes() {
    fine(&with_bodies("If", 1, &[("then_branch", 0, 1), ("else_branch", 0, 1)]));
    let counts = with_bodies("If", 1, &[("then_branch", 0, 2), ("else_branch", 0, 1)]);
    assert_eq!(
        broken(&counts),
        "node `z` (If): `then_branch` has 2 outputs, but `else_branch` has 1"
    );
    let half = with_bodies("If", 1, &[("then_branch", 0, 1)]);
    assert_eq!(broken(&half), "node `z` (If): attribute `else_branch` (GRAPH) is missing");
    fine(&with_bodies("Loop", 3, &[("body", 3, 2)]));
    assert!(broken(&with_bodies("Loop", 3, &[("body", 2, 2)])).contains("gives its body 3 inputs"));
    assert!(broken(&with_bodies("Loop", 3, &[("body", 3, 1)])).contains("at least 2"));
}

#[test]
fn weights_must_fit_each_other() {
    let conv = |op, w: &[usize], b: usize| weighted(op, &[zeros(w), zeros(&[b])], |node| node);
    fine(&conv("Conv", &[64, 3, 3, 3], 64));
    assert_eq!(
        broken(&conv("Conv", &[64, 3, 3, 3], 32)),
        "node `y` (Conv): weight `w` has 64 output channels, bias `b` has 32"
    );
    assert!(broken(&conv("ConvTranspose", &[8, 3, 3, 3], 8)).contains("has 3 output channels"));
    assert!(broken(&conv("Conv", &[64, 3], 64)).contains("at least 3 axes"));
    let grouped = weighted("Conv", &[zeros(&[5, 1, 3])], |node| node.attr("group", 2));
    assert!(broken(&grouped).contains("2 groups do not divide"));
    assert_eq!(
        broken(&conv("Gemm", &[4, 8], 4)),
        "node `y` (Gemm): matrix `w` has 8 columns, bias `b` has 4"
    );
    fine(&weighted("Gemm", &[zeros(&[8, 4]), zeros(&[8])], |node| node.attr("transB", 1)));
    let norm = [zeros(&[4]), zeros(&[4]), zeros(&[3]), zeros(&[4])];
    assert!(broken(&weighted("BatchNormalization", &norm, |node| node)).contains("`c` has 3"));
    let lstm = |w: &[usize], r: &[usize], b: &[usize]| {
        weighted("LSTM", &[zeros(w), zeros(r), zeros(b)], |node| node.attr("hidden_size", 2))
    };
    fine(&lstm(&[1, 8, 4], &[1, 8, 2], &[1, 16]));
    assert!(broken(&lstm(&[1, 8, 4], &[1, 9, 2], &[1, 16])).contains("4 gates of 2 units need 8"));
    assert!(broken(&lstm(&[1, 8, 4], &[1, 8, 2], &[1, 8])).contains("16 are needed"));
    assert!(broken(&lstm(&[1, 4, 4], &[1, 8, 2], &[1, 16])).contains("dims [1, 4, 4]"));
}

#[test]
fn use_lists_must_agree() {
    let mut model = relu();
    let x = model.graph(model.main()).inputs()[0];
    let u = model.value(x).uses()[0];
    model.values[x.index()].uses.push(u);
    assert!(broken(&model).contains("use list"));
    model.values[x.index()].uses.retain(|_| false);
    assert!(broken(&model).contains("use list"));
    let mut model = relu();
    *model.def_mut(x) = Def::Undefined;
    model.graph_mut(GraphId::new(0)).inputs.clear();
    assert!(broken(&model).contains("not defined before the node"));
}

#[test]
fn long_chains_are_checked_in_linear_time() {
    const NODES: usize = 100_000;
    let chain = model(13, |model, x| {
        let mut value = x;
        let mut last = None;
        for _ in 0..NODES {
            // Without a name: making one of many equal names unique is slow.
            let node = NewNode { name: String::new(), ..NewNode::new("Relu", &[value], "v") };
            let node = model.add_node(model.main(), At::End, node);
            value = model.node(node).only_output().unwrap();
            last = Some(node);
        }
        last.unwrap()
    });
    let start = Instant::now();
    chain.verify().unwrap();
    // Quadratic time would take minutes.
    assert!(start.elapsed().as_secs() < 5, "{:?}", start.elapsed());
}
