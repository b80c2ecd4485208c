//! What people see and scripts rely on: help, reports, JSON fields, exit codes.

use std::collections::BTreeSet;

use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Ran, fixture, listing, load, onnxpress, root, shell};

const QUANTIZE: &str = "quantize fixtures/digits_mlp.onnx --data fixtures/digits_calib.npz \
                        --scale 1/16 --labels y";

fn ok(ran: &Ran) -> &str {
    assert_eq!(ran.code, 0, "{}", ran.err);
    &ran.out
}

/// What was printed by a command that did not do what was asked for.
fn missed(ran: &Ran) -> &str {
    assert_eq!(ran.code, 3, "{}{}", ran.out, ran.err);
    &ran.out
}

fn json(ran: &Ran) -> Value {
    serde_json::from_str(&ran.out).unwrap_or_else(|e| panic!("{e}: {}\n{}", ran.out, ran.err))
}

/// The value at a path such as `accuracy/top1/original`.
fn at<'a>(report: &'a Value, path: &str) -> &'a Value {
    let found = report.pointer(&format!("/{path}"));
    found.unwrap_or_else(|| panic!("no field `{path}` in {report:#}"))
}

#[test]
fn help() {
    let commands = [
        "",
        "inspect",
        "simplify",
        "prune",
        "factorize",
        "distill",
        "quantize",
        "calibrate",
        "merge",
        "compare",
        "diff",
        "convert",
        "print",
        "passes",
        "completions",
        "man",
    ];
    for command in commands {
        let mut args: Vec<&str> = vec![command, "--help"];
        args.retain(|arg| !arg.is_empty());
        let name = if command.is_empty() { "onnxpress" } else { command };
        insta::assert_snapshot!(format!("help_{name}"), ok(&onnxpress(&args)));
    }
}

#[test]
fn shells_and_man_know_every_command() {
    let options = ["--min-sqnr", "--report"];
    for shell in ["bash", "zsh", "fish", "powershell"] {
        let script = onnxpress(&["completions", shell]);
        let script = ok(&script);
        for word in ["quantize", "factorize"].into_iter().chain(options) {
            let word = if shell == "fish" { word.trim_start_matches('-') } else { word };
            assert!(script.contains(word), "{shell}: {word}");
        }
        assert!(!script.contains("worker"), "{shell}");
    }
    let page = onnxpress(&["man"]).out;
    assert!(page.contains(".TH onnxpress 1") && page.contains("factorize"), "{page}");
    let page = onnxpress(&["man", "quantize"]).out;
    assert!(page.contains(".TH onnxpress-quantize 1"), "{page}");
    assert!(options.iter().all(|option| page.contains(&option.replace('-', "\\-"))), "{page}");
    assert_eq!(onnxpress(&["man", "nothing"]).code, 2);
    assert_eq!(onnxpress(&["completions", "nothing"]).code, 2);
}

/// The options under the heading `Limits` of a command's help.
fn limits(command: &str) -> BTreeSet<String> {
    let help = onnxpress(&[command, "--help"]).out;
    let part = help.split("\nLimits:\n").nth(1).unwrap_or_default();
    let part = part.split("\n\n").next().unwrap_or_default();
    let words = part.lines().filter_map(|line| line.trim_start().strip_prefix("--"));
    words.filter_map(|rest| Some(format!("--{}", rest.split_whitespace().next()?))).collect()
}

#[test]
fn every_limit_with_an_option_is_in_the_table() {
    let text = std::fs::read_to_string(root().join("docs/LIMITS.md")).unwrap();
    let mut documented = BTreeSet::new();
    for cell in text.lines().filter(|line| line.starts_with('|')).flat_map(|l| l.split('|')) {
        let option = cell.trim().strip_prefix('`').and_then(|cell| cell.strip_suffix('`'));
        documented.extend(option.filter(|cell| cell.starts_with("--")).map(str::to_owned));
    }
    let offered = &limits("quantize") | &limits("compare");
    assert!(limits("compare").is_subset(&limits("quantize")));
    assert!(offered.len() > 5, "{offered:?}");
    assert_eq!(documented, offered, "docs/LIMITS.md, and the help of the commands");
}

