//! Checks the rewritten parts of a model by execution, when the whole is too large for it or cannot
//! be run.
//!
//! What was not rewritten is the same before and after. The rest is cut out of both models
//! ([`Edits`]): where it reads a float tensor that a surviving node makes, it gets random numbers
//! instead, the same in both and in all values that are equal to it. Other values (shapes, indices, what depends on no input) are computed,
//! because random ones would fit nothing.

use std::collections::{BTreeSet, HashSet};

use crate::analysis::{Shapes, constant};
use crate::data::random_tensor;
use crate::error::{Error, ErrorKind, Result, err};
use crate::exec::Runner;
use crate::ir::{Def, Model, TensorType, ValueId};
use crate::passes::Promise;
use crate::pipeline::check::{
    Check, Inputs, Outcome, Outputs, assume, differing, is_empty, judge_beside,
};
use crate::pipeline::edits::Edits;
use crate::pipeline::shaken::{OwnNoise, rounded};
use crate::pipeline::twins::Twins;
use crate::pipeline::witness::MOST_NODES;
use crate::tensor::Tensor;

/// Most elements of the random tensors of one run: 256 MB of `float`.
const MOST_ELEMENTS: usize = 64 << 20;

/// What a check of the parts found.
pub(super) struct Parts {
    pub outcome: Outcome,
    /// Inputs on which the parts were executed.
    pub executed: usize,
    /// Nodes of the main graph of `after` that were executed.
    pub nodes: usize,
}

/// How often the parts may be widened because what follows may make up for a difference.
const WIDENINGS: usize = 6;

/// Executes what differs between `before` and `after`, of which one is an edited clone of the other.
pub(super) fn check(check: &Check<'_>, promise: Promise, before: &Model, after: &Model) -> Parts {
    let mut edits = Edits::between(before, after);
    let (mut parts, mut differing) = try_parts(check, promise, &edits);
    for _ in 0..WIDENINGS {
        if differing.is_empty() || !edits.widen(&differing) {
            break;
        }
        let (wider, next) = try_parts(check, promise, &edits);
        if matches!(wider.outcome, Outcome::NotExecuted(_)) {
            break;
        }
        (parts, differing) = (wider, next);
    }
    parts
}

/// The outcome on these parts, and, when it is broken, the pairs that differ by more than promised.
fn try_parts(check: &Check<'_>, promise: Promise, edits: &Edits<'_>) -> (Parts, Vec<usize>) {
    let mut parts = Parts { outcome: Outcome::Kept(f64::INFINITY), executed: 0, nodes: 0 };
    if edits.pairs.is_empty() {
        return (parts, Vec::new());
    }
    let names = names(edits);
    let twins = Twins::of(edits.before);
    let (mut known, mut found, mut runs) = (Outputs::new(), Outputs::new(), Vec::new());
    let mut failed = err!(Engine, "there are no inputs");
    for (seed, inputs) in (0..).zip(&check.inputs) {
        if parts.executed == check.enough {
            break;
        }
        let run = Run { check, edits, twins: &twins, names: &names, inputs, seed };
        match run.execute() {
            Ok(executed) => {
                parts.executed += usize::from(!is_empty(inputs));
                runs.push(run);
                parts.nodes = parts.nodes.max(executed.nodes);
                known.push(Ok(executed.before));
                found.push(executed.after);
            }
            Err(error) => failed = error,
        }
    }
    if known.is_empty() {
        parts.outcome = Outcome::NotExecuted(failed.to_string());
        return (parts, Vec::new());
    }
    // The same part from numbers that are rounded once more.
    let own = || {
        let shaken: Outputs = runs.iter().map(Run::shaken).collect();
        OwnNoise::between(&known, &shaken)
    };
    parts.outcome = judge_beside(promise, [&known, &found], &[], own);
    if !matches!(parts.outcome, Outcome::Broken(_)) {
        return (parts, Vec::new());
    }
    let differing = differing(promise, &known, &found);
    let differing = (0..names.len()).filter(|&i| differing.contains(&names[i])).collect();
    (parts, differing)
}

/// What the pairs are called: by the value before, and a number where that is not enough.
fn names(edits: &Edits<'_>) -> Vec<String> {
    let mut seen = HashSet::new();
    let mut name = |(number, (value, _)): (usize, &(ValueId, ValueId))| {
        let name = edits.before.value(*value).name().to_owned();
        if seen.insert(name.clone()) { name } else { format!("{name} (pair {number})") }
    };
    edits.pairs.iter().enumerate().map(&mut name).collect()
}

/// One run of the parts on one of the check inputs.
struct Run<'a> {
    check: &'a Check<'a>,
    edits: &'a Edits<'a>,
    twins: &'a Twins,
    names: &'a [String],
    inputs: &'a Inputs,
    seed: u64,
}

struct Ran {
    before: Vec<(String, Tensor)>,
    after: Result<Vec<(String, Tensor)>>,
    nodes: usize,
}

