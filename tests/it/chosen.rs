//! Models of which the engine runs only a part, that give as much as the data want, or that have nothing to do.

use std::fmt::Write as _;
use std::path::Path;

use onnxpress::read;
use tempfile::tempdir;

use crate::support::{encode, npy_f32, shell, write_npz};

/// Numbers without a pattern, from -1 to 1.
fn noise(seed: u32, count: usize) -> Vec<f32> {
    let mut state = seed.wrapping_mul(2_654_435_761).max(1);
    let mut next = || {
        state ^= state << 13;
        state ^= state >> 17;
        state ^= state << 5;
        f64::from(state) / f64::from(u32::MAX) * 2.0 - 1.0
    };
    (0..count).map(|_| next() as f32).collect()
}

/// A weight in ONNX text.
fn weight(name: &str, seed: u32, dims: [usize; 2]) -> String {
    let mut text = format!("float[{},{}] {name} = {{", dims[0], dims[1]);
    for (i, x) in noise(seed, dims[0] * dims[1]).iter().enumerate() {
        let comma = if i == 0 { "" } else { ", " };
        write!(text, "{comma}{}", x * 0.3).unwrap();
    }
    text + "}"
}

/// Two layers, from `x` of 32 elements to 8 scores `s`, and `tail`; `head` makes `h` of `x` for the first layer.
fn write_model(folder: &Path, outputs: &str, head: &str, tail: &str) {
    let (w, v) = (weight("w", 1, [32, 32]), weight("v", 2, [32, 8]));
    let boxes = weight("boxes", 3, [32, 32]);
    let text = format!(
        "<ir_version: 8, opset_import: [\"\" : 17]> g (float[1,32] x) => ({outputs}) <{w}, {v}, {boxes},
         float zero = {{0}}, int64[1] all = {{-1}}, int64[3] per_box = {{1, 8, 4}}, int64[3] per_class = {{1, 1, 8}},
         int64[1] most = {{8}}, float[1] overlap = {{0.6}}, float[1] least = {{0.4}}>
         {{ {head} a = MatMul (h, w) b = Relu (a) s = MatMul (b, v) {tail} }}"
    );
    let model = read::text(&text).expect("the text is a model");
    std::fs::write(folder.join("model.onnx"), encode(&model))
        .expect("the folder can be written to");
    let samples = npy_f32(&[48, 32], &noise(7, 48 * 32));
    write_npz(&folder.join("x.npz"), &[("x", samples)]);
}

const PLAIN: &str = "h = Identity (x)";
const QUANTIZE: &str = "quantize TMP/model.onnx --data TMP/x.npz -o TMP/out.onnx --force";

#[test]
fn outputs_that_give_as_much_as_the_data_want_are_compared() {
    let folder = tempdir().unwrap();
    let greater = "g = Greater (s, zero)";
    let kept = "boxes4 = MatMul (b, boxes) four = Reshape (boxes4, per_box) p = Sigmoid (s) q = Reshape (p, per_class)
                i = NonMaxSuppression (four, q, most, overlap, least)";
    // The outputs, what makes them, and whether numbers of unlike dims come up.
    let cases = [
        ("int64[2,N] y", format!("{greater} y = NonZero (g)"), false),
        ("int64[N,2] y", format!("{greater} n = NonZero (g) y = Transpose (n)"), false),
        ("float[N] y", format!("{greater} r = Reshape (g, all) y = Compress (s, r)"), true),
        (
            "float[N] y",
            format!("{greater} n = NonZero (g) t = Transpose (n) y = GatherND (s, t)"),
            true,
        ),
        (
            "float[N] y, float[1,8] s",
            format!("{greater} r = Reshape (g, all) y = Compress (s, r)"),
            true,
        ),
        ("int64[N,3] i", kept.to_owned(), false),
    ];
    for (outputs, tail, numbers) in cases {
        write_model(folder.path(), outputs, PLAIN, &tail);
        let ran = shell(QUANTIZE, folder.path());
        assert_eq!(ran.code, 0, "{tail}: {}{}", ran.out, ran.err);
        assert!(!ran.out.contains("were not tried one by one"), "{tail}: {}", ran.out);
        let line = "compare TMP/model.onnx TMP/out.onnx --data TMP/x.npz --worst 3";
        let ran = shell(line, folder.path());
        assert_eq!(ran.code, 0, "{tail}: {}{}", ran.out, ran.err);
        let unlike = ran.out.contains("dims depend on the data and are unlike in");
        assert!(!unlike || numbers, "{tail}: {}", ran.out);
        assert_eq!(ran.out.contains("indices, "), !numbers, "{tail}: {}", ran.out);
    }
}

