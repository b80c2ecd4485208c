//! The pipeline believes no pass: what breaks its promise, the interface or the model is caught.

use std::path::Path;

use onnxpress::calibrate::Calibration;
use onnxpress::data::{Options, Samples};
use onnxpress::exec::{Runner, Tract};
use onnxpress::ir::{Info, Model, TensorType, ValueType};
use onnxpress::passes::{Context, EliminateIdentity, FuseBatchNorm, PASSES, Pass, Promise, Report};
use onnxpress::pipeline::{self, Check, Finished, Outcome};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::{ErrorKind, Result};

use crate::support::{encode, floats, inputs, load, models, samples, value};

/// A pass made on the spot.
struct Made(&'static str, Promise, fn(&mut Model));

impl Pass for Made {
    fn name(&self) -> &'static str {
        self.0
    }

    fn summary(&self) -> &'static str {
        "Made by a test."
    }

    fn promise(&self) -> Promise {
        self.1
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        self.2(model);
        let mut report = Report::default();
        report.did("model", "edited");
        Ok(report)
    }
}

/// Multiplies the first weight of the residual network.
fn scale_weight(model: &mut Model, factor: f32) {
    let id = value(model, "head.weight");
    let tensor = model.value(id).initializer().expect("a weight").clone();
    let scaled: Vec<f32> = floats(&tensor).iter().map(|x| x * factor).collect();
    model.set_tensor(id, Tensor::from_f32(tensor.dims(), &scaled));
}

/// Adds an initializer that nobody reads: an edit that no output notices.
fn add_unused(model: &mut Model) {
    model.add_initializer(model.main(), "unused", Tensor::from_f32(&[1], &[1.0]));
}

fn run(name: &str, passes: Vec<Box<dyn Pass>>) -> Result<Finished> {
    let model = load(name);
    let samples = samples(&model, "random:3", &Options::default());
    let check = Check::on(&Tract, &samples, 3).expect("samples can be read");
    pipeline::run(model, &passes, &Context::default(), Some(&check))
}

const NET: &str = "digits_resnet_bn.onnx";

#[test]
fn a_pass_that_lies_is_taken_back_and_the_run_goes_on() {
    let lie = Made("fuse-wrongly", Promise::Exact, |model| scale_weight(model, 1.5));
    let finished = run(NET, vec![Box::new(lie), Box::new(EliminateIdentity)]).unwrap();
    let [lie, honest] = &finished.steps[..] else { panic!("two steps") };
    assert_eq!(lie.name, "fuse-wrongly");
    let Some(Outcome::Broken(reason)) = &lie.outcome else { panic!("{:?}", lie.outcome) };
    assert!(reason.starts_with("output `logits` keeps "), "{reason}");
    assert!(reason.ends_with(" dB, promised are 120 dB (exact)"), "{reason}");
    assert!(honest.report.changed(), "the next pass runs");
    assert!(matches!(honest.outcome, Some(Outcome::Kept(f64::INFINITY))), "{:?}", honest.outcome);
    // Only the honest edit is in the result.
    let alone = run(NET, vec![Box::new(EliminateIdentity)]).unwrap();
    assert_eq!(encode(&finished.model), encode(&alone.model));
}

#[test]
fn the_same_edit_is_judged_by_what_was_promised() {
    // A relative error of 1e-4 is 80 dB on the weights.
    fn slightly(model: &mut Model) {
        scale_weight(model, 1.0001);
    }
    fn half(model: &mut Model) {
        scale_weight(model, 0.5);
    }
    fn negated(model: &mut Model) {
        scale_weight(model, -1.0);
    }
    for (promise, edit, kept) in [
        (Promise::Exact, slightly as fn(&mut Model), false),
        (Promise::Rounding, slightly, true),
        (Promise::Rounding, half, false),
        (Promise::Lossy, half, true),
        (Promise::Lossy, negated, false),
    ] {
        let finished = run(NET, vec![Box::new(Made("made", promise, edit))]).unwrap();
        let outcome = finished.steps[0].outcome.clone().unwrap();
        assert_eq!(matches!(outcome, Outcome::Kept(_)), kept, "{promise}: {outcome:?}");
        let changed = encode(&finished.model) != encode(&load(NET));
        assert_eq!(changed, kept, "{promise}");
    }
}

/// A pass that makes up for the one before it.
struct Mender(Made);