impl Run<'_> {
    /// An error when the part before the edits does not run.
    fn execute(&self) -> Result<Ran> {
        let (old, new): (Vec<_>, Vec<_>) = self.edits.pairs.iter().copied().unzip();
        let given = self.given(&old, &new)?;
        let (before, _) = self.run(self.edits.before, &old, &given)?;
        let after = match self.run(self.edits.after, &new, &given) {
            Err(error) if error.kind == ErrorKind::Limit => return Err(error),
            after => after,
        };
        let nodes = after.as_ref().map_or(0, |(_, nodes)| *nodes);
        Ok(Ran { before, after: after.map(|(outputs, _)| outputs), nodes })
    }

    /// What the part before the edits gives when each number that it reads is rounded once more.
    fn shaken(&self) -> Result<Vec<(String, Tensor)>> {
        let (old, new): (Vec<_>, Vec<_>) = self.edits.pairs.iter().copied().unzip();
        let mut given = self.given(&old, &new)?;
        given.iter_mut().for_each(|(_, tensor)| *tensor = rounded(tensor));
        self.run(self.edits.before, &old, &given).map(|(outputs, _)| outputs)
    }

    /// What both parts read, which make `old` and `new`.
    fn given(&self, old: &[ValueId], new: &[ValueId]) -> Result<Vec<(ValueId, Tensor)>> {
        let shapes = Shapes::infer(self.edits.before, &assume(self.inputs));
        let mut cuts = BTreeSet::new();
        self.cut(self.edits.before, old, &shapes, &mut cuts);
        self.cut(self.edits.after, new, &shapes, &mut cuts);
        self.draw(&cuts, &shapes)
    }

    /// Adds the values where the part of `model` that makes `wanted` is cut off.
    fn cut(
        &self,
        model: &Model,
        wanted: &[ValueId],
        shapes: &Shapes,
        cuts: &mut BTreeSet<ValueId>,
    ) {
        let mut pending = wanted.to_vec();
        let mut seen: HashSet<ValueId> = HashSet::new();
        while let Some(value) = pending.pop() {
            if !seen.insert(value) || model.value(value).graph() != model.main() {
                continue;
            }
            match *model.value(value).def() {
                Def::Output { node, .. }
                    if self.edits.survives(node)
                        && self.edits.varies(value)
                        && drawable(shapes, value) =>
                {
                    cuts.insert(value);
                }
                Def::Output { node, .. } if constant(model, value).is_none() => {
                    pending.extend(model.reads(node));
                }
                _ => {}
            }
        }
    }

    /// Random numbers for the cuts, and the check inputs, by value.
    fn draw(&self, cuts: &BTreeSet<ValueId>, shapes: &Shapes) -> Result<Vec<(ValueId, Tensor)>> {
        let mut left = MOST_ELEMENTS;
        let mut given = Vec::new();
        let mut drawn: HashSet<ValueId> = HashSet::new();
        for (stream, &value) in (0..).zip(cuts) {
            if drawn.contains(&value) {
                continue;
            }
            let (Some(dtype), Some(dims)) = (shapes.dtype(value), shapes.fixed_dims(value)) else {
                continue;
            };
            let count = shapes.elements(value).unwrap_or(usize::MAX);
            left = left.checked_sub(count).ok_or_else(|| {
                err!(Engine, "the rewritten parts read more than {MOST_ELEMENTS} elements")
            })?;
            let twins = self.twins.all(value);
            // What equals an input is no other number than it.
            let tensor = match twins.iter().find_map(|&twin| self.input(twin)) {
                Some(tensor) => tensor.clone(),
                None => random_tensor(dtype, &dims, self.seed, stream)?,
            };
            for twin in twins {
                drawn.insert(twin);
                if self.edits.before.value(twin).producer().is_some() {
                    given.push((twin, tensor.clone()));
                }
            }
        }
        let main = self.edits.before.graph(self.edits.before.main());
        for &input in main.inputs() {
            if let Some(tensor) = self.input(input) {
                given.push((input, tensor.clone()));
            }
        }
        Ok(given)
    }

    /// What the check gives for an input of the model.
    fn input(&self, value: ValueId) -> Option<&Tensor> {
        let entry = self.edits.before.value(value);
        let (_, tensor) = self.inputs.iter().find(|(name, _)| name == entry.name())?;
        entry.is_input().then_some(tensor)
    }

    /// The values of `wanted`, and the number of nodes that make them.
    fn run(
        &self,
        model: &Model,
        wanted: &[ValueId],
        given: &[(ValueId, Tensor)],
    ) -> Result<(Vec<(String, Tensor)>, usize)> {
        // An equal value may have become another one, or be gone.
        let stands = |value: ValueId| match *model.value(value).def() {
            Def::Output { node, .. } => {
                model.is_live_value(value)
                    && (std::ptr::eq(model, self.edits.before) || self.edits.survives(node))
            }
            _ => model.is_live_value(value),
        };
        let given: Vec<_> = given.iter().filter(|(value, _)| stands(*value)).collect();
        let types: Vec<(ValueId, TensorType)> = given
            .iter()
            .map(|(value, tensor)| (*value, TensorType::with_dims(tensor.dtype(), tensor.dims())))
            .collect();
        let part = model.part(&types, wanted);
        let size = part.all_nodes().len();
        if size > MOST_NODES {
            return Err(err!(
                Limit,
                "what was rewritten has {size} nodes, the limit is {MOST_NODES}"
            ));
        }
        part.verify().map_err(Error::from)?;
        let inputs: Inputs = given
            .iter()
            .filter(|(value, _)| part.is_live_value(*value))
            .map(|(value, tensor)| (part.value(*value).name().to_owned(), tensor.clone()))
            .collect();
        let executed = Runner::new(self.check.engine, &part, Vec::new()).run(&inputs)?;
        let tensors = executed.outputs.into_iter().map(|(_, tensor)| tensor);
        let copies = wanted.len();
        let nodes = part.nodes_of(part.main()).count().saturating_sub(copies);
        Ok((self.names.iter().cloned().zip(tensors).collect(), nodes))
    }
}

/// Whether random numbers can stand for a value: a float tensor of known extents.
fn drawable(shapes: &Shapes, value: ValueId) -> bool {
    shapes.dtype(value).is_some_and(|dtype| dtype.is_float()) && shapes.fixed_dims(value).is_some()
}
