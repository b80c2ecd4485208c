//! `inspect --prunable` and `prune`.

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
    let ran = shell("inspect fixtures/digits_mlp.onnx --prunable", folder.path());
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
    let ran =
        shell(&format!("prune {MODEL} --ratio 50% --exclude * -o TMP/out.onnx"), folder.path());
    assert!(ran.out.contains("MISSED      nothing was cut: "), "{}", ran.out);
    assert!(ran.out.contains("kept by `*`"), "{}", ran.out);
    assert_eq!(ran.code, 3);
    let usage = shell(&format!("prune {MODEL} --ratio 150% -o TMP/o.onnx"), folder.path());
    assert_eq!(usage.code, 2);
}

/// Arguments that give the samples of the fixtures.
const DATA: &str = "--data fixtures/digits_calib.npz --labels y --scale 1/16";

fn pruned(folder: &TempDir, more: &str) -> Value {
    let ran = shell(&format!("prune {MODEL} --json -o TMP/out.onnx {more}"), folder.path());
    assert!([0, 3].contains(&ran.code), "{}", ran.err);
    let mut report = json(&ran.out);
    report["code"] = ran.code.into();
    report
}

fn kept(report: &Value, what: &str) -> f64 {
    let of = |which: &str| report["drift"][what][which].as_f64().expect("a number");
    of("candidate") / of("original")
}

#[test]
fn budgets_of_the_command_are_of_the_original() {
    let folder = TempDir::new().unwrap();
    for (budget, what) in [
        ("--macs 50%", "macs"),
        ("--params 40% --allocation uniform", "parameters"),
        ("--size 60%", "size_bytes"),
    ] {
        let report = pruned(&folder, &format!("{budget} --multiple 2 --force"));
        let most = budget.split([' ', '%']).nth(1).unwrap().parse::<f64>().unwrap() / 100.0;
        let kept = kept(&report, what);
        assert!((most - 0.1..=most).contains(&kept), "{budget}: {kept}");
        assert_eq!(report["warnings"].as_array().unwrap().len(), 0, "{report}");
    }
    let none = shell(&format!("prune {MODEL} -o TMP/no.onnx"), folder.path());
    let two = shell(&format!("prune {MODEL} --macs 1K --ratio 1 -o TMP/no.onnx"), folder.path());
    assert_eq!((none.code, two.code), (2, 2));
}

#[test]
fn groups_are_tried_where_there_are_samples() {
    let folder = TempDir::new().unwrap();
    let report = pruned(&folder, &format!("--macs 60% --multiple 2 {DATA}"));
    assert!(kept(&report, "macs") <= 0.6);
    let groups = report["groups"].as_array().unwrap();
    assert!(groups.len() > 2, "{groups:?}");
    for group in groups {
        let (left, orbits) = (group["left"].as_u64().unwrap(), group["orbits"].as_u64().unwrap());
        assert!(8 * left >= orbits && left <= orbits, "{group}");
        assert!(!group["tried"].as_array().unwrap().is_empty(), "{group}");
    }
    let top = |report: &Value| report["drift"]["accuracy"]["top1"]["candidate"].as_f64().unwrap();
    let other = TempDir::new().unwrap();
    let line = format!("--macs 60% --multiple 2 {DATA} --allocation uniform");
    assert!(top(&report) >= top(&pruned(&other, &line)));
}

#[test]
fn steps_end_with_the_last_model_that_holds() {
    let folder = TempDir::new().unwrap();
    let line = format!("--macs 10% --multiple 1 --steps 6 --max-drop 10% {DATA} --force");
    let report = pruned(&folder, &line);
    let steps = report["steps"].as_array().unwrap();
    let (last, before) = steps.split_last().unwrap();
    assert!(!last["drift"]["passed"].as_bool().unwrap() && !before.is_empty(), "{steps:?}");
    assert_eq!(report["code"], 3, "the budget is missed");
    let macs = |step: &Value| step["drift"]["macs"]["candidate"].as_u64().unwrap();
    assert_eq!(
        report["drift"]["macs"]["candidate"],
        before.last().unwrap()["drift"]["macs"]["candidate"]
    );
    assert!(steps.windows(2).all(|pair| macs(&pair[0]) > macs(&pair[1])));
    assert!(report.to_string().contains("stopped after"), "{report}");
    let all = pruned(&folder, &format!("--macs 80% --multiple 1 --steps 2 {DATA} --force"));
    assert_eq!(all["steps"].as_array().unwrap().len(), 2);
    assert!(kept(&all, "macs") <= 0.8);
}

