//! Random small graphs: every pass keeps its promise on shapes of graphs that nobody thought of.

use std::fmt;

use onnxpress::calibrate::Calibration;
use onnxpress::data::Options;
use onnxpress::exec::Tract;
use onnxpress::ir::{At, Dim, DimSize, Model, NewNode, TensorType, ValueId};
use onnxpress::passes::{Context, PASSES};
use onnxpress::pipeline::{self, Check, Outcome};
use onnxpress::tensor::{DType, Tensor};
use onnxpress::{emit, validate};
use proptest::prelude::*;
use proptest::test_runner::{Config, RngSeed};

use crate::support::{decode, encode, samples};

/// Channels, height and width of every value.
const CHANNELS: usize = 3;
const SIDE: usize = 5;

/// One operator of a random graph. Numbers choose among what is there, modulo how much there is.
#[derive(Debug, Clone)]
enum Step {
    Relu(usize),
    Add(usize, usize),
    Mul(usize, usize),
    Conv {
        x: usize,
        weight: usize,
        side: usize,
        bias: bool,
    },
    Norm {
        x: usize,
        parameters: usize,
    },
    Identity(usize),
    /// Identity of a parameter, which later steps may use in its place.
    Alias(usize),
    Transpose(usize),
    Reshape(usize),
    MatMul(usize, usize),
    /// Arithmetic on constants alone, then a product with it.
    Folded(usize, usize),
}

