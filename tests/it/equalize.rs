//! `quantize --equalize`.

use std::fs;

use onnxpress::read;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{encode, shell};

/// Channels of very different sizes, which the layer behind them evens out.
const UNEVEN: &str = r#"<ir_version: 8, opset_import: ["" : 17]>
g (float[N,4] x) => (float[N,2] y) <
   float[4,4] w = {50, 1, 0.02, 0.3, 40, -1, 0.01, 0.2, -60, 2, 0.03, -0.1, 30, 1, -0.02, 0.4},
   float[4,2] v = {0.01, -0.02, 1, 0.7, 40, -30, 3, 2}
> {
   [first] a = MatMul (x, w)
   r = Relu (a)
   [second] y = MatMul (r, v)
}"#;

#[test]
fn uneven_channels_gain_and_the_report_says_how() {
    let folder = tempdir().unwrap();
    let model = read::text(UNEVEN).unwrap();
    fs::write(folder.path().join("uneven.onnx"), encode(&model)).unwrap();
    let line = "quantize TMP/uneven.onnx --data random:64 --spare 0 --granularity tensor --explain";
    let report = |more: &str| -> Value {
        let ran = shell(&format!("{line} {more} --json --force -o TMP/q.onnx"), folder.path());
        serde_json::from_str(&ran.out).unwrap()
    };
    let ratio =
        |report: &Value| report["drift"]["outputs"][0]["sqnr_db"].as_f64().expect("a ratio");
    let (with, without) = (report("--equalize auto"), report("--equalize off"));
    assert!(ratio(&with) > ratio(&without) + 6.0, "{} {}", ratio(&with), ratio(&without));
    let equalized = &with["equalized"];
    assert!(equalized["after_db"].as_f64() > equalized["before_db"].as_f64(), "{equalized}");
    let methods = with["layers"][0]["methods"].to_string();
    assert!(methods.contains("equalize-channels"), "{methods}");
    assert!(without.get("equalized").is_none());
    // The channels were moved, the model computes what it did.
    let text = shell(&format!("{line} --equalize auto --force -o TMP/q.onnx"), folder.path());
    assert!(text.out.contains("channels of 1 of 1 layers equalized by their"), "{}", text.out);
}