#[test]
fn limits_can_be_raised_and_lowered() {
    let quantize = |limit: &str| {
        let folder = tempdir().unwrap();
        shell(&format!("{QUANTIZE} {limit} -o TMP/q.onnx"), folder.path())
    };
    for limit in ["--max-data-bytes 1K", "--max-data-members 1", "--max-run-bytes 8"] {
        let ran = quantize(limit);
        let (option, _) = limit.split_once(' ').unwrap();
        assert_eq!(ran.code, 1, "{limit}");
        assert!(ran.err.contains(option), "{limit}: {}", ran.err);
    }
    let ran = quantize("--max-fold-bytes 1M --max-data-bytes 2G --max-image-pixels 1");
    assert_eq!((ran.code, ran.err.as_str()), (0, "note: array `x` feeds input `input`\n"));
}

#[test]
fn every_subcommand_is_in_the_help_test() {
    let help = onnxpress(&["--help"]).out;
    let commands = help.split("Commands:\n").nth(1).unwrap().split("\n\n").next().unwrap();
    let names: Vec<&str> = commands.lines().filter_map(|l| l.split_whitespace().next()).collect();
    let tested = [
        "inspect",
        "simplify",
        "prune",
        "factorize",
        "distill",
        "quantize",
        "calibrate",
        "merge",
        "compare",
        "diff",
        "convert",
        "print",
        "passes",
        "completions",
        "man",
        "help",
    ];
    assert_eq!(names, tested, "add the new one to `help`");
}

#[test]
fn passes() {
    insta::assert_snapshot!("passes", ok(&onnxpress(&["passes"])));
    let rows = json(&onnxpress(&["passes", "--json"]));
    for row in rows.as_array().unwrap() {
        for field in ["name", "promise", "summary"] {
            assert!(row[field].as_str().is_some_and(|text| !text.is_empty()), "{row}");
        }
    }
    assert_eq!(rows.as_array().unwrap().len(), onnxpress::passes::PASSES.len());
}

#[test]
fn inspect() {
    let file = "fixtures/digits_resnet_opset11.onnx";
    insta::assert_snapshot!("inspect", ok(&onnxpress(&["inspect", file, "--layers"])));
    insta::assert_snapshot!("inspect_json", ok(&onnxpress(&["inspect", file, "--json"])));
    let note = onnxpress(&["inspect", "fixtures/graphs/unsorted.onnx"]);
    assert!(note.err.starts_with("note: ") && note.out.contains("note: graph"), "{}", note.err);
    let quiet = onnxpress(&["inspect", "fixtures/graphs/unsorted.onnx", "--quiet"]);
    assert_eq!(quiet.err, "");
}

#[test]
fn print() {
    let shape_chain = onnxpress(&["print", "fixtures/graphs/matmul_bias.onnx"]);
    insta::assert_snapshot!("print", ok(&shape_chain));
}

/// Cuts out what another processor may measure otherwise: decibels, cosines, errors.
fn without_measured(report: &str) -> String {
    let mut text = String::new();
    let mut words = report.split_inclusive([' ', '\n']).peekable();
    let mut before = "";
    while let Some(word) = words.next() {
        let next = words.peek().copied().unwrap_or_default();
        let measured = next.starts_with("dB") || ["cosine ", "error "].contains(&before);
        let number = word.trim_end_matches([' ', '\n', ',']);
        match measured && number.parse::<f64>().is_ok() {
            true => text.push_str(&word.replacen(number, "#", 1)),
            false => text.push_str(word),
        }
        before = word;
    }
    text
}

#[test]
fn quantize_report() {
    let folder = tempdir().unwrap();
    let line = format!("{QUANTIZE} --test fixtures/digits_test.npz -v -o TMP/small.onnx");
    let ran = shell(&line, folder.path());
    insta::assert_snapshot!("quantize", without_measured(ok(&ran)));
    assert_eq!(
        ran.err, "note: array `x` feeds input `input`\n",
        "words go to standard error only when there is something to say"
    );
}

#[test]
fn quantize_json_is_the_same_report() {
    let folder = tempdir().unwrap();
    let line = format!("{QUANTIZE} --test fixtures/digits_test.npz --json -o TMP/small.onnx");
    let mut report = json(&shell(&line, folder.path()));
    assert_eq!(at(&report, "test/samples"), 400);
    assert_eq!(at(&report, "drift/samples"), 128);
    let size = folder.path().join("small.onnx").metadata().unwrap().len();
    assert_eq!(at(&report, "test/size_bytes/candidate").as_u64(), Some(size));
    // The rest is a snapshot of the shape: times and measured figures are cut out.
    for step in report["passes"].as_array_mut().unwrap() {
        assert!(step["milliseconds"].take().as_f64().is_some_and(|time| time >= 0.0));
        let edits = step["done"].as_array().unwrap().len();
        step["done"] = edits.into();
        if let Some(ratio) = step.get_mut("sqnr_db") {
            *ratio = ratio.as_f64().unwrap().round().into();
        }
    }
    for figures in ["drift", "test"] {
        report[figures]["outputs"].take();
    }
    report["methods"].take();
    insta::assert_snapshot!("quantize_json", format!("{report:#}"));
}

