//! `inspect --channels` and `prune`.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::shell;

const MODEL: &str = "fixtures/digits_resnet_bn.onnx";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn inspect_shows_the_channels() {
    let folder = TempDir::new().unwrap();
    let ran = shell("inspect fixtures/digits_mlp.onnx --channels", folder.path());
    let shown = ran.out.split_once("channels ").expect("a section").1;
    insta::assert_snapshot!(shown.trim(), @r"
    2 groups, in tensors with 99.94 % of the parameters and layers with 100.00 % of the MACs
      128 × cut 1: `/fc1/Gemm` -> `/fc2/Gemm`; each 129 parameters, 128 MACs
          `fc1.weight` axis 0: 1 of 128
          `fc1.bias` axis 0: 1 of 128
          `fc2.weight` axis 1: 1 of 128
      64 × cut 1: `/fc2/Gemm` -> `/fc3/Gemm`; each 139 parameters, 138 MACs
          `fc2.weight` axis 0: 1 of 64
          `fc2.bias` axis 0: 1 of 64
          `fc3.weight` axis 1: 1 of 64
      frozen `fc1.weight` axis 1: 64 of 64: an input of the model
      frozen `fc3.weight` axis 0: 10 of 10: an output of the model
    ");
}

#[test]
fn prune_keeps_a_share_and_checks_the_cut() {
    let folder = TempDir::new().unwrap();
    let ran = shell(
        &format!(
            "prune {MODEL} --ratio 50% --data fixtures/digits_test.npz --labels y --scale 1/16 -o TMP/out.onnx --json"
        ),
        folder.path(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = json(&ran.out);
    assert!(report["cut_sqnr_db"].as_f64().unwrap() > 60.0, "{report}");
    let of = |what: &str, which: &str| report["drift"][what][which].as_u64().unwrap() as f64;
    for what in ["parameters", "macs", "size_bytes"] {
        assert!(of(what, "candidate") < 0.7 * of(what, "original"), "{what}");
    }
    let again = json(&shell("inspect TMP/out.onnx --json --channels", folder.path()).out);
    for group in again["channels"]["groups"].as_array().unwrap() {
        assert_eq!(group["size"].as_u64().unwrap() % 8, 0, "{group}");
    }
}

#[test]
fn masked_models_keep_their_shapes() {
    let folder = TempDir::new().unwrap();
    let prune = |more: &str| {
        let line = format!("prune {MODEL} --ratio 50% --multiple 4 --json {more}");
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 0, "{}", ran.err);
        json(&ran.out)
    };
    let masked = prune("--mask -o TMP/masked.onnx");
    assert_eq!(masked["drift"]["macs"]["candidate"], masked["drift"]["macs"]["original"]);
    prune("-o TMP/cut.onnx");
    // What is zero is cut without being asked for, and computes the same.
    let line = "prune TMP/masked.onnx --ratio 100% --multiple 1 -o TMP/again.onnx --json";
    let again = json(&shell(line, folder.path()).out);
    let cut = json(&shell("inspect TMP/cut.onnx --json", folder.path()).out);
    assert_eq!(again["drift"]["parameters"]["candidate"], cut["parameters"]);
    let compared =
        shell("compare TMP/cut.onnx TMP/again.onnx --data random:4 --min-sqnr 100", folder.path());
    assert_eq!(compared.code, 0, "{}", compared.out);
}

#[test]
fn kept_layers_stay() {
    let folder = TempDir::new().unwrap();
    let ran = shell(&format!("prune {MODEL} --ratio 50% --keep * -o TMP/out.onnx"), folder.path());
    assert!(ran.out.contains("warning: nothing was cut"), "{}", ran.out);
    let usage = shell(&format!("prune {MODEL} --ratio 150% -o TMP/o.onnx"), folder.path());
    assert_eq!(usage.code, 2);
}
