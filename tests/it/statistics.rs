//! Statistics merge to the same bits however the samples are cut up, and ranges follow from them.

use std::fs;
use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};

use onnxpress::analysis::{Asked, Measure, Range};
use onnxpress::calibrate::{
    Calibration, Calibrator, Choice, Collect, Fit, Method, Progress, Shard, Source, Statistics,
    digest,
};
use onnxpress::data::{Limits, Npz, Options};
use onnxpress::exec::{Engine, Isolated, Tract};
use onnxpress::ir::{Model, ValueId};
use rayon::ThreadPoolBuilder;
use serde_json::Value;
use tempfile::tempdir;

use crate::support::{Ran, fixture, load, npy, npy_f32, pixels, samples, shell, value, write_npz};

fn ok(ran: &Ran) -> &str {
    assert_eq!(ran.code, 0, "{}", ran.err);
    &ran.out
}

/// Every value that a run computes, for an 8-bit grid.
fn asked(model: &Model) -> Vec<Asked> {
    let wanted = model.values().filter(|(_, v)| v.producer().is_some() || v.is_input());
    wanted.map(|(value, _)| Asked { value, levels: 256, symmetric: false }).collect()
}

/// The statistics of a shard of the samples of a file.
fn collect(engine: &dyn Engine, model: &Model, path: &Path, shard: Shard) -> Statistics {
    let samples = samples(model, path, &pixels());
    let calibration = Calibration { engine, samples: &samples, progress: &() };
    let collect = Collect::new(&calibration, shard, digest(model));
    let nothing = collect.ranges(model, &asked(model)).expect("the model runs");
    assert!(nothing.iter().all(Option::is_none), "a pass that asks is told to change nothing");
    collect.finish().expect("values were asked for")
}

/// The pixels of the calibration samples.
fn digits() -> Vec<Vec<u8>> {
    let mut file = Npz::open(&fixture("digits_calib.npz"), Limits::default()).expect("a fixture");
    let pixels = file.read("x").expect("the pixels");
    pixels.bytes().chunks(64).map(<[u8]>::to_vec).collect()
}

fn write_digits(path: &Path, digits: &[Vec<u8>]) {
    write_npz(path, &[("x", npy("|u1", &[digits.len(), 1, 8, 8], &digits.concat()))]);
}

#[test]
fn shards_threads_and_order_leave_no_trace() {
    let model = load("digits_resnet_opset11.onnx");
    let folder = tempdir().unwrap();
    let file = fixture("digits_calib.npz");
    let whole = collect(&Tract, &model, &file, Shard::default());
    assert_eq!((whole.samples, whole.runs), (128, 128));
    let counted = whole.values.values().flatten().filter(|value| value.fitting.is_some()).count();
    assert!(counted > 10, "{counted}");
    for of in [2, 5, 200] {
        let mut parts: Vec<Statistics> = (1..=of)
            .map(|i| collect(&Tract, &model, &file, Shard::new(i, of).expect("a part")))
            .collect();
        // The last come first, and each goes through a file.
        parts.reverse();
        let through = |part: Statistics| {
            let text = part.to_json().expect("JSON");
            let read = Statistics::from_json(&text).expect("our own file");
            assert_eq!(read, part);
            read
        };
        let mut parts = parts.into_iter().map(through);
        let first = parts.next().expect("a part");
        let merged = parts.fold(first, |sum, part| sum.merge(part).expect("one model"));
        assert_eq!(merged.to_json().unwrap(), whole.to_json().unwrap(), "{of} shards");
    }
    let mut shuffled = digits();
    // 37 and 128 have no common divisor: every sample comes once, far from its neighbours.
    shuffled = (0..128).map(|i| shuffled[i * 37 % 128].clone()).collect();
    let path = folder.path().join("shuffled.npz");
    write_digits(&path, &shuffled);
    for threads in [1, 3] {
        let pool = ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        let found = pool.install(|| collect(&Tract, &model, &path, Shard::default()));
        assert_eq!(found, whole, "shuffled, {threads} threads");
    }
}

#[test]
fn histograms_come_through_the_worker_unchanged() {
    let model = load("digits_mlp.onnx");
    let file = fixture("digits_calib.npz");
    let isolated = Isolated::new(env!("CARGO_BIN_EXE_onnxpress"), Default::default());
    let shard = Shard::new(1, 4).unwrap();
    assert_eq!(collect(&isolated, &model, &file, shard), collect(&Tract, &model, &file, shard));
}

