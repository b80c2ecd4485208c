//! `factorize` on the command line.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::shell;

const MODEL: &str = "fixtures/digits_resnet_bn.onnx";
const DATA: &str = "--data fixtures/digits_test.npz --labels y --scale 1/16";

fn json(text: &str) -> Value {
    serde_json::from_str(text).expect("JSON")
}

#[test]
fn a_budget_is_kept_and_its_ranks_can_be_given_back() {
    let folder = TempDir::new().unwrap();
    let ran = shell(
        &format!("factorize {MODEL} --macs 60% {DATA} --max-drop 3% -o TMP/a.onnx --json"),
        folder.path(),
    );
    assert_eq!(ran.code, 0, "{}", ran.err);
    let report = json(&ran.out);
    let macs = |report: &Value, which: &str| report["drift"]["macs"][which].as_u64().unwrap();
    let (before, after) = (macs(&report, "original"), macs(&report, "candidate"));
    assert!(after as f64 <= 0.6 * before as f64 && after as f64 > 0.5 * before as f64);
    assert!(report["budget"]["left"].as_u64() <= report["budget"]["most"].as_u64());
    std::fs::write(folder.path().join("a.json"), &ran.out).unwrap();
    let again = shell(
        &format!(
            "factorize {MODEL} --ranks TMP/a.json --method svd --refit off -o TMP/b.onnx --json"
        ),
        folder.path(),
    );
    assert_eq!(again.code, 0, "{}", again.err);
    let again = json(&again.out);
    assert_eq!((macs(&again, "candidate"), &again["ranks"]), (after, &report["ranks"]));
    // What is split already is not split again.
    let twice = shell("factorize TMP/a.onnx --energy 0.9 -o TMP/c.onnx -v", folder.path());
    assert!(twice.out.contains("is a factor of a product already"), "{}", twice.out);
}

#[test]
fn bounds_end_with_their_own_status() {
    let folder = TempDir::new().unwrap();
    let ran = shell(
        &format!("factorize {MODEL} --params 40% {DATA} --min-sqnr 60 -o TMP/a.onnx"),
        folder.path(),
    );
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(folder.path().join("a.onnx").exists());
}

#[test]
fn a_budget_that_cannot_be_kept_is_told() {
    let folder = TempDir::new().unwrap();
    let ran = shell(&format!("factorize {MODEL} --macs 1% -o TMP/a.onnx"), folder.path());
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.out.contains("no more can be saved within the ranks"), "{}", ran.out);
}

#[test]
fn it_goes_with_pruning_and_quantization() {
    let folder = TempDir::new().unwrap();
    for line in [
        format!("prune {MODEL} --ratio 75% {DATA} -o TMP/a.onnx"),
        format!("factorize TMP/a.onnx --macs 80% {DATA} -o TMP/b.onnx"),
        format!("prune TMP/b.onnx --macs 90% {DATA} -o TMP/c.onnx"),
        format!("quantize TMP/b.onnx {DATA} -o TMP/d.onnx"),
        format!("compare {MODEL} TMP/d.onnx {DATA} --max-drop 10%"),
    ] {
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 0, "{line}\n{}{}", ran.out, ran.err);
    }
}

#[test]
fn wrong_arguments_are_refused() {
    let folder = TempDir::new().unwrap();
    std::fs::write(folder.path().join("r.json"), "{\"a\": {\"form\": \"cube\", \"ranks\": [1]}}")
        .unwrap();
    std::fs::write(folder.path().join("s.json"), "[1]").unwrap();
    for (more, said) in [
        ("", "required"),
        ("--macs 50% --params 50%", "cannot be used with"),
        ("--macs 50% --method whitened", "need --data"),
        ("--macs 50% --max-drop 1%", "need --data"),
        ("--latency 50%", "--data"),
        ("--macs 50% --multiple 0", "expected a number from 1"),
        ("--ranks TMP/r.json", "expected a form and its ranks"),
        ("--ranks TMP/s.json", "expected ranks as the report gives them"),
    ] {
        let ran = shell(&format!("factorize {MODEL} {more} -o TMP/out.onnx"), folder.path());
        assert_eq!(ran.code, 2, "{more}: {}", ran.err);
        assert!(ran.err.contains(said), "{more}: {}", ran.err);
    }
}
