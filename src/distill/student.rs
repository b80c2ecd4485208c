//! The student as a program, for micro-batches of a fixed size.

use std::borrow::Cow;
use std::collections::BTreeMap;

use crate::analysis::constant;
use crate::distill::coded::Coded;
use crate::distill::weights::{Role, zeros};
use crate::error::{Result, err};
use crate::grad::{Given, Lowered, Parameter, Program, Request, Workspace, lower};
use crate::ir::{Model, ValueId};
use crate::tensor::Tensor;

/// The student on the tape.
pub struct Student<'a> {
    /// The student, with floats in the place of weights that are indices.
    pub model: &'a Model,
    /// The student as it was given.
    origin: &'a Model,
    pub lowered: Lowered<f32>,
    /// Numbers of the parameters.
    pub parameters: Vec<Vec<f32>>,
    /// Which of them stay 0.
    pub zeros: Vec<Option<Vec<bool>>>,
    /// What they are.
    pub roles: Vec<Role>,
    /// Parameters that are stored as indices.
    coded: BTreeMap<usize, Coded>,
    /// Samples of a micro-batch.
    pub size: usize,
}

/// Memory that all micro-batches in work may take together.
const MEMORY: usize = 4 << 30;

/// Scales of integers move slower than weights.
const PACE_OF_SCALES: f64 = 0.2;
/// Share of itself that a scale never falls below.
const LEAST_SCALE: f32 = 0.25;

impl<'a> Student<'a> {
    /// Makes the program, for as many samples at a time as fit memory and as the model takes.
    ///
    /// `shapes` are the extents of each input for one sample, and whether more samples make its first axis
    /// longer; gradients go to them as well when that is wanted. `lens` are the elements that each wanted value has for one sample, where that is known.
    pub fn new(
        (origin, model): (&'a Model, &'a Model),
        shapes: &BTreeMap<String, (Vec<usize>, bool)>,
        wanted: &[ValueId],
        lens: &[Option<usize>],
        roles: &BTreeMap<ValueId, Role>,
        (most, inputs_too): (usize, bool),
    ) -> Result<Self> {
        let mut size = if shapes.values().any(|(_, stacks)| *stacks) { most.max(1) } else { 1 };
        loop {
            let extents = |(dims, stacks): &(Vec<usize>, bool)| {
                let mut dims = dims.clone();
                if *stacks {
                    dims[0] *= size;
                }
                dims
            };
            let inputs = shapes.iter().map(|(name, shape)| (name.clone(), extents(shape)));
            let train = |value: ValueId| roles.contains_key(&value);
            let request = Request { inputs: inputs.collect(), wanted, train: &train, inputs_too };
            let lowered = lower::<f32>(model, &request)?;
            let fits = lowered.wanted.iter().zip(lens).all(|(dims, len)| match (dims, len) {
                (Ok(dims), Some(len)) => dims.iter().product::<usize>() == len * size,
                _ => true,
            });
            let bytes = lowered.program.bytes() * rayon::current_num_threads();
            if size > 1 && (!fits || bytes > MEMORY) {
                // What has the batch in its constants takes one sample at a time.
                size = if fits { size / 2 } else { 1 };
                continue;
            }
            if !fits {
                return Err(err!(
                    Unsupported,
                    "the outputs of teacher and student have different extents"
                ));
            }
            let parameters = lowered.parameters.iter().map(|parameter| {
                let tensor = constant(model, parameter.value);
                tensor.map(|tensor| parameter.take(&tensor)).unwrap_or(Ok(Vec::new()))
            });
            let parameters: Vec<Vec<f32>> = parameters.collect::<Result<_>>()?;
            let zeros = lowered
                .parameters
                .iter()
                .zip(&parameters)
                .map(|(parameter, numbers)| zeros(&constant(model, parameter.value)?, numbers));
            let zeros = zeros.collect();
            let role = |p: &Parameter| roles.get(&p.value).copied().unwrap_or(Role::Weight);
            let roles = lowered.parameters.iter().map(role).collect();
            let coded = BTreeMap::new();
            return Ok(Self { model, origin, lowered, parameters, zeros, roles, coded, size });
        }
    }

    /// Keeps in mind which of its constants are indices; nothing of these stays 0.
    pub fn with_coded(mut self, mut coded: BTreeMap<ValueId, Coded>) -> Self {
        for (at, parameter) in self.lowered.parameters.iter().enumerate() {
            if let Some(found) = coded.remove(&parameter.value) {
                self.coded.insert(at, found.ordered(parameter));
                self.zeros[at] = None;
            }
        }
        self
    }

    /// What the program reads of parameters: the nearest numbers of a table, where they have one.
    pub fn seen<'p>(&self, parameters: &'p [Vec<f32>]) -> Cow<'p, [Vec<f32>]> {
        if self.coded.is_empty() {
            return Cow::Borrowed(parameters);
        }
        let each = parameters.iter().enumerate();
        let seen = each.map(|(at, floats)| match self.coded.get(&at) {
            Some(coded) => coded.seen(floats),
            None => floats.clone(),
        });
        Cow::Owned(seen.collect())
    }

    /// The program.
    pub fn program(&self) -> &Program<f32> {
        &self.lowered.program
    }

    /// Computes everything wanted.
    pub fn forward(&self, work: &mut Workspace<f32>, parameters: &[Vec<f32>], inputs: &[&[f32]]) {
        self.program().forward(work, Given { parameters, inputs });
    }

    /// How fast each parameter moves, beside its size.
    pub fn paces(&self) -> Vec<f64> {
        let pace = |role: &Role| if *role == Role::Scale { PACE_OF_SCALES } else { 1.0 };
        self.roles.iter().map(pace).collect()
    }

    /// Keeps scales away from 0.
    pub fn hold(&self, parameters: &mut [Vec<f32>]) {
        let scales = (0..self.roles.len()).filter(|&at| self.roles[at] == Role::Scale);
        for at in scales {
            for (now, &first) in parameters[at].iter_mut().zip(&self.parameters[at]) {
                let least = LEAST_SCALE * first.abs();
                *now = (*now * first.signum()).max(least) * first.signum();
            }
        }
    }

    /// The student with other numbers.
    pub fn with(&self, parameters: &[Vec<f32>]) -> Result<Model> {
        let mut model = self.origin.clone();
        for (at, parameter) in self.lowered.parameters.iter().enumerate() {
            if !self.program().trained()[at] || parameters[at] == self.parameters[at] {
                continue;
            }
            if let Some(coded) = self.coded.get(&at) {
                coded.store(&mut model, parameter, &parameters[at]);
                continue;
            }
            let Some(old) = constant(&model, parameter.value) else { continue };
            let numbers = parameter.outwards(&parameters[at]);
            let tensor = match old.dtype().integer_range() {
                Some((low, high)) => {
                    let whole =
                        |&x: &f32| (f64::from(x).round_ties_even() as i128).clamp(low, high);
                    let numbers: Vec<i64> = numbers.iter().map(|x| whole(x) as i64).collect();
                    Tensor::from_i64_as(old.dtype(), old.dims(), &numbers)?
                }
                None => Tensor::from_f32_as(old.dtype(), old.dims(), &numbers)?,
            };
            match model.value(parameter.value).producer() {
                Some(node) => model.fold_node(node, vec![Some(tensor)]),
                None => model.set_tensor(parameter.value, tensor),
            }
        }
        Ok(model)
    }
}
