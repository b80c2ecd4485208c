//! Whole models: inputs, declarations, computed shapes, bodies.

use proptest::prelude::*;

use super::*;
use crate::ir::{At, AttrValue, Dim, DimSize, GraphId, Info, NewNode, TensorType, ValueType};
use crate::tensor::Tensor;

fn text(shapes: &Shapes, value: ValueId) -> String {
    let dims = shapes.dims(value).unwrap();
    dims.iter().map(Term::to_string).collect::<Vec<_>>().join(" ")
}

fn open(name: &str) -> Dim {
    Dim { size: DimSize::Symbol(name.to_owned()), denotation: None }
}

fn float(dims: Vec<Dim>) -> TensorType {
    TensorType { dims: Some(dims), ..TensorType::of(DType::Float) }
}

fn add(model: &mut Model, graph: GraphId, node: NewNode) -> ValueId {
    let id = model.add_node(graph, At::End, node);
    model.node(id).output(0).unwrap()
}

fn ints(model: &mut Model, xs: &[i64]) -> ValueId {
    let main = model.main();
    model.add_initializer(main, "ints", Tensor::from_i64(&[xs.len()], xs))
}

fn scalar(model: &mut Model, x: i64) -> ValueId {
    let main = model.main();
    model.add_initializer(main, "scalar", Tensor::from_i64(&[], &[x]))
}

/// Flattening as exporters write it: Shape, Gather, Unsqueeze, Concat, Reshape.
fn computed_reshape() -> (Model, ValueId) {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let dims = vec![open("N"), Dim::known(3), Dim::known(4), Dim::known(5)];
    let x = m.add_input(main, "x", float(dims));
    let (zero, one) = (scalar(&mut m, 0), scalar(&mut m, 1));
    let (axes, rest) = (ints(&mut m, &[0]), ints(&mut m, &[-1]));
    let shape = add(&mut m, main, NewNode::new("Shape", &[x], "shape"));
    let batch = add(&mut m, main, NewNode::new("Gather", &[shape, zero], "batch"));
    let twice = add(&mut m, main, NewNode::new("Add", &[batch, one], "more"));
    let less = add(&mut m, main, NewNode::new("Sub", &[twice, one], "less"));
    let vector = add(&mut m, main, NewNode::new("Unsqueeze", &[less, axes], "vector"));
    let concat = NewNode::new("Concat", &[vector, rest], "target").attr("axis", 0);
    let target = add(&mut m, main, concat);
    let y = add(&mut m, main, NewNode::new("Reshape", &[x, target], "y"));
    (m, y)
}

#[test]
fn a_computed_reshape_is_followed() {
    let (model, y) = computed_reshape();
    let shapes = Shapes::infer(&model, &Assume::one_sample());
    assert_eq!(shapes.fixed_dims(y), Some(vec![1, 60]));
    assert_eq!(shapes.dtype(y), Some(DType::Float));
    let any = Shapes::infer(&model, &Assume::default());
    assert_eq!(any.dims(y), Some(&[Term::named("N"), Term::Known(60)][..]));
    let five = Shapes::infer(&model, &Assume::default().symbol("N", 5));
    assert_eq!(five.elements(y), Some(300));
    let given = Shapes::infer(&model, &Assume::default().input("x", &[2, 1, 2, 3]));
    assert_eq!(given.fixed_dims(y), Some(vec![2, 6]));
}

#[test]
fn partly_known_contents_are_told() {
    let (model, y) = computed_reshape();
    let target = model.node(model.value(y).producer().unwrap()).input(1).unwrap();
    let shapes = Shapes::infer(&model, &Assume::default());
    assert_eq!(shapes.contents(target), Some(&[Term::named("N"), Term::Known(-1)][..]));
}

#[test]
fn declarations_fill_gaps_but_never_win() {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::with_dims(DType::Float, &[2, 3]));
    let known = add(&mut m, main, NewNode::new("Relu", &[x], "known"));
    let custom = NewNode { domain: "custom".into(), ..NewNode::new("Thing", &[x], "custom") };
    let opaque = add(&mut m, main, custom);
    for value in [known, opaque] {
        let ty = ValueType::Tensor(TensorType::with_dims(DType::Float, &[7, 3]));
        m.set_info(value, Info { ty: Some(ty), ..Info::default() });
    }
    let shapes = Shapes::infer(&m, &Assume::default());
    assert_eq!(shapes.fixed_dims(known), Some(vec![2, 3]));
    assert_eq!(shapes.fixed_dims(opaque), Some(vec![7, 3]));
    // An input of other extents than declared makes the other declarations void.
    let other = Shapes::infer(&m, &Assume::default().input("x", &[4, 3]));
    assert_eq!(other.fixed_dims(known), Some(vec![4, 3]));
    assert_eq!(other.dims(opaque), None);
}

