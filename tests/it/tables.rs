//! What commands print fits a terminal of 80 columns, and tables stay tables there.

use onnxpress::report::fit;
use tempfile::tempdir;

use crate::support::shell;

/// Columns of a terminal that nobody has widened.
const COLUMNS: usize = 80;

const CALIB: &str = "--data fixtures/digits_calib.npz --scale 1/16 --samples 32";
const TEST: &str = "--data fixtures/digits_test.npz --scale 1/16 --samples 40 --labels y";

/// Commands with tables, for a model of convolutions and one of attention.
fn lines() -> Vec<String> {
    let mut lines = vec!["passes".to_owned()];
    for (short, name) in [("c", "digits_resnet_bn"), ("t", "digits_transformer")] {
        let model = format!("fixtures/{name}.onnx");
        let out = |to: &str| format!("-o TMP/{short}.{to}");
        lines.extend([
            format!("inspect {model} --layers --channels --weights --possible"),
            format!("simplify {model} {} --bisect", out("s.onnx")),
            format!("quantize {model} {CALIB} --labels y --explain {}", out("q.onnx")),
            format!("quantize {model} --mode weights {CALIB} --size 40% {}", out("w.onnx")),
            format!("prune {model} {CALIB} --macs 70% {}", out("p.onnx")),
            format!("factorize {model} {CALIB} --params 70% {}", out("f.onnx")),
            format!("calibrate {model} {CALIB} {}", out("stats")),
            format!(
                "compare {model} TMP/{short}.q.onnx {TEST} --layers --worst --profile --latency"
            ),
            format!("diff {model} TMP/{short}.q.onnx"),
        ]);
    }
    lines
}

/// A line of at least three columns.
fn is_row(line: &str) -> bool {
    let gaps = line.trim_start().split("  ").filter(|part| !part.trim().is_empty());
    line.starts_with("  ") && gaps.count() >= 3
}

fn columns(line: &str) -> usize {
    line.chars().count()
}

#[test]
fn tables_fit_a_terminal() {
    let folder = tempdir().unwrap();
    let mut rows = 0;
    for line in lines() {
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 0, "{line}: {}", ran.err);
        for row in ran.out.lines().filter(|row| is_row(row)) {
            rows += 1;
            assert!(columns(row) <= COLUMNS, "{line}: a row of {}:\n{row}", columns(row));
        }
        // What is no table is folded at blanks, as in a terminal; names and paths stay whole.
        for folded in fit(&ran.out, COLUMNS).lines() {
            let one_word = folded.split_whitespace().count() == 1;
            assert!(one_word || columns(folded) <= COLUMNS, "{line}: does not fit:\n{folded}");
        }
    }
    assert!(rows > 100, "{rows} rows were seen");
}

#[test]
fn rows_are_told_from_sentences() {
    assert!(is_row("  8 × Conv                0.090    76.5 %      0.096    62.1 %"));
    assert!(!is_row("  fuse-batch-norm           8 edits; rounding"));
    assert!(!is_row("size        241,091 -> 67,231 bytes"));
}
