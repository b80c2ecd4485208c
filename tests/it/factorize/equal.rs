//! At full rank, every form of every layer computes what the layer computed.

use onnxpress::analysis::{Contraction, WEIGHT_SLOT, constant};
use onnxpress::ir::{Model, NodeId};
use onnxpress::math::Unfold;
use onnxpress::passes::{Aim, Context, Factorize, Form, Method, Pass, Ranks, Report, Split};
use onnxpress::pipeline;
use onnxpress::tensor::{DType, Tensor};
use onnxpress::validate::drift;

use crate::prune::model;
use crate::support::{decode, encode, load, models, run};

/// Agreement that rounding to `float` leaves, in decibel.
const EQUAL_DB: f64 = 90.0;
/// The same for weights of 16 bits.
const HALF_DB: f64 = 40.0;

/// The ranks with which a form of a layer loses nothing; none where it has no such form.
fn full(model: &Model, node: NodeId, form: Form) -> Option<Split> {
    let entry = model.node(node);
    let dims = constant(model, entry.input(WEIGHT_SLOT)?)?.dims().to_vec();
    let recurrent = ["LSTM", "GRU", "RNN"].iter().any(|op| entry.is(op));
    let found = match recurrent {
        true => Contraction::of_recurrent(model, node, &dims),
        false => Contraction::of(model, node, &dims),
    };
    let Contraction { rows, columns, unfold, .. } = found.ok()?;
    let Unfold::Windows(windows) = unfold else {
        return (form == Form::Matrix).then(|| Split { form, ranks: vec![rows.min(columns)] });
    };
    let places: usize = windows.kernel.iter().product();
    let inputs = columns / places;
    let rest = places / windows.kernel.first()?;
    let ranks = match form {
        Form::Matrix => return None,
        Form::Channel => vec![rows.min(columns)],
        _ if places == 1 => return None,
        Form::Input => vec![inputs],
        Form::Tucker => vec![inputs, rows.min(columns)],
        Form::Spatial if rest > 1 && rest < places => {
            vec![(inputs * (places / rest)).min(rows * rest)]
        }
        Form::Spatial => return None,
    };
    Some(Split { form, ranks })
}

/// Splits all layers that have a form, and says how many that are.
fn split(before: &Model, form: Form) -> (Model, usize, Report) {
    let nodes = before.nodes_of(before.main());
    let ranks: Ranks = nodes
        .filter_map(|(node, _)| Some((before.name_of(node).to_owned(), full(before, node, form)?)))
        .collect();
    let pass = Factorize { method: Method::Svd, aim: Aim::Ranks(ranks), ..Factorize::default() };
    let mut after = before.clone();
    let report = pass.run(&mut after, &Context::default()).expect("it runs");
    (after, report.done.len(), report)
}

fn equal(name: &str, before: &Model, form: Form, least: f64) -> usize {
    let (after, count, report) = split(before, form);
    if count == 0 {
        return 0;
    }
    let after = decode(encode(&after));
    let probes = pipeline::probes(before, 3);
    for inputs in &probes {
        // Not every shape of free axes suits a model, and not every operator the engine.
        let Ok(expected) = run(before, inputs) else { continue };
        let found = run(&after, inputs).unwrap_or_else(|error| panic!("{name}: {error}"));
        // A half keeps 11 bits.
        let halves = expected.iter().any(|(_, tensor)| tensor.dtype() == DType::Float16);
        let least = if halves { least.min(50.0) } else { least };
        let drift = drift(&expected, &found, Tensor::len).unwrap_or_else(|e| panic!("{name}: {e}"));
        for output in drift.outputs {
            let distance = output.distance;
            let near = distance.sqnr_db() > least || distance.max_abs() < 1e-5;
            assert!(near, "{name}, {}: {} dB\n{report:#?}", form.name(), distance.sqnr_db());
        }
        return count;
    }
    0
}

#[test]
fn all_fixtures() {
    let mut counts = [0; Form::ALL.len()];
    for name in models() {
        let before = load(&name);
        for (count, &form) in counts.iter_mut().zip(Form::ALL) {
            *count += equal(&name, &before, form, EQUAL_DB);
        }
    }
    assert!(counts.iter().all(|&count| count >= 8), "{counts:?} layers were split");
}

