//! Execution: what is observed is what is computed, for any batch and any choice of inputs.

use onnxpress::analysis::{Evaluate, constant};
use onnxpress::data::Options;
use onnxpress::exec::{Engine, Observation, Observe, Runner, Tap, Tract};
use onnxpress::ir::{At, Model, NewNode, ValueId};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::{ErrorKind, read};

use crate::support::{
    Named, add, add_input, add_output, fixture, floats, load, pixels, run, samples, value,
};

fn find<'a>(outputs: &'a Named, name: &str) -> &'a Tensor {
    let found = outputs.iter().find(|(known, _)| known == name);
    &found.unwrap_or_else(|| panic!("no output `{name}`")).1
}

#[test]
fn observed_values_are_those_that_outputs_would_be() {
    for name in ["digits_resnet_bn.onnx", "digits_transformer.onnx", "digits_mlp.onnx"] {
        let model = load(name);
        let batch = Options { batch: 3, ..pixels() };
        let inputs = samples(&model, fixture("digits_test.npz"), &batch).run(1).unwrap().inputs;
        let inner = model.values().filter(|(_, v)| v.producer().is_some() && !v.is_output());
        let inner: Vec<ValueId> = inner.map(|(id, _)| id).collect();
        let taps: Vec<String> = inner.iter().map(|&id| model.value(id).name().to_owned()).collect();
        let values = taps.iter().map(|tap| Tap { value: tap.clone(), observe: Observe::Value });
        let runner = Runner::new(&Tract, &model, values.collect());
        let executed = runner.run(&inputs).unwrap();
        let outputs = executed.outputs;
        let seen: Vec<Option<Tensor>> = executed
            .observed
            .into_iter()
            .map(|seen| match seen {
                Some(Observation::Value(tensor)) => Some(tensor),
                other => {
                    assert!(other.is_none(), "{name}: a value was asked for, not {other:?}");
                    None
                }
            })
            .collect();
        let plain = run(&model, &inputs).unwrap();
        assert_eq!(plain.len(), outputs.len());
        let mut open = model.clone();
        for &id in &inner {
            open.add_output(open.main(), id, None);
        }
        let expected = run(&open, &inputs).unwrap();
        for ((tap, &id), observed) in taps.iter().zip(&inner).zip(&seen) {
            let expected = find(&expected, tap);
            let Some(observed) = observed else {
                let same = expected.dtype() != DType::Float || same_in_every_run(&model, id);
                assert!(same, "{name}: `{tap}` was not shown");
                continue;
            };
            assert_eq!(observed, expected, "{name}: `{tap}` has another shape");
            assert_eq!(observed.bytes(), expected.bytes(), "{name}: `{tap}`");
        }
        // Looking does not change what comes out.
        for (name, tensor) in &plain {
            close(tensor, find(&outputs, name), 1e-5);
        }
    }
}

/// Whether a value depends on constants and on the shapes of the inputs alone.
fn same_in_every_run(model: &Model, value: ValueId) -> bool {
    match model.value(value).producer() {
        None => model.value(value).initializer().is_some(),
        Some(node) if model.node(node).is("Shape") => true,
        Some(node) => {
            model.node(node).inputs().iter().flatten().all(|&id| same_in_every_run(model, id))
        }
    }
}

/// Largest difference, as a share of the largest element.
fn close(a: &Tensor, b: &Tensor, bound: f32) {
    assert_eq!((a.dims(), a.dtype()), (b.dims(), b.dtype()));
    let (a, b) = (floats(a), floats(b));
    let largest = a.iter().fold(0f32, |m, x| m.max(x.abs()));
    let error = a.iter().zip(&b).fold(0f32, |m, (x, y)| m.max((x - y).abs()));
    assert!(error <= bound * largest, "differ by {error} where the largest is {largest}");
}

#[test]
fn a_batch_is_its_samples_one_by_one() {
    for name in ["digits_resnet_bn.onnx", "digits_transformer_dynamo.onnx"] {
        let model = load(name);
        let runner = Runner::new(&Tract, &model, Vec::new());
        let logits = |batch: usize, count: usize| -> Vec<f32> {
            let options = Options { batch, samples: Some(count), ..pixels() };
            let samples = samples(&model, fixture("digits_test.npz"), &options);
            let runs = (0..samples.runs()).flat_map(|i| {
                let outputs = runner.run(&samples.run(i).unwrap().inputs);
                floats(find(&outputs.unwrap().outputs, "logits"))
            });
            runs.collect()
        };
        let (single, batched) = (logits(1, 10), logits(4, 10));
        assert_eq!(single.len(), 100);
        let [single, batched] = [single, batched].map(|x| Tensor::from_f32(&[10, 10], &x));
        close(&single, &batched, 1e-5);
    }
}