fn step() -> impl Strategy<Value = Step> {
    let n = || 0..1000usize;
    prop_oneof![
        2 => n().prop_map(Step::Relu),
        2 => (n(), n()).prop_map(|(a, b)| Step::Add(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Mul(a, b)),
        4 => (n(), 0..3usize, prop::sample::select(vec![1, 3]), any::<bool>())
            .prop_map(|(x, weight, side, bias)| Step::Conv { x, weight, side, bias }),
        4 => (n(), 0..3usize).prop_map(|(x, parameters)| Step::Norm { x, parameters }),
        2 => n().prop_map(Step::Identity),
        1 => n().prop_map(Step::Alias),
        1 => n().prop_map(Step::Transpose),
        1 => n().prop_map(Step::Reshape),
        1 => (n(), n()).prop_map(|(a, b)| Step::MatMul(a, b)),
        1 => (n(), n()).prop_map(|(a, b)| Step::Folded(a, b)),
    ]
}

/// Builds a graph step by step.
struct Builder {
    model: Model,
    /// Values of shape `[n, CHANNELS, SIDE, SIDE]`; steps mostly continue the newest ones.
    values: Vec<ValueId>,
    /// Constants `[CHANNELS, 1, 1]`.
    factors: Vec<ValueId>,
    /// State of the generator of weights.
    state: u32,
}

impl Builder {
    fn new(seed: u32) -> Self {
        let mut model = Model::new(8, 17);
        let batch = Dim { size: DimSize::Symbol("n".into()), denotation: None };
        let [channels, side] = [CHANNELS, SIDE].map(Dim::known);
        let ty = TensorType {
            dims: Some(vec![batch, channels, side.clone(), side]),
            ..TensorType::of(DType::Float)
        };
        let x = model.add_input(model.main(), "x", ty);
        let mut builder = Self { model, values: vec![x], factors: Vec::new(), state: seed };
        for _ in 0..2 {
            let factor = builder.constant("factor", &[CHANNELS, 1, 1], 0.5, 1.5);
            builder.factors.push(factor);
        }
        builder
    }

    /// A constant with elements between two bounds, taken from a linear congruential generator.
    fn constant(&mut self, name: &str, dims: &[usize], low: f32, high: f32) -> ValueId {
        let count = dims.iter().product();
        let elements: Vec<f32> = (0..count)
            .map(|_| {
                self.state = self.state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
                low + (self.state >> 8) as f32 / (1 << 24) as f32 * (high - low)
            })
            .collect();
        self.model.add_initializer(self.model.main(), name, Tensor::from_f32(dims, &elements))
    }

    /// A constant that all who ask for `name` share.
    fn shared(&mut self, name: &str, dims: &[usize], low: f32, high: f32) -> ValueId {
        let known = self.model.find_value(self.model.main(), name);
        known.unwrap_or_else(|| self.constant(name, dims, low, high))
    }

    fn add(&mut self, node: NewNode) -> ValueId {
        let node = self.model.add_node(self.model.main(), At::End, node);
        self.model.node(node).only_output().expect("one output")
    }

    /// One of the four newest values.
    fn pick(&self, choice: usize) -> ValueId {
        self.values[self.values.len() - 1 - choice % self.values.len().min(4)]
    }

    fn step(&mut self, step: &Step) {
        let value = match *step {
            Step::Relu(x) => self.add(NewNode::new("Relu", &[self.pick(x)], "relu")),
            Step::Add(a, b) => self.add(NewNode::new("Add", &[self.pick(a), self.pick(b)], "sum")),
            Step::Mul(x, c) => {
                let factor = self.factors[c % self.factors.len()];
                self.add(NewNode::new("Mul", &[self.pick(x), factor], "product"))
            }
            Step::Conv { x, weight, side, bias } => {
                let name = format!("w{weight}_{side}");
                let mut inputs = vec![self.pick(x)];
                inputs.push(self.shared(&name, &[CHANNELS, CHANNELS, side, side], -0.5, 0.5));
                if bias {
                    inputs.push(self.shared(&format!("b{weight}"), &[CHANNELS], -0.5, 0.5));
                }
                let pad = (side / 2) as i64;
                self.add(NewNode::new("Conv", &inputs, "conv").attr("pads", vec![pad; 4]))
            }
            Step::Norm { x, parameters } => {
                let mut inputs = vec![self.pick(x)];
                for (role, low, high) in [
                    ("scale", 0.5, 1.5),
                    ("offset", -0.5, 0.5),
                    ("mean", -0.5, 0.5),
                    ("var", 0.5, 2.0),
                ] {
                    inputs.push(self.shared(
                        &format!("{role}{parameters}"),
                        &[CHANNELS],
                        low,
                        high,
                    ));
                }
                self.add(NewNode::new("BatchNormalization", &inputs, "norm"))
            }
            Step::Identity(x) => self.add(NewNode::new("Identity", &[self.pick(x)], "same")),
            Step::Alias(c) => {
                let factor = self.factors[c % self.factors.len()];
                let alias = self.add(NewNode::new("Identity", &[factor], "alias"));
                self.factors.push(alias);
                return;
            }
            Step::Transpose(x) => {
                let node = NewNode::new("Transpose", &[self.pick(x)], "turned");
                self.add(node.attr("perm", vec![0i64, 1, 3, 2]))
            }
            Step::Reshape(x) => {
                let (there, back) = self.shapes();
                let flat = self.add(NewNode::new("Reshape", &[self.pick(x), there], "flat"));
                self.add(NewNode::new("Reshape", &[flat, back], "square"))
            }
            Step::MatMul(x, w) => {
                let matrix = self.shared(&format!("m{}", w % 2), &[SIDE, SIDE], -0.5, 0.5);
                self.add(NewNode::new("MatMul", &[self.pick(x), matrix], "matmul"))
            }
            Step::Folded(x, c) => {
                let factor = self.factors[c % self.factors.len()];
                let root = self.add(NewNode::new("Sqrt", &[factor], "root"));
                let sum = self.add(NewNode::new("Add", &[root, factor], "sum_of_constants"));
                self.add(NewNode::new("Mul", &[self.pick(x), sum], "product"))
            }
        };
        self.values.push(value);
    }

    /// Two shapes: as one row for each channel, and back.
    fn shapes(&mut self) -> (ValueId, ValueId) {
        let main = self.model.main();
        let mut shape = |name: &str, dims: &[i64]| {
            let known = self.model.find_value(main, name);
            let tensor = Tensor::from_i64(&[dims.len()], dims);
            known.unwrap_or_else(|| self.model.add_initializer(main, name, tensor))
        };
        let (channels, side) = (CHANNELS as i64, SIDE as i64);
        (shape("flat_shape", &[0, channels, -1]), shape("square_shape", &[0, 0, side, side]))
    }

    /// The newest value and some of the others become outputs.
    fn finish(mut self, others: &[usize]) -> Model {
        let computed = self.values[1..].to_vec();
        let mut outputs: Vec<ValueId> =
            others.iter().map(|i| computed[i % computed.len()]).collect();
        outputs.push(computed[computed.len() - 1]);
        let mut known = Vec::new();
        for output in outputs {
            if !known.contains(&output) {
                known.push(output);
                let ty = TensorType::of(DType::Float);
                self.model.add_output(self.model.main(), output, Some(ty));
            }
        }
        self.model
    }
}

/// A graph that is shown as text when it makes a test fail.
struct Drawn(Model);

impl fmt::Debug for Drawn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.verify() {
            Ok(verified) => f.write_str(&emit::text(verified)),
            Err(violations) => write!(f, "{violations:?}"),
        }
    }
}

