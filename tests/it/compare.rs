//! `compare`: what it says about samples, classes, inner values and time.

use std::path::Path;

use image::{GrayImage, Luma};
use onnxpress::data::Options;
use onnxpress::ir::Model;
use onnxpress::tensor::Tensor;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{encode, fixture, load, pixels, samples, shell, value};

/// Writes a model with the elements of one weight changed.
fn with_weight(name: &str, weight: &str, change: impl Fn(usize, f32) -> f32, to: &Path) {
    let mut model: Model = load(name);
    let weight = value(&model, weight);
    let tensor = model.value(weight).initializer().expect("a weight").clone();
    let elements = tensor.to_f32().expect("floats");
    let changed: Vec<f32> = elements.iter().enumerate().map(|(i, &x)| change(i, x)).collect();
    model.set_tensor(weight, Tensor::from_f32(tensor.dims(), &changed));
    std::fs::write(to, encode(&model)).expect("a writable folder");
}

fn compare(options: &str, folder: &Path) -> Value {
    let line = format!("compare fixtures/digits_mlp.onnx TMP/other.onnx --json {options}");
    let ran = shell(&line, folder);
    assert_eq!(ran.code, 0, "{}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

const DIGITS: &str = "--data fixtures/digits_test.npz --scale 1/16";

#[test]
fn layers_show_where_two_models_part() {
    let folder = tempdir().unwrap();
    let other = folder.path().join("other.onnx");
    with_weight("digits_mlp.onnx", "fc2.weight", |i, x| x + (i % 7) as f32 * 0.02, &other);
    let report = compare(&format!("{DIGITS} --layers"), folder.path());
    let layers = &report["layers"];
    assert_eq!(layers["samples"], 8);
    let rows = layers["values"].as_array().unwrap();
    let ratio = |name: &str| {
        let row = rows.iter().find(|row| row["name"] == name);
        row.unwrap_or_else(|| panic!("no `{name}` in {layers:#}"))["sqnr_db"].as_f64().unwrap()
    };
    assert_eq!(ratio("/fc1/Gemm_output_0"), 300.0);
    assert_eq!(ratio("/Relu_output_0"), 300.0);
    assert!(ratio("/fc2/Gemm_output_0") < 40.0);
    assert_eq!(layers["largest_fall"], "/fc2/Gemm_output_0");
    assert!(ratio("logits") < 60.0);
}

#[test]
fn layers_are_compared_through_passes_that_fold() {
    let folder = tempdir().unwrap();
    let line = "simplify fixtures/digits_resnet_bn.onnx -o TMP/s.onnx -q";
    assert_eq!(shell(line, folder.path()).code, 0);
    let line = "compare fixtures/digits_resnet_bn.onnx TMP/s.onnx --layers --json --data \
                fixtures/digits_test.npz --scale 1/16 --samples 4";
    let report: Value = serde_json::from_str(&shell(line, folder.path()).out).unwrap();
    let rows = report["layers"]["values"].as_array().unwrap();
    assert!(rows.len() > 10);
    // A Conv has taken in its BatchNormalization and kept its name.
    for row in rows {
        assert!(row["sqnr_db"].as_f64().unwrap() > 90.0, "{row}");
    }
}

/// The sum over the rows of a profile.
fn sum(rows: &Value, field: &str, side: &str) -> f64 {
    let rows = rows.as_array().expect("rows").iter();
    rows.map(|row| row[field][side].as_f64().expect("a number")).sum()
}

#[test]
fn a_profile_says_where_the_time_goes() {
    let folder = tempdir().unwrap();
    let line = "quantize fixtures/digits_mlp.onnx --data fixtures/digits_calib.npz --scale 1/16 \
                --samples 16 -o TMP/other.onnx -q";
    assert_eq!(shell(line, folder.path()).code, 0);
    for isolation in ["", "--engine-in-process"] {
        let options = format!("{DIGITS} --samples 4 --profile {isolation}");
        let report = compare(&options, folder.path());
        let profile = &report["profile"];
        assert_eq!((&profile["engine"], &profile["runs"]), (&"tract".into(), &21.into()));
        let (operators, nodes) = (&profile["by_operator"], &profile["by_node"]);
        for side in ["original", "candidate"] {
            let total = profile["milliseconds"][side].as_f64().unwrap();
            assert!(total > 0.0);
            for rows in [operators, nodes] {
                assert!((sum(rows, "milliseconds", side) / total - 1.0).abs() < 1e-6, "{rows:#}");
                assert!((sum(rows, "time_share", side) - 1.0).abs() < 1e-6, "{rows:#}");
            }
        }
        let row = |rows: &Value, field: &str, name: &str| {
            let found = rows.as_array().unwrap().iter().find(|row| row[field] == name).cloned();
            found.unwrap_or_else(|| panic!("no `{name}` in {rows:#}"))
        };
        // Layers are the same nodes in both models; what converts is only in one of them.
        let layer = row(nodes, "name", "/fc1/Gemm");
        assert_eq!(layer["op"], "Gemm");
        for side in ["original", "candidate"] {
            assert!(layer["milliseconds"][side].as_f64().unwrap() > 0.0, "{layer:#}");
            assert!(!layer["kernels"][side].as_array().unwrap().is_empty(), "{layer:#}");
        }
        let conversion = row(operators, "op", "QuantizeLinear");
        assert_eq!(conversion["nodes"]["original"], 0);
        assert!(conversion["milliseconds"]["candidate"].as_f64().unwrap() > 0.0);
    }
}

#[test]
fn the_worst_samples_are_those_that_move_most() {
    let folder = tempdir().unwrap();
    let other = folder.path().join("other.onnx");
    // Only the first hidden unit: samples differ by how much they excite it.
    with_weight("digits_mlp.onnx", "fc1.weight", |i, x| if i < 64 { x + 0.5 } else { x }, &other);
    let report = compare(&format!("{DIGITS} --labels y --worst 3"), folder.path());
    let worst = report["worst"].as_array().unwrap();
    assert_eq!(worst.len(), 3);
    // The same, computed here.
    let (a, b) = (load("digits_mlp.onnx"), onnxpress::read::file(&other).unwrap().model);
    let options = Options { labels: Some("y".into()), ..pixels() };
    let test = samples(&a, fixture("digits_test.npz"), &options);
    let mut ratios: Vec<(f64, usize)> = Vec::new();
    for i in 0..test.runs() {
        let run = test.run(i).unwrap();
        let outputs = [&a, &b].map(|model| crate::support::run(model, &run.inputs).unwrap());
        let [a, b] = outputs.map(|outputs| crate::support::floats(&outputs[0].1));
        let noise: f64 = a.iter().zip(&b).map(|(a, b)| f64::from(a - b).powi(2)).sum();
        let signal: f64 = a.iter().map(|a| f64::from(*a).powi(2)).sum();
        ratios.push((10.0 * (signal / noise).log10(), i));
    }
    ratios.sort_by(|a, b| a.0.total_cmp(&b.0));
    for (found, (ratio, index)) in worst.iter().zip(&ratios) {
        assert_eq!(found["index"].as_u64(), Some(*index as u64));
        assert!((found["sqnr_db"].as_f64().unwrap() - ratio).abs() < 0.01, "{found}");
        assert_eq!(found["label"].as_i64(), Some(test.labels().unwrap()[*index]));
        assert!(found["original"].is_u64() && found["candidate"].is_u64());
    }
}

#[test]
fn classifiers_have_a_divergence_and_an_agreement() {
    let folder = tempdir().unwrap();
    let other = folder.path().join("other.onnx");
    // The same logits, shifted: the same probabilities.
    with_weight("digits_mlp.onnx", "fc3.bias", |_, x| x + 2.0, &other);
    let report = compare(&format!("{DIGITS} --labels y"), folder.path());
    let output = &report["outputs"][0];
    assert!((output["mean_error"].as_f64().unwrap() - 2.0).abs() < 1e-4, "{output}");
    assert!(output["classes"]["kl_mean"].as_f64().unwrap() < 1e-6, "{output}");
    assert_eq!(output["classes"]["agreement"], 1.0);
    assert_eq!(output["classes"]["rows"], 400);
    // Without labels nobody knows that these are classes, unless told.
    let unknown = compare(DIGITS, folder.path());
    assert!(unknown["outputs"][0].get("classes").is_none());
    let told = compare(&format!("{DIGITS} --scores logits"), folder.path());
    assert_eq!(told["outputs"][0]["classes"]["rows"], 400);
}

#[test]
fn what_is_not_finite_is_counted() {
    let folder = tempdir().unwrap();
    let other = folder.path().join("other.onnx");
    let change = |i, x| if i == 4 { f32::NAN } else { x };
    with_weight("digits_mlp.onnx", "fc3.bias", change, &other);
    let report = compare(&format!("{DIGITS} --samples 5"), folder.path());
    let output = &report["outputs"][0];
    assert_eq!(output["nan"], serde_json::json!({ "original": 0, "candidate": 5 }));
    assert_eq!(output["infinite"]["candidate"], 0);
    let line = format!("compare fixtures/digits_mlp.onnx TMP/other.onnx {DIGITS} --samples 5");
    let text = shell(&line, folder.path()).out;
    assert!(text.contains("NaN       0 elements -> 5"), "{text}");
}

#[test]
fn images_in_class_folders_have_labels_and_names() {
    let folder = tempdir().unwrap();
    let model = load("digits_mlp.onnx");
    let options = Options { labels: Some("y".into()), ..Options::default() };
    let test = samples(&model, fixture("digits_test.npz"), &options);
    for i in 0..30 {
        let run = test.run(i).unwrap();
        let grey = crate::support::floats(&run.inputs[0].1);
        let image = GrayImage::from_fn(8, 8, |x, y| Luma([grey[(y * 8 + x) as usize] as u8]));
        let class = folder.path().join(format!("images/{}", test.labels().unwrap()[i]));
        std::fs::create_dir_all(&class).unwrap();
        image.save(class.join(format!("{i:03}.png"))).unwrap();
    }
    let other = folder.path().join("other.onnx");
    with_weight("digits_mlp.onnx", "fc3.bias", |i, x| x + i as f32 * 0.1, &other);
    let report = compare("--data TMP/images --scale 1/16 --worst 4", folder.path());
    assert_eq!(report["samples"], 30);
    let top = &report["accuracy"]["top1"];
    assert!(top["original"].as_f64().unwrap() > 0.9, "{report:#}");
    let worst = &report["worst"][0];
    let (file, label) = (worst["file"].as_str().unwrap(), worst["label"].as_i64().unwrap());
    assert!(file.contains(&format!("images/{label}/")) && file.ends_with(".png"), "{worst}");
}

#[test]
fn times_have_a_spread_and_memory() {
    let folder = tempdir().unwrap();
    let other = folder.path().join("other.onnx");
    with_weight("digits_mlp.onnx", "fc3.bias", |_, x| x, &other);
    let report = compare(&format!("{DIGITS} --latency --threads 2"), folder.path());
    let latency = &report["latency_ms"];
    for side in ["original", "candidate"] {
        let median = latency[side].as_f64().unwrap();
        let quartile = |at: usize| latency["quartiles"][side][at].as_f64().unwrap();
        assert!(quartile(0) <= median && median <= quartile(1), "{latency:#}");
        assert!(latency["parallel"][side].as_f64().unwrap() > 0.0);
        // A process with an engine is some megabytes at least.
        if cfg!(target_os = "linux") {
            assert!(latency["memory_bytes"][side].as_u64().unwrap() > 1 << 20, "{latency:#}");
        }
    }
    assert_eq!(latency["parallel"]["threads"], 2);
}