#[test]
fn an_output_of_which_nothing_can_be_compared_meets_no_bound() {
    let folder = tempdir().unwrap();
    write_model(
        folder.path(),
        "float[N] y",
        PLAIN,
        "g = Greater (s, zero) r = Reshape (g, all) y = Compress (s, r)",
    );
    let other = folder.path().join("other.onnx");
    std::fs::rename(folder.path().join("model.onnx"), &other).unwrap();
    // All scores are kept here.
    let tail = "e = Exp (s) g = Greater (e, zero) r = Reshape (g, all) y = Compress (s, r)";
    write_model(folder.path(), "float[N] y", PLAIN, tail);
    let ran =
        shell("compare TMP/other.onnx TMP/model.onnx --data TMP/x.npz --min-sqnr 3", folder.path());
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    assert!(ran.out.contains("unlike in"), "{}", ran.out);
    // Dims that do not depend on the data are another model.
    write_model(
        folder.path(),
        "float[2,4] y",
        PLAIN,
        "two = Constant <value_ints = [2, 4]> () y = Reshape (s, two)",
    );
    std::fs::rename(folder.path().join("model.onnx"), &other).unwrap();
    write_model(folder.path(), "float[1,8] y", PLAIN, "y = Identity (s)");
    let ran = shell("compare TMP/other.onnx TMP/model.onnx --data TMP/x.npz", folder.path());
    assert_eq!(ran.code, 1, "{}{}", ran.out, ran.err);
    assert!(ran.err.contains("has dims [2, 4], in the candidate [1, 8]"), "{}", ran.err);
}

#[test]
fn samples_never_lose_what_is_done_without() {
    let folder = tempdir().unwrap();
    let size = |name: &str| folder.path().join(name).metadata().unwrap().len() as f64;
    // Where an operator stands that the engine does not run: in front of all layers, between and behind them.
    let head =
        "c = Unsqueeze (x, all1) d = LpPool <kernel_shape = [1], p = 2> (c) h = Squeeze (d, all1)";
    let head = head.replace("all1", "axis");
    let axis = "axis = Constant <value_ints = [1]> ()";
    let cases = [
        (format!("{axis} {head}"), "y = Identity (s)".to_owned()),
        (
            PLAIN.to_owned(),
            format!(
                "{axis} c = Unsqueeze (b, axis) d = LpPool <kernel_shape = [1], p = 2> (c) e = Squeeze (d, axis) y = MatMul (e, boxes)"
            ),
        ),
        (
            PLAIN.to_owned(),
            format!(
                "{axis} c = Unsqueeze (s, axis) d = LpPool <kernel_shape = [1], p = 2> (c) y = Squeeze (d, axis)"
            ),
        ),
    ];
    for (head, tail) in cases {
        write_model(folder.path(), "float[1,N] y", &head, &tail);
        let without = shell(
            "quantize TMP/model.onnx --mode weights -o TMP/weights.onnx --force",
            folder.path(),
        );
        assert_eq!(without.code, 0, "{head} {tail}: {}{}", without.out, without.err);
        for mode in ["static", "weights", "dynamic"] {
            let ran = shell(&format!("{QUANTIZE} --mode {mode}"), folder.path());
            assert_eq!(ran.code, 0, "{mode} {head} {tail}: {}{}", ran.out, ran.err);
            let bound = size("weights.onnx") * 1.1 + 300.0;
            assert!(size("out.onnx") < bound, "{mode} {head} {tail}: {}", ran.out);
            assert!(ran.out.contains("(LpPool)"), "the operator is named: {}", ran.out);
            assert!(ran.out.contains("`--engine ort`"), "{}", ran.out);
        }
    }
}

#[test]
fn a_model_without_layers_is_done() {
    let folder = tempdir().unwrap();
    let model = read::text(
        "<ir_version: 8, opset_import: [\"\" : 17]> g (float[1,3,8,8] x) => (float[1,3,8,8] y) { y = Relu (x) }",
    );
    std::fs::write(folder.path().join("model.onnx"), encode(&model.unwrap())).unwrap();
    for line in [
        "quantize TMP/model.onnx --data random:2",
        "quantize TMP/model.onnx --mode weights",
        "quantize TMP/model.onnx --mode dynamic",
        "prune TMP/model.onnx --macs 50%",
        "prune TMP/model.onnx --ratio 50%",
        "factorize TMP/model.onnx --params 50%",
    ] {
        let ran = shell(&format!("{line} -o TMP/out.onnx --force"), folder.path());
        assert_eq!(ran.code, 0, "{line}: {}{}", ran.out, ran.err);
        assert!(ran.out.contains("the model has no layer that multiplies"), "{line}: {}", ran.out);
    }
}