#[test]
fn steps_are_judged_on_a_test_when_there_is_one() {
    let folder = TempDir::new().unwrap();
    let line =
        "--macs 60% --multiple 2 --steps 2 --scale 1/16 --force --data fixtures/digits_calib.npz";
    let tested = pruned(&folder, &format!("{line} --test fixtures/digits_test.npz --labels y"));
    let plain = pruned(&folder, line);
    let count = |report: &Value| report["samples"].as_u64().unwrap();
    for (with, without) in [(&tested["drift"], &plain["drift"])]
        .into_iter()
        .chain((0..2).map(|i| (&tested["steps"][i]["drift"], &plain["steps"][i]["drift"])))
    {
        assert_ne!(count(with), count(without));
        assert!(
            with["accuracy"].get("top1").is_some() && without["accuracy"].get("top1").is_none()
        );
    }
    let alone = "--ratio 50% --test fixtures/digits_test.npz --labels y --scale 1/16 --force";
    assert!(pruned(&folder, alone)["drift"]["accuracy"]["top1"]["candidate"].is_number());
    let none =
        shell(&format!("prune {MODEL} --ratio 50% --labels y -o TMP/no.onnx"), folder.path());
    assert!(none.code == 2 && none.err.contains("--labels needs"), "{}", none.err);
}

#[test]
fn time_is_measured_where_it_is_asked_for() {
    let folder = TempDir::new().unwrap();
    let report = pruned(&folder, &format!("--latency 90% --multiple 1 {DATA}"));
    // Machines differ; either something was cut or a warning says that it was of no use.
    let cut = kept(&report, "macs") < 1.0;
    assert!(cut || !report["warnings"].as_array().unwrap().is_empty(), "{report}");
}

#[test]
fn zeros_are_reported_with_what_they_are_worth() {
    let folder = TempDir::new().unwrap();
    for how in ["magnitude --scope global", "wanda", "sparsegpt", "sparsegpt --nm 2:4"] {
        let report = pruned(&folder, &format!("--unstructured {how} {DATA} --force"));
        assert_eq!(kept(&report, "macs"), 1.0);
        let zeros = report["sparsity"]["zeros"]["candidate"].as_f64().unwrap();
        assert!((0.45..0.55).contains(&zeros), "{how}: {zeros}");
        let compressed = &report["sparsity"]["compressed_bytes"];
        let (before, after) = (compressed["original"].as_f64(), compressed["candidate"].as_f64());
        assert!(after.unwrap() < 0.8 * before.unwrap(), "{how}: {compressed}");
        assert!(report["sparsity"].get("storage").is_none(), "{how}");
    }
    let line = format!("prune {MODEL} --unstructured wanda -o TMP/no.onnx -v");
    let ran = shell(&line, folder.path());
    assert!(
        ran.out.contains("wanda needs samples") && ran.out.contains("no weight"),
        "{}{}",
        ran.out,
        ran.err
    );
    let both = shell(&format!("{line} --macs 50%"), folder.path());
    assert_eq!(both.code, 2, "{}", both.out);
}

