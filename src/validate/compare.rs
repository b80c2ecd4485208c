//! Outputs of two models side by side.

use std::collections::BTreeSet;

use rayon::prelude::*;

use crate::analysis::{Assume, OutputKind, Progress, Shapes};
use crate::data::Samples;
use crate::error::{Result, err};
use crate::exec::{Engine, Runner};
use crate::ir::Model;
use crate::math::Distance;
use crate::tensor::Tensor;
use crate::validate::slices::{WEAK_DB, WeakSlice, layouts};
use crate::validate::{Accuracy, Divergence, Slices, Worst, one_run};

/// A part that is told of keeps so much less than the whole, in decibel: half of it.
const BELOW_WHOLE_DB: f64 = 6.0;

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
    /// Runs in which its dims were unlike, as they depend on the data: nothing was compared there.
    pub unlike: Option<Unlike>,
}

/// Runs in which two models gave an output of unlike dims.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unlike {
    /// So many.
    pub runs: usize,
    /// The dims in the first of them: of the original, of the candidate.
    pub first: [Vec<usize>; 2],
}

impl OutputDrift {
    /// An output without classes, whose parts are not looked at.
    pub fn new(name: String, distance: Distance) -> Self {
        let slices = Slices::default();
        Self { name, distance, divergence: None, is_indices: false, slices, unlike: None }
    }

    /// Parts that keep little, though the whole is well: of an output that is lost as a whole, or nearly, no part is news.
    pub fn lost(&self) -> Vec<WeakSlice> {
        let whole = self.distance.sqnr_db();
        let mut weak = if whole >= WEAK_DB { self.slices.weak() } else { Vec::new() };
        weak.retain(|weak| weak.sqnr_db <= whole - BELOW_WHOLE_DB);
        weak
    }

    /// Whether the dims were unlike wherever the output has elements: its distance says nothing.
    pub fn is_unknown(&self) -> bool {
        self.unlike.is_some() && self.distance.count() == 0
    }

    fn unlike(name: String, [a, b]: [&Tensor; 2]) -> Self {
        let first = [a, b].map(|tensor| tensor.dims().to_vec());
        Self { unlike: Some(Unlike { runs: 1, first }), ..Self::new(name, Distance::default()) }
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
            known.unlike = match (known.unlike.take(), new.unlike) {
                (Some(known), Some(new)) => Some(Unlike { runs: known.runs + new.runs, ..known }),
                (known, new) => known.or(new),
            };
        }
        for ((_, known), (_, new)) in self.accuracy.iter_mut().zip(part.accuracy) {
            *known = known.merge(new);
        }
        self.worst = self.worst.merge(part.worst);
        self
    }

    /// The smallest signal-to-noise ratio of all outputs of numbers that could be compared, in decibel; 0 when there
    /// are such, and none could be.
    pub fn worst_sqnr_db(&self) -> f64 {
        let numbers = || self.outputs.iter().filter(|output| !output.is_indices);
        if numbers().next().is_some() && numbers().all(OutputDrift::is_unknown) {
            return 0.0;
        }
        let known = numbers().filter(|output| !output.is_unknown());
        known.map(|o| o.distance.sqnr_db()).fold(f64::INFINITY, f64::min)
    }
}

/// Runs `original` and `candidate` on all samples.
///
/// # Errors
/// When one of the models cannot be run, their outputs differ in number, or in dims that do not depend on the data,
/// or labels do not fit the scores.
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
    let kinds = OutputKind::all(original, &Shapes::infer(original, &fed_at(samples)));
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
            one_run::compare(&run, samples, outputs, (options, &kinds, &layouts))
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

/// The same for outputs of these kinds: of indices, lists of different lengths are compared, too, and numbers whose
/// dims depend on the data are not compared where these are unlike.
///
/// # Errors
/// When the outputs differ in number or name, or in dims that do not depend on the data.
pub fn drift_of(
    before: &[(String, Tensor)],
    after: &[(String, Tensor)],
    share: impl Fn(&Tensor) -> usize,
    kinds: &[OutputKind],
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
        let kind = kinds.get(slot).copied().unwrap_or_default();
        let alike = a.dims() == b.dims();
        let shared = (kind.is_indices && !(alike && !kind.is_open)).then(|| common(a, b)).flatten();
        let known = |distance| OutputDrift {
            is_indices: kind.is_indices,
            ..OutputDrift::new(name.clone(), distance)
        };
        outputs.push(match (alike, shared) {
            (_, Some(distance)) => known(distance),
            (true, None) => {
                let count = share(a);
                let (a, b) = (a.to_f32()?, b.to_f32()?);
                known(Distance::between(&a[..count.min(a.len())], &b[..count.min(b.len())]))
            }
            (false, None) if kind.is_open => OutputDrift {
                is_indices: kind.is_indices,
                ..OutputDrift::unlike(name.clone(), [a, b])
            },
            (false, None) => {
                return Err(err!(
                    Invalid,
                    "output `{name}` has dims {:?}, in the candidate {:?}",
                    a.dims(),
                    b.dims()
                ));
            }
        });
    }
    Ok(Comparison { samples: 1, outputs, accuracy: Vec::new(), worst: Worst::default() })
}

