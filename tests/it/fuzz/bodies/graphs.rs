//! Any bytes as choices of a valid model, which goes through every pass.

use std::path::Path;

use onnxpress::analysis::{Assume, Shapes};
use onnxpress::calibrate::Calibration;
use onnxpress::data::{Options, Samples};
use onnxpress::exec::{Executed, Observation, Observe, Runner, Tap, Tract};
use onnxpress::ir::{Model, ValueId};
use onnxpress::passes::{Context, ConvertOpset, PASSES, Pass, Promise};
use onnxpress::pipeline::{self, Check, Outcome, Step};
use onnxpress::{ErrorKind, read};

use super::draw::{self, Choices, Drawn};
use super::{bytes, model};

/// Of so many cases one is executed, which takes most of the time.
const EXECUTED: usize = 3;

/// With this variable in the environment, each model is printed before it is checked.
const SHOW: &str = "FUZZ_SHOW";

/// What became of a case.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tried {
    /// The bytes make no model.
    Nothing,
    /// The model was edited, but not run.
    Edited,
    /// The engine cannot run the model.
    NotRun,
    /// Every pass kept its promise.
    Executed,
}

/// A valid model is accepted, and stays what it is through every pass, each of which keeps its
/// promise and has nothing left to do the second time.
pub fn check(data: &[u8]) -> Tried {
    let mut choices = Choices::new(data);
    let execute = choices.chance(EXECUTED);
    let target = 13 + choices.below(9) as i64;
    let turns = choices.below(PASSES.len());
    let Some(drawn) = draw::draw(&mut choices) else { return Tried::Nothing };
    let model = match read::bytes(drawn.encoded.clone()) {
        Ok(loaded) => loaded.model,
        Err(error) => panic!("a valid model is refused: {error}"),
    };
    if std::env::var_os(SHOW).is_some() {
        eprintln!("{}", model::full_text(&model));
    }
    bytes::check(&drawn.encoded);
    let shapes = given_shapes(&drawn, &model);
    if !execute {
        return Tried::Edited;
    }
    let inputs = pipeline::inputs(&model).expect("inputs are tensors");
    let options = Options { batch: drawn.batch, ..Options::default() };
    let data = format!("random:{}", drawn.batch);
    let samples = Samples::open(Path::new(&data), &inputs, &options).expect("random samples");
    let runs = outputs_fit(&drawn, &model, &shapes, &samples);
    let mut passes = all_passes(target);
    let turns = turns % passes.len();
    passes.rotate_left(turns);
    through(model, &drawn, &passes, &samples, runs);
    if runs { Tried::Executed } else { Tried::NotRun }
}

type Make = Box<dyn Fn() -> Box<dyn Pass>>;

/// The registered passes without the lossy ones: the others must not be judged by what those left. What it leaves dead is removed.
fn all_passes(target: i64) -> Vec<Make> {
    let makes = PASSES.iter().map(|entry| Box::new(entry.make) as Make);
    let kept = makes.filter(|make| make().promise() != Promise::Lossy);
    kept.map(|make| match make().name() {
        "convert-opset" => Box::new(move || Box::new(ConvertOpset { target }) as Box<dyn Pass>),
        _ => make,
    })
    .collect()
}

fn lossy_passes() -> Vec<Make> {
    let makes = PASSES.iter().map(|entry| Box::new(entry.make) as Make);
    let (lossy, dead): (Vec<Make>, Vec<Make>) =
        makes.partition(|make| make().promise() == Promise::Lossy);
    lossy.into_iter().chain(dead.into_iter().filter(|m| m().name() == "eliminate-dead")).collect()
}

/// What is inferred for the inputs that will be given is what the model computes.
fn given_shapes(drawn: &Drawn, model: &Model) -> Shapes {
    let mut assume = Assume::default();
    for &input in model.graph(model.main()).inputs() {
        let name = model.value(input).name();
        if let Some((_, dims)) = drawn.values.get(name) {
            assume = assume.input(name, dims);
        }
    }
    let shapes = Shapes::infer(model, &assume);
    let open = Shapes::infer(model, &Assume::default());
    for (name, (dtype, dims)) in &drawn.values {
        let Some(value) = model.find_value(model.main(), name) else { continue };
        for shapes in [&shapes, &open] {
            assert!(shapes.dtype(value).is_none_or(|found| found == *dtype), "type of {name}");
            let Some(found) = shapes.dims(value) else { continue };
            let fits = found.len() == dims.len()
                && found
                    .iter()
                    .zip(dims)
                    .all(|(found, dim)| found.extent().is_none_or(|f| f == *dim));
            assert!(fits, "`{name}` is {dims:?}, inferred is {found:?}");
        }
    }
    shapes
}

