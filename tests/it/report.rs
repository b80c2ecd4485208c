//! Reports: pages that hold what the JSON holds, and a document that names every field.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{encode, listing, load, root, shell};

const CALIB: &str = "--data fixtures/digits_calib.npz --scale 1/16 --samples 32";
const TEST: &str = "--test fixtures/digits_test.npz --labels y";

/// Commands with a page, and their reports; the model that `compare` reads is made first.
fn lines() -> Vec<String> {
    let model = "fixtures/digits_resnet_bn.onnx";
    vec![
        format!("quantize {model} -o TMP/q.onnx {CALIB} {TEST} --latency"),
        format!("prune {model} -o TMP/p.onnx --macs 70% {CALIB} {TEST} --quantize"),
        format!(
            "prune {model} -o TMP/u.onnx --unstructured magnitude --sparsity 80% --storage sparse"
        ),
        format!("factorize {model} -o TMP/f.onnx --params 70% {CALIB} --labels y"),
        format!("simplify {model} -o TMP/s.onnx --bisect"),
        format!(
            "compare {model} TMP/q.onnx --data fixtures/digits_test.npz --scale 1/16 --labels y \
             --samples 40 --worst 5 --layers --latency --profile --min-sqnr 10"
        ),
        format!("inspect {model} --layers --channels"),
        format!("distill TMP/u.onnx -o TMP/d.onnx --teacher {model} {CALIB} --labels y --steps 40"),
    ]
}

/// A line's JSON, and its page.
fn both(line: &str, folder: &Path) -> (Value, String) {
    let page = folder.join("page.html");
    let _ = std::fs::remove_file(&page);
    let ran = shell(&format!("{line} --json -q --report TMP/page.html"), folder);
    assert_eq!(ran.code, 0, "{line}: {}", ran.err);
    let json =
        serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{line}: {e}: {}", ran.out));
    (json, std::fs::read_to_string(page).expect("a page"))
}

/// Numbers and texts of a report.
fn leaves<'a>(value: &'a Value, found: &mut Vec<&'a Value>) {
    match value {
        Value::Object(fields) => fields.values().for_each(|value| leaves(value, found)),
        Value::Array(items) => items.iter().for_each(|value| leaves(value, found)),
        leaf => found.push(leaf),
    }
}

/// The numbers that a page shows.
fn numbers(page: &str) -> Vec<f64> {
    let ends = page.split("<data value=\"").skip(1).filter_map(|rest| rest.split('"').next());
    ends.map(|number| number.parse().unwrap_or_else(|e| panic!("{e}: {number}"))).collect()
}

fn escaped(text: &str) -> String {
    let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
    text.replace('"', "&quot;").replace('\'', "&#39;")
}

/// Names of all fields; names that a model gives to entries are no fields.
fn fields(value: &Value, found: &mut BTreeSet<String>) {
    const OF_THE_MODEL: [&str; 5] = ["operators", "opsets", "accuracy", "ranks", "counts"];
    match value {
        Value::Object(entries) => {
            for (name, inner) in entries {
                found.insert(name.clone());
                match (OF_THE_MODEL.contains(&name.as_str()), inner) {
                    (true, Value::Object(named)) => named.values().for_each(|v| fields(v, found)),
                    _ => fields(inner, found),
                }
            }
        }
        Value::Array(items) => items.iter().for_each(|item| fields(item, found)),
        _ => {}
    }
}

#[test]
fn pages_hold_all_numbers_and_texts_and_fields_are_documented() {
    let folder = tempdir().unwrap();
    let document = std::fs::read_to_string(root().join("docs/REPORTS.md")).unwrap();
    let mut missing = BTreeSet::new();
    for line in lines() {
        let (json, page) = both(&line, folder.path());
        let command = line.split(' ').next().unwrap();
        assert_eq!(json["schema"], format!("onnxpress/{command}/1"));
        assert_eq!(json.as_object().unwrap().keys().next().unwrap(), "schema");
        let mut found = Vec::new();
        leaves(&json, &mut found);
        assert!(found.len() > 20, "{line}: {json:#}");
        let numbers = numbers(&page);
        for leaf in found {
            match leaf {
                Value::Number(number) => {
                    let x = number.as_f64().unwrap();
                    // Readers of JSON may be off by the last bit.
                    let near = |y: &f64| (x - y).abs() <= 1e-12 * x.abs();
                    assert!(numbers.iter().any(near), "{line}: {number} is not on the page");
                }
                Value::String(text) => {
                    let text = text.replace("TMP", folder.path().to_str().unwrap());
                    assert!(page.contains(&escaped(&text)), "{line}: {text} is not on the page");
                }
                _ => {}
            }
        }
        for field in ["operators", "opsets", "ranks"] {
            for name in json[field].as_object().into_iter().flat_map(|named| named.keys()) {
                assert!(page.contains(&format!(">{name}<")), "{line}: {field} of {name}");
            }
        }
        for outside in ["<script", "http:", "https:", "url(", "@import"] {
            assert!(!page.contains(outside), "{line}: the page holds {outside}");
        }
        assert!(page.contains("name=viewport") && page.contains("prefers-color-scheme: dark"));
        assert!(page.contains(&format!("<h1>onnxpress {command}</h1>")));
        let mut names = BTreeSet::new();
        fields(&json, &mut names);
        missing
            .extend(names.into_iter().filter(|name| !document.contains(&format!("| `{name}` |"))));
    }
    let line = "diff fixtures/digits_mlp.onnx fixtures/digits_resnet_bn.onnx --json";
    let diff: Value = serde_json::from_str(&shell(line, folder.path()).out).unwrap();
    assert_eq!(diff["schema"], "onnxpress/diff/1");
    fields(&diff, &mut missing);
    missing.retain(|name| !document.contains(&format!("| `{name}` |")));
    assert!(missing.is_empty(), "docs/REPORTS.md does not name {missing:?}");
}

