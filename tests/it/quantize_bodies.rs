//! Layers in the bodies of If and Scan: measured where they run, and on integers by the same rules.

use std::fs;
use std::path::Path;

use onnxpress::data::Options;
use onnxpress::emit;
use onnxpress::exec::Tract;
use onnxpress::ir::Model;
use onnxpress::{read, validate};
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{npy_f32, samples, shell, write_npz};

/// Numbers that look like weights, as the text form writes them.
fn numbers(count: usize, seed: usize) -> String {
    let number = |i: usize| format!("{:.4}", ((i * 7 + seed * 31) as f32 * 0.73).sin() * 0.4);
    (0..count).map(number).collect::<Vec<_>>().join(", ")
}

/// A picture goes through a Conv and a Gemm where its mean is positive, else through a MatMul; then a Scan
/// goes over its rows with a product in each step, in a branch of which is another.
fn model() -> Model {
    let text = format!(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[1,1,8,8] x) => (float[1,16] y, float[1,16] last)
          <float[8,1,3,3] kernel = {{{}}}, float[8] bias = {{{}}}, float[16,512] full = {{{}}},
           float[16] shift = {{{}}}, float[64,16] flat = {{{}}}, float[8,16] row = {{{}}},
           float[16,16] next = {{{}}}, float[1,16] start = {{{}}}, float zero = {{0}},
           int64[2] vector = {{1, -1}}, int64[3] rows = {{8, 1, 8}}> {{
          mean = ReduceMean <keepdims = 0> (x)
          go = Greater (mean, zero)
          y = If (go) <
            then_branch = then () => (float[1,16] t) {{
              [conv] c = Conv <pads = [1,1,1,1]> (x, kernel, bias)
              r = Relu (c)
              v = Reshape (r, vector)
              [gemm] t = Gemm <transB = 1> (v, full, shift)
            }},
            else_branch = other () => (float[1,16] e) {{
              v_1 = Reshape (x, vector)
              [matmul] e = MatMul (v_1, flat)
            }}
          >
          xs = Reshape (x, rows)
          last = Scan <num_scan_inputs = 1, body = step (float[1,16] old, float[1,8] piece)
              => (float[1,16] new) {{
            [in_step] p = MatMul (piece, row)
            s = Add (p, old)
            new = If (go) <
              then_branch = then () => (float[1,16] a) {{
                h = Tanh (s)
                [in_branch] a = MatMul (h, next)
              }},
              else_branch = other () => (float[1,16] b) {{ b = Tanh (s) }}
            >
          }}> (start, xs)
        }}"#,
        numbers(72, 1),
        numbers(8, 2),
        numbers(16 * 512, 3),
        numbers(16, 4),
        numbers(64 * 16, 5),
        numbers(8 * 16, 6),
        numbers(16 * 16, 7),
        numbers(16, 8),
    );
    read::text(&text).expect("valid")
}

/// Writes pictures of which each has the mean that `means` gives it by turns.
fn write_pictures(path: &Path, means: &[f32]) {
    let pixel = |i: usize| (i as f32 * 12.9898).sin() + means[i / 64 % means.len()];
    let pixels: Vec<f32> = (0..48 * 64).map(pixel).collect();
    write_npz(path, &[("x", npy_f32(&[48, 1, 8, 8], &pixels))]);
}

fn write_model(path: &Path) -> Model {
    let model = model();
    let verified = model.verify().expect("valid");
    let encoded = emit::onnx(verified).expect("it can be written").to_bytes();
    fs::write(path, encoded).expect("a folder of its own");
    model
}

fn load(path: &Path) -> Model {
    read::bytes(fs::read(path).expect("it was written").into()).expect("our own file").model
}