/// What is known of shapes when a model is run on `samples`: all inputs are as large as the largest of them.
pub fn fed_at(samples: &Samples) -> Assume {
    let one = Assume { defaults: true, ..Assume::default() };
    samples.dims().iter().fold(one, |at, (name, dims)| at.input(name, dims))
}

/// How many entries two lists of indices share, of the longer one. Lists may differ in length along one axis, the
/// first one of equal dims. `None` when they are not of one form.
fn common(a: &Tensor, b: &Tensor) -> Option<Distance> {
    if a.dims().len() != b.dims().len() {
        return None;
    }
    let mut unlike = (0..a.dims().len()).filter(|&axis| a.dims()[axis] != b.dims()[axis]);
    let axis = unlike.next().unwrap_or(0);
    if unlike.next().is_some() || a.dims().is_empty() {
        return None;
    }
    let width = a.dims().iter().enumerate().filter(|(at, _)| *at != axis).map(|(_, &n)| n);
    let width = width.product::<usize>();
    let [x, y] = [entries(a, axis)?, entries(b, axis)?];
    let shared = x.intersection(&y).count();
    let all = a.dims()[axis].max(b.dims()[axis]);
    Some(Distance::of_equal((shared * width) as u64, (all * width) as u64))
}

/// What stands at each index of an axis.
fn entries(tensor: &Tensor, axis: usize) -> Option<BTreeSet<Vec<i64>>> {
    let elements = tensor.to_i64().ok()?;
    let dims = tensor.dims();
    let (count, inner) = (dims[axis], dims[axis + 1..].iter().product::<usize>());
    let outer = dims[..axis].iter().product::<usize>();
    let entry = |at: usize| {
        let rows = (0..outer).flat_map(|block| {
            let start = (block * count + at) * inner;
            elements[start..start + inner].iter().copied()
        });
        rows.collect()
    };
    Some((0..count).map(entry).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_of_indices_may_differ_in_length() {
        let list = |rows: &[i64]| [("y".to_owned(), Tensor::from_i64(&[rows.len() / 3, 3], rows))];
        let (a, b) = (list(&[0, 0, 5, 0, 1, 7, 0, 1, 2]), list(&[0, 1, 2, 0, 0, 5]));
        assert!(drift(&a, &b, Tensor::len).is_err());
        let kind = OutputKind { is_indices: true, is_open: true };
        let found = drift_of(&a, &b, Tensor::len, &[kind]).unwrap();
        assert!((found.outputs[0].distance.agreement() - 2.0 / 3.0).abs() < 1e-9);
        assert_eq!(found.worst_sqnr_db(), f64::INFINITY);
        // NonZero gives a column for each place.
        let turned = |columns: &[i64]| {
            [("y".to_owned(), Tensor::from_i64(&[2, columns.len() / 2], columns))]
        };
        let (a, b) = (turned(&[0, 1, 2, 5, 6, 7]), turned(&[0, 2, 5, 7]));
        let found = drift_of(&a, &b, Tensor::len, &[kind]).unwrap();
        assert!((found.outputs[0].distance.agreement() - 2.0 / 3.0).abs() < 1e-9);
    }

    #[test]
    fn numbers_of_unlike_dims_are_not_compared_where_dims_depend_on_the_data() {
        let rows = |rows: &[f32]| [("y".to_owned(), Tensor::from_f32(&[rows.len()], rows))];
        let kind = OutputKind { is_open: true, ..OutputKind::default() };
        let of = |a: &[f32], b: &[f32]| drift_of(&rows(a), &rows(b), Tensor::len, &[kind]).unwrap();
        let unlike = of(&[1.0, 2.0], &[1.0]);
        assert!(unlike.outputs[0].is_unknown());
        assert_eq!(unlike.worst_sqnr_db(), 0.0, "it is not said that they are equal");
        let alike = of(&[1.0, 2.0], &[1.0, 2.5]);
        let ratio = alike.worst_sqnr_db();
        let all = unlike.merge(alike).merge(of(&[3.0], &[3.0, 4.0]));
        assert!(!all.outputs[0].is_unknown() && all.worst_sqnr_db() == ratio);
        let expected = Unlike { runs: 2, first: [vec![2], vec![1]] };
        assert_eq!(all.outputs[0].unlike, Some(expected));
    }
}
