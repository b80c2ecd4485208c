//! What reports say holds for samples that nobody has seen, and what cannot be meant is said.

use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Ran, npy_f32, shell, write_npz};

const DIGITS: &str = "fixtures/digits_mlp.onnx";
const DATA: &str = "--data fixtures/digits_calib.npz --scale 1/16 --samples";
const TEST: &str = "--data fixtures/digits_test.npz --scale 1/16";

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out)
        .unwrap_or_else(|error| panic!("{error}: {} {}", ran.out, ran.err))
}

/// The signal-to-noise ratio that a command reports, and the one on test samples.
fn reported(command: &str, samples: usize, folder: &Path) -> (f64, String, f64) {
    let line = format!("{command} {DIGITS} {DATA} {samples} -o TMP/o.onnx --force --json -q");
    let ran = shell(&line, folder);
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    let found = &json(&ran)["drift"];
    let sqnr = found["outputs"][0]["sqnr_db"].as_f64().expect("a number");
    let test = json(&shell(&format!("compare {DIGITS} TMP/o.onnx {TEST} --json -q"), folder));
    let figures = found["figures"].as_str().unwrap_or_default().to_owned();
    (sqnr, figures, test["outputs"][0]["sqnr_db"].as_f64().expect("a number"))
}

#[test]
fn figures_of_few_samples_are_those_of_others() {
    let folder = tempdir().unwrap();
    for command in ["factorize --params 70%", "prune --params 70%"] {
        let (said, figures, test) = reported(command, 16, folder.path());
        assert_eq!(figures, "folds", "{command}");
        assert!((said - test).abs() < 4.0, "{command}: {said:.1} dB reported, {test:.1} dB found");
    }
    // Ranges of half of so few samples are worse than those of all: the figure may be too low, never too high.
    let (said, figures, test) = reported("quantize", 32, folder.path());
    assert_eq!(figures, "folds");
    assert!(said < test + 3.0, "quantize: {said:.1} dB reported, {test:.1} dB found");
}

#[test]
fn of_many_samples_some_are_kept_aside() {
    let folder = tempdir().unwrap();
    let data = "--data fixtures/digits_tune.npz --scale 1/16";
    let line = format!("prune {DIGITS} {data} --params 70% -o TMP/o.onnx --json -q");
    let found = json(&shell(&line, folder.path()));
    let drift = &found["drift"];
    assert_eq!(drift["figures"], "held_out");
    let judged = drift["samples"].as_u64().unwrap();
    assert!((64..128).contains(&judged), "{judged}");
}

#[test]
fn equal_samples_say_nothing_about_others() {
    let folder = tempdir().unwrap();
    let rows: Vec<f32> = (0..8).flat_map(|_| (0..64u8).map(|i| f32::from(i) / 64.0)).collect();
    write_npz(&folder.path().join("same.npz"), &[("x", npy_f32(&[8, 1, 8, 8], &rows))]);
    let line = format!("prune {DIGITS} --data TMP/same.npz --params 70% -o TMP/o.onnx");
    let ran = shell(&line, folder.path());
    assert!(ran.out.contains("all 8 samples are the same"), "{}", ran.out);
    assert!(ran.out.contains("OF SAMPLES THAT THE RESULT WAS FITTED TO"), "{}", ran.out);
}

#[test]
fn an_original_at_chance_level_meets_no_drop() {
    let folder = tempdir().unwrap();
    let wrong =
        "--data fixtures/digits_calib.npz --test fixtures/digits_test.npz --labels y --mean=-200";
    let line = format!("quantize {DIGITS} {wrong} --max-drop 5% -o TMP/o.onnx");
    let ran = shell(&line, folder.path());
    assert_eq!(ran.code, 3, "{} {}", ran.out, ran.err);
    assert!(ran.out.contains("at chance level"), "{}", ran.out);
    let right = wrong.replace("--mean=-200", "--scale 1/16");
    let line = format!("quantize {DIGITS} {right} --max-drop 5% -o TMP/o.onnx --force");
    let ran = shell(&line, folder.path());
    assert_eq!((ran.code, ran.out.contains("chance")), (0, false), "{} {}", ran.out, ran.err);
}

#[test]
fn an_array_of_another_name_is_named() {
    let folder = tempdir().unwrap();
    let rows: Vec<f32> = (0..4 * 64).map(|i| (i % 61) as f32 / 61.0).collect();
    write_npz(&folder.path().join("a.npz"), &[("pictures", npy_f32(&[4, 1, 8, 8], &rows))]);
    let ran = shell(&format!("quantize {DIGITS} --data TMP/a.npz -o TMP/o.onnx"), folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.err.contains("array `pictures` feeds input `"), "{}", ran.err);
    assert!(ran.out.contains("from array `pictures`: 0 to"), "{}", ran.out);
}

/// A small classifier with its scores, its classes, or both as outputs.
fn classifier(outputs: &str, folder: &Path, name: &str) {
    let numbers = |count: usize, step: usize| -> String {
        let number = |i: usize| format!("{:.4}", ((i * step) % 97) as f32 / 97.0 - 0.5);
        (0..count).map(number).collect::<Vec<_>>().join(", ")
    };
    let text = format!(
        r#"<ir_version: 8, opset_import: ["" : 17]>
        g (float[n,24] x) => ({outputs})
        <float[24,32] a = {{{}}}, float[32,12] b = {{{}}}>
        {{
            h = MatMul (x, a)
            r = Relu (h)
            l = MatMul (r, b)
            y = ArgMax <axis = 1, keepdims = 0> (l)
        }}"#,
        numbers(24 * 32, 31),
        numbers(32 * 12, 17),
    );
    let model = onnxpress::read::text(&text).expect("a model and a folder");
    std::fs::write(folder.join(name), crate::support::encode(&model))
        .expect("a model and a folder");
}

#[test]
fn classes_beside_scores_steer_nothing() {
    let folder = tempdir().unwrap();
    let rows: Vec<f32> = (0..40 * 24).map(|i| ((i * 7919) % 1013) as f32 / 500.0 - 1.0).collect();
    write_npz(&folder.path().join("x.npz"), &[("x", npy_f32(&[40, 24], &rows))]);
    let quantized = |outputs: &str, name: &str| {
        classifier(outputs, folder.path(), name);
        let line = format!(
            "quantize TMP/{name} --data TMP/x.npz --min-sqnr 20 -o TMP/q.onnx --force --json -q"
        );
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 0, "{} {}", ran.out, ran.err);
        json(&ran)["drift"]["outputs"].clone()
    };
    let alone = quantized("float[n,12] l", "scores.onnx");
    let both = quantized("int64[n] y, float[n,12] l", "both.onnx");
    assert_eq!(alone[0]["sqnr_db"], both[1]["sqnr_db"], "the same choices");
    let agreement = both[0]["agreement"].as_f64().unwrap();
    assert!(agreement > 0.8 && both[1].get("agreement").is_none(), "{both}");
    classifier("int64[n] y", folder.path(), "classes.onnx");
    let line = "quantize TMP/classes.onnx --data TMP/x.npz -o TMP/q.onnx --force";
    let ran = shell(line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert!(ran.out.contains("`y`: indices, "), "{}", ran.out);
}
