//! Weights of few bits as operators of ONNX Runtime, and back.

use onnxpress::compress::QuantizePasses;
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::passes::{
    Context, ConvertNbits, EliminateDead, Format, Granularity, Pass, QuantizeStatic,
    StripQuantization,
};
use onnxpress::tensor::DType;
use onnxpress::validate;
use tempfile::tempdir;

use crate::quantize_types::{nodes, quantize_with};
use crate::support::{fixture, load, pixels, samples, shell};

#[test]
fn packed_products_are_those_of_the_pairs() {
    let model = load("digits_transformer.onnx");
    let data = samples(&model, fixture("digits_calib.npz"), &pixels());
    for (dtype, size) in [(DType::Int4, 16), (DType::Uint4, 32), (DType::Int8, 16)] {
        for format in [Format::symmetric(dtype), Format::asymmetric(dtype)] {
            let quantization = QuantizeStatic {
                weights: Some(format),
                granularity: Granularity::Block(size),
                weights_only: true,
                ..QuantizeStatic::default()
            };
            let options = QuantizePasses { quantization, ..QuantizePasses::default() };
            let (pairs, _) = quantize_with(&model, &options);
            let mut packed = pairs.clone();
            let report = ConvertNbits::default().run(&mut packed, &Context::default()).unwrap();
            assert!(report.changed(), "{dtype}: {report:?}");
            EliminateDead.run(&mut packed, &Context::default()).unwrap();
            packed.verify().unwrap();
            assert_eq!(packed.opset_of("com.microsoft"), Some(1));
            let compared = validate::Options::default();
            let ratio = |model: &Model, other: &Model| {
                let found = validate::compare(&Tract, model, other, &data, &compared);
                found.unwrap().worst_sqnr_db()
            };
            let found = ratio(&pairs, &packed);
            assert!(found > 110.0, "{dtype}: {found:.1} dB");
            let report = StripQuantization.run(&mut packed, &Context::default()).unwrap();
            assert!(report.changed(), "{report:?}");
            let found = ratio(&pairs, &packed);
            assert!(found > 110.0, "{dtype} in float: {found:.1} dB");
        }
    }
}

#[test]
fn the_command_writes_them_for_onnx_runtime_alone() {
    let folder = tempdir().unwrap();
    let line = "quantize fixtures/digits_mlp.onnx --mode weights --weights int4 -v";
    let done = shell(&format!("{line} -o TMP/ort.onnx"), folder.path());
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("MatMulNBits of 4 bits in blocks of 32"), "{}", done.out);
    for options in ["--target portable", "--skip convert-nbits"] {
        let done = shell(&format!("{line} {options} --force -o TMP/other.onnx"), folder.path());
        assert_eq!(done.code, 0, "{}", done.err);
        assert!(!done.out.contains("MatMulNBits"), "{}", done.out);
    }
    let done = shell("convert TMP/ort.onnx --strip-quantization -o TMP/float.onnx", folder.path());
    assert_eq!(done.code, 0, "{}", done.err);
    let float = onnxpress::read::file(&folder.path().join("float.onnx")).unwrap().model;
    assert_eq!(nodes(&float, "MatMul").len(), 3);
}

#[test]
fn tables_have_few_bits_too_and_scales_that_suit_them() {
    let folder = tempdir().unwrap();
    let line = "quantize fixtures/tokens_embedding.onnx --mode weights --weights int4 -v --force";
    let sampled = "--data fixtures/tokens_calib.npz --labels y";
    let done = shell(&format!("{line} {sampled} -o TMP/packed.onnx"), folder.path());
    assert_eq!(done.code, 0, "{}", done.err);
    assert!(done.out.contains("GatherBlockQuantized of 4 bits in blocks of 32"), "{}", done.out);
    let scaled = done.out.lines().any(|line| line.contains("(Gather): scale: "));
    assert!(scaled, "{}", done.out);
    let read = |name: &str| onnxpress::read::file(&folder.path().join(name)).unwrap().model;
    let gathers = |model: &Model| {
        let nodes = model.all_nodes().into_iter().map(|node| model.node(node));
        nodes.filter(|node| node.op() == "GatherBlockQuantized").count()
    };
    assert_eq!(gathers(&read("packed.onnx")), 1);
    // Gather itself reads no integers of 4 bits.
    let done = shell(&format!("{line} --skip convert-nbits -o TMP/plain.onnx"), folder.path());
    assert!(done.out.contains("int8 table"), "{}", done.out);
    let strip = "convert TMP/packed.onnx --strip-quantization -o TMP/float.onnx";
    assert_eq!(shell(strip, folder.path()).code, 0);
    let compare = "compare TMP/packed.onnx TMP/float.onnx --data fixtures/tokens_calib.npz \
                   --labels y --min-sqnr 100";
    let done = shell(compare, folder.path());
    assert_eq!(done.code, 0, "{}{}", done.out, done.err);
}
