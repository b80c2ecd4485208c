//! Outputs of two models side by side.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::analysis::{Progress, decision};
use crate::data::Samples;
use crate::error::{Result, err};
use crate::exec::{Engine, Runner};
use crate::ir::Model;
use crate::math::Distance;
use crate::tensor::Tensor;
use crate::validate::slices::layouts;
use crate::validate::{Accuracy, Divergence, Slices, Worst, one_run};

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
    /// How many of the samples that differ most are told; none by default.
    pub worst: usize,
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
    /// The samples that differ most.
    pub worst: Worst,
}

/// Drift of one output.
#[derive(Debug, Clone)]
pub struct OutputDrift {
    /// Name of the output.
    pub name: String,
    /// How far the candidate is from the original.
    pub distance: Distance,
    /// How far the classes are apart, when the output is known to have class scores, or all of the
    /// original's rows are probabilities.
    pub divergence: Option<Divergence>,
    /// It is made of indices, which are equal or not; no distance says how far apart they are.
    pub is_indices: bool,
    /// How far its parts are, where that was looked at.
    pub slices: Slices,
}

impl OutputDrift {
    /// An output without classes, whose parts are not looked at.
    pub fn new(name: String, distance: Distance) -> Self {
        Self { name, distance, divergence: None, is_indices: false, slices: Slices::default() }
    }
}

impl Comparison {
    /// The comparison over the samples of both; outputs and values of `k` are the same.
    #[must_use]
    pub fn merge(mut self, part: Self) -> Self {
        self.samples += part.samples;
        for (known, new) in self.outputs.iter_mut().zip(part.outputs) {
            known.distance = known.distance.merge(new.distance);
            let both = known.divergence.zip(new.divergence);
            known.divergence = both.map(|(known, new)| known.merge(new));
            known.slices = std::mem::take(&mut known.slices).merge(new.slices);
        }
        for ((_, known), (_, new)) in self.accuracy.iter_mut().zip(part.accuracy) {
            *known = known.merge(new);
        }
        self.worst = self.worst.merge(part.worst);
        self
    }

    /// The smallest signal-to-noise ratio of all outputs of numbers, in decibel.
    pub fn worst_sqnr_db(&self) -> f64 {
        let numbers = self.outputs.iter().filter(|output| !output.is_indices);
        numbers.map(|o| o.distance.sqnr_db()).fold(f64::INFINITY, f64::min)
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
    compare_telling(engine, [original, candidate], samples, options, &())
}

/// [`compare`] of the original and the candidate, telling `progress` how far it is.
///
/// # Errors
/// As [`compare`].
pub fn compare_telling(
    engine: &dyn Engine,
    [original, candidate]: [&Model; 2],
    samples: &Samples,
    options: &Options,
    progress: &dyn Progress,
) -> Result<Comparison> {
    let (a, b) = (Runner::new(engine, original, vec![]), Runner::new(engine, candidate, vec![]));
    let outputs = original.graph(original.main()).outputs().iter();
    let are_indices: Vec<bool> =
        outputs.map(|output| decision(original, output.value).is_some()).collect();
    let layouts = layouts(original);
    let runs = options.runs.unwrap_or(usize::MAX).min(samples.runs());
    progress.start("comparing", runs);
    let parts: Result<Vec<Comparison>> = (0..runs)
        .into_par_iter()
        .map(|i| {
            let run = samples.run(i * samples.runs() / runs)?;
            let before = a.run(&run.inputs).map_err(|error| error.at("original model"))?;
            let mut after = b.run(&run.inputs).map_err(|error| error.at("candidate model"))?;
            // The same outputs may stand in another order.
            let place = |name: &String| before.outputs.iter().position(|(known, _)| known == name);
            after.outputs.sort_by_key(|(name, _)| place(name).unwrap_or(usize::MAX));
            progress.step();
            let outputs = [&before.outputs[..], &after.outputs];
            one_run::compare(&run, samples, outputs, (options, &are_indices, &layouts))
        })
        .collect();
    progress.finish();
    let whole = parts?.into_iter().reduce(Comparison::merge);
    whole.ok_or_else(|| err!(Data, "there are no samples to compare the models on"))
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
    drift_of(before, after, share, &[])
}

/// The same where some outputs `are_indices`: of these, lists of different lengths are compared, too.
///
/// # Errors
/// When the outputs differ in number, name or shape.
pub fn drift_of(
    before: &[(String, Tensor)],
    after: &[(String, Tensor)],
    share: impl Fn(&Tensor) -> usize,
    are_indices: &[bool],
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
    for (slot, ((name, a), (other, b))) in before.iter().zip(after).enumerate() {
        if name != other {
            return Err(err!(Invalid, "output `{name}` is called `{other}` in the candidate")
                .help(format!("`compare --map {name}={other}` takes them for the same")));
        }
        let is_indices = are_indices.get(slot) == Some(&true);
        let distance = match (a.dims() == b.dims(), is_indices.then(|| common(a, b)).flatten()) {
            (true, _) => {
                let count = share(a);
                let (a, b) = (a.to_f32()?, b.to_f32()?);
                Distance::between(&a[..count.min(a.len())], &b[..count.min(b.len())])
            }
            (false, Some(distance)) => distance,
            (false, None) => {
                return Err(err!(
                    Invalid,
                    "output `{name}` has dims {:?}, in the candidate {:?}",
                    a.dims(),
                    b.dims()
                ));
            }
        };
        outputs.push(OutputDrift { is_indices, ..OutputDrift::new(name.clone(), distance) });
    }
    Ok(Comparison { samples: 1, outputs, accuracy: Vec::new(), worst: Worst::default() })
}

/// How many rows two lists of indices share, of the longer one; `None` when their rows are unlike.
fn common(a: &Tensor, b: &Tensor) -> Option<Distance> {
    let ((first, row), (other, same)) = (a.dims().split_first()?, b.dims().split_first()?);
    if row != same {
        return None;
    }
    let width = row.iter().product::<usize>().max(1);
    let (a, b) = (a.to_i64().ok()?, b.to_i64().ok()?);
    let known: BTreeSet<&[i64]> = a.chunks(width).collect();
    let shared = b.chunks(width).collect::<BTreeSet<_>>().intersection(&known).count();
    let all = *first.max(other);
    Some(Distance::of_equal((shared * width) as u64, (all * width) as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_indices_may_differ_in_length() {
        let list = |rows: &[i64]| [("y".to_owned(), Tensor::from_i64(&[rows.len() / 3, 3], rows))];
        let (a, b) = (list(&[0, 0, 5, 0, 1, 7, 0, 1, 2]), list(&[0, 1, 2, 0, 0, 5]));
        assert!(drift(&a, &b, Tensor::len).is_err());
        let found = drift_of(&a, &b, Tensor::len, &[true]).unwrap();
        assert!((found.outputs[0].distance.agreement() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(found.worst_sqnr_db(), f64::INFINITY);
    }
}