#[test]
fn methods_for_few_bits_are_reported_and_can_be_left_out() {
    let folder = tempdir().unwrap();
    let few = format!("{QUANTIZE} --weights int4");
    let report = json(&shell(&format!("{few} --json -o TMP/auto.onnx"), folder.path()));
    let (before, after) = (at(&report, "methods/before_db"), at(&report, "methods/after_db"));
    assert!(after.as_f64() > before.as_f64().map(|before| before + 5.0), "{before} {after}");
    let layers = at(&report, "methods/layers").as_array().unwrap();
    assert!(layers.iter().any(|layer| layer["method"] == "descent"), "{layers:?}");
    let plain = format!("{few} --rounding nearest --bias-correction off --json -o TMP/plain.onnx");
    let report = json(&shell(&plain, folder.path()));
    assert!(report.get("methods").is_none());
    let ran = shell(&format!("{few} --explain --rounding gptq -o TMP/gptq.onnx"), folder.path());
    assert!(ok(&ran).contains("\n  gptq "), "{}", ran.out);
    let ran = shell(&format!("{few} --rounding best -o TMP/no.onnx"), folder.path());
    assert_eq!(ran.code, 2, "{}", ran.err);
}

#[test]
fn compare_json_has_the_promised_fields() {
    let args = "compare fixtures/digits_transformer.onnx fixtures/digits_transformer_dynamo.onnx \
                --data fixtures/digits_test.npz --labels y --scale 1/16 --top 1,3 --latency --json";
    let ran = onnxpress(&args.split_whitespace().collect::<Vec<_>>());
    let report = json(&ran);
    assert_eq!((ran.code, at(&report, "samples").as_u64()), (0, Some(400)));
    assert_eq!(at(&report, "outputs/0/name"), "logits");
    for (field, low, high) in [
        ("outputs/0/sqnr_db", 80.0, 300.0),
        ("outputs/0/cosine", 0.999_999, 1.000_001),
        ("outputs/0/max_abs", 0.0, 1e-2),
        ("outputs/0/mean_abs", 0.0, 1e-3),
        ("accuracy/top1/original", 0.985, 0.985),
        ("accuracy/top1/candidate", 0.985, 0.985),
        ("accuracy/top1/agreement", 1.0, 1.0),
        ("accuracy/top3/original", 0.99, 1.0),
        ("size_bytes/original", 143_460.0, 143_460.0),
        ("size_bytes/candidate", 131_957.0, 131_957.0),
        ("parameters/original", 30_000.0, 31_000.0),
        ("parameters/candidate", 30_417.0, 30_417.0),
        ("macs/original", 494_480.0, 494_480.0),
        ("macs/candidate", 494_480.0, 494_480.0),
        ("latency_ms/original", 1e-6, 1e4),
        ("latency_ms/candidate", 1e-6, 1e4),
        ("latency_ms/ratio", 1e-3, 1e3),
    ] {
        let found = at(&report, field).as_f64().unwrap_or_else(|| panic!("{field}"));
        assert!((low..=high).contains(&found), "{field} is {found}, not in {low}..={high}");
    }
    assert_eq!(at(&report, "passed"), true);
}

