//! Failures as people meet them: the message, the exit code, and nothing left on the disk.

use std::path::Path;

use tempfile::tempdir;

use crate::support::{fixture, listing, npy, npy_f32, onnxpress, shell, write_npz};

/// The failing commands, in one snapshot: command, exit code, message.
fn report(lines: &[&str], folder: &Path) -> String {
    let before = listing(folder);
    let mut text = String::new();
    for line in lines {
        let ran = shell(line, folder);
        text.push_str(&format!("$ onnxpress {line}\n[{}] {}\n", ran.code, ran.err));
        assert_eq!(ran.out, "", "{line}: a failure prints no report");
        assert_eq!(listing(folder), before, "{line}: a failure leaves no file");
    }
    // The words of the operating system differ.
    text.replace("No such file or directory (os error 2)", "NO SUCH FILE")
}

#[test]
fn broken_models() {
    let folder = tempdir().unwrap();
    let write = |name: &str, bytes: &[u8]| std::fs::write(folder.path().join(name), bytes).unwrap();
    let whole = std::fs::read(fixture("digits_mlp.onnx")).unwrap();
    write("pointer.onnx", b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n");
    write("page.onnx", b"<!DOCTYPE html><html></html>");
    write("empty.onnx", b"");
    write("truncated.onnx", &whole[..whole.len() / 2]);
    write("checkpoint.onnx", b"PK\x03\x04rest");
    write("weights.onnx", b"\x93NUMPY\x01\x00");
    let lines = [
        "inspect missing.onnx",
        "inspect TMP",
        "inspect TMP/pointer.onnx",
        "print TMP/page.onnx",
        "inspect TMP/empty.onnx",
        "inspect TMP/truncated.onnx",
        "inspect TMP/checkpoint.onnx",
        "inspect TMP/weights.onnx",
        "compare fixtures/digits_mlp.onnx TMP/empty.onnx",
        "quantize TMP/truncated.onnx --data random:1 -o TMP/out.onnx",
    ];
    insta::assert_snapshot!("broken_models", report(&lines, folder.path()));
}

#[test]
fn unknown_fields_are_carried() {
    let folder = tempdir().unwrap();
    let whole = std::fs::read(fixture("digits_mlp.onnx")).unwrap();
    let unknown = [&whole[..], &[0xc0, 0x3e, 0x01]].concat();
    std::fs::write(folder.path().join("unknown.onnx"), &unknown).unwrap();
    let ran = shell("convert TMP/unknown.onnx -o TMP/out.onnx", folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    assert_eq!(std::fs::read(folder.path().join("out.onnx")).unwrap(), unknown);
}

#[test]
fn samples_that_do_not_fit() {
    let folder = tempdir().unwrap();
    let save =
        |name: &str, arrays: &[(&str, Vec<u8>)]| write_npz(&folder.path().join(name), arrays);
    let mut pixels = vec![0.5; 3 * 64];
    save("wide.npz", &[("input", npy_f32(&[3, 1, 9, 9], &[0.5; 243]))]);
    save("unlabelled.npz", &[("input", npy_f32(&[3, 1, 8, 8], &pixels))]);
    save("names.npz", &[("tokens", npy("<i8", &[1, 16], &[0; 128]))]);
    save("text.npz", &[("input", npy("<U2", &[1, 1, 8, 8], &[0; 512]))]);
    pixels[64 + 8] = f32::NAN;
    save("nan.npz", &[("input", npy_f32(&[3, 1, 8, 8], &pixels))]);
    save(
        "few.npz",
        &[("input", npy_f32(&[3, 1, 8, 8], &[0.5; 192])), ("y", npy("<i8", &[2], &[0; 16]))],
    );
    save(
        "class.npz",
        &[
            ("input", npy_f32(&[1, 1, 8, 8], &[0.5; 64])),
            ("y", npy("<i8", &[1], &10i64.to_le_bytes())),
        ],
    );
    std::fs::write(folder.path().join("table.csv"), "1,2,3\n").unwrap();
    let model = "fixtures/digits_mlp.onnx";
    let quantize = |rest: &str| format!("quantize {model} -o TMP/out.onnx --data {rest}");
    let compare = |rest: &str| format!("compare {model} {model} --data {rest}");
    let lines = [
        quantize("missing.npz"),
        quantize("TMP/wide.npz"),
        quantize("TMP/text.npz"),
        quantize("TMP/nan.npz"),
        quantize("TMP/table.csv"),
        quantize("TMP"),
        quantize("random:0"),
        quantize("random:2 --scale 1/16"),
        quantize("TMP/unlabelled.npz --test TMP/unlabelled.npz --labels y"),
        compare("TMP/unlabelled.npz --labels y"),
        compare("TMP/few.npz --labels y"),
        compare("TMP/class.npz --labels y"),
        compare("TMP/unlabelled.npz --mean 0.1,0.2"),
        "quantize fixtures/tokens_embedding.onnx -o TMP/out.onnx --data TMP/names.npz".into(),
    ];
    let lines: Vec<&str> = lines.iter().map(String::as_str).collect();
    insta::assert_snapshot!("samples_that_do_not_fit", report(&lines, folder.path()));
}

#[test]
fn models_that_the_engine_cannot_run() {
    let folder = tempdir().unwrap();
    let quantize = |name: &str| {
        format!("quantize fixtures/graphs/{name}.onnx --data random:2 -o TMP/out.onnx")
    };
    // Nothing can be measured, and its weights are small.
    let ran = shell(&quantize("custom_domain"), folder.path());
    let expected = "operators of domain `com.example` are unknown to tract; `--engine ort` may run";
    assert!(ran.code == 3 && ran.out.contains(expected), "{}{}", ran.out, ran.err);
    // What lies before an operator is measured and checked in parts; the whole is not, which is said.
    let ran = shell(&format!("{} --force", quantize("bn_training_mode")), folder.path());
    let expected = "tract does not implement training mode (`--engine ort` may run it)";
    assert!(ran.code != 1 && ran.out.contains(expected), "{}{}", ran.out, ran.err);
}

#[test]
fn a_model_that_is_not_run_is_reported_as_such() {
    let folder = tempdir().unwrap();
    let line = "quantize fixtures/graphs/loop_body.onnx --data random:2 -o TMP/out.onnx";
    let ran = shell(line, folder.path());
    assert_eq!(ran.code, 0, "{}", ran.err);
    insta::assert_snapshot!("not_validated", ran.out);
}

#[test]
fn wrong_arguments() {
    let folder = tempdir().unwrap();
    std::fs::write(folder.path().join("there.onnx"), "precious").unwrap();
    let quantize = "quantize fixtures/digits_mlp.onnx --data random:2";
    let compare = "compare fixtures/digits_mlp.onnx fixtures/digits_mlp.onnx";
    let lines = [
        "",
        "shrink model.onnx",
        "quantize fixtures/digits_mlp.onnx -o TMP/out.onnx",
        &format!("{quantize} -o TMP/there.onnx"),
        &format!("{quantize} -o TMP/out.onnx --skip fuse-everything"),
        &format!("{quantize} -o TMP/out.onnx --granularity block"),
        &format!("{quantize} -o TMP/out.onnx --max-drop 200%"),
        &format!("{quantize} -o TMP/out.onnx --scale zero"),
        &format!("{quantize} -o TMP/out.onnx --samples 0"),
        &format!("{compare} --labels y"),
        &format!("{compare} --max-drop 1%"),
        &format!("{compare} --min-sqnr 20"),
        &format!("{compare} --data random:1 --scores probabilities --labels y"),
    ];
    let mut lines = lines.to_vec();
    let empty = onnxpress::<&str>(&[]);
    assert_eq!((empty.code, empty.out.as_str()), (2, ""), "no command is a usage error");
    lines.remove(0);
    insta::assert_snapshot!("wrong_arguments", report(&lines, folder.path()));
}