#[test]
fn several_inputs_are_found_by_name() {
    let model = load("tokens_embedding.onnx");
    let samples = samples(&model, fixture("tokens_test.npz"), &Options::default());
    let mut inputs = samples.run(7).unwrap().inputs;
    assert_eq!(inputs.len(), 2);
    let expected = run(&model, &inputs).unwrap();
    inputs.reverse();
    assert_eq!(run(&model, &inputs).unwrap(), expected);
    let dropped = inputs.pop().unwrap().0;
    let error = run(&model, &inputs).err().unwrap();
    assert_eq!(error.kind, ErrorKind::Data);
    assert_eq!(error.to_string(), format!("input `{dropped}` of the model is not given"));
}

#[test]
fn weights_among_the_inputs_have_defaults_that_can_be_overridden() {
    let model = load("graphs/ir3_inputs.onnx");
    let x = samples(&model, "random:2", &Options::default()).run(0).unwrap().inputs;
    assert_eq!(x.len(), 1, "only the real input is asked for");
    let plain = run(&model, &x).unwrap();
    let listed = model.graph(model.main()).inputs().iter().copied();
    let (name, default) = listed
        .filter_map(|id| match model.value(id).def() {
            onnxpress::ir::Def::Input { default: Some(onnxpress::ir::Constant::Dense(stored)) } => {
                Some((model.value(id).name().to_owned(), stored.tensor.clone()))
            }
            _ => None,
        })
        .find(|(_, tensor)| tensor.dims().len() == 4)
        .unwrap();
    let with = |tensor: Tensor| {
        let inputs = [x.clone(), vec![(name.clone(), tensor)]].concat();
        run(&model, &inputs)
    };
    match with(default.clone()) {
        Ok(outputs) => close(&outputs[0].1, &plain[0].1, 1e-5),
        Err(error) => panic!("a default given explicitly: {error}"),
    }
    let doubled: Vec<f32> = floats(&default).iter().map(|x| 2.0 * x).collect();
    let outputs = with(Tensor::from_f32(default.dims(), &doubled)).unwrap();
    assert_ne!(floats(&outputs[0].1), floats(&plain[0].1), "the given weight is used");
}

#[test]
fn what_tract_reads_otherwise_is_spelled_out_for_it() {
    // Elements in typed fields; optional inputs left out in the middle and at the end. The numbers
    // are those of onnxruntime.
    for (name, dims, expected) in [
        (
            "typed_numeric",
            vec![2, 4],
            [-1.6120151, -2.986503, -1.755903, 1.3970706, 4.147953, 1.6375333, -2.986503],
        ),
        (
            "empty_optional",
            vec![1, 2, 4, 4],
            [-0.4005347, -0.4005347, 0.8300211, 0.8300211, -0.1475868, -0.1475868, -0.1360091],
        ),
    ] {
        let model = load(&format!("graphs/{name}.onnx"));
        let count: usize = dims.iter().product();
        let x: Vec<f32> = (0..count).map(|i| (i * 7 % 11) as f32 * 0.3 - 1.5).collect();
        let outputs = run(&model, &[("x".into(), Tensor::from_f32(&dims, &x))]).unwrap();
        let found = Tensor::from_f32(&[7], &floats(&outputs[0].1)[..7]);
        close(&Tensor::from_f32(&[7], &expected), &found, 1e-6);
    }
}

#[test]
fn names_of_nodes_and_values_may_coincide() {
    // In ONNX nodes and values have names of their own; in tract they have not.
    let mut model = Model::new(8, 17);
    let x = add_input(&mut model, "x", &[2]);
    let main = model.main();
    let c = model.add_initializer(main, "c", Tensor::from_f32(&[2], &[10.0, 20.0]));
    let named = |name: &str, op: &str, inputs: &[ValueId], output: &str| NewNode {
        name: name.into(),
        ..NewNode::new(op, inputs, output)
    };
    let a = add(&mut model, named("x", "Relu", &[x], "a"));
    let b = add(&mut model, named("d", "Add", &[a, c], "b"));
    let d = add(&mut model, named("", "Neg", &[b], "d"));
    let y = add(&mut model, named("c", "Add", &[d, b], "y"));
    add_output(&mut model, d);
    add_output(&mut model, y);
    let outputs = run(&model, &[("x".into(), Tensor::from_f32(&[2], &[-1.0, 1.0]))]).unwrap();
    assert_eq!(floats(find(&outputs, "d")), [-10.0, -21.0]);
    assert_eq!(floats(find(&outputs, "y")), [0.0, 0.0]);
}