/// What a calibrator chooses for one input, `x` of `[n, 1000]` times 2.
fn chosen(elements: &[f32], method: Method, symmetric: bool) -> Vec<Choice> {
    let mut model = Model::new(8, 17);
    let x = crate::support::add_input(&mut model, "x", &[1, 1000]);
    let y = crate::support::add(&mut model, onnxpress::ir::NewNode::new("Neg", &[x], "y"));
    crate::support::add_output(&mut model, y);
    let folder = tempdir().expect("a folder");
    let path = folder.path().join("x.npz");
    write_npz(&path, &[("x", npy_f32(&[elements.len() / 1000, 1000], elements))]);
    let samples = samples(&model, &path, &Options::default());
    let calibration = Calibration { engine: &Tract, samples: &samples, progress: &() };
    let fit = Fit::new(Source::Samples(&calibration), method);
    let values: [ValueId; 2] = ["x", "y"].map(|name| value(&model, name));
    let ask = values.map(|value| Asked { value, levels: 256, symmetric });
    let ranges = fit.ranges(&model, &ask).expect("it runs");
    let choices = fit.choices();
    let of_choices: Vec<Option<Range>> = choices.iter().map(|c| Some(c.range)).collect();
    assert_eq!(ranges, of_choices);
    choices
}

/// 64 samples of numbers that are nearly normal, one in 5,000 of them far away.
fn with_outliers() -> Vec<f32> {
    let mut state = 7u64;
    let mut uniform = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (state >> 40) as f32 / (1u64 << 24) as f32
    };
    let number = |i: usize| {
        let normal = (0..12).map(|_| uniform()).sum::<f32>() - 6.0;
        if i.is_multiple_of(5000) { 30.0 } else { normal }
    };
    (0..64_000).map(number).collect()
}

#[test]
fn what_was_measured_serves_every_calibrator() {
    let model = load("digits_resnet_opset11.onnx");
    let samples = samples(&model, fixture("digits_calib.npz"), &pixels());
    struct Runs(AtomicUsize);
    impl Progress for Runs {
        fn start(&self, _: &'static str, runs: usize) {
            self.0.fetch_add(runs, Ordering::Relaxed);
        }
    }
    let runs = Runs(AtomicUsize::new(0));
    let calibration = Calibration { engine: &Tract, samples: &samples, progress: &runs };
    let source = Source::Samples(&calibration);
    let fit = Fit::new(source, Method::default());
    let asked = asked(&model);
    let mut different = 0;
    for other in fit.others() {
        let alone =
            Fit::new(source, Method { calibrator: other.calibrator(), ..Method::default() });
        let before = runs.0.load(Ordering::Relaxed);
        let found = other.ranges(&model, &asked).expect("it runs");
        let once = if different == 0 { 128 } else { 0 };
        assert_eq!(runs.0.load(Ordering::Relaxed) - before, once, "{}", other.calibrator());
        assert_eq!(found, alone.ranges(&model, &asked).expect("it runs"));
        different += 1;
    }
    assert_eq!(different, 4);
    let asked_for = Method { calibrator: Calibrator::Mse, ..Method::default() };
    assert!(Fit::new(source, asked_for).others().is_empty());
}

#[test]
fn each_calibrator_is_reached_and_none_leaves_the_range() {
    let elements = with_outliers();
    let method = |calibrator| Method { calibrator, percentile: 99.9, explain: true };
    let mut tops = Vec::new();
    for &calibrator in Calibrator::ALL {
        for symmetric in [false, true] {
            let choices = chosen(&elements, method(calibrator), symmetric);
            for choice in &choices {
                let Range { min, max } = choice.range;
                assert!(choice.seen.min <= min && min <= max && max <= choice.seen.max);
                assert!(choice.clipped.is_some_and(|share| (0.0..0.05).contains(&share)));
                assert!(choice.sqnr_db.is_some_and(|ratio| ratio > 5.0), "{choice:?}");
                let named = calibrator == Calibrator::Auto || choice.calibrator == calibrator;
                assert!(named, "{choice:?}");
            }
            if !symmetric {
                tops.push((calibrator, choices[0].range.max));
            }
        }
    }
    let top = |wanted| tops.iter().find(|(calibrator, _)| *calibrator == wanted).unwrap().1;
    assert_eq!(top(Calibrator::Minmax), 30.0);
    assert!(top(Calibrator::Percentile) < 10.0, "{tops:?}");
    assert!((top(Calibrator::Distribution) - 4.3).abs() < 0.5, "{tops:?}");
    assert!(top(Calibrator::MeanMinmax) < 15.0, "{tops:?}");
}