#[test]
fn a_missed_bound_is_3_and_the_result_is_still_there() {
    let folder = tempdir().unwrap();
    let original = "fixtures/digits_mlp.onnx";
    let data = "--data fixtures/digits_test.npz --labels y --scale 1/16";
    let ran = shell(&format!("{QUANTIZE} -o TMP/a.onnx --min-sqnr 100"), folder.path());
    assert_eq!(ran.code, 3, "{}", ran.err);
    assert!(ran.out.contains("MISSED      output `logits`"), "{}", ran.out);
    assert_eq!(listing(folder.path()), ["a.onnx"]);
    let bound = |bound: &str| {
        shell(&format!("compare {original} TMP/a.onnx {data} {bound}"), folder.path())
    };
    for (bounds, code) in [
        ("--min-sqnr 100", 3),
        ("--min-sqnr 30", 0),
        ("--min-sqnr 30 --max-drop 1%", 0),
        ("--min-sqnr 100 --max-drop 1%", 3),
        ("--max-drop 0.01 --json", 0),
    ] {
        assert_eq!(bound(bounds).code, code, "{bounds}");
    }
    // Backwards, the drop is a rise or nothing; a worse model misses.
    let worse = "compare fixtures/digits_resnet_bn.onnx fixtures/digits_mlp.onnx";
    let ran = shell(&format!("{worse} {data} --max-drop 1%"), folder.path());
    assert_eq!(ran.code, 3, "{}", ran.out);
    assert!(ran.out.contains("top-1 falls by 2.50 %, allowed are 1.00 %"), "{}", ran.out);
}

#[test]
fn a_bound_that_cannot_be_checked_is_missed() {
    let model = "fixtures/graphs/loop_body.onnx";
    let ran = onnxpress(&["compare", model, model, "--data", "random:2", "--min-sqnr", "10"]);
    assert_eq!(ran.code, 3);
    assert!(
        ran.out.contains("NOT VALIDATED BY EXECUTION: original model: node `loop_last` (Loop)")
    );
}

#[test]
fn random_samples_are_announced_in_capital_letters() {
    let model = "fixtures/digits_mlp.onnx";
    let ran = onnxpress(&["compare", model, model, "--data", "random:2"]);
    assert!(ran.err.contains("THE SAMPLES ARE RANDOM"), "{}", ran.err);
}

#[test]
fn force_replaces_and_its_absence_protects() {
    let folder = tempdir().unwrap();
    let out = folder.path().join("out.onnx");
    std::fs::write(&out, "precious").unwrap();
    for command in [QUANTIZE, "convert fixtures/digits_mlp.onnx"] {
        let ran = shell(&format!("{command} -o TMP/out.onnx"), folder.path());
        assert_eq!(ran.code, 2, "{}", ran.err);
        assert_eq!(std::fs::read(&out).unwrap(), b"precious");
    }
    let line = "convert fixtures/digits_mlp.onnx -o TMP/out.onnx --force";
    ok(&shell(line, folder.path()));
    assert_eq!(std::fs::read(&out).unwrap(), std::fs::read(fixture("digits_mlp.onnx")).unwrap());
    ok(&shell(&format!("{QUANTIZE} -o TMP/out.onnx --force"), folder.path()));
    assert!(out.metadata().unwrap().len() < 30_000);
    assert_eq!(listing(folder.path()), ["out.onnx"], "no temporary file stays behind");
}

#[test]
fn the_input_is_never_overwritten() {
    let folder = tempdir().unwrap();
    let copy = folder.path().join("model.onnx");
    std::fs::copy(fixture("digits_mlp.onnx"), &copy).unwrap();
    let calibration = "--data fixtures/digits_calib.npz --scale 1/16";
    for out in ["TMP/model.onnx", "TMP/../TMP/model.onnx", "TMP/./model.onnx"] {
        // The second path leaves the temporary folder and comes back.
        let name = folder.path().file_name().unwrap().to_str().unwrap();
        let out = out.replace("../TMP", &format!("../{name}"));
        for command in [
            format!("quantize TMP/model.onnx {calibration} -o {out} --force"),
            format!("convert TMP/model.onnx -o {out} --force"),
        ] {
            let ran = shell(&command, folder.path());
            assert_eq!(ran.code, 2, "{command}: {}", ran.err);
            assert!(ran.err.contains("is the input; it is never overwritten"), "{}", ran.err);
        }
    }
    assert_eq!(std::fs::read(&copy).unwrap(), std::fs::read(fixture("digits_mlp.onnx")).unwrap());
}

#[test]
fn keep_skip_and_granularity_reach_the_passes() {
    let folder = tempdir().unwrap();
    let line = format!("{QUANTIZE} --exclude * -v -o TMP/kept.onnx");
    let ran = shell(&line, folder.path());
    assert!(missed(&ran).contains("kept in float by `*`"), "{}", ran.out);
    assert!(ran.out.contains("MISSED      nothing was quantized"), "{}", ran.out);
    let line = format!("{QUANTIZE} --skip quantize-static -o TMP/skipped.onnx");
    let ran = shell(&line, folder.path());
    assert!(!missed(&ran).contains("\n  quantize-static"), "{}", ran.out);
    let expected = "MISSED      nothing was quantized: the pass was left out";
    assert!(ran.out.contains(expected), "{}", ran.out);
    let line = format!("{QUANTIZE} --granularity tensor -v -o TMP/tensor.onnx");
    let ran = shell(&line, folder.path());
    assert!(ok(&ran).contains("(Gemm): int8 weight, uint8 activations"), "{}", ran.out);
}

