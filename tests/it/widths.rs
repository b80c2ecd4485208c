//! Weights of layers in different widths: `quantize --mode weights --average-bits`, `--size`, `--assignment`.

use serde_json::Value;
use tempfile::TempDir;

use crate::support::shell;

const MODEL: &str = "fixtures/digits_resnet_bn.onnx";
const DATA: &str = "--data fixtures/digits_test.npz --labels y --scale 1/16";

fn quantized(folder: &TempDir, options: &str, out: &str) -> Value {
    let line = format!("quantize {MODEL} --mode weights {options} -o TMP/{out} --json");
    let ran = shell(&line, folder.path());
    // A size that no width reaches is missed.
    let missed = options.contains("--size 1%");
    assert_eq!(ran.code, if missed { 3 } else { 0 }, "{line}\n{}", ran.err);
    serde_json::from_str(&ran.out).expect("JSON")
}

fn ratio(report: &Value) -> f64 {
    report["drift"]["outputs"][0]["sqnr_db"].as_f64().expect("a number")
}

#[test]
fn bits_go_to_the_layers_that_need_them() {
    let folder = TempDir::new().unwrap();
    let mixed = quantized(&folder, &format!("{DATA} --average-bits 5"), "a.onnx");
    let assignment = &mixed["assignment"];
    let average = assignment["average_bits"].as_f64().unwrap();
    assert!(average <= 5.0 && average > 4.0, "{average}");
    let widths: Vec<&str> =
        assignment["widths"].as_object().unwrap().values().filter_map(Value::as_str).collect();
    assert!(widths.contains(&"int4") && widths.contains(&"int8"), "{widths:?}");
    // Of layers of about the same size, those that suffer more at 4 bits have more.
    let narrow = quantized(&folder, &format!("{DATA} --weights int4"), "b.onnx");
    assert!(ratio(&mixed) > ratio(&narrow) + 3.0, "{} {}", ratio(&mixed), ratio(&narrow));
    for layer in assignment["layers"].as_array().unwrap() {
        let tried = layer["tried"].as_array().unwrap();
        let of = |width: &str| {
            let tried = tried.iter().find(|tried| tried["width"] == width)?;
            Some((tried["saved_bytes"].as_u64()?, tried["sqnr_db"].as_f64()?))
        };
        let (Some(wide), Some(narrow)) = (of("int8"), of("int4")) else { continue };
        assert!(narrow.0 > wide.0 && narrow.1 < wide.1, "{layer}");
    }
}

#[test]
fn an_assignment_can_be_given_back() {
    let folder = TempDir::new().unwrap();
    let mixed = quantized(&folder, &format!("{DATA} --average-bits 3"), "a.onnx");
    let widths = mixed["assignment"]["widths"].as_object().unwrap();
    assert!(widths.values().any(|width| width == "int2"), "{widths:?}");
    std::fs::write(folder.path().join("a.json"), mixed.to_string()).unwrap();
    std::fs::write(folder.path().join("b.json"), mixed["assignment"]["widths"].to_string())
        .unwrap();
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    for file in ["a.json", "b.json"] {
        let out = format!("{file}.onnx");
        let again = quantized(&folder, &format!("{DATA} --assignment TMP/{file}"), &out);
        assert_eq!(again["assignment"]["widths"], mixed["assignment"]["widths"]);
        assert!(read(&out) == read("a.onnx"), "the same file");
    }
    // What it does not name stays in float.
    let (name, width) = widths.iter().find(|(_, width)| *width != "float").unwrap();
    let one = serde_json::json!({ name.as_str(): width }).to_string();
    std::fs::write(folder.path().join("one.json"), one).unwrap();
    let one = quantized(&folder, "--assignment TMP/one.json", "one.onnx");
    let of = |report: &Value| -> usize {
        let widths = report["assignment"]["widths"].as_object().unwrap();
        widths.values().filter(|width| *width != "float").count()
    };
    assert_eq!(of(&one), 1);
}