/// The names of the layers of which all factors come out of a DequantizeLinear in their own graph.
fn on_integers(model: &Model) -> Vec<String> {
    let dequantized = |graph, value| {
        let producer = model.value(value).producer().map(|node| model.node(node));
        producer.is_some_and(|node| node.is("DequantizeLinear") && node.graph() == graph)
    };
    let nodes = model.all_nodes().into_iter().map(|id| model.node(id));
    let layers = nodes.filter(|node| ["Conv", "Gemm", "MatMul"].contains(&node.op()));
    let integer = layers.filter(|node| {
        let factors = node.inputs().iter().take(2).flatten();
        factors.copied().all(|value| dequantized(node.graph(), value))
    });
    integer.map(|node| node.name().to_owned()).collect()
}

const LAYERS: [&str; 5] = ["conv", "gemm", "in_branch", "in_step", "matmul"];
/// Where the original and the quantized model must be closer, in decibel.
const CLOSE: f64 = 25.0;

#[test]
fn layers_in_bodies_compute_with_integers() {
    let folder = tempdir().unwrap();
    let original = write_model(&folder.path().join("m.onnx"));
    write_pictures(&folder.path().join("both.npz"), &[0.6, -0.6]);
    let line = "quantize TMP/m.onnx -o TMP/q.onnx --data TMP/both.npz --float-share 0 --json";
    let ran = shell(line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let quantized = load(&folder.path().join("q.onnx"));
    let mut layers = on_integers(&quantized);
    layers.sort();
    assert_eq!(layers, LAYERS, "{}", ran.out);
    let data = samples(&original, folder.path().join("both.npz"), &Options::default());
    let options = validate::Options::default();
    let found = validate::compare(&Tract, &original, &quantized, &data, &options).unwrap();
    assert!(found.worst_sqnr_db() > CLOSE, "{:.1} dB", found.worst_sqnr_db());
}

#[test]
fn a_branch_that_no_sample_took_is_stored_only() {
    let folder = tempdir().unwrap();
    write_model(&folder.path().join("m.onnx"));
    write_pictures(&folder.path().join("bright.npz"), &[0.6]);
    let line = "quantize TMP/m.onnx -o TMP/q.onnx --data TMP/bright.npz --float-share 0 -v";
    let ran = shell(line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let matmul = ran.out.lines().find(|line| line.contains("node `matmul`")).unwrap_or_default();
    let why = "computes with floats: activation `v_1` was not measured: no sample ran its body";
    assert!(matmul.contains("int8 weight") && matmul.contains(why), "{}", ran.out);
    let quantized = load(&folder.path().join("q.onnx"));
    let mut layers = on_integers(&quantized);
    layers.sort();
    assert_eq!(layers, LAYERS[..4]);
}

#[test]
fn statistics_know_values_of_bodies_by_their_paths() {
    let folder = tempdir().unwrap();
    write_model(&folder.path().join("m.onnx"));
    write_pictures(&folder.path().join("both.npz"), &[0.6, -0.6]);
    let ran = shell("calibrate TMP/m.onnx -o TMP/s --data TMP/both.npz", folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    let text = fs::read_to_string(folder.path().join("s")).unwrap();
    let mut statistics: Value = serde_json::from_str(&text).unwrap();
    let values = statistics["values"].as_object_mut().unwrap();
    for path in
        ["y.then_branch/v", "y.else_branch/v_1", "last.body/new.then_branch/h", "last.body/piece"]
    {
        assert!(values[path]["min"].as_f64().unwrap() < 0.5, "{path}: {values:?}");
    }
    assert_eq!(quantized(folder.path(), "s"), LAYERS);
    // A file from before bodies were looked into.
    values.retain(|path, _| !path.contains('/'));
    fs::write(folder.path().join("old"), statistics.to_string()).unwrap();
    assert_eq!(quantized(folder.path(), "old"), ["conv"]);
}

/// The layers on integers with ranges from a file of statistics.
fn quantized(folder: &Path, statistics: &str) -> Vec<String> {
    let line = format!(
        "quantize TMP/m.onnx -o TMP/{statistics}.onnx --calibration TMP/{statistics} --force"
    );
    let ran = shell(&line, folder);
    assert_eq!(ran.code, 0, "{}", ran.err);
    let mut layers = on_integers(&load(&folder.join(format!("{statistics}.onnx"))));
    layers.sort();
    layers
}