#[test]
fn windows_of_all_kinds() {
    let image = "(float[2,4,9,7] x) => (y)";
    let line = "(float[2,4,11] x) => (y)";
    let volume = "(float[1,4,5,6,4] x) => (y)";
    let cases: [(&str, &[usize], &str); 14] = [
        (
            image,
            &[6, 4, 3, 3],
            "Conv <pads = [1,0,2,1], strides = [2,1], dilations = [1,2]> (x, w, b)",
        ),
        (image, &[6, 4, 3, 2], "Conv <auto_pad = \"SAME_UPPER\", strides = [2,3]> (x, w, b)"),
        (image, &[6, 4, 2, 3], "Conv <auto_pad = \"SAME_LOWER\", strides = [1,2]> (x, w)"),
        (image, &[6, 4, 3, 5], "Conv <auto_pad = \"VALID\"> (x, w, b)"),
        (image, &[6, 2, 3, 3], "Conv <group = 2, pads = [1,1,1,1]> (x, w, b)"),
        (image, &[4, 1, 3, 3], "Conv <group = 4> (x, w)"),
        (image, &[6, 4, 1, 1], "Conv <strides = [2,2]> (x, w, b)"),
        (line, &[6, 4, 5], "Conv <pads = [2,1], dilations = [2]> (x, w, b)"),
        (volume, &[6, 4, 2, 3, 3], "Conv <pads = [0,1,1,1,0,1], strides = [1,2,1]> (x, w, b)"),
        (
            image,
            &[4, 6, 3, 3],
            "ConvTranspose <strides = [2,3], output_padding = [1,2], pads = [1,0,0,1]> (x, w, b)",
        ),
        (image, &[4, 3, 2, 3], "ConvTranspose <group = 2, dilations = [2,1]> (x, w, b)"),
        (image, &[4, 6, 1, 1], "ConvTranspose (x, w)"),
        (line, &[4, 6, 4], "ConvTranspose <strides = [3]> (x, w, b)"),
        (volume, &[4, 2, 2, 2, 2], "ConvTranspose <strides = [2,1,2]> (x, w)"),
    ];
    let mut counts = [0; Form::ALL.len()];
    for (interface, dims, node) in cases {
        let outputs = if node.starts_with("ConvT") { dims[1] } else { dims[0] };
        let group = if node.contains("ConvT") && node.contains("group = 2") { 2 } else { 1 };
        let bias = [outputs * group];
        let weights = [("w", dims), ("b", &bias[..])];
        let before = model(17, interface, &weights, &format!(" y = {node}"));
        for (count, &form) in counts.iter_mut().zip(Form::ALL) {
            *count += equal(node, &before, form, EQUAL_DB);
        }
    }
    assert_eq!(counts, [0, 14, 12, 12, 10]);
}

#[test]
fn matrices_of_all_kinds() {
    let cases: [(i64, &str, &[usize], &str); 7] = [
        (17, "(float[2,3,5] x) => (y)", &[5, 4], "MatMul (x, w)"),
        (17, "(float[3,5] x) => (y)", &[5, 4], "Gemm <alpha = 0.5, beta = 2.0> (x, w, b)"),
        (9, "(float[3,5] x) => (y)", &[4, 5], "Gemm <transB = 1> (x, w, b)"),
        (13, "(float[5,3] x) => (y)", &[4, 5], "Gemm <transA = 1, transB = 1> (x, w, b)"),
        (13, "(float[5,3] x) => (y)", &[5, 4], "Gemm <transA = 1> (x, w)"),
        (14, "(float[6,2,5] x) => (y)", &[1, 12, 5], "LSTM <hidden_size = 3> (x, w, r)"),
        (
            14,
            "(float[6,2,5] x) => (y)",
            &[2, 9, 5],
            "GRU <hidden_size = 3, direction = \"bidirectional\"> (x, w, r)",
        ),
    ];
    for (opset, interface, dims, node) in cases {
        let recurrence = [dims[0], dims.get(1).copied().unwrap_or(1), 3];
        let weights = [("w", dims), ("b", &[4][..]), ("r", &recurrence[..])];
        let before = model(opset, interface, &weights, &format!(" y = {node}"));
        assert_eq!(equal(node, &before, Form::Matrix, EQUAL_DB), 1, "{node}");
    }
}

