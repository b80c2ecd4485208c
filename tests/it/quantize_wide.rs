//! Layers with 16-bit activations among others of 8 bits.

use onnxpress::analysis::constant;
use onnxpress::calibrate::{Calibration, Fit, Method, Source};
use onnxpress::compress::{QuantizePasses, prepare};
use onnxpress::data::Options;
use onnxpress::exec::Tract;
use onnxpress::ir::{Model, NodeId, ValueId};
use onnxpress::passes::{Context, ConvertOpset, Pass, QuantizeStatic, Target, quantize_interface};
use onnxpress::pipeline::{When, settle};
use onnxpress::tensor::DType;
use serde_json::Value;
use tempfile::tempdir;

use crate::quantize_types::{nodes, quantize};
use crate::support::{fixture, load, pixels, samples, shell};

const FIXTURES: [&str; 2] = ["digits_resnet_bn.onnx", "digits_transformer.onnx"];

/// The DequantizeLinear that makes a value of integers that are no constant, and their type.
fn activation(model: &Model, value: Option<ValueId>) -> Option<(NodeId, DType)> {
    let dequantize = model.value(value?).producer()?;
    let entry = model.node(dequantize);
    let varies = entry.is("DequantizeLinear") && constant(model, entry.input(0)?).is_none();
    let zero = constant(model, entry.input(2).filter(|_| varies)?)?;
    Some((dequantize, zero.dtype()))
}

/// The type in which a node writes: that of the QuantizeLinear behind it, or behind a Relu or Clip that follows.
fn written(model: &Model, node: NodeId) -> Option<DType> {
    let (next, _) = model.value(model.node(node).output(0)?).only_consumer()?;
    match model.node(next).op() {
        "QuantizeLinear" => constant(model, model.node(next).input(2)?).map(|zero| zero.dtype()),
        "Relu" | "Clip" => written(model, next),
        _ => None,
    }
}

fn scale(model: &Model, value: Option<ValueId>) -> Vec<f32> {
    let dequantize = value.and_then(|value| model.value(value).producer());
    let scale = dequantize.and_then(|dequantize| model.node(dequantize).input(1));
    let scale = scale.and_then(|scale| constant(model, scale)).expect("a constant scale");
    scale.to_f32().expect("floats")
}

/// Every node reads and writes activations of one type; returns the names of those of 16 bits.
fn of_one_width(model: &Model, place: &str) -> Vec<String> {
    let mut wide = Vec::new();
    for node in model.all_nodes() {
        let entry = model.node(node);
        // Erf computes with floats.
        if ["QuantizeLinear", "DequantizeLinear", "Erf"].iter().any(|op| entry.is(op)) {
            continue;
        }
        let read = entry.inputs().iter().filter_map(|&value| Some(activation(model, value)?.1));
        let mut types: Vec<DType> = read.chain(written(model, node)).collect();
        types.dedup();
        assert!(types.len() < 2, "{place}: {} has {types:?}", model.label(node));
        if types == [DType::Uint16] {
            wide.push(model.name_of(node).to_owned());
        }
        // The sums of the products that a bias is added to.
        if entry.is("Conv") && entry.input(2).is_some() {
            let [x, w, b] = [0, 1, 2].map(|slot| scale(model, entry.input(slot)));
            let products: Vec<f32> = w.iter().map(|w| x[0] * w).collect();
            assert_eq!(b, products, "{place}: {}", model.label(node));
        }
    }
    wide
}

/// No value is converted twice: one DequantizeLinear of each type behind what a value is first rounded to.
fn converted_once(model: &Model, place: &str) {
    for quantize in nodes(model, "QuantizeLinear") {
        let Some((floats, _)) = activation(model, model.node(quantize).input(0)) else { continue };
        let floats = model.node(floats).only_output().expect("one output");
        let quantizers = model.value(floats).consumers();
        let quantizers = quantizers.filter(|(reader, _)| model.node(*reader).is("QuantizeLinear"));
        assert_eq!(quantizers.count(), 1, "{place}: {}", model.value(floats).name());
    }
}

#[test]
fn any_layer_may_be_wide_and_kernels_have_one_width() {
    for name in FIXTURES {
        let cx = Context { evaluate: Some(&Tract), ..Context::default() };
        let prepared =
            settle(load(name), &prepare(&QuantizePasses::default()), &cx, None, When::AtEnd);
        let mut prepared = prepared.unwrap().model;
        ConvertOpset { target: 21 }.run(&mut prepared, &Context::default()).unwrap();
        let calib =
            samples(&prepared, fixture("digits_calib.npz"), &Options { batch: 32, ..pixels() });
        let calibration = Calibration { engine: &Tract, samples: &calib, progress: &() };
        let fit = Fit::new(Source::Samples(&calibration), Method::default());
        let cx = Context { measure: Some(&fit), ..cx };
        let layers = ["Conv", "Gemm", "MatMul", "LayerNormalization", "Softmax", "Add"];
        let layers: Vec<NodeId> = layers.iter().flat_map(|op| nodes(&prepared, op)).collect();
        assert!(layers.len() > 8, "{name}");
        for (i, &layer) in layers.iter().enumerate() {
            // Alone, and together with another one.
            let other = layers[(7 * i + 3) % layers.len()];
            let named = [layer, other].map(|node| prepared.name_of(node).to_owned());
            for interface in [false, true] {
                let wide = named[..1 + i % 2].to_vec();
                let place = format!("{name}, {wide:?}, interface {interface}");
                let pass = QuantizeStatic {
                    target: Target::Qnn,
                    wide: wide.clone(),
                    interface,
                    ..QuantizeStatic::default()
                };
                let mut model = prepared.clone();
                pass.run(&mut model, &cx).unwrap();
                model.verify().unwrap();
                let found = of_one_width(&model, &place);
                assert!(wide.iter().all(|name| found.contains(name)), "{place}: {found:?}");
                converted_once(&model, &place);
                if interface {
                    let (ports, report) = quantize_interface(&mut model);
                    assert_eq!(report.refused, [], "{place}");
                    assert!(ports.iter().all(|port| port.dtype == DType::Uint8), "{place}");
                    model.verify().unwrap();
                }
            }
        }
    }
}

