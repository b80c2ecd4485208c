//! Operators on integers: made of QDQ models, executed, and no further from the float model.

use onnxpress::compress::QuantizePasses;
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::{Context, ConvertQoperator, Pass, QuantizeStatic, Target};
use onnxpress::validate;
use tempfile::tempdir;

use crate::quantize_types::{nodes, quantize, quantize_with};
use crate::support::{fixture, load, pixels, samples, shell};

/// How close a model on integers stays to the QDQ one, in decibel: a last bit flips here and there.
const LEAST_AGREEMENT: f64 = 40.0;

fn operators(model: &Model, domain: &str) -> Vec<String> {
    let nodes = model.all_nodes().into_iter().map(|node| model.node(node));
    nodes.filter(|node| node.domain() == domain).map(|node| node.op().to_owned()).collect()
}

#[test]
fn models_on_integers_compute_what_the_pairs_do() {
    for name in ["digits_mlp.onnx", "digits_resnet_bn.onnx", "digits_transformer.onnx"] {
        let model = load(name);
        let data = samples(&model, fixture("digits_calib.npz"), &pixels());
        for target in [Target::Ort, Target::Portable] {
            let (pairs, _) = quantize(&model, QuantizeStatic { target, ..Default::default() });
            let mut integers = pairs.clone();
            let pass = ConvertQoperator::of(target).expect("it reads them");
            let report = pass.run(&mut integers, &Context::default()).unwrap();
            assert!(report.changed() || target == Target::Portable, "{name}: {report:?}");
            integers.verify().unwrap();
            let compared = validate::Options::default();
            let found = validate::compare(&Tract, &pairs, &integers, &data, &compared).unwrap();
            let ratio = found.worst_sqnr_db();
            assert!(ratio > LEAST_AGREEMENT, "{name} for {}: {ratio:.1} dB", target.name());
            assert!(target == Target::Ort || operators(&integers, "com.microsoft").is_empty());
        }
    }
}

#[test]
fn nothing_that_has_a_form_on_integers_stays_between_pairs() {
    let model = load("digits_resnet_bn.onnx");
    let options = QuantizePasses {
        qoperator: Some(ConvertQoperator::default()),
        ..QuantizePasses::default()
    };
    let (result, ratio) = quantize_with(&model, &options);
    assert!(ratio > 20.0, "{ratio:.1} dB");
    for op in ["Conv", "Gemm", "MatMul"] {
        assert_eq!(nodes(&result, op), [], "{op}");
    }
    assert!(!nodes(&result, "QLinearConv").is_empty());
    assert_eq!(result.opset_of("com.microsoft"), Some(1));
    assert!(operators(&result, "com.microsoft").contains(&"QGemm".to_owned()));
}

#[test]
fn both_commands_make_them() {
    let folder = tempdir().unwrap();
    let calibrated = "--data fixtures/digits_calib.npz --scale 1/16 --labels y";
    let quantize = format!("quantize fixtures/digits_resnet_bn.onnx {calibrated} -q");
    let done = shell(&format!("{quantize} --qoperator -o TMP/direct.onnx"), folder.path());
    assert_eq!(done.code, 0, "{}", done.err);
    assert_eq!(shell(&format!("{quantize} -o TMP/pairs.onnx"), folder.path()).code, 0);
    let converted = shell("convert TMP/pairs.onnx --qoperator -o TMP/later.onnx", folder.path());
    assert_eq!(converted.code, 0, "{}", converted.err);
    let same = shell("diff TMP/direct.onnx TMP/later.onnx --exit-code", folder.path());
    assert_eq!(same.code, 0, "{}", same.out);
    let refused = format!("{quantize} --qoperator --target tensorrt -o TMP/trt.onnx");
    let refused = shell(&refused, folder.path());
    assert_eq!(refused.code, 2, "{}", refused.err);
    assert!(refused.err.contains("no operators on integers"), "{}", refused.err);
}
