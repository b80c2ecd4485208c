//! The engine in a process of its own: the same results, and whatever it does to that process is
//! an error here.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use onnxpress::analysis::Evaluate;
use onnxpress::data::{InputSpec, Options, Samples};
use onnxpress::error::{Error, ErrorKind, Result};
use onnxpress::exec::{
    Engine, Executed, InputShape, Isolated, Limits, Observation, Observe, Runner, Session, Tap,
    Tract,
};
use onnxpress::ir::{At, Dim, DimSize, Model, NewNode, TensorType, ValueId, Verified};
use onnxpress::read;
use onnxpress::tensor::{DType, Tensor};
use rayon::prelude::*;

fn isolated(limits: Limits) -> Isolated {
    Isolated::new(env!("CARGO_BIN_EXE_onnxpress"), limits)
}

fn usual() -> Isolated {
    isolated(Limits { threads: 2, ..Limits::default() })
}

/// A model of opset 17 with the input `x` of two axes, the first of which has this name.
fn model_with_input(axis: &str, width: usize) -> (Model, ValueId) {
    let mut model = Model::new(8, 17);
    let symbol = Dim { size: DimSize::Symbol(axis.to_owned()), denotation: None };
    let dims = Some(vec![symbol, Dim::known(width)]);
    let ty = TensorType { dtype: DType::Float, dims, denotation: None };
    let x = model.add_input(model.main(), "x", ty);
    (model, x)
}

fn append(model: &mut Model, node: NewNode) -> ValueId {
    let node = model.add_node(model.main(), At::End, node);
    model.node(node).output(0).expect("an output")
}

fn finish(mut model: Model, output: ValueId) -> Model {
    model.add_output(model.main(), output, Some(TensorType::of(DType::Float)));
    model
}

/// `x` plus 1.
fn sound() -> Model {
    let (mut model, x) = model_with_input("batch", 2);
    let one = model.add_initializer(model.main(), "one", Tensor::from_f32(&[], &[1.0]));
    let y = append(&mut model, NewNode::new("Add", &[x, one], "y"));
    finish(model, y)
}

/// tract parses names of axes as expressions, and recurses for each parenthesis.
fn overflowing() -> Model {
    let (mut model, x) = model_with_input(&"(".repeat(1 << 20), 2);
    let y = append(&mut model, NewNode::new("Relu", &[x], "y"));
    finish(model, y)
}

/// Takes minutes to run: products of large matrices, one after the other.
fn endless() -> Model {
    const WIDTH: usize = 2048;
    let (mut model, x) = model_with_input("batch", 2);
    let wide = Tensor::from_f32(&[2, WIDTH], &vec![0.5; 2 * WIDTH]);
    let wide = model.add_initializer(model.main(), "wide", wide);
    let square = Tensor::from_f32(&[WIDTH, WIDTH], &vec![1e-3; WIDTH * WIDTH]);
    let square = model.add_initializer(model.main(), "square", square);
    let row = append(&mut model, NewNode::new("MatMul", &[x, wide], "row"));
    let mut y = append(&mut model, NewNode::new("Add", &[row, square], "y"));
    for _ in 0..500 {
        y = append(&mut model, NewNode::new("MatMul", &[y, square], "y"));
    }
    finish(model, y)
}

/// Expands `x` to 4 GiB.
fn greedy() -> Model {
    let (mut model, x) = model_with_input("batch", 2);
    let dims = Tensor::from_i64(&[3], &[1 << 29, 1, 2]);
    let dims = model.add_initializer(model.main(), "dims", dims);
    let y = append(&mut model, NewNode::new("Expand", &[x, dims], "y"));
    finish(model, y)
}

fn run(engine: &dyn Engine, model: &Model) -> Result<Vec<f32>> {
    let inputs = [("x".to_owned(), Tensor::from_f32(&[1, 2], &[1.0, -2.0]))];
    let executed = Runner::new(engine, model, Vec::new()).run(&inputs)?;
    Ok(executed.outputs[0].1.to_f32()?.to_vec())
}

fn message(result: Result<Vec<f32>>) -> String {
    let error = result.expect_err("the engine cannot do this");
    assert_eq!(error.kind, ErrorKind::Engine, "{error}");
    error.to_string()
}

fn bits(observation: &Observation) -> (Option<(u32, u32)>, Option<&Tensor>) {
    let tensor = match observation {
        Observation::Value(tensor) => Some(tensor),
        _ => None,
    };
    (observation.range().map(|range| (range.min.to_bits(), range.max.to_bits())), tensor)
}

fn assert_same(a: &Executed, b: &Executed, label: &str) {
    assert_eq!(a.outputs, b.outputs, "{label}");
    assert_eq!(a.observed.len(), b.observed.len(), "{label}");
    for (a, b) in a.observed.iter().zip(&b.observed) {
        assert_eq!(a.as_ref().map(bits), b.as_ref().map(bits), "{label}");
    }
}