#[test]
fn sixteen_bits_everywhere_are_those_of_the_option_for_all() {
    for name in FIXTURES {
        let model = load(name);
        let options = QuantizeStatic { target: Target::Qnn, ..QuantizeStatic::default() };
        let (_, narrow) = quantize(&model, options.clone());
        let wide = vec!["*".to_owned()];
        let (wide, ratio) = quantize(&model, QuantizeStatic { wide, ..options.clone() });
        let activations = options.activations();
        let activations = Some(onnxpress::passes::Format { dtype: DType::Uint16, ..activations });
        let (all, of_all) = quantize(&model, QuantizeStatic { activations, ..options });
        assert_eq!((wide.opset(), ratio), (Some(21), of_all), "{name}");
        let text = |model: &Model| onnxpress::emit::text(model.verify().unwrap());
        assert_eq!(text(&wide), text(&all), "{name}");
        assert!(ratio > narrow + 3.0, "{name}: {narrow:.1} dB, wide {ratio:.1} dB");
    }
}

const QUANTIZE: &str = "quantize fixtures/digits_resnet_bn.onnx --data fixtures/digits_calib.npz \
                        --scale 1/16 --labels y";

fn list(report: &Value, field: &str) -> Vec<String> {
    let names = report["fall_back"][field].as_array().expect("a list").iter();
    names.map(|name| name.as_str().expect("a name").to_owned()).collect()
}

#[test]
fn a_bound_is_met_by_wide_layers_first_and_by_floats_where_these_do_not_do() {
    let folder = tempdir().unwrap();
    let run = |options: &str| {
        let line =
            format!("{QUANTIZE} --target qnn --float-share 0 {options} -o TMP/a.onnx --force");
        shell(&line, folder.path())
    };
    let json = |options: &str| -> Value {
        let ran = run(&format!("{options} --json"));
        // A bound is met on held-out samples; those of the report are others.
        let missed = ran.code == 3 && options.contains("--min-sqnr");
        assert!(ran.code == 0 || missed, "{}", ran.err);
        serde_json::from_str(&ran.out).expect("JSON")
    };
    let report = json("--sensitivity");
    let whole = report["fall_back"]["before_db"].as_f64().unwrap();
    let count = report["fall_back"]["ranking"].as_array().unwrap().len();
    let met = json(&format!("--min-sqnr {}", whole + 1.5));
    assert_eq!(met["fall_back"]["reached"], true);
    let wide = list(&met, "wide");
    assert!((1..count).contains(&wide.len()), "{wide:?}");
    assert_eq!((list(&met, "stored"), list(&met, "kept")), (vec![], vec![]));
    // More than 8-bit weights allow.
    let more = json(&format!("--min-sqnr {}", whole + 10.0));
    let (wide, kept) = (list(&more, "wide"), list(&more, "kept"));
    assert!(!kept.is_empty() && wide.len() + kept.len() == count, "{wide:?}, {kept:?}");
    let worst = json("--float-worst 2 --explain");
    assert_eq!((list(&worst, "wide").len(), list(&worst, "kept").len()), (2, 0));
    // Where a model cannot have 16-bit integers, floats come first, as for other targets.
    let old = json("--float-worst 1 --skip convert-opset");
    assert_eq!((list(&old, "wide").len(), list(&old, "kept").len()), (0, 1));
    let text = run("--float-worst 2 --explain --sensitivity").out;
    let expected = format!("computed with 16-bit activations: {}", list(&worst, "wide").join(", "));
    assert!(text.contains(&expected), "{text}");
    assert_eq!(text.matches(": 16-bit activations").count(), 2, "{text}");
    assert_eq!(text.matches("%  16 bits\n").count(), 2, "{text}");
}

#[test]
fn who_has_no_wide_layers_says_so() {
    let folder = tempdir().unwrap();
    for target in Target::ALL.into_iter().filter(|target| *target != Target::Qnn) {
        let name = target.name();
        let line = format!("{QUANTIZE} --target {name} --wide-activations * -o TMP/none.onnx");
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 2, "{}", ran.err);
        let expected =
            format!("target {name} has no kernels for 16-bit activations in single layers");
        assert!(ran.err.contains(&expected) && ran.err.contains("take target qnn"), "{}", ran.err);
    }
    for (options, expected) in [
        ("--activations int16", "beside 8-bit integers, not int16"),
        ("--mode weights", "leave out --wide-activations"),
    ] {
        let line =
            format!("{QUANTIZE} --target qnn --wide-activations * {options} -o TMP/none.onnx");
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert!(ran.err.contains(expected), "{}", ran.err);
    }
    let line =
        format!("{QUANTIZE} --target qnn --wide-activations * --skip convert-opset -o TMP/a.onnx");
    let ran = shell(&line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(
        ran.out.contains("warning: all activations have 8 bits: 16-bit integers need opset 21")
    );
    let model = onnxpress::read::file(&folder.path().join("a.onnx")).unwrap().model;
    assert_eq!(model.opset(), Some(17));
    assert!(!nodes(&model, "QuantizeLinear").is_empty());
}