#[test]
fn structures_are_documented() {
    let document = std::fs::read_to_string(root().join("docs/REPORTS.md")).unwrap();
    let mut missing = Vec::new();
    let mut structures = 0;
    for entry in root().join("src/report").read_dir().unwrap() {
        let path = entry.unwrap().path();
        let Ok(source) = std::fs::read_to_string(&path) else { continue };
        let (mut section, mut serialized, mut skipped) = (None, false, false);
        for line in source.lines() {
            if line.starts_with("#[derive(") {
                serialized = line.contains("Serialize");
            } else if let Some(name) = line.strip_prefix("pub struct ").filter(|_| serialized) {
                let name = name.trim_end_matches(" {").trim_end_matches("<T>");
                let title = format!("## {name}\n");
                section = document.split(&title).nth(1).map(|rest| rest.split("\n## ").next());
                structures += 1;
                // Pairs stand at the beginning.
                if section.is_none() && name != "Pair" {
                    missing.push(title);
                }
            } else if line == "}" {
                (section, serialized) = (None, false);
            } else if line == "    #[serde(skip)]" {
                skipped = true;
            } else if let (Some(Some(text)), Some(field)) = (section, line.strip_prefix("    pub "))
            {
                let field = field.split(':').next().unwrap();
                if !skipped && !text.contains(&format!("| `{field}` |")) {
                    missing.push(format!("{field} in {}", path.display()));
                }
                skipped = false;
            }
        }
    }
    assert!(structures > 35, "only {structures} structures were found");
    assert!(missing.is_empty(), "docs/REPORTS.md lacks {missing:?}");
}

#[test]
fn pages_have_pictures() {
    let folder = tempdir().unwrap();
    let lines = lines();
    let pictures = |line: &String| both(line, folder.path()).1.matches("<svg").count();
    // A histogram for each activation that was measured, and the error along the network.
    assert!(pictures(&lines[0]) > 8);
    let (json, page) = both(&lines[6], folder.path());
    let weights = json["weights"].as_array().unwrap();
    assert!(weights.len() > 5 && page.matches("<svg").count() >= weights.len());
    for weight in weights {
        let counts = weight["histogram"].as_array().unwrap().iter();
        let sum: u64 = counts.map(|count| count.as_u64().unwrap()).sum();
        assert_eq!(Some(sum), weight["elements"].as_u64(), "{weight}");
    }
}

#[test]
fn names_of_a_model_are_text() {
    const NAME: &str = "</td><script>alert('x')</script><img src=x onerror=\"alert(1)\">";
    let folder = tempdir().unwrap();
    let mut model = load("digits_mlp.onnx");
    for node in model.all_nodes() {
        let name = format!("{NAME}{}", model.name_of(node));
        model.set_node_name(node, &name);
    }
    let inner = crate::support::value(&model, "/fc1/Gemm_output_0");
    assert!(model.rename(inner, NAME));
    std::fs::write(folder.path().join("hostile.onnx"), encode(&model)).unwrap();
    for line in [
        "inspect TMP/hostile.onnx --layers --channels",
        "quantize TMP/hostile.onnx -o TMP/h.onnx --data random:8 -v",
        "compare TMP/hostile.onnx TMP/h.onnx --data random:8 --worst --layers",
    ] {
        let (_, page) = both(line, folder.path());
        assert!(page.contains("&lt;script&gt;alert(&#39;x&#39;)"), "{line}");
        for markup in ["<script", "<img", "onerror=\"alert"] {
            assert!(!page.contains(markup), "{line}: {markup}");
        }
    }
}