impl Pass for Mender {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn summary(&self) -> &'static str {
        self.0.summary()
    }

    fn promise(&self) -> Promise {
        self.0.promise()
    }

    fn mends(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        self.0.run(model, cx)
    }
}

#[test]
fn what_is_mended_is_judged_together() {
    let negated = || Made("negate", Promise::Lossy, |model| scale_weight(model, -1.0));
    let mender = |edit| Mender(Made("mend", Promise::Lossy, edit));
    let better = mender(|model| scale_weight(model, -0.9));
    let finished = run(NET, vec![Box::new(negated()), Box::new(better)]).unwrap();
    let [first, second] = &finished.steps[..] else { panic!("two steps") };
    assert!(first.outcome.is_none(), "{:?}", first.outcome);
    assert!(matches!(second.outcome, Some(Outcome::Kept(db)) if db > 15.0), "{:?}", second.outcome);
    assert_ne!(encode(&finished.model), encode(&load(NET)));
    // What mends is compared with what the model was before, not with what it mends.
    let poor = Made("weaken", Promise::Lossy, |model| scale_weight(model, 0.2));
    let restored = mender(|model| scale_weight(model, 4.9));
    let finished = run(NET, vec![Box::new(poor), Box::new(restored)]).unwrap();
    let [first, second] = &finished.steps[..] else { panic!("two steps") };
    assert!(matches!(first.outcome, Some(Outcome::Kept(db)) if db < 5.0), "{:?}", first.outcome);
    assert!(matches!(second.outcome, Some(Outcome::Kept(db)) if db > 15.0), "{:?}", second.outcome);
    // What stays broken goes as a whole, also before other passes.
    let no_better = mender(|model| scale_weight(model, 1.1));
    let list: Vec<Box<dyn Pass>> =
        vec![Box::new(negated()), Box::new(no_better), Box::new(EliminateIdentity)];
    let finished = run(NET, list).unwrap();
    let broken = |step: &pipeline::Step| matches!(step.outcome, Some(Outcome::Broken(_)));
    assert!(finished.steps[..2].iter().all(broken), "{:?}", finished.steps);
    let alone = run(NET, vec![Box::new(EliminateIdentity)]).unwrap();
    assert_eq!(encode(&finished.model), encode(&alone.model));
}

#[test]
fn a_model_that_no_longer_runs_is_taken_back() {
    let breaks = Made("break", Promise::Exact, |model| {
        let node = model.all_nodes()[0];
        model.set_op(node, "Nonsense");
    });
    let finished = run(NET, vec![Box::new(breaks)]).unwrap();
    let Some(Outcome::Broken(reason)) = &finished.steps[0].outcome else { panic!("it is kept") };
    assert!(reason.starts_with("the edited model no longer runs: node `"), "{reason}");
    assert!(reason.contains("Nonsense"), "{reason}");
    assert_eq!(encode(&finished.model), encode(&load(NET)));
}

#[test]
fn the_interface_is_not_for_passes_to_change() {
    let edits: [fn(&mut Model); 3] = [
        |model| {
            let output = model.graph(model.main()).outputs()[0].value;
            let inner = model.node(model.value(output).producer().expect("a node")).input(0);
            model.add_output(model.main(), inner.expect("an input"), None);
        },
        |model| {
            model.add_input(model.main(), "extra", TensorType::with_dims(DType::Float, &[1]));
        },
        |model| {
            let input = model.graph(model.main()).inputs()[0];
            let ty = TensorType::with_dims(DType::Float, &[1, 1, 8, 8]);
            let info = Info { ty: Some(ValueType::Tensor(ty)), ..Info::default() };
            model.set_info(input, info);
        },
    ];
    for (i, edit) in edits.into_iter().enumerate() {
        let error = run(NET, vec![Box::new(Made("rename", Promise::Lossy, edit))]).unwrap_err();
        assert_eq!(error.kind, ErrorKind::Invalid, "edit {i}");
        let expected = "pass rename changed the inputs or outputs of the model (a bug)";
        assert_eq!(error.to_string(), expected, "edit {i}");
    }
}

#[test]
fn an_invalid_model_is_an_error_that_names_the_pass() {
    let cycle = Made("tangle", Promise::Lossy, |model| {
        let node = model.all_nodes()[0];
        let own = model.node(node).only_output();
        model.set_input(node, 0, own);
    });
    let error = run(NET, vec![Box::new(cycle)]).unwrap_err();
    assert_eq!(error.kind, ErrorKind::Invalid);
    let text = error.to_string();
    assert!(text.starts_with("after pass tangle: node `Identity_4` (Identity): "), "{text}");
    assert!(text.contains("is not defined before the node"), "{text}");
}

