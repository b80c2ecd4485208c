//! Quantization end to end: size, accuracy on samples it has not seen, and the form of the result.

use std::collections::HashSet;

use onnxpress::calibrate::Calibration;
use onnxpress::compress;
use onnxpress::compress::QuantizePasses;
use onnxpress::data::{Options, Samples};
use onnxpress::exec::Tract;
use onnxpress::ir::{Model, NodeId, ValueId};
use onnxpress::passes::{Context, Granularity, Pass, QuantizeStatic};
use onnxpress::pipeline::{Check, Finished, Outcome};
use onnxpress::tensor::DType;
use onnxpress::validate;

use crate::support::{decode, encode, fixture, floats, load, pixels, samples};

/// Options of `quantize` with one changed.
fn with(quantization: QuantizeStatic) -> QuantizePasses {
    QuantizePasses { quantization, ..QuantizePasses::default() }
}

/// Runs the passes of `quantize` with every check.
fn quantize(model: &Model, samples: &Samples, options: &QuantizePasses) -> Finished {
    let calibration = Calibration { engine: &Tract, samples, progress: &() };
    let cx = Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
    let check = Check::on(&Tract, samples, 2).expect("samples can be read");
    let finished = compress::quantized(model.clone(), options, &cx, Some(&check));
    let finished = finished.expect("it runs");
    for step in &finished.steps {
        let kept = matches!(step.outcome, None | Some(Outcome::Kept(_)));
        assert!(kept, "{}: {:?}", step.name, step.outcome);
    }
    finished
}

/// The digits in batches where the model lets them.
fn digits(model: &Model, file: &str, labels: bool) -> Samples {
    let labels = labels.then(|| "y".to_owned());
    samples(model, fixture(file), &Options { batch: 32, labels, ..pixels() })
}

fn quantized(name: &str, options: &QuantizePasses) -> (Model, Finished) {
    let model = load(name);
    let finished = quantize(&model, &digits(&model, "digits_calib.npz", false), options);
    (model, finished)
}

/// Accuracy of original and result, agreement, and the signal-to-noise ratio on the test samples.
fn judged(original: &Model, result: &Model, test: &Samples) -> (validate::Score, f64) {
    let options = validate::Options { top: vec![1], ..Default::default() };
    let found = validate::compare(&Tract, original, result, test, &options).expect("both run");
    assert_eq!(found.samples, 400);
    (found.accuracy[0].1.score(), found.worst_sqnr_db())
}

/// Nodes of one operator, in order.
fn nodes(model: &Model, op: &str) -> Vec<NodeId> {
    model.all_nodes().into_iter().filter(|&node| model.node(node).is(op)).collect()
}

/// The DequantizeLinear that input `slot` comes from.
fn dequantizer(model: &Model, node: NodeId, slot: usize) -> Option<NodeId> {
    let producer = model.value(model.node(node).input(slot)?).producer()?;
    model.node(producer).is("DequantizeLinear").then_some(producer)
}

/// An input of a node that is an initializer.
fn stored(model: &Model, node: NodeId, slot: usize) -> (ValueId, &onnxpress::tensor::Tensor) {
    let value = model.node(node).input(slot).expect("the input is given");
    (value, model.value(value).initializer().expect("an initializer"))
}

/// Every Conv, Gemm and MatMul with a constant weight reads int8 behind a DequantizeLinear.
fn weights(model: &Model) -> Vec<(NodeId, NodeId)> {
    let products = ["Conv", "Gemm", "MatMul"].iter().flat_map(|op| nodes(model, op));
    let pairs = products.filter_map(|node| {
        let weight = dequantizer(model, node, 1)?;
        let input = model.node(weight).input(0)?;
        model.value(input).initializer().map(|_| (node, weight))
    });
    pairs.collect()
}

#[test]
fn trained_models_keep_their_accuracy_and_shrink() {
    // Bounds are what was measured, and a little air: share of the file, signal-to-noise ratio.
    for (name, share, sqnr) in [
        ("digits_resnet_bn.onnx", 0.285, 32.0),
        ("digits_resnet_opset11.onnx", 0.335, 32.0),
        ("digits_transformer.onnx", 0.47, 30.0),
        ("digits_transformer_dynamo.onnx", 0.415, 30.0),
        ("digits_mlp.onnx", 0.32, 38.0),
        ("tokens_embedding.onnx", 0.78, 36.0),
    ] {
        let original = load(name);
        let options = |labels: Option<&str>| Options {
            batch: 32,
            labels: labels.map(ToOwned::to_owned),
            ..if name.starts_with("digits") { pixels() } else { Options::default() }
        };
        let kind = name.split('_').next().unwrap();
        let open = |what: &str, labels| {
            samples(&original, fixture(&format!("{kind}_{what}.npz")), &options(labels))
        };
        let encoded =
            encode(&quantize(&original, &open("calib", None), &QuantizePasses::default()).model);
        let before = fixture(name).metadata().unwrap().len() as f64;
        let size = encoded.len() as f64 / before;
        assert!(size <= share, "{name}: {size:.4} of the file is left, allowed are {share}");
        let (score, ratio) = judged(&original, &decode(encoded), &open("test", Some("y")));
        assert!(score.original > 0.93, "{name}: the original is right on {}", score.original);
        assert!(score.candidate >= score.original - 0.01, "{name}: {score:?}");
        assert!(score.agreement >= 0.97, "{name}: {score:?}");
        assert!(ratio >= sqnr, "{name}: {ratio:.1} dB, at least {sqnr} dB are asked for");
    }
}