fn drawn() -> impl Strategy<Value = Drawn> {
    let steps = prop::collection::vec(step(), 1..14);
    let parts = (any::<u32>(), steps, prop::collection::vec(0..1000usize, 0..3));
    parts.prop_filter_map("no step computes", |(seed, steps, outputs)| {
        let mut builder = Builder::new(seed);
        steps.iter().for_each(|step| builder.step(step));
        (builder.values.len() > 1).then(|| Drawn(builder.finish(&outputs)))
    })
}

/// The same cases on every machine and in every run.
fn config() -> Config {
    Config {
        cases: 48,
        rng_seed: RngSeed::Fixed(20_240_229),
        failure_persistence: None,
        ..Config::default()
    }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn what_is_built_can_be_written_and_read(Drawn(model) in drawn()) {
        let encoded = encode(&model);
        let again = decode(encoded.clone());
        prop_assert_eq!(encode(&again), encoded);
        prop_assert_eq!(again.all_nodes().len(), model.all_nodes().len());
    }

    #[test]
    fn every_pass_keeps_its_promise_and_the_order_is_free(
        Drawn(model) in drawn(),
        order in Just((0..PASSES.len()).collect::<Vec<_>>()).prop_shuffle(),
    ) {
        let samples = samples(&model, "random:3", &Options { batch: 2, ..Options::default() });
        let calibration = Calibration { engine: &Tract, samples: &samples, progress: &() };
        let cx = Context { evaluate: Some(&Tract), measure: Some(&calibration), ..Context::default() };
        let check = Check::on(&Tract, &samples, 2).expect("samples can be read");
        // Quantization goes last: the others must not be judged by what it left.
        // And what factorization loses by its defaults is judged where ranks are.
        let passes = order.iter().map(|&i| (PASSES[i].make)());
        let passes = passes.filter(|pass| pass.name() != "factorize");
        let (lossy, exact): (Vec<_>, Vec<_>) =
            passes.partition(|pass| pass.name() == "quantize-static");
        let exact = pipeline::run(model.clone(), &exact, &cx, Some(&check)).unwrap();
        for step in &exact.steps {
            let kept = matches!(step.outcome, None | Some(Outcome::Kept(_)));
            prop_assert!(kept, "{}: {:?}", step.name, step.outcome);
        }
        let drift = validate::compare(&Tract, &model, &exact.model, &samples, &Default::default());
        prop_assert!(drift.unwrap().worst_sqnr_db() > 60.0);
        // What is left must be as good a start for the same passes, in whatever order they ran.
        prop_assert_eq!(encode(&decode(encode(&exact.model))), encode(&exact.model));
        let last = pipeline::run(exact.model, &lossy, &cx, Some(&check)).unwrap();
        let kept = matches!(last.steps[0].outcome, None | Some(Outcome::Kept(_)));
        prop_assert!(kept, "quantize-static: {:?}", last.steps[0].outcome);
    }
}