#[test]
fn patterns_that_fit_no_node_are_named() {
    let folder = tempdir().unwrap();
    let model = "fixtures/digits_mlp.onnx";
    for (line, option) in [
        (QUANTIZE.to_owned(), "--exclude"),
        (format!("{QUANTIZE} --target qnn"), "--wide-activations"),
        (format!("prune {model} --ratio 0.25"), "--exclude"),
        (format!("factorize {model} --params 75%"), "--exclude"),
        (format!("factorize {model} --params 75%"), "--only"),
        (format!("simplify {model}"), "--exclude"),
    ] {
        let ran = shell(&format!("{line} {option} nobody* -o TMP/x.onnx --force"), folder.path());
        let expected = format!("warning: `{option} nobody*` fits no node");
        assert!(ok(&ran).contains(&expected), "{line}: {}", ran.out);
        let ran = shell(&format!("{line} {option} /fc1* -o TMP/x.onnx --force"), folder.path());
        assert!(!ok(&ran).contains("fits no node"), "{line}: {}", ran.out);
    }
}

#[test]
fn weights_alone_are_quantized_or_the_status_tells() {
    let folder = tempdir().unwrap();
    let line = "quantize fixtures/digits_mlp.onnx --mode weights";
    let ran = shell(&format!("{line} --weights int4 -o TMP/w.onnx"), folder.path());
    assert!(ok(&ran).contains("quantize-weights"), "{}", ran.out);
    assert!(ran.out.contains("opset raised"), "{}", ran.out);
    let ran = shell(&format!("{line} --exclude * -o TMP/none.onnx"), folder.path());
    assert!(missed(&ran).contains("MISSED      nothing was quantized: 3 layers: "), "{}", ran.out);
    assert!(ran.out.contains("kept in float by `*`"), "{}", ran.out);
    assert!(folder.path().join("none.onnx").exists());
    let ran = shell(&format!("{line} --json --exclude * -o TMP/again.onnx"), folder.path());
    assert_eq!(at(&json(&ran), "drift/passed"), false);
    assert_eq!(at(&json(&ran), "drift/missed").as_array().map(Vec::len), Some(1));
    let ran = shell(&format!("{line} --activations uint8 -o TMP/third.onnx"), folder.path());
    assert_eq!(ran.code, 2, "{}", ran.err);
    assert!(ran.err.contains("leave out --activations"), "{}", ran.err);
}

#[test]
fn weights_have_other_forms_where_they_alone_are_stored() {
    let folder = tempdir().unwrap();
    let line = "quantize fixtures/digits_mlp.onnx --mode weights";
    let ran = shell(&format!("{line} --weights binary -v -o TMP/w.onnx"), folder.path());
    let expected = "binary weight with a scale for each channel; computes with floats";
    assert!(ok(&ran).contains(expected), "{}", ran.out);
    let line = format!("{line} --weights codebook:16 --granularity block:64 --force");
    let ran = shell(&format!("{line} -v -o TMP/w.onnx"), folder.path());
    let expected = "from a table of 16 numbers with scales for blocks of 64";
    assert!(ok(&ran).contains(expected), "{}", ran.out);
    for (options, expected) in [
        ("--weights ternary", "--weights ternary stores weights alone; add --mode weights"),
        ("--mode weights --weights codebook:1", "codebook:N with N from 2 to 256"),
        ("--mode weights --weights codebook:257", "codebook:N with N from 2 to 256"),
        ("--mode weights --weights float16 --granularity tensor", "leave out --granularity"),
        ("--mode weights --weights binary --power-of-two", "leave out --power-of-two"),
    ] {
        let line = format!("quantize fixtures/digits_mlp.onnx {options} -o TMP/none.onnx");
        let ran = shell(&line, folder.path());
        assert_eq!(ran.code, 2, "{options}: {}", ran.err);
        assert!(ran.err.contains(expected), "{options}: {}", ran.err);
        assert!(!folder.path().join("none.onnx").exists());
    }
}

