//! `correct-weights`: see `docs/passes/correct-weights.md`.

mod layer;
mod stages;
mod survivors;

pub use survivors::Survivors;

use rayon::prelude::*;

use crate::analysis::{Assume, Measure, RunRows, Shapes};
use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::{Affine, Regression};
use crate::passes::correct_weights::layer::Layer;
use crate::passes::correct_weights::stages::stages;
use crate::passes::{Context, LayerNote, Pass, Promise, Report};

/// Fits the weights and biases of a cut model, layer after layer, to what the layers gave before.
#[derive(Debug, Clone, Default)]
pub struct CorrectWeights {
    /// What the cut left.
    pub survivors: Survivors,
}

/// Vectors of a layer that are looked at, in all runs together: some ten for each input of the widest
/// layers of small networks, so that what is fitted is no chance.
const VECTORS: usize = 32 << 10;
/// Bytes of outputs before the cut that are in memory at once, 256 MB.
const TARGETS: usize = 256 << 20;
/// How strongly weights are held to what they were, in units of the mean variance of an input.
const RIDGES: [f64; 5] = [1e-5, 1e-4, 1e-3, 1e-2, 1e-1];
/// Of the squared error, what must be gone on held-out samples: less is chance.
const WORTH: f64 = 0.99;
/// Errors below this share of the signal are rounding.
const ROUNDING: f64 = 1e-10;

impl Pass for CorrectWeights {
    fn name(&self) -> &'static str {
        "correct-weights"
    }

    fn summary(&self) -> &'static str {
        "Fits weights and biases of a cut model to what its layers gave before."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let (Some(reference), Some(measure)) = (cx.reference, cx.measure) else {
            return Ok(report);
        };
        let nodes = self.order(model, reference, &mut report);
        let mut next = 0;
        while next < nodes.len() {
            next = self.fit_some(model, (reference, measure), &nodes[next..], &mut report)? + next;
        }
        Ok(report)
    }
}

/// What a layer gave before the cut, run by run, without channels that were cut.
type Target = Vec<Option<Vec<f32>>>;

impl CorrectWeights {
    /// The layers that read something that moved, with their stage, in order of these.
    fn order(
        &self,
        model: &Model,
        reference: &Model,
        report: &mut Report,
    ) -> Vec<(usize, NodeId)> {
        let shapes = Shapes::infer(reference, &Assume::default());
        let mut layers = Vec::new();
        let mut refused = Vec::new();
        for (node, _) in model.nodes_of(model.main()) {
            match Layer::of(model, reference, node, (&shapes, &self.survivors)) {
                Ok(found) => layers.extend(found.map(|layer| layer.node)),
                Err(reason) => refused.push((node, reason)),
            }
        }
        let stages = stages(model, &self.survivors, &layers);
        for (node, reason) in refused {
            if stages.contains_key(&node) {
                report.refuse(model.label(node), reason);
            }
        }
        let mut order: Vec<(usize, NodeId)> =
            layers.into_iter().filter_map(|node| Some((*stages.get(&node)?, node))).collect();
        order.sort_by_key(|&(stage, _)| stage);
        order
    }

    /// Fits the first stages of `nodes`, as many as their targets fit into memory, and returns how many
    /// layers that are.
    fn fit_some(
        &self,
        model: &mut Model,
        (reference, measure): (&Model, &dyn Measure),
        nodes: &[(usize, NodeId)],
        report: &mut Report,
    ) -> Result<usize> {
        let shapes = Shapes::infer(reference, &Assume::default());
        let of = |model: &Model, node| {
            Layer::of(model, reference, node, (&shapes, &self.survivors)).ok().flatten()
        };
        let (mut layers, mut bytes) = (Vec::new(), 0);
        for stage in nodes.chunk_by(|a, b| a.0 == b.0) {
            let found: Vec<Layer> = stage.iter().filter_map(|&(_, node)| of(model, node)).collect();
            let columns: usize = found.iter().map(|layer| layer.gave.columns).sum();
            let more = columns * VECTORS * size_of::<f32>();
            if !layers.is_empty() && bytes + more > TARGETS {
                break;
            }
            bytes += more;
            layers.push(found);
        }
        let done = layers.iter().map(Vec::len).sum();
        let targets = targets(reference, measure, &layers.iter().flatten().collect::<Vec<_>>())?;
        let mut targets = targets.into_iter();
        for stage in layers {
            let targets: Vec<Target> = targets.by_ref().take(stage.len()).collect();
            // Bias and weights of the layer may be others by now, but not where they stand.
            let stage: Vec<Layer> =
                stage.iter().filter_map(|layer| of(model, layer.node)).collect();
            fit_stage(model, measure, &stage, &targets, report)?;
        }
        Ok(done)
    }
}