#[test]
fn a_file_becomes_as_small_as_asked_for() {
    let folder = TempDir::new().unwrap();
    let before = std::fs::metadata(crate::support::fixture("digits_resnet_bn.onnx")).unwrap().len();
    for (options, share) in [(DATA, 0.4), ("", 0.4), (DATA, 0.3)] {
        let out = format!("{}{share}.onnx", options.len());
        quantized(&folder, &format!("{options} --size {share}"), &out);
        let after = std::fs::metadata(folder.path().join(&out)).unwrap().len();
        let found = after as f64 / before as f64;
        assert!(found <= share && found > share - 0.1, "{found} {share}");
    }
    let small = quantized(&folder, "--size 1%", "small.onnx");
    assert_eq!(small["assignment"]["reached"], false);
    let missed = small["drift"]["missed"].to_string();
    assert!(missed.contains("do not become as small as asked for"), "{missed}");
}

#[test]
fn layers_may_have_to_be_narrow_and_other_forms_are_widths() {
    let folder = TempDir::new().unwrap();
    let given = "--average-bits 6 --widths codebook:16,int8";
    let report = quantized(&folder, &format!("{DATA} {given}"), "a.onnx");
    let widths = report["assignment"]["widths"].as_object().unwrap();
    assert!(widths.values().any(|width| width == "codebook:16"), "{widths:?}");
    assert!(!widths.values().any(|width| width == "float"), "{widths:?}");
    let compared =
        shell(&format!("compare {MODEL} TMP/a.onnx {DATA} --min-sqnr 15"), folder.path());
    assert_eq!(compared.code, 0, "{}", compared.out);
}

#[test]
fn what_does_not_fit_is_said() {
    let folder = TempDir::new().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    write("unknown.json", "{\"nobody\": \"int4\"}");
    write("wrong.json", "{\"assignment\": [1]}");
    for (options, code, said) in [
        ("--average-bits 5", 2, "need --mode weights"),
        ("--mode weights --average-bits 0.5", 2, "from 1 to 32"),
        ("--mode weights --average-bits 5 --size 30%", 2, "cannot be used with"),
        ("--mode weights --average-bits 5 --weights int4", 2, "--weights is for all layers"),
        ("--mode weights --widths int4,int8", 2, "required"),
        ("--mode weights --average-bits 5 --widths int5", 2, "expected one of int8"),
        ("--mode weights --assignment TMP/unknown.json", 2, "no layer `nobody`"),
        ("--mode weights --assignment TMP/wrong.json", 2, "as the report gives them"),
        ("--mode weights --assignment TMP/none.json", 2, "none.json"),
    ] {
        let ran = shell(&format!("quantize {MODEL} {options} -o TMP/x.onnx"), folder.path());
        assert_eq!(ran.code, code, "{options}: {}", ran.err);
        assert!(ran.err.contains(said), "{options}: {}", ran.err);
        assert!(!folder.path().join("x.onnx").exists());
    }
}

#[test]
fn the_smallest_layers_have_8_bits() {
    let folder = TempDir::new().unwrap();
    let line = "--weights int4 --test fixtures/digits_test.npz --labels y --scale 1/16";
    let size = |out: &str| std::fs::metadata(folder.path().join(out)).unwrap().len() as f64;
    let test = |report: &Value| report["test"]["outputs"][0]["sqnr_db"].as_f64().expect("a number");
    let alike = quantized(&folder, &format!("{line} --small-layers-8bit 0"), "a.onnx");
    let widened = quantized(&folder, line, "b.onnx");
    assert!(test(&widened) > test(&alike) + 1.0, "{} {}", test(&widened), test(&alike));
    assert!((1.0..1.05).contains(&(size("b.onnx") / size("a.onnx"))), "more than names and scales");
    // What has 8 bits anyway is the same file.
    quantized(&folder, "--weights int8", "c.onnx");
    quantized(&folder, "--weights int8 --small-layers-8bit 0", "d.onnx");
    let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
    assert!(read("c.onnx") == read("d.onnx"));
    let refused = shell(
        &format!("quantize {MODEL} --mode weights --size 20% --small-layers-8bit 3% -o TMP/e.onnx"),
        folder.path(),
    );
    assert_eq!(refused.code, 2, "{}", refused.err);
}
