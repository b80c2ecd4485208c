//! Runs only what an edit changes: the nodes downstream of it, from values that the original has made
//! on the same samples.

use std::collections::{BTreeSet, HashMap, HashSet};

use crate::analysis::is_layer;
use crate::error::{Error, Result};
use crate::exec::{Engine, Observation, Observe, Runner, Tap};
use crate::ir::{Def, Dim, DimSize, Model, TensorType, ValueId};
use crate::pipeline::Edits;
use crate::pipeline::Inputs;
use crate::tensor::Tensor;

/// Most bytes of values that are kept for one run of the model.
const MOST_BYTES: usize = 32 << 20;
/// Most bytes of values that are kept for all runs.
const ALL_BYTES: usize = 64 << 20;

/// What a model computes on samples: its outputs, and the inputs of its layers.
pub(in crate::compress) struct Known {
    model: Model,
    /// For each run, the outputs.
    pub outputs: Vec<Vec<(String, Tensor)>>,
    /// For each value, its tensors in each run.
    values: HashMap<ValueId, Vec<Tensor>>,
}

impl Known {
    /// Runs `model` on `inputs`.
    ///
    /// # Errors
    /// When it cannot be run.
    pub fn of(engine: &dyn Engine, model: Model, inputs: &[Inputs]) -> Result<Self> {
        let values = layer_inputs(&model);
        let tap =
            |&id: &ValueId| Tap { value: model.value(id).name().into(), observe: Observe::Value };
        let runner = Runner::new(engine, &model, values.iter().map(tap).collect());
        let runs = runner.each(inputs, |_, executed| {
            let mut left = MOST_BYTES.min(ALL_BYTES / inputs.len());
            let mut kept = Vec::new();
            // The last ones save most.
            for (&value, seen) in values.iter().zip(executed.observed).rev() {
                let Some(Observation::Value(tensor)) = seen else { continue };
                let Some(rest) = left.checked_sub(tensor.bytes().len()) else { continue };
                left = rest;
                kept.push((value, tensor));
            }
            Ok((executed.outputs, kept))
        });
        let mut known = Self { model, outputs: Vec::new(), values: HashMap::new() };
        for run in runs {
            let (outputs, kept) = run?;
            known.outputs.push(outputs);
            for (value, tensor) in kept {
                known.values.entry(value).or_default().push(tensor);
            }
        }
        known.values.retain(|_, tensors| tensors.len() == inputs.len());
        Ok(known)
    }

    /// The part of `edited`, an edited clone of the model, that does not do the same as the model,
    /// and its inputs in each run; the outputs are those of the model, in order.
    ///
    /// # Errors
    /// When a declared type cannot hold what was seen (a bug).
    pub fn changed(&self, edited: &Model, inputs: &[Inputs]) -> Result<(Model, Vec<Inputs>)> {
        let cuts = self.cuts(edited);
        let types: Vec<(ValueId, TensorType)> = cuts
            .iter()
            .filter_map(|&cut| Some((cut, common_type(self.values.get(&cut)?))))
            .collect();
        let main = edited.graph(edited.main());
        let outputs: Vec<ValueId> = main.outputs().iter().map(|output| output.value).collect();
        let part = edited.part(&types, &outputs);
        part.verify().map_err(Error::from)?;
        let names: HashSet<&str> = {
            let wanted = part.graph(part.main()).inputs().iter();
            wanted.map(|&input| part.value(input).name()).collect()
        };
        let run = |(i, inputs): (usize, &Inputs)| -> Inputs {
            let given = inputs.iter().filter(|(name, _)| names.contains(name.as_str())).cloned();
            let cut = types.iter().filter(|(value, _)| part.is_live_value(*value));
            let cut = cut.filter_map(|(value, _)| {
                let tensor = self.values.get(value)?.get(i)?;
                Some((edited.value(*value).name().to_owned(), tensor.clone()))
            });
            given.chain(cut).collect()
        };
        let runs = inputs.iter().enumerate().map(run).collect();
        Ok((part, runs))
    }

    /// The values, among those that are known and unchanged, from which the outputs are computed.
    fn cuts(&self, edited: &Model) -> BTreeSet<ValueId> {
        let changed = changed(&self.model, edited);
        let outputs = edited.graph(edited.main()).outputs().iter();
        let mut pending: Vec<ValueId> = outputs.map(|output| output.value).collect();
        let (mut seen, mut cuts) = (HashSet::new(), BTreeSet::new());
        while let Some(value) = pending.pop() {
            if !seen.insert(value) || edited.value(value).graph() != edited.main() {
                continue;
            }
            if self.values.contains_key(&value) && !changed.contains(&value) {
                cuts.insert(value);
            } else if let Def::Output { node, .. } = *edited.value(value).def() {
                pending.extend(edited.reads(node));
            }
        }
        cuts
    }
}

/// Values of the main graph that layers read and other nodes make, in the order of the layers.
fn layer_inputs(model: &Model) -> Vec<ValueId> {
    let mut seen = HashSet::new();
    let layers = model.nodes_of(model.main()).filter(|(_, node)| is_layer(node));
    layers
        .flat_map(|(_, node)| node.inputs().iter().flatten().copied())
        .filter(|&value| model.value(value).producer().is_some() && seen.insert(value))
        .collect()
}

/// The values of `after` that may differ from what they are in `before`.
fn changed(before: &Model, after: &Model) -> HashSet<ValueId> {
    let edits = Edits::between(before, after);
    let mut changed = HashSet::new();
    for (id, node) in after.nodes_of(after.main()) {
        let same = edits.survives(id)
            && before.node(id).inputs() == node.inputs()
            && after.reads(id).iter().all(|value| !changed.contains(value));
        if !same {
            changed.extend(node.outputs().iter().flatten().copied());
        }
    }
    changed
}

/// The type of all these tensors: extents that differ are open.
fn common_type(tensors: &[Tensor]) -> TensorType {
    let Some(first) = tensors.first() else { return TensorType::of(crate::tensor::DType::Float) };
    let mut ty = TensorType::with_dims(first.dtype(), first.dims());
    for (axis, dim) in ty.dims.iter_mut().flatten().enumerate() {
        let extent = |tensor: &Tensor| tensor.dims().get(axis).copied();
        if tensors.iter().any(|tensor| extent(tensor) != extent(first)) {
            *dim = Dim { size: DimSize::Unknown, denotation: None };
        }
    }
    ty
}