#[test]
fn weights_with_enough_zeros_are_stored_sparsely() {
    let folder = TempDir::new().unwrap();
    let made = |more: &str| {
        let line = format!("--unstructured magnitude --exclude *res1* {more} {DATA} --force");
        let report = pruned(&folder, &line);
        let file = std::fs::read(folder.path().join("out.onnx")).unwrap();
        (report, onnxpress::read::bytes(file.into()).unwrap().model)
    };
    let (dense, plain) = made("--sparsity 90%");
    let (report, mut model) = made("--sparsity 90% --storage sparse");
    let storage = &report["sparsity"]["storage"];
    let names = |key: &str| storage[key].as_array().unwrap().clone();
    assert!(!names("sparse").is_empty() && !names("dense").is_empty(), "{storage}");
    for weight in names("dense") {
        assert!(weight["reason"].as_str().unwrap().contains("66.7 %"), "{weight}");
    }
    let size = |report: &Value| report["drift"]["size_bytes"]["candidate"].as_u64().unwrap();
    assert!(size(&report) < size(&dense), "{} of {}", size(&report), size(&dense));
    // The same numbers: the same parameters, the same distance, the same tensors.
    for what in ["outputs", "accuracy", "macs", "parameters"] {
        assert_eq!(report["drift"][what], dense["drift"][what], "{what}");
    }
    assert!(model.sparse_initializers_of(model.main()).count() == names("sparse").len());
    model.make_dense().unwrap();
    for (id, value) in plain.values() {
        let Some(tensor) = value.initializer() else { continue };
        let same = model.find_value(model.main(), value.name()).unwrap();
        assert_eq!(model.value(same).initializer(), Some(tensor), "{id:?}");
    }
    let (report, model) = made("--sparsity 50% --storage sparse");
    assert_eq!(report["sparsity"]["storage"]["sparse"].as_array().unwrap().len(), 0);
    assert_eq!(model.sparse_initializers_of(model.main()).count(), 0);
    let shown = shell("compare TMP/out.onnx TMP/out.onnx --data random:2", folder.path());
    assert_eq!(shown.code, 0, "{}", shown.err);
    let line = format!("prune {MODEL} --unstructured magnitude --storage sparse -o TMP/b.onnx");
    let shown = shell(&line, folder.path());
    assert!(shown.out.contains("get no faster"), "{}", shown.out);
    let alone =
        shell(&format!("prune {MODEL} --ratio 1 --storage sparse -o TMP/c.onnx"), folder.path());
    assert_eq!(alone.code, 2, "{}", alone.out);
}

#[test]
fn scales_of_normalisations_are_looked_at_before_they_are_folded() {
    let folder = TempDir::new().unwrap();
    let report = pruned(&folder, "--ratio 50% --importance bn-scale");
    assert!(kept(&report, "macs") < 0.7, "{report}");
    let ran = shell("inspect TMP/out.onnx --json", folder.path());
    assert!(json(&ran.out)["operators"].get("BatchNormalization").is_none());
}

#[test]
fn one_command_prunes_and_quantizes() {
    let folder = TempDir::new().unwrap();
    let report = pruned(&folder, &format!("--macs 60% --multiple 2 {DATA} --quantize --force"));
    let before = &report["unquantized"];
    assert!(kept(&report, "macs") <= 0.6, "{report}");
    assert_eq!(before["macs"]["candidate"], report["drift"]["macs"]["candidate"]);
    let size = |of: &Value| of["size_bytes"]["candidate"].as_u64().unwrap();
    assert!(size(&report["drift"]) < size(before), "{report}");
    let top = |of: &Value| of["accuracy"]["top1"]["candidate"].as_f64().unwrap();
    assert!(top(&report["drift"]) >= top(before) - 0.05, "{report}");
    let inspected = shell("inspect TMP/out.onnx --json", folder.path());
    let operators = &json(&inspected.out)["operators"];
    assert!(operators.get("DequantizeLinear").is_some(), "{operators}");
    let line =
        format!("prune {MODEL} --macs 60% {DATA} -o TMP/trt.onnx --quantize=tensorrt --force");
    let ran = shell(&line, folder.path());
    assert!(ran.code == 0 && ran.out.contains("pruned and quantized"), "{}{}", ran.out, ran.err);
    // It needs samples, and what is left out is said.
    let none = shell(&format!("prune {MODEL} --macs 60% --quantize -o TMP/no.onnx"), folder.path());
    assert_eq!(none.code, 2);
    let skipped = format!("{line} --skip quantize-static");
    let ran = shell(&skipped, folder.path());
    assert!(ran.out.contains("nothing was quantized"), "{}{}", ran.out, ran.err);
}