/// Whether the engine runs the model; if so, what it computes is of the extents that were meant,
/// and integers that were inferred are the ones that it computes.
fn outputs_fit(drawn: &Drawn, model: &Model, shapes: &Shapes, samples: &Samples) -> bool {
    let known: Vec<(&String, ValueId)> = drawn
        .values
        .keys()
        .filter_map(|name| Some((name, model.find_value(model.main(), name)?)))
        .filter(|(_, value)| shapes.contents(*value).is_some())
        .collect();
    let tap =
        |(name, _): &(&String, ValueId)| Tap { value: (*name).clone(), observe: Observe::Value };
    let runner = Runner::new(&Tract, model, known.iter().map(tap).collect());
    let inputs = samples.run(0).expect("random samples").inputs;
    let Ok(Executed { outputs, observed, .. }) = runner.run(&inputs) else { return false };
    for (name, tensor) in &outputs {
        if let Some((_, dims)) = drawn.values.get(name) {
            assert_eq!(tensor.dims(), dims, "extents of output `{name}`");
        }
    }
    for ((name, value), observation) in known.iter().zip(&observed) {
        let Some(Observation::Value(tensor)) = observation else { continue };
        let (Ok(found), Some(inferred)) = (tensor.to_i64(), shapes.contents(*value)) else {
            continue;
        };
        let fits = found.len() == inferred.len()
            && found
                .iter()
                .zip(inferred)
                .all(|(found, known)| known.known().is_none_or(|k| k == *found));
        assert!(fits, "`{name}` is {found:?}, inferred is {inferred:?}");
    }
    true
}

/// Runs each pass twice, and checks it as a user's run would.
fn through(model: Model, drawn: &Drawn, passes: &[Make], samples: &Samples, runs: bool) {
    let calibration = Calibration { engine: &Tract, samples, progress: &() };
    let cx = Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
    let check = Check::on(&Tract, samples, 1).expect("random samples");
    let mut model = model;
    for make in passes.iter().chain(&lossy_passes()) {
        let name = make().name();
        let finished = match pipeline::run(model.clone(), &[make()], &cx, Some(&check)) {
            Ok(finished) => finished,
            // Without a run there is nothing to measure.
            Err(error) if !runs && error.kind == ErrorKind::Engine => continue,
            Err(error) => panic!("{error}"),
        };
        let [step] = &finished.steps[..] else { panic!("one step") };
        if !kept(step, drawn, runs) {
            continue;
        }
        model::round_trip(&finished.model);
        model = finished.model;
        match pipeline::run(model.clone(), &[make()], &cx, None) {
            Ok(again) => {
                let report = &again.steps[0].report;
                assert!(!report.changed(), "{name} edits again: {:?}", report.done);
                assert!(model::encode(&again.model) == model::encode(&model), "{name}, in silence");
            }
            Err(error) => assert!(!runs, "{name}, again: {error}"),
        }
    }
}

/// Whether an edit was kept. One that breaks its promise is taken back; that is right only where
/// nobody could keep it.
fn kept(step: &Step, drawn: &Drawn, runs: bool) -> bool {
    let Some(Outcome::Broken(reason)) = &step.outcome else { return true };
    let numeric = reason.starts_with("output `") && reason.contains("` keeps ");
    let promised = match step.promise {
        Promise::Exact => true,
        // A rounding error decides on which side of a threshold a value falls, and is large in a
        // type of few digits.
        Promise::Rounding => !drawn.rough,
        // What is left of two large numbers that cancel out has no correct digit.
        Promise::Lossy => false,
    };
    assert!(!runs || (numeric && !promised), "{}: {reason}", step.name);
    false
}
