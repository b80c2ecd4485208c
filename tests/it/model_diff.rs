//! `onnxpress diff`, from outside.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use onnxpress::{emit, read};
use tempfile::TempDir;

/// The two models of most tests: a rewiring, a new node, other weights.
const A: &str = "g (float[2] x) => (float[2] y) <float[2] w = {3, 4}> {
    [scale] t = Mul (x, w)
    [act] y = LeakyRelu <alpha = 0.1> (t)
}";
const B: &str = "g (float[2] x) => (float[2] y) <float[2] w = {3, 4.5}> {
    n = Neg (x)
    [scale] t = Mul (n, w)
    [act] y = LeakyRelu <alpha = 0.2> (t)
}";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures").join(name)
}

fn write(folder: &TempDir, name: &str, source: &str) -> PathBuf {
    let source = format!(r#"<ir_version: 8, opset_import: ["" : 17]> {source}"#);
    let model = read::text(&source).expect("the text is a model");
    let path = folder.path().join(name);
    let encoded = emit::onnx(model.verify().expect("the model is valid"));
    let encoded = encoded.expect("it can be encoded");
    emit::save(&path, &encoded, emit::Overwrite::Never).expect("it can be written");
    path
}

/// Runs the command in `folder`.
fn run(folder: &Path, arguments: &[&str]) -> Output {
    let command =
        Command::new(env!("CARGO_BIN_EXE_onnxpress")).current_dir(folder).args(arguments).output();
    command.expect("the command starts")
}

fn text(output: &Output) -> String {
    assert!(output.stderr.is_empty(), "{}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout.clone()).expect("UTF-8")
}

fn two_models() -> TempDir {
    let folder = tempfile::tempdir().expect("a folder");
    write(&folder, "a.onnx", A);
    write(&folder, "b.onnx", B);
    folder
}

#[test]
fn the_text_has_counts_then_one_line_for_each_change() {
    let folder = two_models();
    let output = run(folder.path(), &["diff", "a.onnx", "b.onnx"]);
    assert_eq!(output.status.code(), Some(0));
    insta::assert_snapshot!(text(&output), @r#"
    A  a.onnx
    B  b.onnx
    2 nodes matched
    nodes        1 only in B, 2 changed
    initializers 1 changed

    + node `n` (Neg): `x` -> `n`

    ~ node `scale` (Mul): input 0: `x` -> `n`
    ~ node `act` (LeakyRelu): attribute alpha: 0.1 -> 0.2

    ~ initializer `w`: contents: 1 of 2 elements differ, by at most 0.5, SQNR 20.0 dB
    "#);
}

#[test]
fn json_has_names_and_numbers() {
    let folder = two_models();
    let output = run(folder.path(), &["diff", "a.onnx", "b.onnx", "--json"]);
    let report: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["equal"], false);
    assert_eq!(report["counts"]["node"]["only_in_b"], 1);
    let changes = serde_json::to_string_pretty(&report["changes"]).unwrap();
    insta::assert_snapshot!(changes, @r#"
    [
      {
        "subject": "node",
        "name": "n",
        "op": "Neg",
        "change": "only_in_b",
        "new": "`x` -> `n`"
      },
      {
        "subject": "node",
        "name": "scale",
        "op": "Mul",
        "change": "changed",
        "item": "input 0",
        "old": "x",
        "new": "n"
      },
      {
        "subject": "node",
        "name": "act",
        "op": "LeakyRelu",
        "change": "changed",
        "item": "attribute alpha",
        "old": "0.1",
        "new": "0.2"
      },
      {
        "subject": "initializer",
        "name": "w",
        "change": "changed",
        "item": "contents",
        "elements": 2,
        "differing": 1,
        "max_abs": 0.5,
        "sqnr_db": 20.0
      }
    ]
    "#);
}

#[test]
fn the_exit_code_tells_only_when_asked() {
    let folder = two_models();
    let code = |arguments: &[&str]| run(folder.path(), arguments).status.code();
    assert_eq!(code(&["diff", "a.onnx", "b.onnx", "--exit-code"]), Some(3));
    assert_eq!(code(&["diff", "a.onnx", "a.onnx", "--exit-code"]), Some(0));
    assert_eq!(code(&["diff", "a.onnx", "missing.onnx"]), Some(1));
    assert_eq!(code(&["diff", "a.onnx"]), Some(2));
}

#[test]
fn a_model_equals_itself() {
    let mut paths = vec![fixture("digits_transformer.onnx")];
    let graphs = fixture("graphs").read_dir().unwrap().map(|entry| entry.unwrap().path());
    paths.extend(graphs.filter(|path| path.extension().is_some_and(|e| e == "onnx")));
    for path in paths {
        let name = path.to_str().unwrap();
        let output = run(Path::new("."), &["diff", name, name, "-q", "--metadata", "--exit-code"]);
        assert_eq!(output.status.code(), Some(0), "{name}");
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_eq!(stdout, format!("A  {name}\nB  {name}\nno differences\n"));
    }
}

#[test]
fn a_quantized_model_and_its_original() {
    let folder = tempfile::tempdir().unwrap();
    let (model, data) = (fixture("digits_mlp.onnx"), fixture("digits_calib.npz"));
    let (model, data) = (model.to_str().unwrap(), data.to_str().unwrap());
    let arguments = ["quantize", model, "-o", "q.onnx", "--data", data, "--scale", "1/16", "-q"];
    assert_eq!(run(folder.path(), &arguments).status.code(), Some(0));
    let cut = text(&run(folder.path(), &["diff", model, "q.onnx"]));
    let whole = text(&run(folder.path(), &["diff", model, "q.onnx", "--all"]));
    for line in [
        "- node `/Relu` (Relu): `/fc1/Gemm_output_0` -> `/Relu_output_0`",
        "~ node `/fc1/Gemm` (Gemm): input 1: `fc1.weight` -> `fc1.weight_dq`",
        "~ initializer `fc1.weight`: type: float[128,64] -> int8[128,64]",
    ] {
        assert!(whole.lines().any(|found| found == line), "{line}\nis missing in\n{whole}");
    }
    assert!(cut.lines().count() <= whole.lines().count(), "{cut}");
}

#[test]
fn long_lists_are_cut() {
    let folder = tempfile::tempdir().unwrap();
    let chain = |count: usize, op: &str| {
        let nodes = (0..count).map(|i| format!("t{} = {op} (t{i})\n", i + 1));
        format!("g (float t0) => (float t{count}) {{ {} }}", nodes.collect::<String>())
    };
    write(&folder, "a.onnx", &chain(30, "Abs"));
    write(&folder, "b.onnx", &chain(30, "Neg"));
    let cut = text(&run(folder.path(), &["diff", "a.onnx", "b.onnx"]));
    assert!(cut.ends_with("\n… and 10 more (--all shows them)\n"), "{cut}");
    let whole = text(&run(folder.path(), &["diff", "a.onnx", "b.onnx", "--all"]));
    assert_eq!(whole.matches("operator: Abs -> Neg").count(), 30, "{whole}");
}

#[test]
fn help_ends_with_examples_and_exit_status() {
    let output = run(Path::new("."), &["diff", "--help"]);
    let help = text(&output);
    let examples = help.find("Examples:").unwrap();
    assert!(help[examples..].contains("Exit status:"), "{help}");
}