#[test]
fn auto_is_never_worse_than_min_max_and_prefers_it() {
    let auto = Method { explain: true, ..Method::default() };
    let minmax = Method { calibrator: Calibrator::Minmax, ..auto };
    let mut even: Vec<f32> = (0..64_000).map(|i| (i % 997) as f32).collect();
    assert_eq!(chosen(&even, auto, false)[0].calibrator, Calibrator::Minmax);
    let few = &even[..4000];
    assert_eq!(chosen(few, auto, false)[0].calibrator, Calibrator::Minmax);
    // So far away that the bins hold nothing else apart: a grid of no extent must not win.
    even[5] = 1e9;
    for elements in [with_outliers(), even] {
        let (a, b) = (chosen(&elements, auto, false), chosen(&elements, minmax, false));
        for (a, b) in a.iter().zip(&b) {
            assert!(a.sqnr_db >= b.sqnr_db, "{a:?} {b:?}");
        }
    }
}

#[test]
fn without_counts_there_is_nothing_to_explain() {
    let method = Method { calibrator: Calibrator::Minmax, ..Method::default() };
    let found = &chosen(&with_outliers(), method, false)[0];
    assert_eq!((found.clipped, found.sqnr_db), (None, None));
    assert_eq!(found.range, found.seen);
}