#[test]
fn a_page_replaces_nothing_unasked() {
    let folder = tempdir().unwrap();
    let model = folder.path().join("m.onnx");
    std::fs::copy(root().join("fixtures/digits_mlp.onnx"), &model).unwrap();
    let whole = std::fs::read(&model).unwrap();
    let simplify = "simplify TMP/m.onnx -o TMP/s.onnx";
    for (line, code) in [
        ("inspect TMP/m.onnx --report TMP/m.onnx --force".to_owned(), 2),
        (format!("{simplify} --report TMP/m.onnx --force"), 2),
        (format!("{simplify} --report TMP/s.onnx"), 2),
        (format!("{simplify} --report TMP/./s.onnx --force"), 2),
        (format!("{simplify} --report TMP/a.html"), 0),
        (format!("{simplify} --report TMP/a.html"), 2),
        ("inspect TMP/m.onnx --report TMP/a.html".to_owned(), 2),
        ("inspect TMP/m.onnx --report TMP/a.html --force".to_owned(), 0),
        ("inspect TMP/m.onnx --report TMP/none/a.html".to_owned(), 2),
    ] {
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, code, "{line}: {}", ran.err);
    }
    assert!(std::fs::read(&model).unwrap() == whole, "the model is as it was");
    assert_eq!(listing(folder.path()), ["a.html", "m.onnx", "s.onnx"]);
}

#[test]
fn what_is_possible_names_what_is_in_the_way() {
    let folder = tempdir().unwrap();
    let line = "inspect fixtures/digits_resnet_bn.onnx --possible --json";
    let json: Value = serde_json::from_str(&shell(line, folder.path()).out).unwrap();
    let of = |command: &str| {
        let found = json["possible"].as_array().unwrap().iter();
        let mut found = found.filter(|possible| possible["command"] == command);
        found.next().unwrap_or_else(|| panic!("no {command} in {json:#}")).clone()
    };
    let count = |value: &Value| value.as_array().unwrap().len();
    assert!(count(&of("quantize")["would"]) > 5);
    assert!(count(&of("quantize")["declines"]) > 0);
    assert!(count(&of("prune")["would"]) > 0);
    assert!(count(&of("factorize")["would"]) + count(&of("factorize")["declines"]) > 3);
    // Nothing that an input can change is a weight.
    let mut model = load("digits_mlp.onnx");
    let name = "fc1.weight";
    let value = crate::support::value(&model, name);
    let tensor = model.value(value).initializer().unwrap().clone();
    let dims: Vec<usize> = tensor.dims().to_vec();
    let given = crate::support::add_input(&mut model, "given", &dims);
    model.replace_uses(value, given);
    std::fs::write(folder.path().join("open.onnx"), encode(&model)).unwrap();
    let json: Value =
        serde_json::from_str(&shell("inspect TMP/open.onnx --possible --json", folder.path()).out)
            .unwrap();
    let weights = &json["possible"][1];
    let refused = weights["declines"].to_string() + &weights["would"].to_string();
    assert!(!weights["would"].to_string().contains("/fc1/"), "{refused}");
}

/// A run that is interrupted leaves the whole result or nothing.
#[cfg(unix)]
#[test]
fn interrupted_runs_leave_nothing_half_written() {
    use rustix::process::{Pid, Signal, kill_process};
    let folder = tempdir().unwrap();
    let tmp = folder.path();
    let started = std::time::Instant::now();
    let line = format!(
        "quantize fixtures/digits_resnet_bn.onnx {CALIB} -q -o {0}/out.onnx --report {0}/out.html --force",
        tmp.display()
    );
    let spawn = || {
        let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_onnxpress"));
        command.args(line.split_whitespace()).current_dir(root());
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null());
        command.spawn().expect("the command starts")
    };
    assert!(spawn().wait().unwrap().success());
    let whole = started.elapsed();
    let model = std::fs::read(tmp.join("out.onnx")).unwrap();
    const TIMES: u32 = 10;
    for time in 0..TIMES {
        for name in ["out.onnx", "out.html"] {
            let _ = std::fs::remove_file(tmp.join(name));
        }
        let mut child = spawn();
        std::thread::sleep(whole * time / TIMES);
        let pid = Pid::from_raw(i32::try_from(child.id()).unwrap()).unwrap();
        let _ = kill_process(pid, Signal::INT);
        child.wait().unwrap();
        for name in listing(tmp) {
            assert!(["out.onnx", "out.html"].contains(&name.as_str()), "{name} was left");
        }
        if let Ok(found) = std::fs::read(tmp.join("out.onnx")) {
            assert!(found == model, "a model is whole");
        }
        if let Ok(page) = std::fs::read_to_string(tmp.join("out.html")) {
            assert!(page.ends_with("</html>\n"), "a page is whole");
        }
    }
}