#[test]
fn sixteen_bits_stay_sixteen_bits() {
    let text = "<ir_version: 8, opset_import: [\"\" : 17]>\n\
                g (float16[2,3] x) => (float16[2,3] y) <\n\
                float16[3,3] w = {1, 2, 3, 4, 5, 6, 7, 8, 10}> { y = MatMul (x, w) }";
    let before = onnxpress::read::text(text).unwrap();
    assert_eq!(equal("float16", &before, Form::Matrix, HALF_DB), 1);
}

#[test]
fn what_cannot_be_split_is_named() {
    let refused = |interface: &str, weights: &[(&str, &[usize])], nodes: &str| {
        let mut model = model(17, interface, weights, nodes);
        let report = Factorize::default().run(&mut model, &Context::default()).unwrap();
        assert!(report.done.is_empty());
        report.refused.into_iter().map(|note| note.text).collect::<Vec<_>>()
    };
    let x = "(float[2,8] x) => (y)";
    let wide: (&str, &[usize]) = ("w", &[8, 8]);
    assert_eq!(
        refused(x, &[wide], " h = MatMul (x, w)\n y = MatMul (h, w)"),
        ["its weights are shared"; 2]
    );
    assert_eq!(
        refused(x, &[("w", &[4, 2])], " y = MatMul (w, x)"),
        ["its weights are the left operand"]
    );
    assert_eq!(
        refused(x, &[wide], " t = Transpose <perm = [1,0]> (w)\n y = MatMul (x, t)"),
        ["its weights come through Transpose"]
    );
    assert_eq!(
        refused("(float[2,2,8] x) => (y)", &[("w", &[2, 8, 8])], " y = MatMul (x, w)"),
        ["its weights have dims [2, 8, 8]"]
    );
    assert_eq!(refused(x, &[("w", &[8, 1])], " y = MatMul (x, w)"), ["its matrices have rank 1"]);
    assert_eq!(
        refused(x, &[wide], " s = Sub (w, w)\n h = MatMul (x, w)\n y = MatMul (h, s)"),
        ["its weights are shared"]
    );
}

#[test]
fn weights_that_are_zero_or_not_finite_stay() {
    for (numbers, reason) in
        [("0, 0, 0, 0", "its weights are zero"), ("1, inf, 2, 3", "its weights are not finite")]
    {
        let text = format!(
            "<ir_version: 8, opset_import: [\"\" : 17]>\n\
             g (float[2,2] x) => (float[2,2] y) <float[2,2] w = {{{numbers}}}> {{ y = MatMul (x, w) }}"
        );
        let Ok(mut model) = onnxpress::read::text(&text) else { panic!("{text}") };
        let report = Factorize::default().run(&mut model, &Context::default()).unwrap();
        assert_eq!(report.refused[0].text, reason);
    }
}

#[test]
fn tables_become_smaller_on_request() {
    let before =
        model(17, "(int64[2,3] i) => (y)", &[("w", &[20, 6])], " y = Gather <axis = 0> (w, i)");
    let ranks: Ranks = [("y".to_owned(), Split { form: Form::Matrix, ranks: vec![6] })].into();
    let mut pass =
        Factorize { method: Method::Svd, aim: Aim::Ranks(ranks), ..Factorize::default() };
    let mut after = before.clone();
    assert!(!pass.run(&mut after, &Context::default()).unwrap().changed());
    pass.layers.embeddings = true;
    assert!(pass.run(&mut after, &Context::default()).unwrap().changed());
    let after = decode(encode(&after));
    let indices = [("i".to_owned(), Tensor::from_i64(&[2, 3], &[0, 19, 7, 7, -1, 3]))];
    let outputs = [&before, &after].map(|model| run(model, &indices).expect("it runs"));
    let drift = drift(&outputs[0], &outputs[1], Tensor::len).unwrap();
    assert!(drift.outputs[0].distance.sqnr_db() > EQUAL_DB);
}