#[test]
fn files_that_are_no_statistics_are_refused() {
    let model = load("digits_mlp.onnx");
    let shard = Shard::new(1, 16).unwrap();
    let statistics = collect(&Tract, &model, &fixture("digits_calib.npz"), shard);
    let text = statistics.to_json().unwrap();
    let refused = |damage: &dyn Fn(&mut Value)| {
        let mut file: Value = serde_json::from_str(&text).unwrap();
        damage(&mut file);
        let error = Statistics::from_json(&file.to_string()).expect_err("it is damaged");
        error.to_string()
    };
    assert!(
        refused(&|file| file["version"] = 2.into()).contains("expected `onnxpress statistics`")
    );
    assert!(refused(&|file| file["format"] = "x".into()).contains("is `x` of version 1"));
    assert!(refused(&|file| file["model"] = "q".into()).contains("`q` is no digest"));
    let name = statistics.values.iter().find(|(_, v)| v.is_some()).unwrap().0;
    type Damage = (&'static str, Value);
    let damages: [Damage; 7] = [
        ("min", "minus".into()),
        ("max", (-1e9).into()),
        ("runs", 0.into()),
        ("sum_of_minima", "00".into()),
        ("fitting", serde_json::json!({"min": 0.0, "max": 1.0, "counts": [1, -5000, 1]})),
        ("fitting", serde_json::json!({"min": 0.0, "max": 1.0, "counts": [i64::MIN]})),
        ("fitting", serde_json::json!({"min": 0.0, "max": 1.0, "counts": [1, 2]})),
    ];
    for (field, damage) in damages {
        let message = refused(&|file| file["values"][name][field] = damage.clone());
        assert!(message.contains(&format!("value `{name}`")), "{field}: {message}");
    }
    assert!(Statistics::from_json("[]").is_err());
}

const DIGITS: &str = "fixtures/digits_resnet_bn.onnx --data fixtures/digits_calib.npz --scale 1/16";

#[test]
fn quantize_takes_statistics_instead_of_samples() {
    let folder = tempdir().unwrap();
    let run = |line: &str| shell(line, folder.path());
    for i in 1..=3 {
        ok(&run(&format!("calibrate {DIGITS} --shard {i}/3 -o TMP/{i}.stats --threads {i}")));
    }
    let told = run(&format!("calibrate {DIGITS} -o TMP/whole.stats"));
    assert_eq!(ok(&told), "samples     128\nvalues      11\n");
    ok(&run("merge TMP/3.stats TMP/1.stats TMP/2.stats -o TMP/merged.stats"));
    let read = |name: &str| fs::read(folder.path().join(name)).unwrap();
    assert!(read("merged.stats") == read("whole.stats"), "the same bytes");
    for calibrator in Calibrator::ALL {
        // Layers are only tried on samples, and what they read is in no statistics.
        let options = format!("--calibrator {calibrator} --float-share 0 --bias-correction off");
        ok(&run(&format!("quantize {DIGITS} {options} -o TMP/data-{calibrator}.onnx")));
        let model = "fixtures/digits_resnet_bn.onnx --calibration TMP/merged.stats";
        let ran = run(&format!("quantize {model} {options} -o TMP/stats-{calibrator}.onnx"));
        assert!(ok(&ran).contains("NOT VALIDATED"), "{}", ran.out);
        let [a, b] = ["data", "stats"].map(|from| read(&format!("{from}-{calibrator}.onnx")));
        assert!(a == b, "{calibrator}: the same model from samples and from their statistics");
    }
    let judged = format!("quantize {DIGITS} --calibration TMP/merged.stats -o TMP/judged.onnx");
    assert!(ok(&run(&judged)).contains("samples     128"));
    let unjudged = "quantize fixtures/digits_resnet_bn.onnx --calibration TMP/merged.stats --min-sqnr 1 -o TMP/u.onnx";
    assert_eq!(run(unjudged).code, 3, "a bound that cannot be checked is missed");
}

#[test]
fn statistics_of_another_model_are_refused() {
    let folder = tempdir().unwrap();
    let run = |line: &str| shell(line, folder.path());
    let fail = |line: &str, code: i32, message: &str| {
        let ran = run(line);
        assert!(ran.code == code && ran.err.contains(message), "{line}: {} {}", ran.code, ran.err);
    };
    ok(&run(&format!("calibrate {DIGITS} --samples 8 -o TMP/a.stats")));
    let mlp = DIGITS.replace("resnet_bn", "mlp");
    ok(&run(&format!("calibrate {mlp} --samples 8 -o TMP/b.stats")));
    fail(
        "quantize fixtures/digits_mlp.onnx --calibration TMP/a.stats -o TMP/x.onnx",
        1,
        "TMP/a.stats: the statistics are of model",
    );
    fail("merge TMP/a.stats TMP/b.stats -o TMP/c.stats", 1, "TMP/b.stats: statistics of model");
    fail("merge TMP/a.stats TMP/a.stats -o TMP/c.stats", 1, "the same samples");
    fail("merge TMP/a.stats -o TMP/a.stats", 2, "exists already");
    fail(&format!("calibrate {DIGITS} --shard 3/2 -o TMP/c.stats"), 2, "expected a part");
    fail(&format!("quantize {DIGITS} --percentile 20 -o TMP/x.onnx"), 2, "expected more than 50");
    fail("quantize fixtures/digits_mlp.onnx -o TMP/x.onnx", 2, "--data");
    let broken =
        "quantize fixtures/digits_mlp.onnx --calibration fixtures/digits_mlp.onnx -o TMP/x.onnx";
    fail(broken, 1, "is no file of statistics");
    let nothing = "calibrate fixtures/graphs/random_op.onnx --data random:2 -o TMP/c.stats";
    fail(nothing, 2, "nothing to quantize");
}

#[test]
fn explain_shows_each_layer_and_each_activation() {
    let folder = tempdir().unwrap();
    let line = format!("quantize {DIGITS} --explain -o TMP/a.onnx");
    let ran = shell(&line, folder.path());
    assert!(ok(&ran).contains("\nlayers\n    range of the input"), "{}", ok(&ran));
    let table = ok(&ran).split("activations\n").nth(1).expect("a table");
    let table = table.split("on the calibration").next().unwrap();
    assert!(table.lines().count() > 9 && table.contains("`input`"), "{table}");
    let ran = shell(&format!("{line} --force --json"), folder.path());
    let report: Value = serde_json::from_str(ok(&ran)).unwrap();
    let rows = report["calibration"].as_array().expect("rows");
    assert_eq!(rows.len(), 11);
    for row in rows {
        let number = |field: &str| row[field].as_f64().unwrap_or_else(|| panic!("{field}: {row}"));
        assert!(number("min") <= number("from") && number("from") < number("to"), "{row}");
        assert!(number("to") <= number("max"), "{row}");
        assert!(number("expected_sqnr_db") > 20.0 && number("clipped_share") < 0.02, "{row}");
        assert!(row["calibrator"].as_str().is_some_and(|name| name.parse::<Calibrator>().is_ok()));
    }
    let layers = report["layers"].as_array().expect("layers");
    assert!(layers.len() > 3);
    for layer in layers {
        let ratio =
            |field: &str| layer[field].as_f64().unwrap_or_else(|| panic!("{field}: {layer}"));
        assert!(ratio("alone_db") > 20.0 && ratio("accumulated_db") > 20.0, "{layer}");
        // What computes with floats has no range.
        let methods = layer["methods"].as_array().expect("a list");
        let spared = methods.iter().any(|method| method == "computes with floats");
        assert_ne!(layer["input"]["value"].is_string(), spared, "{layer}");
    }
    let accumulated = |i: usize| layers[i]["accumulated_db"].as_f64();
    assert!(accumulated(0) > accumulated(layers.len() - 1), "noise adds up: {layers:?}");
    let plain = shell(&format!("quantize {DIGITS} -o TMP/b.onnx --json"), folder.path());
    let plain: Value = serde_json::from_str(ok(&plain)).expect("JSON");
    assert!(plain.get("calibration").is_none(), "only when asked for");
}
