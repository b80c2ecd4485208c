//! Bytes choose a valid model: typed, of known shapes, in the forms that exporters use.

mod builder;
mod choices;
mod control;
mod dress;
mod layers;
mod moves;
mod pointwise;
mod reductions;
mod shapes;
mod windows;

pub use choices::Choices;

use std::collections::BTreeMap;

use bytes::Bytes;
use onnxpress::ir::{Dim, DimSize, Model, TensorType};
use onnxpress::tensor::DType;

use super::model;
use builder::{Builder, Value};

/// A model and what is known about it.
pub struct Drawn {
    /// The model file.
    pub encoded: Bytes,
    /// Samples that are put into one run.
    pub batch: usize,
    /// Element type and extents of each value of the main graph, when run with `batch` samples.
    pub values: BTreeMap<String, (DType, Vec<usize>)>,
    /// Small differences may become large: elements of few digits, thresholds, places.
    pub rough: bool,
}

/// Most nodes or small groups of nodes of the main graph.
const MOST_STEPS: usize = 14;
/// Most outputs of the model.
const MOST_OUTPUTS: usize = 4;

/// Draws a model; nothing when the bytes are too few to make one that computes.
pub fn draw(choices: &mut Choices<'_>) -> Option<Drawn> {
    let opset = choices.between(7, 23) as i64;
    let mut builder = Builder::new(choices, opset);
    inputs(&mut builder);
    let given = builder.values.len();
    for _ in 0..builder.choices.between(1, MOST_STEPS) {
        step(&mut builder);
        if builder.choices.is_exhausted() {
            break;
        }
    }
    if builder.values.len() == given {
        return None;
    }
    outputs(&mut builder, given);
    let Builder { model, seen: values, batch, .. } = builder;
    let rough = rough(&model, &values);
    let message = model::encode(&model);
    let encoded = dress::dress(message, choices, &values);
    Some(Drawn { encoded, batch, values, rough })
}

fn rough(model: &Model, values: &BTreeMap<String, (DType, Vec<usize>)>) -> bool {
    let steep = ["Greater", "ArgMax", "ArgMin", "QuantizeLinear"];
    let ops = model.all_nodes().into_iter().map(|node| model.node(node).op());
    values.values().any(|(dtype, _)| *dtype == DType::Float16)
        || ops.into_iter().any(|op| steep.contains(&op))
}

/// One operator, or a few that belong together.
fn step(builder: &mut Builder<'_, '_>) {
    type Step = fn(&mut Builder<'_, '_>) -> Option<Value>;
    const STEPS: &[Step] = &[
        pointwise::unary,
        pointwise::unary,
        pointwise::binary,
        pointwise::binary,
        pointwise::with_constant,
        pointwise::with_constant,
        pointwise::cast,
        pointwise::of_constants,
        layers::conv,
        layers::conv,
        layers::conv_norm,
        layers::conv_norm,
        layers::conv_transpose,
        layers::norm,
        layers::gemm,
        layers::matmul,
        layers::matmul,
        layers::embedding,
        windows::pool,
        windows::global_pool,
        windows::resize,
        moves::reshape,
        moves::flatten,
        moves::transpose,
        moves::squeeze,
        moves::unsqueeze,
        moves::slice,
        moves::concat,
        moves::split,
        moves::pad,
        moves::gather,
        moves::repeat,
        reductions::reduce,
        reductions::softmax,
        reductions::arg,
        shapes::reshape_like,
        shapes::flat_like,
        control::branch,
        control::requantize,
    ];
    let step = *builder.choices.one_of(STEPS);
    if let Some(value) = step(builder) {
        builder.values.push(value);
    }
}

/// One to three inputs whose first axes, if free, are the same.
fn inputs(builder: &mut Builder<'_, '_>) {
    let symbolic = builder.choices.chance(2);
    for i in 0..builder.choices.between(1, 3) {
        let dtype = match (i, builder.choices.below(12)) {
            (0, 0..10) | (1.., 0..6) => DType::Float,
            (_, 10) => DType::Float16,
            (_, 11) => DType::Double,
            (_, 9) => DType::Int32,
            _ => DType::Int64,
        };
        let rank = if builder.free { 1 } else { 0 } + *builder.choices.one_of(&[3, 3, 2, 1, 0]);
        let mut dims: Vec<usize> = (0..rank).map(|_| builder.choices.between(1, 6)).collect();
        if let (true, Some(first)) = (builder.free, dims.first_mut()) {
            *first = builder.batch;
        }
        let mut declared = TensorType::with_dims(dtype, &dims);
        let free = builder.free;
        if let (true, Some(first)) = (free, declared.dims.as_mut().and_then(|d| d.first_mut())) {
            let size = if symbolic { DimSize::Symbol("n".into()) } else { DimSize::Unknown };
            *first = Dim { size, denotation: None };
        }
        let main = builder.model.main();
        let id = builder.model.add_input(main, "x", declared);
        let value = builder.value(id, dtype, dims, free);
        builder.values.push(value);
    }
}

/// The newest value and some others, inner ones and sometimes inputs, become outputs.
fn outputs(builder: &mut Builder<'_, '_>, given: usize) {
    let last = builder.values.len() - 1;
    let mut chosen = vec![last];
    for _ in 1..builder.choices.between(1, MOST_OUTPUTS) {
        let first = if builder.choices.chance(8) { 0 } else { given };
        let index = builder.choices.between(first, last);
        if !chosen.contains(&index) {
            chosen.push(index);
        }
    }
    chosen.reverse();
    for index in chosen {
        let value = builder.values[index].clone();
        let declared = match builder.choices.below(3) {
            0 => Some(TensorType::of(value.dtype)),
            1 => {
                let mut declared = TensorType::with_dims(value.dtype, &value.dims);
                if value.batched {
                    let dim = Dim { size: DimSize::Symbol("n".into()), denotation: None };
                    declared.dims.as_mut().expect("just made")[0] = dim;
                }
                Some(declared)
            }
            _ => Some(TensorType::of(value.dtype)),
        };
        builder.model.add_output(builder.model.main(), value.id, declared);
    }
}
