//! What the command does is one call of the library, with the same defaults and the same bytes.

use std::fs;
use std::path::Path;

use onnxpress::data::{Options, Preprocess, Samples};
use onnxpress::emit::Overwrite;
use onnxpress::passes::{Amount, Criterion, Existing, Importance, Method, Rounding, Target};
use onnxpress::pipeline;
use onnxpress::read::{self, Loaded};
use onnxpress::verbs::{Mode, Remaining, Scheme, Spreading};
use onnxpress::{
    Data, FactorizeOptions, PruneOptions, QuantizeOptions, SimplifyOptions, calibrate::Calibrator,
};
use tempfile::tempdir;

use crate::support::{fixture, onnxpress};

fn digits() -> (Loaded, Samples) {
    let original = read::file(&fixture("digits_mlp.onnx")).expect("a fixture");
    let preprocess = Preprocess { scale: Some(1.0 / 16.0), ..Preprocess::default() };
    let options = Options { preprocess, ..Options::default() };
    let samples = onnxpress::samples(&original, &fixture("digits_calib.npz"), &options);
    (original, samples.expect("samples of the fixture"))
}

/// The file that the command writes.
fn by_command(words: &[&str]) -> Vec<u8> {
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("out.onnx");
    let model = fixture("digits_mlp.onnx");
    let mut all = vec![words[0], model.to_str().expect("a plain path")];
    all.extend(&words[1..]);
    all.extend(["-o", out.to_str().expect("a plain path"), "-q"]);
    let done = onnxpress(&all);
    assert_eq!(done.code, 0, "{}", done.err);
    fs::read(out).expect("a result")
}

fn saved(save: impl Fn(&Path) -> onnxpress::Result<()>) -> Vec<u8> {
    let folder = tempdir().expect("a folder");
    let out = folder.path().join("out.onnx");
    save(&out).expect("it can be written");
    fs::read(out).expect("a result")
}

#[test]
fn quantize_gives_the_bytes_of_the_command() {
    let (original, samples) = digits();
    let data = Data::of(&samples);
    let outcome =
        onnxpress::quantize(&original, &QuantizeOptions::default(), &data).expect("it quantizes");
    assert!(outcome.passed());
    let calib = fixture("digits_calib.npz");
    let calib = calib.to_str().expect("a plain path");
    let command = by_command(&["quantize", "--data", calib, "--scale", "1/16"]);
    assert_eq!(saved(|out| outcome.save(out, Overwrite::Never)), command);
    let judged = read::bytes(command.into()).expect("a model").model;
    assert_eq!(judged.node_count(), outcome.model.node_count());
}

#[test]
fn prune_gives_the_bytes_of_the_command() {
    let (original, samples) = digits();
    let remaining = Remaining::Macs(Amount::Share(0.5));
    let options = PruneOptions { remaining, ..PruneOptions::default() };
    let outcome = onnxpress::prune(&original, &options, &Data::of(&samples)).expect("it prunes");
    let calib = fixture("digits_calib.npz");
    let calib = calib.to_str().expect("a plain path");
    let command = by_command(&["prune", "--macs", "50%", "--data", calib, "--scale", "1/16"]);
    assert_eq!(saved(|out| outcome.save(out, Overwrite::Never)), command);
}

#[test]
fn factorize_and_simplify_give_the_bytes_of_the_command() {
    let (original, samples) = digits();
    let options = SimplifyOptions::default();
    let outcome = onnxpress::simplify(&original, &options, &Data::default()).expect("it settles");
    assert_eq!(saved(|out| outcome.save(out, Overwrite::Never)), by_command(&["simplify"]));
    let goal = onnxpress::verbs::Goal::Remaining(Remaining::Parameters(Amount::Share(0.6)));
    let options = FactorizeOptions { goal, ..FactorizeOptions::default() };
    let outcome = onnxpress::factorize(&original, &options, &Data::of(&samples));
    let outcome = outcome.expect("it factorizes");
    let calib = fixture("digits_calib.npz");
    let calib = calib.to_str().expect("a plain path");
    let command = by_command(&["factorize", "--params", "60%", "--data", calib, "--scale", "1/16"]);
    assert_eq!(saved(|out| outcome.save(out, Overwrite::Never)), command);
}

#[test]
fn what_cannot_be_done_is_refused_before_the_work() {
    let (original, samples) = digits();
    let error = onnxpress::quantize(&original, &QuantizeOptions::default(), &Data::default());
    assert!(error.expect_err("no samples").to_string().contains("needed"));
    let remaining = Remaining::Channels(0.5);
    let goal = onnxpress::verbs::Goal::Remaining(remaining);
    let options = FactorizeOptions { goal, ..FactorizeOptions::default() };
    let error = onnxpress::factorize(&original, &options, &Data::of(&samples));
    assert!(error.expect_err("no channels").to_string().contains("cuts no channels"));
    let options = PruneOptions { quantize: Some(Target::Ort), ..PruneOptions::default() };
    assert!(onnxpress::prune(&original, &options, &Data::default()).is_err());
}

