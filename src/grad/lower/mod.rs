//! From a model to a tape: each node becomes kernels, for fixed extents.

mod attention;
mod branch;
mod cells;
mod einsum;
mod elementwise;
mod integers;
mod matrix;
mod movement;
mod node;
mod normalize;
mod parameter;
mod recurrent;
mod reduce;
mod resize;
mod tensor;
mod window;

use std::collections::{BTreeMap, HashMap};

use crate::analysis::{Assume, Shapes};
use crate::error::{Result, err};
use crate::grad::tape::Tape;
use crate::grad::{Program, Real};
use crate::ir::{Model, NodeId, ValueId};
use crate::tensor::DType;
use tensor::Value;

pub use node::stops;
pub use parameter::Parameter;

/// What is to be computed, and for which inputs.
pub struct Request<'a> {
    /// Extents of the inputs that are fed, by name.
    pub inputs: BTreeMap<String, Vec<usize>>,
    /// Values of the main graph that are wanted; what no operator knows is left out.
    pub wanted: &'a [ValueId],
    /// Which constants are parameters.
    pub train: &'a dyn Fn(ValueId) -> bool,
    /// Gradients of the inputs are computed as well.
    pub inputs_too: bool,
}

/// A program, and what it has to do with the model.
pub struct Lowered<T> {
    /// The program.
    pub program: Program<T>,
    /// Its parameters, in order.
    pub parameters: Vec<Parameter>,
    /// Names of its inputs, in order.
    pub inputs: Vec<String>,
    /// For each wanted value its extents, or why it is unknown.
    pub wanted: Vec<Result<Vec<usize>, String>>,
    /// Values that no kernel computes, and why.
    pub unknown: HashMap<ValueId, String>,
}

/// Something, or why it is unknown.
type Known<T> = Result<T, String>;

/// A model on its way.
struct Lower<'a, T> {
    model: &'a Model,
    shapes: Shapes,
    opset: i64,
    request: &'a Request<'a>,
    tape: Tape<T>,
    values: HashMap<ValueId, Known<Value>>,
    parameters: Vec<Parameter>,
    inputs: Vec<String>,
    /// What was brought into another order before.
    arranged: HashMap<(usize, Vec<usize>), usize>,
}

/// Makes a program of the main graph of `model`. Wanted values are given in the order of their axes.
///
/// # Errors
/// When an input has no known extents, or nothing that is wanted can be computed.
pub fn lower<T: Real>(model: &Model, request: &Request<'_>) -> Result<Lowered<T>> {
    let assume = Assume { inputs: request.inputs.clone(), defaults: true, ..Assume::one_sample() };
    let mut lower = Lower {
        model,
        shapes: Shapes::infer(model, &assume),
        opset: model.opset().unwrap_or(1),
        request,
        tape: Tape::<T>::default(),
        values: HashMap::new(),
        parameters: Vec::new(),
        inputs: Vec::new(),
        arranged: HashMap::new(),
    };
    lower.inputs()?;
    let nodes: Vec<NodeId> = model.nodes_of(model.main()).map(|(id, _)| id).collect();
    for node in nodes {
        lower.node(node);
    }
    let (mut wanted, mut buffers) = (Vec::new(), Vec::new());
    for &value in request.wanted {
        let found = lower.get(value);
        let plain = found.map(|value| lower.plain(&value));
        if let Ok(value) = &plain {
            buffers.push(value.buffer);
        }
        wanted.push(plain.map(|value| value.dims));
    }
    if let (true, Some(Err(reason))) = (buffers.is_empty(), wanted.first()) {
        return Err(err!(Unsupported, "nothing can be trained: {reason}"));
    }
    let unknown = lower.values.iter();
    let unknown = unknown.filter_map(|(&id, value)| Some((id, value.clone().err()?))).collect();
    Ok(Lowered {
        program: Program::new(lower.tape, buffers, request.inputs_too),
        parameters: lower.parameters,
        inputs: lower.inputs,
        wanted,
        unknown,
    })
}

impl<T: Real> Lower<'_, T> {
    /// Buffers for what is fed.
    fn inputs(&mut self) -> Result<()> {
        for &input in self.model.graph(self.model.main()).inputs() {
            let value = self.model.value(input);
            let Some(dims) = self.request.inputs.get(value.name()) else { continue };
            let dtype = self.shapes.dtype(input).unwrap_or(DType::Float);
            let len = dims.iter().product();
            let place = self.inputs.len();
            if (self.request.train)(input) {
                let buffer = self.tape.parameter(len);
                self.parameters.push(Parameter::input(input, dims));
                self.values.insert(input, Ok(Value::plain(buffer, dims, dtype)));
                continue;
            }
            let buffer = self.tape.input(len);
            debug_assert_eq!(place, self.inputs.len());
            self.inputs.push(value.name().to_owned());
            self.values.insert(input, Ok(Value::plain(buffer, dims, dtype)));
        }
        Ok(())
    }
}