#[test]
fn weights_are_stored_as_integers_and_no_float_copy_is_left() {
    for name in ["digits_resnet_bn.onnx", "digits_resnet_opset11.onnx", "digits_mlp.onnx"] {
        let (original, finished) = quantized(name, &QuantizePasses::default());
        let model = decode(encode(&finished.model));
        let products: usize = ["Conv", "Gemm"].iter().map(|op| nodes(&model, op).len()).sum();
        assert_eq!(weights(&model).len(), products, "{name}: some weights are float");
        for (node, weight) in weights(&model) {
            let (value, integers) = stored(&model, weight, 0);
            assert_eq!(integers.dtype(), DType::Int8, "{}", model.label(node));
            // -128 is never used: symmetric grids have no integer for it.
            let elements = integers.to_i64().unwrap();
            assert!(elements.iter().all(|q| (-127..=127).contains(q)));
            let top = elements.iter().map(|q| q.abs()).max();
            assert_eq!(top, Some(127), "{}: the grid is used to its end", model.label(node));
            let twin = original.find_value(original.main(), model.value(value).name());
            assert!(twin.is_some(), "{name}: the integers keep the weight's name");
        }
        for (_, value) in model.values() {
            let Some(tensor) = value.initializer() else { continue };
            let matrix = tensor.dtype() == DType::Float && tensor.dims().len() > 1;
            assert!(!matrix, "{name}: `{}` is a float {:?}", value.name(), tensor.dims());
        }
    }
}

#[test]
fn integers_stand_for_the_weights_they_replace() {
    let (original, finished) = quantized("digits_mlp.onnx", &QuantizePasses::default());
    let model = &finished.model;
    for (_, weight) in weights(model) {
        let (value, integers) = stored(model, weight, 0);
        let name = model.value(value).name();
        let float = original.find_value(original.main(), name).unwrap();
        let float = floats(original.value(float).initializer().unwrap());
        let (_, scales) = stored(model, weight, 1);
        let (scales, dims) = (floats(scales), integers.dims());
        let axis = usize::try_from(model.node(weight).attr_int("axis").unwrap()).unwrap();
        assert_eq!(scales.len(), dims[axis], "one scale for each output channel");
        let inner: usize = dims[axis + 1..].iter().product();
        for (i, (&q, &w)) in integers.to_i64().unwrap().iter().zip(&float).enumerate() {
            let scale = scales[i / inner % dims[axis]];
            let error = (q as f32 * scale - w).abs();
            assert!(error <= scale * 0.5001, "`{name}`[{i}]: {w} became {q} times {scale}");
        }
    }
}

#[test]
fn biases_are_int32_on_the_grid_of_the_products() {
    let (_, finished) = quantized("digits_resnet_bn.onnx", &QuantizePasses::default());
    let model = &finished.model;
    let products: Vec<NodeId> = [nodes(model, "Conv"), nodes(model, "Gemm")].concat();
    assert_eq!(products.len(), 9);
    for node in products {
        let label = model.label(node);
        let [input, weight, bias] =
            [0, 1, 2].map(|slot| dequantizer(model, node, slot).expect("all three are integers"));
        assert_eq!(stored(model, bias, 0).1.dtype(), DType::Int32, "{label}");
        let scales = |node| floats(stored(model, node, 1).1);
        let product: Vec<f32> = scales(weight).iter().map(|w| scales(input)[0] * w).collect();
        assert_eq!(scales(bias), product, "{label}: integer kernels assume this product");
    }
}

#[test]
fn per_tensor_scales_are_single_numbers_and_cost_little() {
    let granularity = Granularity::Tensor;
    let tensor = with(QuantizeStatic { granularity, ..QuantizeStatic::default() });
    let (original, finished) = quantized("digits_resnet_bn.onnx", &tensor);
    let pairs = weights(&finished.model);
    assert_eq!(pairs.len(), 9);
    for (node, weight) in pairs {
        let dims = stored(&finished.model, weight, 1).1.dims();
        assert!(dims.is_empty(), "{}: {dims:?}", finished.model.label(node));
    }
    let test = digits(&original, "digits_test.npz", true);
    let (score, coarse) = judged(&original, &finished.model, &test);
    assert!(score.agreement >= 0.97, "{score:?}");
    let fine = quantized("digits_resnet_bn.onnx", &QuantizePasses::default()).1.model;
    let (_, fine) = judged(&original, &fine, &test);
    assert!(fine > coarse, "scales for each channel: {fine:.1} dB, for the tensor: {coarse:.1} dB");
}