#[test]
fn layers_are_included_and_excluded_by_name_and_by_operator() {
    let original = read::file(&fixture("digits_resnet_bn.onnx")).expect("a fixture");
    let preprocess = Preprocess { scale: Some(1.0 / 16.0), ..Preprocess::default() };
    let options = Options { preprocess, ..Options::default() };
    let samples = onnxpress::samples(&original, &fixture("digits_calib.npz"), &options);
    let samples = samples.expect("samples of the fixture");
    // Operators of layers that read stored weights.
    let quantized = |include: &str, exclude: &str| {
        let words =
            |text: &str| text.split(' ').filter(|w| !w.is_empty()).map(str::to_owned).collect();
        let scheme = Scheme { include: words(include), keep: words(exclude), ..Scheme::default() };
        let options = QuantizeOptions { scheme, ..QuantizeOptions::default() };
        let outcome =
            onnxpress::quantize(&original, &options, &Data::of(&samples)).expect("it does");
        let model = &outcome.model;
        let stored = |value| {
            let maker = model.value(value).producer().map(|node| model.node(node));
            maker.is_some_and(|node| node.is("DequantizeLinear") || node.is("Mul"))
        };
        let layers = model.nodes_of(model.main()).filter(|(_, node)| node.is_linear());
        let layers = layers.filter(|(_, node)| node.input(1).is_some_and(stored));
        layers.map(|(_, node)| node.op().to_owned()).collect::<std::collections::BTreeSet<_>>()
    };
    assert_eq!(Vec::from_iter(quantized("", "")), ["Conv", "Gemm"]);
    assert_eq!(Vec::from_iter(quantized("op:Conv", "")), ["Conv"]);
    assert_eq!(Vec::from_iter(quantized("", "op:Conv")), ["Gemm"]);
    assert_eq!(Vec::from_iter(quantized("op:C* op:G*", "op:Gemm")), ["Conv"]);
}

#[test]
fn samples_from_memory_are_those_of_the_file() {
    let (original, samples) = digits();
    let inputs = pipeline::inputs(&original.model).expect("inputs are tensors");
    let run = samples.run(0).expect("a run");
    // The model takes batches: rows of a run are samples.
    let rows: Vec<_> = (0..samples.runs()).map(|run| samples.run(run).expect("a run")).collect();
    let options = Options::default();
    let again = Samples::of_arrays(run.inputs.clone(), &inputs, &options).expect("an array");
    assert_eq!(again.run(0).expect("a run").inputs, samples.only(&[0]).run(0).expect("one").inputs);
    assert_eq!(again.len(), run.size);
    let complete = rows.iter().filter(|other| other.size == run.size).map(|run| run.inputs.clone());
    let complete: Vec<_> = complete.collect();
    let stacked = Samples::of_iter(complete.clone(), &inputs, &options).expect("samples");
    assert_eq!(stacked.len(), complete.len());
    assert_eq!(stacked.run(0).expect("a run").inputs, complete[0]);
    let odd = vec![complete[0].clone(), vec![("other".to_owned(), run.inputs[0].1.clone())]];
    assert!(Samples::of_iter(odd, &inputs, &options).is_err());
    assert!(Samples::of_iter(Vec::new(), &inputs, &options).is_err());
}

/// What is written of something with a name.
fn text<T: serde::Serialize>(value: &T) -> String {
    let json = serde_json::to_value(value).expect("it can be written");
    json.as_str().expect("a name").to_owned()
}

#[test]
fn options_are_written_by_the_names_of_the_command() {
    for target in Target::ALL {
        assert_eq!(text(&target), target.name());
    }
    for importance in Importance::ALL.iter().copied() {
        assert_eq!(text(&importance), importance.name());
    }
    for rounding in Rounding::ALL.iter().copied() {
        assert_eq!(text(&rounding), rounding.name());
    }
    for calibrator in Calibrator::ALL.iter().copied() {
        assert_eq!(text(&calibrator), calibrator.name());
    }
    for method in Method::ALL.iter().copied() {
        assert_eq!(text(&method), method.name());
    }
    for criterion in Criterion::ALL.iter().copied() {
        assert_eq!(text(&criterion), criterion.name());
    }
    for mode in [Mode::Static, Mode::Dynamic, Mode::Weights] {
        assert_eq!(text(&mode), mode.name());
    }
    for spreading in [Spreading::Uniform, Spreading::Global, Spreading::Sensitivity] {
        assert_eq!(text(&spreading), spreading.name());
    }
    assert_eq!(text(&Existing::Complete), "complete");
}

#[test]
fn options_survive_being_written_down() {
    let scheme = Scheme {
        target: Target::Qnn,
        weights: Some("codebook:16".parse().expect("a type")),
        granularity: Some(onnxpress::passes::Granularity::Block(32)),
        ..Scheme::default()
    };
    let options = QuantizeOptions { mode: Mode::Weights, scheme, ..QuantizeOptions::default() };
    let json = serde_json::to_string(&options).expect("it can be written");
    let again: QuantizeOptions = serde_json::from_str(&json).expect("it can be read");
    assert_eq!(again, options);
    let few: QuantizeOptions =
        serde_json::from_str(r#"{"mode": "weights", "scheme": {"weights": "int4"}}"#).expect("few");
    let mut expected = QuantizeOptions { mode: Mode::Weights, ..QuantizeOptions::default() };
    expected.scheme.weights = Some("int4".parse().expect("a type"));
    assert_eq!(few, expected);
    let wrong = serde_json::from_str::<PruneOptions>(r#"{"ratoi": 0.5}"#).expect_err("a slip");
    assert!(wrong.to_string().contains("ratoi"));
}

#[test]
fn the_readme_shows_the_example_as_it_is_compiled() {
    let part = |text: &str, from: &str, to: &str| -> String {
        let rest = text.split_once(from).expect("it begins").1;
        rest.split_once(to).expect("it ends").0.to_owned()
    };
    let example = include_str!("../../examples/quantize.rs");
    let example = part(example, "// example: begin\n", "// example: end");
    assert_eq!(part(include_str!("../../README.md"), "```rust\n", "```\n"), example);
    assert!(example.lines().count() <= 25);
}
