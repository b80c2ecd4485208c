//! `quantize --equalize`.

use std::fs;

use onnxpress::calibrate::Calibration;
use onnxpress::exec::Tract;
use onnxpress::ir::{Model, NewNode};
use onnxpress::passes::{
    Context, Equalize, EqualizeChannels, Format, Granularity, Pass, QuantizeStatic,
    QuantizeWeights, RoundWeights, Rounding, Storage, Width,
};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::{data, read, validate};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{add, add_input, add_output, encode, samples, shell};

/// Channels of very different sizes, which the layer behind them evens out.
const UNEVEN: &str = r#"<ir_version: 8, opset_import: ["" : 17]>
g (float[N,4] x) => (float[N,2] y) <
   float[4,4] w = {50, 1, 0.02, 0.3, 40, -1, 0.01, 0.2, -60, 2, 0.03, -0.1, 30, 1, -0.02, 0.4},
   float[4,2] v = {0.01, -0.02, 1, 0.7, 40, -30, 3, 2}
> {
   [first] a = MatMul (x, w)
   r = Relu (a)
   [second] y = MatMul (r, v)
}"#;

#[test]
fn uneven_channels_gain_and_the_report_says_how() {
    let folder = tempdir().unwrap();
    let model = read::text(UNEVEN).unwrap();
    fs::write(folder.path().join("uneven.onnx"), encode(&model)).unwrap();
    let line =
        "quantize TMP/uneven.onnx --data random:64 --float-share 0 --granularity tensor --explain";
    let report = |more: &str| -> Value {
        let ran = shell(&format!("{line} {more} --json --force -o TMP/q.onnx"), folder.path());
        serde_json::from_str(&ran.out).unwrap()
    };
    let ratio =
        |report: &Value| report["drift"]["outputs"][0]["sqnr_db"].as_f64().expect("a ratio");
    let (with, without) = (report("--equalize auto"), report("--equalize off"));
    assert!(ratio(&with) > ratio(&without) + 6.0, "{} {}", ratio(&with), ratio(&without));
    let equalized = &with["equalized"];
    assert!(equalized["after_db"].as_f64() > equalized["before_db"].as_f64(), "{equalized}");
    let methods = with["layers"][0]["methods"].to_string();
    assert!(methods.contains("equalize-channels"), "{methods}");
    assert!(without.get("equalized").is_none());
    // The channels were moved, the model computes what it did.
    let text = shell(&format!("{line} --equalize auto --force -o TMP/q.onnx"), folder.path());
    assert!(text.out.contains("channels of 1 of 1 layers equalized by their"), "{}", text.out);
}

/// Two products, and Relu between: some channels carry a hundred times as much as others, and have small weights.
fn carrying() -> Model {
    let (inputs, hidden, outputs) = (16, 64, 32);
    let mut state = 7u32;
    let mut number = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 8) as f32 / (1 << 23) as f32 - 1.0
    };
    let size = |channel: usize| if channel.is_multiple_of(8) { 10.0 } else { 0.1 };
    let first: Vec<f32> = (0..inputs * hidden).map(|i| number() * size(i % hidden)).collect();
    let second: Vec<f32> =
        (0..hidden * outputs).map(|i| number() * 0.5 / size(i / outputs)).collect();
    let mut model = Model::new(10, 21);
    let x = add_input(&mut model, "x", &[8, inputs]);
    let main = model.main();
    let w = model.add_initializer(main, "w", Tensor::from_f32(&[inputs, hidden], &first));
    let v = model.add_initializer(main, "v", Tensor::from_f32(&[hidden, outputs], &second));
    let a = add(&mut model, NewNode::new("MatMul", &[x, w], "a"));
    let r = add(&mut model, NewNode::new("Relu", &[a], "r"));
    let y = add(&mut model, NewNode::new("MatMul", &[r, v], "y"));
    add_output(&mut model, y);
    model
}

#[test]
fn what_carries_much_is_rounded_finer() {
    let model = carrying();
    let samples = samples(&model, "random:64", &data::Options::default());
    let calibration = Calibration { engine: &Tract, samples: &samples, progress: &() };
    let cx = Context { measure: Some(&calibration), ..Context::default() };
    let format = Format::symmetric(DType::Int4);
    let granularity = Granularity::Block(32);
    let width = Width { storage: Storage::Integers, format, granularity };
    let ratio = |found: &Model| {
        let compared = validate::compare(&Tract, &model, found, &samples, &Default::default());
        compared.expect("both run").worst_sqnr_db()
    };
    let divided = |width: Width| {
        let mut found = model.clone();
        let pass = EqualizeChannels { by: Equalize::Outputs { width }, only: None };
        let report = pass.run(&mut found, &cx).expect("it runs");
        (found, report.done.len())
    };
    let rounded = |float: &Model| {
        let options = QuantizeStatic { weights: Some(format), granularity, ..Default::default() };
        let mut found = float.clone();
        let pass = QuantizeWeights::new(options, Storage::Integers);
        let cx = Context { reference: Some(float), ..cx };
        pass.run(&mut found, &cx).expect("it runs");
        RoundWeights::named(Rounding::Scale).run(&mut found, &cx).expect("it runs");
        ratio(&found)
    };
    let (found, done) = divided(width);
    assert_eq!(done, 1);
    assert!(ratio(&found) > 100.0, "it computes the same: {}", ratio(&found));
    let (before, after) = (rounded(&model), rounded(&found));
    assert!(after > before + 2.0, "{before} {after}");
    // No factors are known for tables.
    assert_eq!(divided(Width { storage: Storage::Ternary, ..width }).1, 0);
}
