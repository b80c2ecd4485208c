//! The outputs of one run, sample by sample: classes, labels, the samples that differ most.

use std::collections::HashMap;

use crate::analysis::OutputKind;
use crate::data::{Run, Samples};
use crate::error::{Result, err};
use crate::math::Distance;
use crate::tensor::Tensor;
use crate::validate::divergence::first;
use crate::validate::labels::{is_class, no_class};
use crate::validate::slices::Layout;
use crate::validate::{
    Accuracy, Comparison, Divergence, Options, OutputDrift, SampleDrift, Slices, Worst, drift_of,
};

type Named = (String, Tensor);

/// Compares what both models gave for one run of the samples.
///
/// # Errors
/// When outputs differ in number or shape, or labels do not fit the scores.
pub(super) fn compare(
    run: &Run,
    samples: &Samples,
    [before, after]: [&[Named]; 2],
    (options, kinds, layouts): (&Options, &[OutputKind], &HashMap<String, Layout>),
) -> Result<Comparison> {
    let share = |tensor: &Tensor| real_share(tensor, run.size, run.count);
    let mut comparison = drift_of(before, after, share, kinds)?;
    comparison.samples = run.count;
    let labels = samples.labels().filter(|_| !options.top.is_empty());
    let scores = match (labels, &options.output) {
        (None, None) => None,
        _ => Some(Scores::new(run, before, after, options)?),
    };
    if let (Some(labels), Some(scores)) = (labels, &scores) {
        comparison.accuracy = scores.count(run, labels, &options.top)?;
    }
    for (slot, output) in comparison.outputs.iter_mut().enumerate() {
        let (a, b) = (&before[slot].1, &after[slot].1);
        if a.dims() != b.dims() {
            continue;
        }
        output.divergence = match &scores {
            Some(scores) if scores.slot == slot => Some(scores.divergence(run)),
            _ => distributions(run, a, b)?,
        };
        let layout = layouts.get(&output.name).cloned().unwrap_or_default();
        let real = real_share(a, run.size, run.count);
        output.slices = Slices::between(layout, [a, b], real, run.size)?;
    }
    comparison.worst = Worst::new(options.worst);
    if comparison.worst.wanted() {
        let whole = &comparison.outputs;
        for mut found in sample_drifts(run, before, after, whole)? {
            found.label = samples.labels().map(|labels| labels[found.sample]);
            let row = found.sample - run.first;
            found.classes = scores.as_ref().map(|scores| scores.row(row).map(first));
            comparison.worst.add(found);
        }
    }
    Ok(comparison)
}

/// The output with the class scores, of both models.
struct Scores {
    slot: usize,
    classes: usize,
    of: [Vec<f32>; 2],
}

impl Scores {
    fn new(run: &Run, before: &[Named], after: &[Named], options: &Options) -> Result<Self> {
        let slot = find(before, run.count, options)?;
        let (a, b) = (&before[slot].1, &after[slot].1);
        let rows = if a.dims().first() == Some(&run.size) { run.size } else { run.count };
        let classes = a.len() / rows.max(1);
        Ok(Self { slot, classes, of: [a.to_f32()?, b.to_f32()?] })
    }

    /// The scores of one sample.
    fn row(&self, row: usize) -> [&[f32]; 2] {
        [0, 1].map(|side| {
            let scores = &self.of[side];
            let start = (row * self.classes).min(scores.len());
            &scores[start..(start + self.classes).min(scores.len())]
        })
    }

    fn divergence(&self, run: &Run) -> Divergence {
        let [a, b] = [0, 1].map(|side| {
            let scores = &self.of[side];
            &scores[..(run.count * self.classes).min(scores.len())]
        });
        Divergence::of_scores(a, b, self.classes)
    }

    fn count(&self, run: &Run, labels: &[i64], top: &[usize]) -> Result<Vec<(usize, Accuracy)>> {
        let classes = self.classes;
        let mut accuracy = Vec::new();
        for &k in top {
            let mut counts = Accuracy::default();
            for row in 0..run.count {
                let (sample, label) = (run.first + row, labels[run.first + row]);
                if !is_class(label, classes) {
                    return Err(no_class(sample, label, classes));
                }
                let [a, b] = self.row(row);
                counts.count(k, label, a, b);
            }
            accuracy.push((k, counts));
        }
        Ok(accuracy)
    }
}

/// The divergence of an output of which nobody has said what it is.
fn distributions(run: &Run, before: &Tensor, after: &Tensor) -> Result<Option<Divergence>> {
    let (Some(&classes), true) = (before.dims().last(), before.dims().len() >= 2) else {
        return Ok(None);
    };
    if !before.dtype().is_float() || classes < 2 {
        return Ok(None);
    }
    let real = real_share(before, run.size, run.count);
    let (a, b) = (before.to_f32()?, after.to_f32()?);
    let (a, b) = (&a[..real.min(a.len())], &b[..real.min(b.len())]);
    Ok(Divergence::of_distributions(a, b, classes))
}

/// The drift of each sample of a run: of the output that moves most. Outputs whose first axis does not
/// count samples belong to the run; they are told of its first sample, when there are no others.
fn sample_drifts(
    run: &Run,
    before: &[Named],
    after: &[Named],
    whole: &[OutputDrift],
) -> Result<Vec<SampleDrift>> {
    let sample = |sample, distance| SampleDrift { sample, distance, label: None, classes: None };
    let mut found: Vec<Option<Distance>> = vec![None; run.count];
    for (((_, a), (_, b)), output) in before.iter().zip(after).zip(whole) {
        let by_sample = run.size > 0 && a.dims().first() == Some(&run.size);
        if !by_sample || a.dims() != b.dims() || output.is_indices {
            continue;
        }
        let (a, b) = (a.to_f32()?, b.to_f32()?);
        let width = a.len() / run.size;
        for (row, worst) in found.iter_mut().enumerate() {
            let part = row * width..(row + 1) * width;
            let distance = Distance::between(&a[part.clone()], &b[part]);
            if worst.is_none_or(|worst| distance.sqnr_db() < worst.sqnr_db()) {
                *worst = Some(distance);
            }
        }
    }
    if found.iter().all(Option::is_none) {
        let lowest = whole.iter().map(|output| output.distance);
        let lowest = lowest.min_by(|a, b| a.sqnr_db().total_cmp(&b.sqnr_db()));
        return Ok(lowest.map(|distance| sample(run.first, distance)).into_iter().collect());
    }
    let found = found.into_iter().enumerate();
    Ok(found.filter_map(|(row, distance)| Some(sample(run.first + row, distance?))).collect())
}

/// The part of an output that belongs to real samples: padding fills the end of the last batch.
fn real_share(tensor: &Tensor, batch: usize, count: usize) -> usize {
    match tensor.dims().first() {
        Some(&first) if first == batch && batch > 0 => tensor.len() / batch * count.min(batch),
        _ => tensor.len(),
    }
}

/// The slot of the output with the class scores.
fn find(outputs: &[Named], samples: usize, options: &Options) -> Result<usize> {
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