/// Evaluates a node on constants.
fn evaluated(inputs: &[Tensor], node: impl FnOnce(&[ValueId]) -> NewNode) -> Vec<Option<Tensor>> {
    let mut model = Model::new(8, 17);
    let main = model.main();
    let values: Vec<ValueId> =
        inputs.iter().map(|tensor| model.add_initializer(main, "c", tensor.clone())).collect();
    let id = model.add_node(main, At::End, node(&values));
    let constants: Vec<Option<Tensor>> = model
        .node(id)
        .inputs()
        .iter()
        .map(|input| input.and_then(|value| constant(&model, value)))
        .collect();
    Tract.evaluate(&model, id, &constants).expect("the node can be computed")
}

#[test]
fn constants_are_evaluated() {
    let x = Tensor::from_f32(&[2, 3], &[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
    let y = Tensor::from_f32(&[3], &[10.0, 20.0, 30.0]);
    let sum = evaluated(&[x.clone(), y], |v| NewNode::new("Add", v, "sum"));
    let expected = Tensor::from_f32(&[2, 3], &[11.0, 22.0, 33.0, 14.0, 25.0, 36.0]);
    assert_eq!(sum, [Some(expected)]);
    let shape = evaluated(std::slice::from_ref(&x), |v| NewNode::new("Shape", v, "shape"));
    assert_eq!(shape, [Some(Tensor::from_i64(&[2], &[2, 3]))]);
    // An optional input that is left out in the middle.
    let most = Tensor::from_f32(&[], &[2.5]);
    let clipped = evaluated(&[x.clone(), most], |v| NewNode {
        inputs: vec![Some(v[0]), None, Some(v[1])],
        ..NewNode::new("Clip", &[], "clipped")
    });
    let expected = Tensor::from_f32(&[2, 3], &[1.0, 2.0, 2.5, 2.5, 2.5, 2.5]);
    assert_eq!(clipped, [Some(expected)]);
    let parts = evaluated(&[x], |v| NewNode {
        outputs: vec!["left".into(), "middle".into(), "right".into()],
        ..NewNode::new("Split", v, "left").attr("axis", 1i64)
    });
    let column = |a, b| Some(Tensor::from_f32(&[2, 1], &[a, b]));
    assert_eq!(parts, [column(1.0, 4.0), column(2.0, 5.0), column(3.0, 6.0)]);
}

#[test]
fn evaluating_what_has_bodies_or_is_wrong_is_an_error() {
    let model = load("graphs/if_captures.onnx");
    let branch = model.all_nodes().into_iter().find(|&node| model.node(node).is("If")).unwrap();
    let inputs = vec![None; model.node(branch).inputs().len()];
    let error = Tract.evaluate(&model, branch, &inputs).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unsupported);
    let mut model = Model::new(8, 17);
    let main = model.main();
    let [a, b] =
        [2, 3].map(|n| model.add_initializer(main, "c", Tensor::from_f32(&[n], &vec![0.0; n])));
    let node = model.add_node(main, At::End, NewNode::new("Add", &[a, b], "sum"));
    let inputs = [a, b].map(|id| constant(&model, id));
    let error = Tract.evaluate(&model, node, &inputs).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Engine, "{error}");
    assert!(model.is_live_value(value(&model, "sum")), "the model is as it was");
}