/// `If(condition) { Concat(x, x) } else { Relu(x) }` on `x: [2, 3]`.
fn branches(condition: Option<bool>) -> (Model, ValueId) {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::with_dims(DType::Float, &[2, 3]));
    let c = match condition {
        None => m.add_input(main, "c", TensorType::with_dims(DType::Bool, &[])),
        Some(c) => {
            let tensor = Tensor::new(DType::Bool, vec![], vec![u8::from(c)].into()).unwrap();
            m.add_initializer(main, "c", tensor)
        }
    };
    let yes = m.add_graph("yes", None);
    let no = m.add_graph("no", None);
    let double = add(&mut m, yes, NewNode::new("Concat", &[x, x], "double").attr("axis", 0));
    m.add_output(yes, double, None);
    let relu = add(&mut m, no, NewNode::new("Relu", &[x], "relu"));
    m.add_output(no, relu, None);
    let node = NewNode::new("If", &[c], "y").attr("then_branch", yes).attr("else_branch", no);
    let y = add(&mut m, main, node);
    (m, y)
}

#[test]
fn branches_agree_where_they_can() {
    let (model, y) = branches(None);
    let shapes = Shapes::infer(&model, &Assume::default());
    assert_eq!(text(&shapes, y), "y[0] 3");
    let (model, y) = branches(Some(true));
    assert_eq!(Shapes::infer(&model, &Assume::default()).fixed_dims(y), Some(vec![4, 3]));
    let (model, y) = branches(Some(false));
    assert_eq!(Shapes::infer(&model, &Assume::default()).fixed_dims(y), Some(vec![2, 3]));
}

/// A Loop of 3 iterations whose body makes `op(state)` the next state and returns each state.
fn looped(op: fn(&mut Model, GraphId, ValueId) -> ValueId) -> (Model, ValueId, ValueId) {
    let mut m = Model::new(8, 17);
    let main = m.main();
    let x = m.add_input(main, "x", TensorType::with_dims(DType::Float, &[2, 3]));
    let count = scalar(&mut m, 3);
    let body = m.add_graph("body", None);
    m.add_input(body, "i", TensorType::with_dims(DType::Int64, &[]));
    let running = m.add_input(body, "running", TensorType::with_dims(DType::Bool, &[]));
    let state = m.add_input(body, "state", TensorType::of(DType::Float));
    let on = add(&mut m, body, NewNode::new("Identity", &[running], "on"));
    let next = op(&mut m, body, state);
    for output in [on, next, next] {
        m.add_output(body, output, None);
    }
    let mut node = NewNode::new("Loop", &[count], "last").attr("body", body);
    node.inputs.extend([None, Some(x)]);
    node.outputs.push("all".into());
    let id = m.add_node(main, At::End, node);
    let output = |slot| m.node(id).output(slot).unwrap();
    let (last, all) = (output(0), output(1));
    (m, last, all)
}

#[test]
fn loops_keep_extents_only_when_their_body_does() {
    let (model, last, all) = looped(|m, body, x| add(m, body, NewNode::new("Relu", &[x], "relu")));
    let shapes = Shapes::infer(&model, &Assume::default());
    assert_eq!(shapes.fixed_dims(last), Some(vec![2, 3]));
    assert_eq!(shapes.fixed_dims(all), Some(vec![3, 2, 3]));
    let (model, last, _) =
        looped(|m, body, x| add(m, body, NewNode::new("Concat", &[x, x], "grown").attr("axis", 1)));
    let shapes = Shapes::infer(&model, &Assume::default());
    assert_eq!(shapes.dims(last), None);
}

#[test]
fn a_default_is_taken_only_on_request() {
    let (mut model, _) = computed_reshape();
    let main = model.main();
    let target = model.add_input(main, "target", TensorType::with_dims(DType::Int64, &[2]));
    let x = model.graph(main).inputs()[0];
    let y = add(&mut model, main, NewNode::new("Reshape", &[x, target], "y2"));
    let shapes = Shapes::infer(&model, &Assume::one_sample());
    assert_eq!(text(&shapes, y), "y2[0] y2[1]");
}

/// Every operator with a rule, so that the test below cannot miss a new one for long.
const OPERATORS: &str = "Abs Add ArgMax AveragePool AffineGrid Attention BatchNormalization Cast \
    CastLike CenterCropPad Col2Im Compress Concat Constant ConstantOfShape Conv ConvInteger \
    ConvTranspose DFT DepthToSpace DequantizeLinear Det Div Dropout DynamicQuantizeLinear Einsum \
    Equal Expand Flatten GRU Gather GatherElements GatherND Gemm GlobalAveragePool GridSample \
    HannWindow Identity If LSTM LayerNormalization Loop MatMul MatMulInteger Max MaxPool \
    MaxRoiPool MaxUnpool Mean Mod Mul Multinomial Neg NonMaxSuppression NonZero OneHot Pad \
    QLinearConv QLinearMatMul QuantizeLinear RandomNormal Range ReduceProd ReduceSum Relu Reshape \
    Resize RoiAlign STFT Scan Shape Size Slice SpaceToDepth Split Squeeze Sub Sum Tile TopK \
    Transpose Unique Unsqueeze Upsample Where";