#[test]
fn layers_are_ranked_and_the_worst_stay_in_float() {
    let folder = tempdir().unwrap();
    let run = |options: &str| {
        shell(&format!("{QUANTIZE} -o TMP/a.onnx --force {options}"), folder.path())
    };
    let ranked = run("--sensitivity --float-share 0");
    assert!(ok(&ranked).contains("quantized alone"), "{}", ranked.out);
    let report = json(&run("--sensitivity --float-share 0 --json"));
    let ranking = at(&report, "fall_back/ranking").as_array().expect("a list").clone();
    let decibel: Vec<f64> =
        ranking.iter().map(|l| at(l, "sqnr_db").as_f64().expect("a number")).collect();
    assert_eq!(ranking.len(), 3);
    assert!(decibel.is_sorted(), "the worst comes first: {decibel:?}");
    let whole = at(&report, "fall_back/before_db").as_f64().expect("a number");
    assert!(decibel[0] > whole, "one layer does less harm than all: {decibel:?}, {whole}");
    let worst = at(&ranking[0], "name").as_str().expect("a name").to_owned();
    let kept = json(&run("--float-share 0 --float-worst 2 --json"));
    assert_eq!(at(&kept, "fall_back/kept/0").as_str(), Some(worst.as_str()));
    assert!(at(&kept, "fall_back/after_db").as_f64().is_some_and(|after| after > whole));
    // A bound is met by leaving layers in float, as few as possible.
    let bound = whole + 3.0;
    let met = json(&run(&format!("--float-share 0 --min-sqnr {bound} --json")));
    assert_eq!(at(&met, "fall_back/reached"), true);
    let number = at(&met, "fall_back/kept").as_array().expect("a list").len();
    assert!((1..3).contains(&number), "{number} layers");
}

#[test]
fn nothing_left_to_quantize_has_its_own_status() {
    let folder = tempdir().unwrap();
    ok(&shell(&format!("{QUANTIZE} --float-share 0 -o TMP/once.onnx"), folder.path()));
    let again = QUANTIZE.replace("fixtures/digits_mlp.onnx", "TMP/once.onnx");
    let ran = shell(&format!("{again} --float-share 0 -o TMP/twice.onnx"), folder.path());
    assert!(missed(&ran).contains("MISSED      nothing was quantized: "), "{}", ran.out);
    let [once, twice] = ["once", "twice"]
        .map(|name| std::fs::read(folder.path().join(format!("{name}.onnx"))).unwrap());
    assert!(once == twice, "the file is the same");
}

#[test]
fn the_snapshot_model_is_the_one_inspected() {
    // `inspect` is snapshotted on this model; the numbers that matter are counted apart.
    let model = load("digits_resnet_opset11.onnx");
    let report = json(&onnxpress(&["inspect", "fixtures/digits_resnet_opset11.onnx", "--json"]));
    assert_eq!(at(&report, "opset"), 11);
    assert_eq!(at(&report, "nodes").as_u64(), Some(model.all_nodes().len() as u64));
    let convolutions = model.all_nodes().iter().filter(|&&n| model.node(n).is("Conv")).count();
    assert_eq!(at(&report, "operators/Conv").as_u64(), Some(convolutions as u64));
    assert_eq!(at(&report, "inputs/0/name"), "input");
    assert_eq!(at(&report, "outputs/0/dtype"), "float");
}

#[test]
fn functions_are_inlined_when_asked() {
    let folder = tempdir().unwrap();
    let line = "convert fixtures/graphs/function_call.onnx -o TMP/out.onnx --force";
    let ran = shell(&format!("{line} --opset 21"), folder.path());
    assert_eq!(ran.code, 1, "{}", ran.err);
    assert!(
        ran.err.contains("function `local.layers::ScaledLeaky`: operators inside"),
        "{}",
        ran.err
    );
    assert!(ran.err.contains("use --inline-functions"), "{}", ran.err);
    assert_eq!(listing(folder.path()), [""; 0]);
    ok(&shell(&format!("{line} --inline-functions --opset 21"), folder.path()));
    let report = json(&shell("inspect TMP/out.onnx --json", folder.path()));
    assert_eq!((at(&report, "opset").as_i64(), at(&report, "nodes").as_u64()), (Some(21), Some(5)));
    let line = "compare fixtures/graphs/function_call.onnx TMP/out.onnx --data random:3";
    assert!(ok(&shell(line, folder.path())).contains("SQNR equal"));
}
