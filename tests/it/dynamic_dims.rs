//! Models that leave dims open: how work is counted, what budgets mean, and what fixing the dims declares.

use std::fs;
use std::path::Path;

use onnxpress::ir::Model;
use serde_json::Value;
use tempfile::tempdir;

use crate::prune::model;
use crate::support::{encode, shell};

/// A network of free height and width.
fn network() -> Model {
    let nodes = "
        a = Conv <pads = [1, 1, 1, 1]> (x, w1)
        b = Relu (a)
        c = Conv <pads = [1, 1, 1, 1], strides = [2, 2]> (b, w2)
        d = Relu (c)
        e = Conv (d, w3)
        p = GlobalAveragePool (e)
        y = Flatten (p)";
    let weights: [(&str, &[usize]); 3] =
        [("w1", &[32, 3, 3, 3]), ("w2", &[32, 32, 3, 3]), ("w3", &[10, 32, 1, 1])];
    model(17, "(float[N,3,H,W] x) => (float[N,10] y)", &weights, nodes)
}

fn write(folder: &Path) {
    fs::write(folder.join("m.onnx"), encode(&network())).expect("a writable folder");
}

fn json(line: &str, folder: &Path) -> (i32, Value) {
    let ran = shell(&format!("{line} --json --force"), folder);
    let report = serde_json::from_str(&ran.out);
    (ran.code, report.unwrap_or_else(|error| panic!("{error}: {line}\n{}{}", ran.out, ran.err)))
}

/// The share of the multiply-accumulates that is left.
fn left(report: &Value) -> f64 {
    let macs = &report["drift"]["macs"];
    macs["candidate"].as_f64().expect("a number") / macs["original"].as_f64().expect("a number")
}

#[test]
fn budgets_count_work_at_the_dims_of_the_samples() {
    let folder = tempdir().unwrap();
    write(folder.path());
    for command in ["prune", "factorize"] {
        for how in ["--data random:6", "--fix-dim H=12 --fix-shape x=1,3,12,10"] {
            let line = format!("{command} TMP/m.onnx --macs 60% {how} -o TMP/o.onnx");
            let (code, report) = json(&line, folder.path());
            assert_eq!(code, 0, "{line}: {report:#}");
            assert!((0.3..=0.6).contains(&left(&report)), "{line}: {}", left(&report));
            let at = &report["drift"]["macs_at"];
            let expected = how.starts_with("--data").then_some([1, 3, 8, 8].map(Value::from));
            let found = at.get("x").map(|dims| dims.as_array().expect("dims").clone());
            assert_eq!(found, expected.map(Vec::from), "{line}");
        }
        let line = format!("{command} TMP/m.onnx --macs 60% -o TMP/none.onnx");
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 2, "{line}: {}", ran.err);
        assert!(ran.err.contains("the free axes `H` of `x`, `W` of `x`"), "{}", ran.err);
    }
    assert!(!folder.path().join("none.onnx").exists());
}

#[test]
fn budgets_that_cannot_be_met_end_with_their_own_status() {
    let folder = tempdir().unwrap();
    write(folder.path());
    for budget in ["--macs 2%", "--params 2%", "--size 2%"] {
        let line = format!("prune TMP/m.onnx {budget} --data random:6 -o TMP/o.onnx");
        let (code, report) = json(&line, folder.path());
        let missed = report["drift"]["missed"].as_array().expect("a list");
        let said = missed.iter().filter_map(Value::as_str).collect::<Vec<_>>().join("\n");
        assert_eq!((code, &report["drift"]["passed"]), (3, &false.into()), "{line}: {report:#}");
        assert!(said.contains("are left") && said.contains("--min-share"), "{line}: {said}");
    }
    // What is small enough already is done.
    let line = "prune TMP/m.onnx --params 1M --data random:6 -o TMP/o.onnx";
    let (code, report) = json(line, folder.path());
    assert_eq!((code, left(&report)), (0, 1.0), "{report:#}");
}

#[test]
fn shares_without_a_sign_are_asked_back() {
    let folder = tempdir().unwrap();
    write(folder.path());
    for option in ["prune --macs", "prune --size", "prune --ratio", "factorize --params"] {
        let (command, option) = option.split_once(' ').unwrap();
        for (value, expected) in [("75", "75%"), ("10", "10%"), ("150%", ""), ("0", ""), ("-5", "")]
        {
            let line = format!("{command} TMP/m.onnx {option} {value} -o TMP/no.onnx");
            let ran = shell(&line, folder.path());
            assert_eq!(ran.code, 2, "{line}: {}", ran.err);
            assert!(ran.err.contains(expected), "{line}: {}", ran.err);
        }
    }
    assert!(!folder.path().join("no.onnx").exists());
}

