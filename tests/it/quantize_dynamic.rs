//! Layers that compute with integers on ranges that each run takes.

use onnxpress::compress::QuantizePasses;
use onnxpress::exec::{Runner, Tract};
use onnxpress::ir::Model;
use onnxpress::passes::{Format, QuantizeStatic, Target};
use onnxpress::tensor::{DType, Tensor};
use tempfile::tempdir;

use crate::quantize_types::{nodes, quantize_with};
use crate::support::{load, shell};

fn dynamic(model: &Model, quantization: QuantizeStatic) -> (Model, f64) {
    let quantization = QuantizeStatic { weights_only: true, ..quantization };
    let options = QuantizePasses { quantization, dynamic: true, ..QuantizePasses::default() };
    quantize_with(model, &options)
}

#[test]
fn layers_compute_with_integers_and_stay_close() {
    for name in ["digits_mlp.onnx", "digits_resnet_bn.onnx", "digits_transformer.onnx"] {
        let model = load(name);
        for target in [Target::Ort, Target::Portable] {
            let (result, ratio) = dynamic(&model, QuantizeStatic { target, ..Default::default() });
            assert!(ratio > 25.0, "{name} for {}: {ratio:.1} dB", target.name());
            let quantizers = nodes(&result, "DynamicQuantizeLinear");
            let read = |&node| result.node(node).input(0);
            let mut read: Vec<_> = quantizers.iter().filter_map(read).collect();
            read.sort();
            read.dedup();
            assert_eq!(read.len(), quantizers.len(), "{name}: a value is quantized twice");
            let products = nodes(&result, "MatMulInteger").len();
            assert!(products > 0, "{name} for {}", target.name());
            // Small ones are not worth it; for ONNX Runtime none is.
            let convolutions = !nodes(&result, "ConvInteger").is_empty();
            let expected = target == Target::Portable && name == "digits_resnet_bn.onnx";
            assert_eq!(convolutions, expected, "{name} for {}", target.name());
        }
    }
}

#[test]
fn weights_may_have_zero_points() {
    let model = load("digits_mlp.onnx");
    let weights = Some(Format::asymmetric(DType::Uint8));
    let (result, ratio) = dynamic(&model, QuantizeStatic { weights, ..Default::default() });
    assert!(ratio > 30.0, "{ratio:.1} dB");
    let product = nodes(&result, "MatMulInteger")[0];
    let zeros = result.node(product).input(3).expect("a zero point");
    assert!(result.value(zeros).initializer().is_some_and(|zeros| zeros.len() > 1));
}

#[test]
fn an_input_of_zeros_has_a_range() {
    let (result, _) = dynamic(&load("digits_mlp.onnx"), QuantizeStatic::default());
    let input = result.value(result.graph(result.main()).inputs()[0]);
    let dims: Vec<usize> = input
        .tensor_type()
        .and_then(|ty| ty.dims.as_ref())
        .map(|dims| dims.iter().map(|dim| dim.fixed().unwrap_or(1)).collect())
        .expect("declared");
    let zeros = Tensor::from_f32(&dims, &vec![0.0; dims.iter().product()]);
    let runner = Runner::new(&Tract, &result, Vec::new());
    let ran = runner.run(&[(input.name().to_owned(), zeros)]).unwrap();
    let scores = ran.outputs[0].1.to_f32().unwrap();
    assert!(scores.iter().all(|x| x.is_finite()), "{scores:?}");
}

#[test]
fn the_command_needs_no_samples_and_knows_what_does_not_fit() {
    let folder = tempdir().unwrap();
    let run = |model: &str, options: &str| {
        shell(&format!("quantize fixtures/{model} --mode dynamic {options}"), folder.path())
    };
    let done = run("digits_mlp.onnx", "-v -o TMP/dynamic.onnx");
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("MatMulInteger: reads uint8"), "{}", done.out);
    let sampled = "--data fixtures/digits_calib.npz --scale 1/16 --labels y --sensitivity";
    let done = run("digits_mlp.onnx", &format!("{sampled} -o TMP/sampled.onnx"));
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("quantized alone"), "{}", done.out);
    let done = run("digits_mlp.onnx", &format!("{sampled} --float-worst 1 -v -o TMP/kept.onnx"));
    assert!(done.out.contains("kept in float by"), "{}", done.out);
    let done = run("digits_mlp.onnx", "--exclude * -o TMP/none.onnx");
    assert_eq!(done.code, 3, "{}", done.err);
    assert!(done.out.contains("MISSED      nothing was quantized"), "{}", done.out);
    assert!(done.out.contains("kept in float by `*`"), "{}", done.out);
    let again = shell("quantize TMP/dynamic.onnx --mode dynamic -o TMP/again.onnx", folder.path());
    assert_eq!(again.code, 3, "{}", again.err);
    for (options, reason) in [
        ("--weights int4", "multiplies weights of int8 or uint8, not int4"),
        ("--granularity block:32", "one scale for each channel"),
        ("--target qnn", "take --mode weights"),
        ("--activations uint8", "leave out --activations"),
        ("--qoperator", "leave out --qoperator"),
        ("--calibration x.stats", "leave out --calibration"),
    ] {
        let done = run("digits_mlp.onnx", &format!("{options} -o TMP/no.onnx"));
        assert_eq!(done.code, 2, "{options}: {}", done.err);
        assert!(done.err.contains(reason), "{options}: {}", done.err);
    }
    assert!(!folder.path().join("no.onnx").exists());
}