#[test]
fn kept_nodes_stay_in_float() {
    let keep = vec!["/head/*".to_owned(), "*res2*Conv".to_owned()];
    let (original, finished) = quantized(
        "digits_resnet_bn.onnx",
        &with(QuantizeStatic { keep, ..QuantizeStatic::default() }),
    );
    let model = &finished.model;
    let mut kept = 0;
    for node in [nodes(model, "Conv"), nodes(model, "Gemm")].concat() {
        let name = model.node(node).name();
        let wanted = name.starts_with("/head/") || name.contains("res2");
        let weight = model.value(model.node(node).input(1).unwrap()).initializer();
        assert_eq!(weight.is_some_and(|w| w.dtype() == DType::Float), wanted, "{name}");
        kept += usize::from(wanted);
    }
    assert_eq!(kept, 2);
    let step = finished.steps.iter().find(|step| step.name == "quantize-static").unwrap();
    let products = step
        .report
        .refused
        .iter()
        .filter(|note| ["(Conv)", "(Gemm)"].iter().any(|op| note.place.ends_with(op)));
    let reasons: Vec<&str> = products.map(|note| note.text.as_str()).collect();
    assert_eq!(reasons, ["kept in float by `*res2*Conv`", "kept in float by `/head/*`"]);
    // Keeping everything is keeping the model, whatever the passes before it did.
    let all = with(QuantizeStatic { keep: vec!["*".into()], ..QuantizeStatic::default() });
    let (_, finished) = quantized("digits_resnet_bn.onnx", &all);
    let test = digits(&original, "digits_test.npz", true);
    assert!(judged(&original, &finished.model, &test).1 > 100.0);
    assert!(nodes(&finished.model, "QuantizeLinear").is_empty());
}

#[test]
fn old_operator_sets_are_raised_and_others_are_not() {
    for (name, before, after) in [
        ("digits_resnet_opset11.onnx", 11, 13),
        ("digits_mlp.onnx", 13, 13),
        ("digits_resnet_bn.onnx", 17, 17),
    ] {
        let (original, finished) = quantized(name, &QuantizePasses::default());
        let opsets = (original.opset(), finished.model.opset());
        assert_eq!(opsets, (Some(before), Some(after)), "{name}");
        let warned = finished.steps.iter().flat_map(|step| &step.report.warnings);
        let warned = warned.filter(|text| text.contains("opset raised from 11 to 13")).count();
        assert_eq!(warned == 1, before != after, "{name}");
        assert!(finished.model.header.ir_version >= Some(7), "{name}: opset 13 needs IR 7");
    }
}

#[test]
fn a_shared_weight_is_stored_once() {
    let model = load("graphs/shared_weight_bn.onnx");
    let finished = quantize(
        &model,
        &samples(&model, "random:8", &Options::default()),
        &QuantizePasses::default(),
    );
    let pairs = weights(&finished.model);
    assert_eq!(pairs.len(), 2, "both convolutions read integers");
    let integers: HashSet<ValueId> =
        pairs.iter().map(|&(_, weight)| stored(&finished.model, weight, 0).0).collect();
    assert_eq!(integers.len(), 1, "and they read the same ones");
    let stored = finished.model.values().filter_map(|(_, value)| value.initializer());
    let copies = stored.filter(|tensor| tensor.dims() == [3, 3, 3, 3]).count();
    assert_eq!(copies, 1, "the weight is in the file once");
}

#[test]
fn every_activation_has_its_own_pair_and_zero_is_exact() {
    let (_, finished) = quantized("digits_transformer.onnx", &QuantizePasses::default());
    let model = &finished.model;
    let pairs = nodes(model, "QuantizeLinear");
    assert!(pairs.len() > 10);
    for quantize in pairs {
        let (_, scale) = stored(model, quantize, 1);
        let (_, zero) = stored(model, quantize, 2);
        assert_eq!((scale.dims().len(), zero.dtype()), (0, DType::Uint8));
        assert!(floats(scale)[0] > 0.0 && floats(scale)[0].is_finite());
        let output = model.node(quantize).only_output().unwrap();
        let readers: Vec<_> = model.value(output).consumers().collect();
        assert_eq!(readers.len(), 1, "{}", model.label(quantize));
        let back = model.node(readers[0].0);
        assert!(back.is("DequantizeLinear"));
        assert_eq!(back.inputs()[1..], model.node(quantize).inputs()[1..], "one grid for both");
    }
}

#[test]
fn quantizing_the_result_again_changes_nothing() {
    for name in ["digits_resnet_bn.onnx", "digits_mlp.onnx", "digits_transformer.onnx"] {
        let (_, finished) = quantized(name, &QuantizePasses::default());
        let first = encode(&finished.model);
        let model = decode(first.clone());
        let again = quantize(
            &model,
            &digits(&model, "digits_calib.npz", false),
            &QuantizePasses::default(),
        );
        assert!(again.steps.iter().all(|step| !step.report.changed()), "{name}");
        assert_eq!(encode(&again.model), first, "{name}");
    }
}

#[test]
fn without_samples_static_quantization_is_an_error() {
    let mut model = load("digits_mlp.onnx");
    let error = QuantizeStatic::default().run(&mut model, &Context::default()).unwrap_err();
    let expected = "static quantization needs calibration data; give --data";
    assert_eq!(error.to_string(), expected);
}
