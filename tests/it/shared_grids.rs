//! Parts of different size side by side: each keeps its own grid, and what is lost all the same is named.

use std::fmt::Write;
use std::path::Path;

use onnxpress::math::Distance;
use onnxpress::read;
use onnxpress::tensor::Tensor;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{decode, encode, floats, run, shell};

/// So many numbers around 0, as text.
fn numbers(count: usize, seed: u32) -> String {
    let mut state = seed;
    let mut text = String::new();
    for i in 0..count {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        let x = (state >> 8) as f32 / 16_777_216.0 - 0.5;
        write!(text, "{}{x}", if i == 0 { "" } else { ", " }).expect("memory");
    }
    text
}

/// Boxes of 0 to some times `ratio`, and scores of 0 to 1, out of 3 channels of 6 by 6; `nodes` join `boxes` and `scores` to `y`.
fn head(ratio: f32, nodes: &str) -> String {
    format!(
        "<ir_version: 8, opset_import: [\"\" : 17]> g (float[1,3,6,6] x) => (y) <
           float[4,3,1,1] w = {{{}}}, float[8,3,1,1] v = {{{}}}, float k = {{{ratio}}},
           int64[3] flat4 = {{1, 4, 36}}, int64[3] flat8 = {{1, 8, 36}}
         > {{
           a = Conv (x, w) r = Relu (a) boxes = Mul (r, k)
           b = Conv (x, v) scores = Sigmoid (b)
           {nodes}
         }}",
        numbers(12, 7),
        numbers(24, 8)
    )
}

/// The JSON report of quantizing a model, which is left in the folder with the result.
fn report(model: &str, options: &str, folder: &Path) -> Value {
    std::fs::write(
        folder.join("model.onnx"),
        encode(&read::text(model).expect("a model in the folder")),
    )
    .expect("a model in the folder");
    let line = "quantize TMP/model.onnx -o TMP/q.onnx --data random:16 --force --json -q";
    let ran = shell(&format!("{line} {options}"), folder);
    assert_eq!(ran.code, 0, "{options}: {}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

/// What boxes and scores, 4 and 8 channels along `axis` of `y`, keep in decibel.
fn kept(folder: &Path, axis: usize) -> [f64; 2] {
    let model =
        |name| decode(std::fs::read(folder.join(name)).expect("a model in the folder").into());
    let models = ["model.onnx", "q.onnx"].map(model);
    let mut pairs = [[Vec::new(), Vec::new()], [Vec::new(), Vec::new()]];
    for seed in 90..94 {
        let elements = numbers(108, seed);
        let elements: Vec<f32> =
            elements.split(", ").map(|x| 3.0 * x.parse::<f32>().expect("a number")).collect();
        let given = [("x".to_owned(), Tensor::from_f32(&[1, 3, 6, 6], &elements))];
        for (side, model) in models.iter().enumerate() {
            let y = run(model, &given).expect("the model runs").remove(0).1;
            let inner: usize = y.dims()[axis + 1..].iter().product();
            for (i, x) in floats(&y).into_iter().enumerate() {
                pairs[usize::from(i / inner % 12 >= 4)][side].push(x);
            }
        }
    }
    pairs.map(|[a, b]| Distance::between(&a, &b).sqnr_db())
}

/// Ways to join boxes and scores, with the axis of the channels.
fn heads() -> [(&'static str, usize); 5] {
    [
        ("y = Concat <axis = 1> (boxes, scores)", 1),
        ("c = Concat <axis = 1> (boxes, scores) y = Transpose <perm = [0, 2, 3, 1]> (c)", 3),
        (
            "p = Reshape (boxes, flat4) q = Reshape (scores, flat8) c = Concat <axis = 1> (p, q) \
             y = Transpose <perm = [0, 2, 1]> (c)",
            2,
        ),
        (
            "p = Transpose <perm = [0, 2, 3, 1]> (boxes) q = Transpose <perm = [0, 2, 3, 1]> (scores) \
             y = Concat <axis = -1> (p, q)",
            3,
        ),
        ("c = Concat <axis = 1> (boxes, scores) d = Relu (c) y = LeakyRelu (d)", 1),
    ]
}

#[test]
fn scores_survive_beside_boxes() {
    let folder = tempdir().unwrap();
    for (nodes, axis) in heads() {
        for ratio in [12.0, 500.0, 20_000.0] {
            for target in ["qnn", "ort", "openvino", "tensorrt", "portable"] {
                let options = format!("--target {target}");
                let report = report(&head(ratio, nodes), &options, folder.path());
                let found = kept(folder.path(), axis);
                assert!(found.iter().all(|&db| db > 28.0), "{target}, {ratio}: {nodes}: {found:?}");
                let slices = &report["drift"]["outputs"][0]["slices"];
                assert!(slices.is_null(), "{target}, {ratio}: {nodes}: {slices}");
            }
        }
    }
}

#[test]
fn what_one_grid_wipes_out_is_named() {
    let folder = tempdir().unwrap();
    // The caller wants integers, and there is one grid for them.
    let report = report(&head(500.0, heads()[0].0), "--target qnn --quantize-io", folder.path());
    let slice = &report["drift"]["outputs"][0]["slices"][0];
    assert_eq!(
        (&slice["axis"], &slice["first"], &slice["last"]),
        (&1.into(), &4.into(), &11.into())
    );
    assert_eq!(slice["of"], "scores");
    let warnings = report["warnings"].to_string();
    assert!(warnings.contains("parts of output `y` are lost"), "{warnings}");
}