#[test]
fn inspect_says_what_it_counted() {
    let folder = tempdir().unwrap();
    write(folder.path());
    let inspect = |more: &str| {
        let ran = shell(&format!("inspect TMP/m.onnx --json {more}"), folder.path());
        assert_eq!(ran.code, 0, "{}", ran.err);
        serde_json::from_str::<Value>(&ran.out).unwrap()
    };
    let open = inspect("");
    assert_eq!((&open["macs"], &open["macs_unknown"]), (&0.into(), &3.into()));
    assert!(open["macs_uncounted"].as_str().is_some_and(|why| why.contains("`H` of `x`")));
    let fixed = inspect("--fix-dim H=8 --fix-dim W=8");
    assert_eq!(fixed["macs_unknown"], 0);
    assert_eq!(inspect("--data random:2")["macs"], fixed["macs"]);
    assert_eq!(inspect("--data random:2")["macs_at"]["x"], serde_json::json!([1, 3, 8, 8]));
}

#[test]
fn fixed_dims_reach_outputs_and_expressions() {
    let text = "<ir_version: 8, opset_import: [\"\" : 17]>
        g (float[N,3,H,W] x) => (float[a,b,c,d] y, float[N,3,\"floor((H + 1)/2)\",W] z) <
          float[N,3,\"floor((H + 1)/2)\",\"floor((W + 1)/2)\"] p
        > {
          p = MaxPool <kernel_shape = [2, 2], strides = [2, 2], ceil_mode = 1> (x)
          y = Relu (p)
          z = MaxPool <kernel_shape = [2, 1], strides = [2, 1], ceil_mode = 1> (x)
        }";
    let folder = tempdir().unwrap();
    let model = onnxpress::read::text(text).unwrap();
    fs::write(folder.path().join("m.onnx"), encode(&model)).unwrap();
    for command in ["simplify", "convert"] {
        let fixed = |options: &str| {
            let line = format!("{command} TMP/m.onnx {options} -o TMP/o.onnx --force");
            let ran = shell(&line, folder.path());
            assert_eq!(ran.code, 0, "{line}: {}", ran.err);
            shell("print TMP/o.onnx", folder.path()).out
        };
        let all = fixed("--fix-shape x=1,3,9,6");
        let outputs = "=> (float[1,3,5,3] y, float[1,3,5,6] z)";
        assert!(all.contains(outputs) && all.contains("float[1,3,5,3] p"), "{all}");
        let height = fixed("--fix-dim H=32");
        assert!(height.contains("float[N,3,16,\"floor((W + 1)/2)\"] p"), "{height}");
        assert!(height.contains("float[N,3,16,W] z"), "{height}");
        assert!(!height.contains("H + 1"), "{height}");
    }
    let line = "simplify TMP/m.onnx --fix-shape x=1,3,9,6 --fix-dim H=8 -o TMP/no.onnx";
    assert_eq!(shell(line, folder.path()).code, 2);
}

#[test]
fn renamed_and_cast_ports_are_compared() {
    let folder = tempdir().unwrap();
    let save = |name: &str, text: &str| {
        let model = onnxpress::read::text(text).unwrap_or_else(|error| panic!("{error}"));
        fs::write(folder.path().join(name), encode(&model)).unwrap();
    };
    let head = "<ir_version: 8, opset_import: [\"\" : 17]> g";
    save(
        "a.onnx",
        &format!(
            "{head} (float[N,4] x, int64[N,1] i) => (float[N,4] y, float[N,4] z) {{ j = Cast <to = 1> (i) y = Add (x, j) z = Relu (y) }}"
        ),
    );
    save(
        "b.onnx",
        &format!(
            "{head} (int32[M,1] ids, float16[M,4] y) => (float16[M,4] x, float16[M,4] r) {{ j = Cast <to = 10> (ids) x = Add (y, j) r = Relu (x) }}"
        ),
    );
    save(
        "c.onnx",
        &format!(
            "{head} (float[N,2,2] x, int64[N,1] i) => (float[N,4] y, float[N,4] z) <int64[2] s = {{0, 4}}> {{ f = Flatten (x) j = Cast <to = 1> (i) y = Add (f, j) z = Relu (y) }}"
        ),
    );
    let compare = |candidate: &str, map: &str| {
        let line = format!("compare TMP/a.onnx TMP/{candidate} --data random:4 --json {map}");
        shell(&line, folder.path())
    };
    let map = "--map x=y --map i=ids --map y=x --map z=r";
    let ran = compare("b.onnx", map);
    assert_eq!(ran.code, 0, "{}{}", ran.out, ran.err);
    let report: Value = serde_json::from_str(&ran.out).unwrap();
    for output in report["outputs"].as_array().unwrap() {
        assert!(output["sqnr_db"].as_f64().unwrap() > 50.0, "{output}");
    }
    let ran = compare("b.onnx", "--map x=y");
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(ran.err.contains("--map i=ids"), "{}", ran.err);
    assert_eq!(compare("b.onnx", "--map nothing=y").code, 2);
    let ran = compare("c.onnx", "");
    assert_eq!(ran.code, 1, "{}", ran.err);
    let expected = "input `x`: [N,4] in the original, [N,2,2] in the candidate";
    assert!(ran.err.contains(expected), "{}", ran.err);
}
