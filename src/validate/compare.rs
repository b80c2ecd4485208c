//! Outputs of two models side by side.

use rayon::prelude::*;

use crate::data::{Run, Samples};
use crate::error::{Result, err};
use crate::exec::{Engine, Runner};
use crate::ir::Model;
use crate::math::Distance;
use crate::tensor::Tensor;
use crate::validate::Accuracy;

/// What to compare.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Values of `k` for which top-k accuracy is counted, when the samples have labels.
    pub top: Vec<usize>,
    /// The output with the class scores; by default the first float output that has at least two
    /// elements for each sample.
    pub output: Option<String>,
    /// Use only so many runs of the samples, spread over all; all by default.
    pub runs: Option<usize>,
}

/// How far two models are apart on some samples.
#[derive(Debug, Clone)]
pub struct Comparison {
    /// Number of samples compared.
    pub samples: usize,
    /// Drift of each output, in the order of the original's outputs.
    pub outputs: Vec<OutputDrift>,
    /// For each `k` of the options its counts; empty without labels.
    pub accuracy: Vec<(usize, Accuracy)>,
}

/// Drift of one output.
#[derive(Debug, Clone)]
pub struct OutputDrift {
    /// Name of the output.
    pub name: String,
    /// How far the candidate is from the original.
    pub distance: Distance,
}

impl Comparison {
    /// The comparison over the samples of both; outputs and values of `k` are the same.
    #[must_use]
    pub fn merge(mut self, part: Self) -> Self {
        self.samples += part.samples;
        for (known, new) in self.outputs.iter_mut().zip(part.outputs) {
            known.distance = known.distance.merge(new.distance);
        }
        for ((_, known), (_, new)) in self.accuracy.iter_mut().zip(part.accuracy) {
            *known = known.merge(new);
        }
        self
    }

    /// The smallest signal-to-noise ratio of all outputs, in decibel.
    pub fn worst_sqnr_db(&self) -> f64 {
        self.outputs.iter().map(|o| o.distance.sqnr_db()).fold(f64::INFINITY, f64::min)
    }
}

/// Runs `original` and `candidate` on all samples.
///
/// # Errors
/// When one of the models cannot be run, their outputs differ in number or shape, or labels do not
/// fit the scores.
pub fn compare(
    engine: &dyn Engine,
    original: &Model,
    candidate: &Model,
    samples: &Samples,
    options: &Options,
) -> Result<Comparison> {
    let (a, b) = (Runner::new(engine, original, vec![]), Runner::new(engine, candidate, vec![]));
    let runs = options.runs.unwrap_or(usize::MAX).min(samples.runs());
    let parts: Vec<Comparison> = (0..runs)
        .into_par_iter()
        .map(|i| {
            let run = samples.run(i * samples.runs() / runs)?;
            let before = a.run(&run.inputs).map_err(|error| error.at("original model"))?;
            let after = b.run(&run.inputs).map_err(|error| error.at("candidate model"))?;
            of_run(&run, samples, &before.outputs, &after.outputs, options)
        })
        .collect::<Result<_>>()?;
    let whole = parts.into_iter().reduce(Comparison::merge);
    whole.ok_or_else(|| err!(Data, "there are no samples to compare the models on"))
}

fn of_run(
    run: &Run,
    samples: &Samples,
    before: &[(String, Tensor)],
    after: &[(String, Tensor)],
    options: &Options,
) -> Result<Comparison> {
    let batch = run.size;
    let mut comparison = drift(before, after, |tensor| real_share(tensor, batch, run.count))?;
    comparison.samples = run.count;
    if let Some(labels) = samples.labels().filter(|_| !options.top.is_empty()) {
        let slot = scores(before, run.count, options)?;
        let (a, b) = (before[slot].1.to_f32()?, after[slot].1.to_f32()?);
        let rows = if before[slot].1.dims().first() == Some(&batch) { batch } else { run.count };
        let classes = a.len() / rows.max(1);
        for &k in &options.top {
            let mut counts = Accuracy::default();
            for row in 0..run.count {
                let label = labels[run.first + row];
                if usize::try_from(label).map_or(true, |label| label >= classes) {
                    return Err(err!(
                        Data,
                        "label {label} of sample {} is not one of {classes} classes",
                        run.first + row
                    )
                    .help(
                        "name the right output with --scores, or the right array with --labels",
                    ));
                }
                let of = |scores: &[f32]| row * classes..((row + 1) * classes).min(scores.len());
                counts.count(k, label, &a[of(&a)], &b[of(&b)]);
            }
            comparison.accuracy.push((k, counts));
        }
    }
    Ok(comparison)
}

/// The part of an output that belongs to real samples: padding fills the end of the last batch.
fn real_share(tensor: &Tensor, batch: usize, count: usize) -> usize {
    match tensor.dims().first() {
        Some(&first) if first == batch && batch > 0 => tensor.len() / batch * count.min(batch),
        _ => tensor.len(),
    }
}

/// The slot of the output with the class scores.
fn scores(outputs: &[(String, Tensor)], samples: usize, options: &Options) -> Result<usize> {
    let found = match &options.output {
        Some(wanted) => outputs.iter().position(|(name, _)| name == wanted),
        None => outputs.iter().position(|(_, tensor)| {
            tensor.dtype().is_float() && tensor.len() >= 2 * samples.max(1)
        }),
    };
    found.ok_or_else(|| {
        let names: Vec<&str> = outputs.iter().map(|(name, _)| name.as_str()).collect();
        let wanted = options.output.as_deref().unwrap_or("with class scores");
        err!(Usage, "there is no output {wanted} among {}", names.join(", "))
    })
}

/// The drift between two sets of outputs; `share` says how many elements of a tensor count.
///
/// # Errors
/// When the outputs differ in number, name or shape.
pub fn drift(
    before: &[(String, Tensor)],
    after: &[(String, Tensor)],
    share: impl Fn(&Tensor) -> usize,
) -> Result<Comparison> {
    if before.len() != after.len() {
        return Err(err!(
            Invalid,
            "the original has {} outputs, the candidate {}",
            before.len(),
            after.len()
        ));
    }
    let mut outputs = Vec::with_capacity(before.len());
    for ((name, a), (other, b)) in before.iter().zip(after) {
        if name != other {
            return Err(err!(Invalid, "output `{name}` is called `{other}` in the candidate"));
        }
        if a.dims() != b.dims() {
            return Err(err!(
                Invalid,
                "output `{name}` has dims {:?}, in the candidate {:?}",
                a.dims(),
                b.dims()
            ));
        }
        let count = share(a);
        let (a, b) = (a.to_f32()?, b.to_f32()?);
        let distance = Distance::between(&a[..count.min(a.len())], &b[..count.min(b.len())]);
        outputs.push(OutputDrift { name: name.clone(), distance });
    }
    Ok(Comparison { samples: 1, outputs, accuracy: Vec::new() })
}
