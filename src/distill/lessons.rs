//! Samples in memory, and what the teacher gives for each.

use std::collections::BTreeMap;

use rayon::prelude::*;

use crate::data::Samples;
use crate::error::{Error, Result, err};
use crate::exec::{Engine, Observation, Observe, Runner, Tap};
use crate::ir::Model;
use crate::math::Fingerprint;
use crate::tensor::{DType, Tensor};

/// One part of the samples in so many is held out.
const PARTS: u64 = 5;
/// Memory for samples and what the teacher gives for them.
const MEMORY: usize = 2 << 30;
/// Runs of the teacher that are in memory at a time.
const WAVE: usize = 16;

/// An input with its numbers for all samples.
#[derive(Debug, Clone, PartialEq)]
pub struct Fed {
    pub name: String,
    pub dtype: DType,
    /// Extents for one sample.
    pub dims: Vec<usize>,
    /// More samples make the first axis longer.
    pub stacks: bool,
    pub numbers: Vec<f32>,
}

/// Samples, and what the teacher gives for them.
pub struct Lessons {
    pub inputs: Vec<Fed>,
    /// For each value of the teacher its numbers, sample by sample; nothing when the engine does not show it.
    pub targets: Vec<Option<Target>>,
    /// Samples to learn from, and samples held out.
    pub train: Vec<usize>,
    pub held_out: Vec<usize>,
    pub labels: Option<Vec<i64>>,
}

/// A value of the teacher.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Target {
    /// Extents for one sample.
    pub dims: Vec<usize>,
    pub numbers: Vec<f32>,
}

impl Target {
    /// Elements for one sample.
    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// The numbers of a sample.
    pub fn of(&self, sample: usize) -> &[f32] {
        &self.numbers[sample * self.len()..][..self.len()]
    }
}

/// Which inputs have a first axis that is open: more samples make it longer.
fn open_inputs(model: &Model) -> BTreeMap<String, bool> {
    let inputs = model.graph(model.main()).inputs().iter().map(|&input| model.value(input));
    let open = inputs.map(|input| {
        let dims = input.tensor_type().and_then(|ty| ty.dims.as_deref());
        let first = dims.and_then(<[_]>::first);
        (input.name().to_owned(), first.is_none_or(|dim| dim.fixed().is_none()))
    });
    open.collect()
}

impl Lessons {
    /// Reads the samples, and runs the teacher on them, looking at its values `names`.
    pub fn new(
        engine: &dyn Engine,
        student: &Model,
        teacher: &Model,
        samples: &Samples,
        names: &[String],
        progress: &dyn crate::analysis::Progress,
    ) -> Result<Self> {
        let open = open_inputs(student);
        let taps = names.iter().map(|name| Tap { value: name.clone(), observe: Observe::Value });
        let runner = Runner::new(engine, teacher, taps.collect());
        let mut inputs: Vec<Fed> = Vec::new();
        let mut targets: Vec<Option<Target>> = Vec::new();
        let (mut units, mut digests) = (0, Vec::new());
        let mut bytes = 0;
        progress.start("asking the teacher", samples.runs());
        for first in (0..samples.runs()).step_by(WAVE) {
            let runs = (first..samples.runs().min(first + WAVE)).into_par_iter();
            let done: Vec<_> = runs
                .map(|run| {
                    let run = samples.run(run)?;
                    let shown = runner.run(&run.inputs)?;
                    progress.step();
                    Ok((run, shown))
                })
                .collect::<Result<_>>()?;
            for (run, shown) in done {
                let stacked = |name: &str, tensor: &Tensor| {
                    open.get(name) == Some(&true) && tensor.dims().first() == Some(&run.size)
                };
                let any = run.inputs.iter().any(|(name, tensor)| stacked(name, tensor));
                let count = if any { run.count } else { 1 };
                let rows = if any { run.size } else { 1 };
                if inputs.is_empty() {
                    for (name, tensor) in &run.inputs {
                        let stacks = stacked(name, tensor);
                        let mut dims = tensor.dims().to_vec();
                        if stacks {
                            dims[0] = 1;
                        }
                        let (name, dtype) = (name.clone(), tensor.dtype());
                        inputs.push(Fed { name, dtype, dims, stacks, numbers: Vec::new() });
                    }
                    targets = vec![None; names.len()];
                }
                let start = digests.len();
                digests.resize(start + count, Fingerprint::default());
                for (fed, (_, tensor)) in inputs.iter_mut().zip(&run.inputs) {
                    let len: usize = fed.dims.iter().product();
                    let numbers = tensor.to_f32()?;
                    if fed.dtype.is_integer() && numbers.iter().any(|x| x.abs() > 16_777_216.0) {
                        return Err(err!(
                            Unsupported,
                            "input `{}` has integers beyond 2^24",
                            fed.name
                        ));
                    }
                    for i in 0..count {
                        let row = if fed.stacks { i } else { 0 };
                        let Some(row) = numbers.get(row * len..(row + 1) * len) else {
                            return Err(err!(
                                Data,
                                "input `{}`: samples of different extents",
                                fed.name
                            )
                            .help("bring samples to one size"));
                        };
                        let bits: &[u8] = bytemuck::cast_slice(row);
                        digests[start + i].add(bits);
                        fed.numbers.extend_from_slice(row);
                        bytes += size_of_val(row);
                    }
                }
                for (target, shown) in targets.iter_mut().zip(&shown.observed) {
                    let Some(Observation::Value(tensor)) = shown else { continue };
                    let mut dims = tensor.dims().to_vec();
                    if rows > 1 && dims.first().is_none_or(|first| first % rows != 0) {
                        continue;
                    }
                    if rows > 1 {
                        dims[0] /= rows;
                    }
                    let target = target.get_or_insert(Target { dims, numbers: Vec::new() });
                    let len = target.len() * count;
                    target.numbers.extend_from_slice(&tensor.to_f32()?[..len]);
                    bytes += len * size_of::<f32>();
                }
                units += count;
            }
            if bytes > MEMORY {
                break;
            }
        }
        progress.finish();
        targets.iter_mut().for_each(|target| {
            if target.as_ref().is_some_and(|target| target.numbers.len() != target.len() * units) {
                *target = None;
            }
        });
        let finite = |target: &Target| target.numbers.iter().all(|x| x.is_finite());
        if let Some(at) = targets.iter().position(|t| t.as_ref().is_some_and(|t| !finite(t))) {
            return Err(err!(Data, "the teacher gives NaN or infinity for `{}`", names[at]));
        }
        let digests: Vec<u64> = digests.into_iter().map(Fingerprint::finish).collect();
        let (train, held_out) = divided(&digests)?;
        let labels = samples.labels().map(|labels| labels.iter().take(units).copied().collect());
        Ok(Self { inputs, targets, train, held_out, labels })
    }