#[test]
fn results_are_those_of_the_engine_inside() {
    let engine = usual();
    for name in ["digits_mlp", "digits_resnet_bn", "digits_transformer", "tokens_embedding"] {
        let path = format!("{}/fixtures/{name}.onnx", env!("CARGO_MANIFEST_DIR"));
        let model = read::file(Path::new(&path)).unwrap().model;
        let inputs = model.graph(model.main()).inputs().iter().map(|&input| {
            let value = model.value(input);
            let ty = value.tensor_type().unwrap();
            let dims = ty.dims.as_ref().map(|dims| dims.iter().map(Dim::fixed).collect());
            InputSpec { name: value.name().to_owned(), dtype: ty.dtype, dims }
        });
        let inputs: Vec<InputSpec> = inputs.collect();
        let random = Path::new("random:12");
        let samples = Samples::open(random, &inputs, &Options::default()).unwrap();
        let values = model.values().filter(|(_, value)| value.initializer().is_none());
        let names = values.map(|(_, value)| value.name().to_owned());
        let taps = names.flat_map(|value| {
            [Observe::Range, Observe::Value].map(|observe| Tap { value: value.clone(), observe })
        });
        let taps: Vec<Tap> = taps.collect();
        let here = Runner::new(&Tract, &model, taps.clone());
        let there = Runner::new(&engine, &model, taps.clone());
        let seen: usize = (0..samples.runs())
            .into_par_iter()
            .map(|i| {
                let inputs = samples.run(i).unwrap().inputs;
                let there = there.run(&inputs).unwrap();
                assert_same(&here.run(&inputs).unwrap(), &there, name);
                there.observed.iter().flatten().count()
            })
            .sum();
        // Folded values and ranges of integers are not seen.
        assert!(seen >= samples.runs() * taps.len() / 4, "{name}: {seen} values were seen");
    }
}

#[test]
fn constants_are_those_of_the_engine_inside() {
    let mut model = Model::new(8, 17);
    let x = Tensor::from_f32(&[2], &[1.5, 2.25]);
    let a = model.add_initializer(model.main(), "a", x.clone());
    let node = model.add_node(model.main(), At::End, NewNode::new("Sqrt", &[a], "y"));
    let engine: Box<dyn Engine> = Box::new(usual());
    for _ in 0..3 {
        let inputs = [Some(x.clone())];
        let there = engine.evaluate(&model, node, &inputs).unwrap();
        assert_eq!(there, Tract.evaluate(&model, node, &inputs).unwrap());
    }
}

#[test]
fn refusals_say_the_same() {
    let (mut model, x) = model_with_input("batch", 2);
    let y = append(&mut model, NewNode::new("NoSuchOperator", &[x], "y"));
    let model = finish(model, y);
    let engine = usual();
    assert_eq!(message(run(&engine, &model)), message(run(&Tract, &model)));
    let (mut model, x) = model_with_input("batch", 2);
    let odd = Tensor::from_f32(&[3], &[1.0; 3]);
    let odd = model.add_initializer(model.main(), "odd", odd);
    let y = append(&mut model, NewNode::new("Add", &[x, odd], "y"));
    let model = finish(model, y);
    assert_eq!(message(run(&engine, &model)), message(run(&Tract, &model)));
}

#[test]
fn a_stack_overflow_is_an_error_and_the_engine_goes_on() {
    let engine = usual();
    let found = message(run(&engine, &overflowing()));
    assert!(found.contains("overflowed its stack"), "{found}");
    assert_eq!(run(&engine, &sound()).unwrap(), [2.0, -1.0]);
}

#[test]
fn a_crash_leaves_other_sessions_alone() {
    let engine = usual();
    let model = sound();
    let inputs = [("x".to_owned(), Tensor::from_f32(&[1, 2], &[1.0, -2.0]))];
    let runner = Runner::new(&engine, &model, Vec::new());
    let before = runner.run(&inputs).unwrap();
    message(run(&engine, &overflowing()));
    assert_same(&before, &runner.run(&inputs).unwrap(), "after the crash");
}

#[test]
#[cfg(target_os = "linux")]
fn memory_is_limited() {
    let engine = isolated(Limits { memory: 256 << 20, threads: 2, ..Limits::default() });
    let start = Instant::now();
    let found = message(run(&engine, &greedy()));
    assert!(found.contains("more memory than the 256 MiB it may use"), "{found}");
    assert!(start.elapsed() < Duration::from_secs(20));
    assert_eq!(run(&engine, &sound()).unwrap(), [2.0, -1.0]);
}

#[test]
fn time_is_limited_and_so_is_patience() {
    let time = Duration::from_secs(2);
    let engine = isolated(Limits { time, threads: 1, ..Limits::default() });
    let model = endless();
    let start = Instant::now();
    for _ in 0..2 {
        let found = message(run(&engine, &model));
        assert!(found.contains("took longer than 2 s and was stopped"), "{found}");
    }
    assert!(start.elapsed() < 10 * time, "{:?}", start.elapsed());
    let found = message(run(&engine, &sound()));
    assert!(found.contains("not started again: 4 s were lost"), "{found}");
}

#[test]
#[cfg(unix)]
fn a_program_that_is_no_worker_is_found_out() {
    for (program, expected) in [
        (
            "true",
            "true: the program did not answer as a worker of onnxpress: the engine's process ended",
        ),
        ("/no/such/program", "/no/such/program: the engine's process cannot be started"),
    ] {
        let found = message(run(&Isolated::new(program, Limits::default()), &sound()));
        assert!(found.starts_with(expected), "{found}");
    }
}

#[test]
fn what_cannot_be_prepared_is_tried_once() {
    #[derive(Default)]
    struct Refuses(AtomicUsize);
    impl Engine for Refuses {
        fn name(&self) -> &'static str {
            "refuses"
        }
        fn prepare(
            &self,
            _: Verified<'_>,
            _: &[InputShape],
            _: &[Tap],
        ) -> Result<Arc<dyn Session>> {
            self.0.fetch_add(1, Ordering::Relaxed);
            Err(Error::new(ErrorKind::Engine, "no"))
        }
    }
    let (engine, model) = (Refuses::default(), sound());
    let runner = Runner::new(&engine, &model, Vec::new());
    for _ in 0..3 {
        assert!(runner.run(&[]).is_err());
    }
    assert_eq!(engine.0.into_inner(), 1);
}