/// Runs the part of a model that makes what is asked for, and nothing behind it.
fn show(
    model: &Model,
    measure: &dyn Measure,
    asked: &[crate::analysis::Vectors],
    see: &mut dyn FnMut(&[RunRows]),
) -> Result<()> {
    let mut values: Vec<ValueId> = asked.iter().map(|asked| asked.value).collect();
    values.sort_unstable();
    values.dedup();
    measure.rows(&model.part(&[], &values), asked, VECTORS, see)
}

fn targets(reference: &Model, measure: &dyn Measure, layers: &[&Layer]) -> Result<Vec<Target>> {
    let asked: Vec<_> = layers.iter().map(|layer| layer.gave.clone()).collect();
    let mut targets: Vec<Target> = vec![Vec::new(); layers.len()];
    show(reference, measure, &asked, &mut |runs| {
        for (i, target) in targets.iter_mut().enumerate() {
            for run in runs {
                let rows = run.rows[i].as_ref().and_then(|rows| rows.to_f32().ok());
                target.push(rows.map(|rows| match &layers[i].kept {
                    None => rows,
                    Some(kept) => {
                        let row = |row: &[f32]| kept.iter().map(|&c| row[c]).collect::<Vec<_>>();
                        rows.chunks_exact(layers[i].gave.columns).flat_map(row).collect()
                    }
                }));
            }
        }
    })?;
    Ok(targets)
}

/// Sums of one layer: for each group those that it is fitted to, and those that it is judged on.
struct Sums {
    groups: Vec<(Regression, Regression)>,
    usable: bool,
}

impl Sums {
    fn none(layer: &Layer) -> Self {
        let contraction = &layer.contraction;
        let none = Regression::new(contraction.rows, contraction.columns);
        Self { groups: vec![(none.clone(), none); contraction.groups], usable: true }
    }

    /// Adds a run; the sums are of no use when it does not fit the target.
    fn add(&mut self, layer: &Layer, run: &RunRows, at: usize, target: Option<&Option<Vec<f32>>>) {
        let added = (|| {
            let target = target?.as_ref()?;
            let tensor = run.rows[at].as_ref()?;
            let [groups, count, columns] = *tensor.dims() else { return None };
            let rows = layer.contraction.rows;
            let fits = groups == self.groups.len()
                && columns == layer.contraction.columns
                && target.len() == count * groups * rows;
            let x = tensor.to_f32().ok().filter(|_| fits)?;
            for (g, (fitting, held_out)) in self.groups.iter_mut().enumerate() {
                let part: Vec<f32> = match groups {
                    1 => target.clone(),
                    _ => target
                        .chunks_exact(groups * rows)
                        .flat_map(|row| row[g * rows..(g + 1) * rows].to_vec())
                        .collect(),
                };
                let sums = if run.held_out { held_out } else { fitting };
                sums.add(&x[g * count * columns..][..count * columns], &part);
            }
            Some(())
        })();
        self.usable &= added.is_some();
    }

    fn is_usable(&self) -> bool {
        self.usable && self.groups.iter().all(|(a, b)| a.is_usable() && b.is_usable())
    }
}

/// What is better than what was there.
struct Fitted {
    affine: Vec<Affine>,
    errors: (f64, f64),
    signal: f64,
}

