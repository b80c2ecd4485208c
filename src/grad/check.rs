//! Checks of every rule: gradients against central differences in double precision, and numbers against
//! those of an engine.

mod cases;
mod composed;

use std::collections::BTreeMap;

use crate::exec::{Engine, InputShape, Tract};
use crate::grad::{Given, Lowered, Request, lower};
use crate::ir::{Model, ValueId};
use crate::tensor::Tensor;

/// Numbers that look like anything, the same in every run.
pub(super) struct Noise(u64);

impl Noise {
    pub fn new(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    /// Between -1 and 1, never close to 0.
    pub fn next(&mut self) -> f64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        let x = (self.0 >> 11) as f64 / (1u64 << 53) as f64 * 1.8 - 0.9;
        x + 0.1f64.copysign(x)
    }
}

fn dims_of(model: &Model, value: ValueId) -> Vec<usize> {
    let ty = model.value(value).tensor_type().expect("an input has a type");
    ty.fixed_dims().expect("its extents are given")
}

fn is_float(model: &Model, value: ValueId) -> bool {
    model.value(value).tensor_type().is_some_and(|ty| ty.dtype.is_float())
}

/// A model in text form; all float inputs are parameters. Integers are fed as 0, 1, 2, …
pub(super) fn check(text: &str) {
    let model = crate::read::text(text).unwrap_or_else(|error| panic!("{error}: {text}"));
    let graph = model.graph(model.main());
    let inputs: BTreeMap<String, Vec<usize>> = graph
        .inputs()
        .iter()
        .map(|&input| (model.value(input).name().to_owned(), dims_of(&model, input)))
        .collect();
    let wanted: Vec<ValueId> = graph.outputs().iter().map(|output| output.value).collect();
    let train = |value: ValueId| model.value(value).is_input() && is_float(&model, value);
    let request = Request { inputs, wanted: &wanted, train: &train, inputs_too: false };
    let exact: Lowered<f64> =
        lower(&model, &request).unwrap_or_else(|error| panic!("{error}: {text}"));
    for wanted in &exact.wanted {
        assert!(wanted.is_ok(), "{wanted:?}: {text}");
    }
    differences(&exact, text);
    let single: Lowered<f32> = lower(&model, &request).expect("as before");
    engine(&model, &single, text);
}

/// Gradients against differences.
fn differences(lowered: &Lowered<f64>, text: &str) {
    let program = &lowered.program;
    let mut noise = Noise::new(7);
    let mut parameters: Vec<Vec<f64>> = lowered
        .parameters
        .iter()
        .map(|p| (0..p.dims.iter().product()).map(|_| noise.next()).collect())
        .collect();
    let counts: Vec<Vec<f64>> = lowered.inputs.iter().map(|_| counting(64)).collect();
    let counts: Vec<&[f64]> = counts.iter().map(Vec::as_slice).collect();
    let mut work = program.workspace();
    let factors: Vec<Vec<f64>> = lowered
        .wanted
        .iter()
        .map(|dims| {
            let len = dims.as_ref().map_or(0, |dims| dims.iter().product());
            (0..len).map(|_| noise.next()).collect()
        })
        .collect();
    let mut loss = |parameters: &[Vec<f64>]| -> f64 {
        let given = Given { parameters, inputs: &counts };
        program.forward(&mut work, given);
        let each = factors.iter().enumerate();
        let sum = each.map(|(at, factors)| {
            let values = program.wanted(&work, given, at);
            values.iter().zip(factors).map(|(v, f)| v * f).sum::<f64>()
        });
        sum.sum()
    };
    let first = loss(&parameters);
    assert!(first.is_finite(), "{first}: {text}");
    let mut found = program.workspace();
    let given = Given { parameters: &parameters, inputs: &counts };
    program.forward(&mut found, given);
    program.backward(&mut found, given, |at, _, gradient| {
        gradient.iter_mut().zip(&factors[at]).for_each(|(g, f)| *g += f);
    });
    for at in 0..parameters.len() {
        let gradient = found.gradients[at].clone();
        let scale = gradient.iter().fold(0.0f64, |most, g| most.max(g.abs())).max(1e-3);
        let stride = (gradient.len() / 40).max(1);
        for i in (0..gradient.len()).step_by(stride) {
            let (kept, step) = (parameters[at][i], 1e-5);
            let mut moved = |by: f64| {
                parameters[at][i] = kept + by;
                loss(&parameters)
            };
            // Of fourth order.
            let near = moved(step) - moved(-step);
            let far = moved(2.0 * step) - moved(-2.0 * step);
            let expected = (8.0 * near - far) / (12.0 * step);
            parameters[at][i] = kept;
            assert!(
                (gradient[i] - expected).abs() <= 1e-6 * scale.max(expected.abs()),
                "parameter {at}, element {i}: {} is not {expected}: {text}",
                gradient[i]
            );
        }
    }
}

fn counting(len: usize) -> Vec<f64> {
    (0..len).map(|i| (i % 3) as f64).collect()
}

/// Numbers against those of the engine.
fn engine(model: &Model, lowered: &Lowered<f32>, text: &str) {
    let mut noise = Noise::new(11);
    let mut fed: BTreeMap<String, Tensor> = BTreeMap::new();
    let mut parameters = Vec::new();
    for parameter in &lowered.parameters {
        let len = parameter.dims.iter().product();
        let numbers: Vec<f32> = (0..len).map(|_| noise.next() as f32).collect();
        let name = model.value(parameter.value).name().to_owned();
        fed.insert(name, Tensor::from_f32(&parameter.dims, &numbers));
        parameters.push(numbers);
    }
    let mut counts = Vec::new();
    for &input in model.graph(model.main()).inputs() {
        let value = model.value(input);
        if fed.contains_key(value.name()) {
            continue;
        }
        let dims = dims_of(model, input);
        let numbers: Vec<f32> =
            counting(dims.iter().product()).into_iter().map(|x| x as f32).collect();
        let dtype = value.tensor_type().expect("it has a type").dtype;
        fed.insert(value.name().to_owned(), Tensor::from_f32_as(dtype, &dims, &numbers).unwrap());
        counts.push(numbers);
    }
    let inputs: Vec<(String, Tensor)> = fed.into_iter().collect();
    let shapes: Vec<InputShape> = inputs
        .iter()
        .map(|(name, tensor)| InputShape {
            name: name.clone(),
            dtype: tensor.dtype(),
            dims: tensor.dims().to_vec(),
        })
        .collect();
    let verified = model.verify().unwrap_or_else(|e| panic!("{}: {text}", crate::Error::from(e)));
    let run = Tract.prepare(verified, &shapes, &[]).and_then(|session| session.run(&inputs));
    // What the engine does not know is checked by differences alone.
    let Ok(run) = run else { return };
    let counts: Vec<&[f32]> = counts.iter().map(Vec::as_slice).collect();
    let given = Given { parameters: &parameters, inputs: &counts };
    let mut work = lowered.program.workspace();
    lowered.program.forward(&mut work, given);
    for (at, (name, tensor)) in run.outputs.iter().enumerate() {
        let expected = tensor.to_f32().unwrap();
        let found = lowered.program.wanted(&work, given, at);
        assert_eq!(expected.len(), found.len(), "{name}: {text}");
        let scale = expected.iter().fold(1.0f32, |most, x| most.max(x.abs()));
        for (i, (e, f)) in expected.iter().zip(found).enumerate() {
            assert!((e - f).abs() <= 1e-5 * scale, "{name}[{i}]: {f} is not {e}: {text}");
        }
    }
}