    /// Extents of the inputs for one sample, and whether more make the first axis longer.
    pub fn shapes(&self) -> BTreeMap<String, (Vec<usize>, bool)> {
        let shapes = self.inputs.iter();
        shapes.map(|fed| (fed.name.clone(), (fed.dims.clone(), fed.stacks))).collect()
    }

    /// Puts samples together, as the input `name` takes them.
    pub fn gather(&self, name: &str, samples: &[usize], to: &mut Vec<f32>) -> Result<()> {
        to.clear();
        let fed = self.inputs.iter().find(|fed| fed.name == name);
        let fed = fed.ok_or_else(|| err!(Data, "nothing feeds input `{name}`"))?;
        let len: usize = fed.dims.iter().product();
        let taken = if fed.stacks { samples } else { &samples[..1] };
        taken.iter().for_each(|&s| to.extend_from_slice(&fed.numbers[s * len..(s + 1) * len]));
        Ok(())
    }

    /// Samples as an engine takes them.
    pub fn run(&self, samples: &[usize]) -> Result<Vec<(String, Tensor)>> {
        let mut numbers = Vec::new();
        let inputs = self.inputs.iter().map(|fed| {
            self.gather(&fed.name, samples, &mut numbers)?;
            let mut dims = fed.dims.clone();
            if fed.stacks {
                dims[0] *= samples.len();
            }
            Ok((fed.name.clone(), Tensor::from_f32_as(fed.dtype, &dims, &numbers)?))
        });
        inputs.collect()
    }
}

/// Samples to learn from and samples held out, by the digest of their contents.
fn divided(digests: &[u64]) -> Result<(Vec<usize>, Vec<usize>)> {
    let few = || -> Error {
        err!(Data, "{} sample; at least 2 different ones are needed", digests.len())
            .help("one part of the samples is held out, the others are learned from")
    };
    let (mut held_out, mut train): (Vec<usize>, Vec<usize>) =
        (0..digests.len()).partition(|&sample| digests[sample].is_multiple_of(PARTS));
    if held_out.is_empty() || train.is_empty() {
        let least = (0..digests.len()).min_by_key(|&sample| digests[sample]).ok_or_else(few)?;
        (held_out, train) =
            (0..digests.len()).partition(|&sample| digests[sample] == digests[least]);
    }
    if train.is_empty() {
        return Err(few());
    }
    Ok((train, held_out))
}

#[cfg(test)]
mod tests {
    use super::divided;

    #[test]
    fn equal_samples_are_on_one_side() {
        let digests: Vec<u64> = (0..100).map(|i| i % 20).collect();
        let (train, held_out) = divided(&digests).unwrap();
        assert_eq!((train.len(), held_out.len()), (80, 20));
        assert!(held_out.iter().all(|&i| digests[i].is_multiple_of(5)));
        assert!(divided(&[3]).is_err() && divided(&[7, 7]).is_err() && divided(&[]).is_err());
        assert_eq!(divided(&[8, 7]).unwrap(), (vec![0], vec![1]));
    }
}