/// Fits layers that do not depend on each other.
fn fit_stage(
    model: &mut Model,
    measure: &dyn Measure,
    stage: &[Layer],
    targets: &[Target],
    report: &mut Report,
) -> Result<()> {
    let asked: Vec<_> = stage.iter().map(|layer| layer.reads.clone()).collect();
    let mut sums: Vec<Sums> = stage.iter().map(Sums::none).collect();
    let mut first = 0;
    show(model, measure, &asked, &mut |runs| {
        sums.par_iter_mut().enumerate().for_each(|(i, sums)| {
            for (at, run) in runs.iter().enumerate() {
                sums.add(&stage[i], run, i, targets[i].get(first + at));
            }
        });
        first += runs.len();
    })?;
    let fitted: Vec<Option<Result<Fitted, Fitted>>> = stage
        .par_iter()
        .zip(&sums)
        .map(|(layer, sums)| sums.is_usable().then(|| best(layer, sums)))
        .collect();
    for (layer, fitted) in stage.iter().zip(fitted) {
        let place = model.label(layer.node);
        match fitted {
            None => report.refuse(
                place,
                "nothing is known of what it reads: no samples, or no finite floats",
            ),
            Some(Err(_)) => {
                report.refuse(place, "stays as it is: nothing is better on held-out samples");
            }
            Some(Ok(Fitted { affine, errors, signal })) => {
                layer.put(model, &affine);
                let percent = |error: f64| 100.0 * error / signal.max(f64::MIN_POSITIVE);
                let (before, after) = (percent(errors.0), percent(errors.1));
                report.did(
                    &place,
                    format!(
                        "error {before:.2} % of the variance on held-out samples, {after:.2} % now"
                    ),
                );
                report.layers.push(LayerNote { place, method: "correct-weights", errors, signal });
            }
        }
    }
    Ok(())
}

/// The best weights and offsets on held-out samples, fitted to the others; then fitted to all. An error
/// when those that are there are no worse.
fn best(layer: &Layer, sums: &Sums) -> Result<Fitted, Fitted> {
    let groups = sums.groups.len();
    let now: Vec<Affine> = (0..groups).map(|group| layer.affine(group)).collect();
    let error = |affine: &[Option<Affine>]| -> Option<f64> {
        let pairs = affine.iter().zip(&sums.groups);
        pairs.map(|(affine, (_, held_out))| Some(held_out.error(affine.as_ref()?))).sum()
    };
    let solve = |which: &dyn Fn(usize) -> Regression, ridges: &[f64]| -> Vec<Vec<Option<Affine>>> {
        let one = |(group, now): (usize, &Affine)| {
            which(group).solve(now, layer.is_free(), ridges)
        };
        now.iter().enumerate().map(one).collect()
    };
    let signal: f64 = sums.groups.iter().map(|(_, held_out)| held_out.variance()).sum();
    let kept: Vec<Option<Affine>> = now.iter().cloned().map(Some).collect();
    let before = error(&kept).unwrap_or(f64::INFINITY);
    let stays = Fitted { affine: now.clone(), errors: (before, before), signal };
    if before <= ROUNDING * signal {
        return Err(stays);
    }
    let fitted = solve(&|group| sums.groups[group].0.clone(), &RIDGES);
    let judged = RIDGES.iter().enumerate().filter_map(|(i, &ridge)| {
        let affine: Vec<Option<Affine>> = fitted.iter().map(|group| group[i].clone()).collect();
        Some((error(&affine)?, ridge, affine))
    });
    let Some((after, ridge, affine)) = judged.min_by(|a, b| a.0.total_cmp(&b.0)) else {
        return Err(stays);
    };
    if after > WORTH * before {
        return Err(stays);
    }
    // With the ridge that chance did not choose, all samples are better than some.
    let both = |group: usize| {
        let (mut all, held_out) = sums.groups[group].clone();
        all.merge(&held_out);
        all
    };
    let all: Option<Vec<Affine>> =
        solve(&both, &[ridge]).into_iter().map(|group| group.into_iter().next().flatten()).collect();
    let affine = all.or_else(|| affine.into_iter().collect());
    affine.map_or(Err(stays), |affine| {
        Ok(Fitted { affine, errors: (before, after), signal })
    })
}