#[test]
fn calls_of_functions_run_and_are_observed_under_their_own_names() {
    let source = |body: &str, functions: &str| {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : 17, \"local\" : 1]>
             g (float[2,3] x) => (float[2,3] y) {{ {body} }} {functions}"
        );
        read::text(&text).unwrap_or_else(|error| panic!("{error}\n{text}"))
    };
    let called = source(
        "h = local.outer <alpha = 0.25> (x) y = Neg (h)",
        "<domain: \"local\", opset_import: [\"\" : 17, \"local\" : 1]>
         outer <alpha, beta = 0.5> (a, b) => (c) {
            s = ReduceSum <keepdims = 0> (a)
            p = Greater (s, s)
            t = local.inner <slope: float = @beta> (a)
            c = If (p) <
               then_branch = t () => (u) { u = Abs (t) },
               else_branch = e () => (v) { v = local.inner <slope: float = @alpha> (t) }
            >
         }
         <domain: \"local\", opset_import: [\"\" : 17]>
         inner <slope> (a) => (b) { b = LeakyRelu <alpha: float = @slope> (a) }",
    );
    let plain =
        source("t = LeakyRelu <alpha = 0.5> (x) h = LeakyRelu <alpha = 0.25> (t) y = Neg (h)", "");
    let inputs =
        vec![("x".to_owned(), Tensor::from_f32(&[2, 3], &[-8.0, 1.0, -2.0, 3.0, 4.0, -1.0]))];
    let seen = |model: &Model| {
        let tap = Tap { value: "h".into(), observe: Observe::Value };
        Runner::new(&Tract, model, vec![tap]).run(&inputs).unwrap()
    };
    let (called, plain) = (seen(&called), seen(&plain));
    assert_eq!(called.outputs, plain.outputs);
    assert_eq!(called.observed, plain.observed);
    assert!(matches!(&called.observed[0], Some(Observation::Value(_))));
    let stays = source(
        "y = local.f (x)",
        "<domain: \"local\", opset_import: [\"\" : 18]> f (a) => (b) { b = ReduceMax (a) }",
    );
    let error = run(&stays, &inputs).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Engine);
    assert!(
        error.to_string().contains(
            "function `local::f`: a model-local function cannot be inlined: it imports version 18"
        ),
        "{error}"
    );
}

/// Found by fuzzing: tract's optimizer would skip the elements before it normalizes over them.
#[test]
fn softmax_between_integers_still_sums_to_one() {
    let text = r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[2,4] x) => (float[2,4] y)
          <float s = {0.015625}, uint8 z = {128}, float t = {0.00390625}, uint8 n = {0}> {
          q = QuantizeLinear (x, s, z)
          x_dq = DequantizeLinear (q, s, z)
          m = Softmax <axis = 1> (x_dq)
          p = QuantizeLinear (m, t, n)
          y = DequantizeLinear (p, t, n)
        }"#;
    let model = onnxpress::read::text(text).unwrap();
    let x = Tensor::from_f32(&[2, 4], &[0.5, -1.0, 0.25, 1.5, 0.0, 0.0, -0.5, 1.0]);
    let outputs = run(&model, &[("x".to_owned(), x)]).unwrap();
    for row in floats(find(&outputs, "y")).chunks(4) {
        // Each element is half a step off at most.
        assert!((row.iter().sum::<f32>() - 1.0).abs() <= 4.0 * 0.5 / 256.0, "{row:?}");
    }
}

#[test]
fn elements_are_skipped_after_softmax() {
    let soft = 0.25f32;
    for (op, between, expected) in [
        ("Softmax", "last = Relu (soft)", soft),
        ("LogSoftmax", "a = Add (x, soft)\nlast = Identity (a)", soft.ln()),
        ("Softmax", "shape = Shape (x)\nlast = Reshape (soft, shape)", soft),
        ("Softmax", "last = Relu (soft)\nunused = ReduceMax (soft)", soft),
    ] {
        let source = format!(
            r#"<ir_version: 8, opset_import: ["" : 13]>
            main (float[1,2,4,1] x) => (float[1,2,2,1] y) <
                int64[1] start = {{0}}, int64[1] end = {{4}}, int64[1] axis = {{2}}, int64[1] step = {{2}}
            > {{
                soft = {op} <axis = 2> (x)
                {between}
                y = Slice (last, start, end, axis, step)
            }}"#
        );
        let model = onnxpress::read::text(&source).unwrap();
        let x = [("x".to_owned(), Tensor::from_f32(&[1, 2, 4, 1], &[0.0; 8]))];
        let outputs = run(&model, &x).unwrap();
        for found in floats(&outputs[0].1) {
            assert!((found - expected).abs() < 1e-6, "{op}, {between}: {found}");
        }
    }
}