#[test]
fn what_cannot_be_executed_is_kept_only_when_it_is_exact() {
    let passes: Vec<Box<dyn Pass>> =
        vec![Box::new(FuseBatchNorm), Box::new(Made("add", Promise::Exact, add_unused))];
    let finished = run("graphs/custom_domain.onnx", passes).unwrap();
    let [rounding, exact] = &finished.steps[..] else { panic!("two steps") };
    assert!(rounding.report.changed(), "there is a BatchNormalization to fuse");
    // What is rewritten is executed by itself.
    assert!(matches!(&rounding.outcome, Some(Outcome::Kept(_))), "{:?}", rounding.outcome);
    assert!(!matches!(&exact.outcome, Some(Outcome::Broken(_))), "{:?}", exact.outcome);
    let operators = |model: &Model| {
        model.all_nodes().iter().map(|&n| model.node(n).op().to_owned()).collect::<Vec<_>>()
    };
    let found = operators(&finished.model);
    assert!(found.iter().any(|op| op == "Mystery"), "{found:?}");
    assert!(!found.iter().any(|op| op == "BatchNormalization"), "{found:?}");
}

/// What became of one pass on one model.
enum Tried {
    /// It ran twice as it must.
    Held,
    /// Tract cannot run the model.
    NotRun,
}

/// Runs a pass twice; the first run must keep its promise, the second must change nothing.
fn twice(
    name: &str,
    pass: fn() -> Box<dyn Pass>,
    model: &Model,
    samples: &Samples,
    runs: bool,
) -> Tried {
    let label = format!("{name}, {}", pass().name());
    let calibration = Calibration { engine: &Tract, samples, progress: &() };
    let cx = Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
    let check = Check::on(&Tract, samples, 2).expect("samples can be read");
    let run = |model: &Model| pipeline::run(model.clone(), &[pass()], &cx, Some(&check));
    let finished = match run(model) {
        Err(error) if !runs && error.to_string().starts_with("pass quantize-static") => {
            return Tried::NotRun;
        }
        finished => finished.unwrap_or_else(|error| panic!("{label}: {error}")),
    };
    let step = &finished.steps[0];
    match &step.outcome {
        None => assert_eq!(encode(&finished.model), encode(model), "{label} edits in silence"),
        Some(Outcome::Kept(_)) => {}
        Some(outcome) => {
            assert!(!runs, "{label}: {outcome:?}");
            if let Outcome::Broken(_) = outcome {
                return Tried::NotRun;
            }
        }
    }
    let again = run(&finished.model).unwrap_or_else(|error| panic!("{label}, again: {error}"));
    assert!(!again.steps[0].report.changed(), "{label}: the second run is not without effect");
    assert_eq!(encode(&again.model), encode(&finished.model), "{label}");
    if runs { Tried::Held } else { Tried::NotRun }
}

/// Fixtures that tract cannot run; `exec` says why.
const NOT_EXECUTED: &[&str] = &[
    "graphs/bn_training_mode.onnx",
    "graphs/custom_domain.onnx",
    "graphs/loop_body.onnx",
    "graphs/random_op.onnx",
    "graphs/sequence_ops.onnx",
    "graphs/typed_data.onnx",
];

#[test]
fn every_pass_holds_on_every_fixture_and_runs_once() {
    let (mut held, mut executed, mut not_executed) = (0, 0, Vec::new());
    for name in models() {
        let model = load(&name);
        if inputs(&model).is_err() {
            panic!("{name} has an input that is no tensor; say here what is to be done with it");
        }
        let samples = samples(&model, Path::new("random:4"), &Options::default());
        let runner = Runner::new(&Tract, &model, Vec::new());
        let inputs = samples.run(0).unwrap().inputs;
        let runs = runner.run(&inputs).is_ok();
        if runs {
            executed += 1
        } else {
            not_executed.push(name.clone())
        }
        for entry in PASSES {
            match twice(&name, entry.make, &model, &samples, runs) {
                Tried::Held => held += 1,
                Tried::NotRun => {}
            }
        }
    }
    assert_eq!(not_executed, NOT_EXECUTED, "what the engine can run has changed");
    assert_eq!(held, executed * PASSES.len());
}