const INT_ATTRIBUTES: &[&str] = &[
    "axis",
    "keepdims",
    "group",
    "ceil_mode",
    "allowzero",
    "blocksize",
    "to",
    "layout",
    "k",
    "hidden_size",
    "onesided",
    "inverse",
    "batch_dims",
    "start",
    "end",
    "num_scan_inputs",
    "channels_last",
    "q_num_heads",
    "kv_num_heads",
    "transA",
    "output_height",
    "sample_size",
];

const LIST_ATTRIBUTES: &[&str] = &[
    "axes",
    "pads",
    "strides",
    "dilations",
    "kernel_shape",
    "perm",
    "shape",
    "split",
    "starts",
    "ends",
    "output_shape",
    "output_padding",
    "pooled_shape",
    "scan_input_axes",
];

fn extreme() -> impl Strategy<Value = i64> {
    prop_oneof![4 => -3i64..6, 1 => Just(i64::MIN), 1 => Just(i64::MAX), 1 => any::<i64>()]
}

fn some_input() -> impl Strategy<Value = (Vec<i64>, u8)> {
    (proptest::collection::vec(extreme(), 0..5), 0u8..4)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(4000))]

    #[test]
    fn no_node_makes_a_rule_panic(
        op in proptest::sample::select(OPERATORS.split_whitespace().collect::<Vec<_>>()),
        opset in prop_oneof![Just(1i64), Just(6), Just(9), Just(10), Just(13), Just(18), Just(22)],
        inputs in proptest::collection::vec(some_input(), 0..6),
        int_attributes in proptest::collection::vec(extreme(), INT_ATTRIBUTES.len()),
        lists in proptest::collection::vec(proptest::collection::vec(extreme(), 0..5), LIST_ATTRIBUTES.len()),
        kept in any::<u64>(),
        text in proptest::sample::select(vec!["SAME_UPPER", "VALID", "NOTSET", "ij,jk->ik", "...", "->", "bidirectional"]),
    ) {
        let mut m = Model::new(8, opset);
        let main = m.main();
        let mut node = NewNode::new(op, &[], "y");
        node.outputs.extend(["y1".into(), "y2".into()]);
        for (numbers, kind) in inputs {
            node.inputs.push(match kind {
                0 => None,
                1 => Some(ints(&mut m, &numbers)),
                2 => Some(scalar(&mut m, numbers.first().copied().unwrap_or(0))),
                _ => {
                    let dims = numbers.iter().map(|&n| Dim { size: DimSize::Known(n), denotation: None });
                    let ty = float(dims.collect());
                    Some(m.add_input(main, "x", ty))
                }
            });
        }
        let names = INT_ATTRIBUTES.iter().zip(int_attributes.into_iter().map(AttrValue::from));
        let names = names.chain(LIST_ATTRIBUTES.iter().zip(lists.into_iter().map(AttrValue::from)));
        for (i, (name, value)) in names.enumerate() {
            if kept >> i & 1 == 1 {
                node = node.attr(name, value);
            }
        }
        for name in ["auto_pad", "equation", "direction"] {
            node = node.attr(name, text);
        }
        if matches!(op, "If" | "Loop" | "Scan") {
            let body = m.add_graph("body", None);
            let state = m.add_input(body, "state", TensorType::of(DType::Float));
            m.add_input(body, "more", TensorType::of(DType::Float));
            m.add_output(body, state, None);
            node = node.attr("body", body);
        }
        m.add_node(main, At::End, node);
        for assume in [Assume::default(), Assume::one_sample()] {
            let shapes = Shapes::infer(&m, &assume);
            let _ = crate::analysis::Cost::of(&m, &shapes);
        }
    }
}

#[test]
fn calls_of_functions_are_followed() {
    let mut m = Model::new(10, 17);
    m.header.opsets.push(("local".to_owned(), 1));
    let main = m.main();
    let x = m.add_input(main, "x", float(vec![open("N"), Dim::known(6)]));
    let mut function = crate::ir::Function::new("local", "halves", 17);
    let a = function.add_input("a");
    let body = function.body.main();
    let split =
        NewNode { outputs: vec!["p".into(), "q".into()], ..NewNode::new("Split", &[a], "") };
    let id = function.body.add_node(body, At::End, split.attr("axis", -1));
    let p = function.body.node(id).output(0).unwrap();
    function.add_output(p);
    m.push_function(function);
    let y =
        add(&mut m, main, NewNode { domain: "local".into(), ..NewNode::new("halves", &[x], "y") });
    let shapes = Shapes::infer(&m, &Assume::default());
    assert_eq!(shapes.dims(y), Some(&[Term::named("N"), Term::Known(3)][..]));
    assert_eq!(shapes.dtype(y), Some(DType::Float));
}