#[test]
fn rows_of_a_table_of_any_integers_become_floats() {
    let cases: [(DType, Vec<u8>, f32); 4] = [
        (DType::Int8, vec![1, 0xfe, 3, 4, 5, 6], 0.0),
        (DType::Uint8, vec![1, 254, 3, 4, 5, 6], 3.0),
        (
            DType::Int16,
            [1i16, -300, 3, 4, 500, 6].iter().flat_map(|x| x.to_le_bytes()).collect(),
            -2.0,
        ),
        (
            DType::Uint16,
            [1u16, 65_000, 3, 4, 500, 6].iter().flat_map(|x| x.to_le_bytes()).collect(),
            7.0,
        ),
    ];
    for (dtype, bytes, zero_point) in cases {
        let mut model = Model::new(10, 21);
        let main = model.main();
        let indices = Tensor::from_i64(&[2], &[2, 0]);
        let indices = model.add_initializer(main, "indices", indices);
        let table = Tensor::new(dtype, vec![3, 2], bytes.into()).unwrap();
        let integers = table.to_f32().unwrap();
        let table = model.add_initializer(main, "table", table);
        let scale = model.add_initializer(main, "scale", Tensor::from_f32(&[], &[0.5]));
        let zero = Tensor::from_f32_as(dtype, &[], &[zero_point]).unwrap();
        let zero = model.add_initializer(main, "zero", zero);
        let rows = add(&mut model, NewNode::new("Gather", &[table, indices], "rows"));
        let inputs = [rows, scale, zero];
        let rows = add(&mut model, NewNode::new("DequantizeLinear", &inputs, "floats"));
        let x = add_input(&mut model, "x", &[2, 2]);
        let y = add(&mut model, NewNode::new("Add", &[rows, x], "y"));
        add_output(&mut model, y);
        let x = [("x".to_owned(), Tensor::from_f32(&[2, 2], &[0.0; 4]))];
        let found = floats(&run(&model, &x).expect("it runs")[0].1);
        let expected = [4, 5, 0, 1].map(|i| (integers[i] - zero_point) * 0.5);
        assert_eq!(found, expected, "{dtype}");
    }
}

#[test]
fn short_cuts_change_nothing() {
    // A float that goes through uint8, int8 and int16, and weights with a scale for each channel.
    let zeros = [
        Tensor::new(DType::Uint8, vec![], vec![3].into()).unwrap(),
        Tensor::new(DType::Int8, vec![], vec![0xfe].into()).unwrap(),
        Tensor::new(DType::Int16, vec![], vec![7, 0].into()).unwrap(),
    ];
    let mut model = Model::new(10, 21);
    let main = model.main();
    let x = add_input(&mut model, "x", &[4, 8]);
    let mut last = x;
    for zero in zeros {
        let scale = model.add_initializer(main, "scale", Tensor::from_f32(&[], &[0.031]));
        let zero = model.add_initializer(main, "zero", zero);
        let integers =
            add(&mut model, NewNode::new("QuantizeLinear", &[last, scale, zero], "integers"));
        let inputs = [integers, scale, zero];
        let rounded = add(&mut model, NewNode::new("DequantizeLinear", &inputs, "rounded"));
        last = add(&mut model, NewNode::new("Sin", &[rounded], "sine"));
    }
    let weights = Tensor::new(DType::Int8, vec![8, 2], (0..16).collect::<Vec<u8>>().into());
    let weights = model.add_initializer(main, "weights", weights.unwrap());
    let scales = model.add_initializer(main, "scales", Tensor::from_f32(&[2], &[0.5, 0.25]));
    let weights = NewNode::new("DequantizeLinear", &[weights, scales], "w").attr("axis", 1i64);
    let weights = add(&mut model, weights);
    let y = add(&mut model, NewNode::new("MatMul", &[last, weights], "y"));
    add_output(&mut model, y);
    let elements: Vec<f32> = (0..32).map(|i| (i as f32 - 16.0) * 0.37).collect();
    let inputs = vec![("x".to_owned(), Tensor::from_f32(&[4, 8], &elements))];
    let plain = Tract.as_written().expect("tract has short cuts");
    let result = |engine: &dyn Engine| {
        let executed = Runner::new(engine, &model, Vec::new()).run(&inputs).expect("it runs");
        floats(&executed.outputs[0].1)
    };
    let (expected, found) = (result(&*plain), result(&Tract));
    for (a, b) in expected.iter().zip(&found) {
        assert!((a - b).abs() < 1e-5, "{expected:?} {found:?}");
    }
    assert!(expected.iter().any(|&y| y.abs() > 0.1), "{expected:?}");
}
