//! `correct-weights`: see `docs/passes/correct-weights.md`.

mod fit;
mod inputs;
mod layer;
mod stages;
mod survivors;

pub use inputs::InputMoments;
pub use survivors::Survivors;

use std::collections::HashMap;

use rayon::prelude::*;

use crate::analysis::{Assume, Measure, RunRows, Shapes, Vectors};
use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::refit::correct_weights::fit::{Fitted, Sums, To, Way, best};
use crate::passes::refit::correct_weights::layer::Layer;
use crate::passes::refit::correct_weights::stages::Stages;
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

    fn mends(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let (Some(reference), Some(measure)) = (cx.reference, cx.measure) else {
            return Ok(report);
        };
        let shapes = Shapes::infer(reference, &Assume::default());
        let before = Before { reference, shapes, survivors: &self.survivors, measure };
        let tasks = before.tasks(model, &mut report);
        let mut known = Known { few: measure.runs() < FEW, ..Known::default() };
        if known.few {
            // A layer behind others that were fitted to all samples would be judged on what it knows.
            before.fit(&mut model.clone(), &tasks, &mut known, &mut Report::default())?;
            known.found = Some(std::mem::take(&mut known.chosen));
        }
        before.fit(model, &tasks, &mut known, &mut report)?;
        report.warnings.extend(known.in_words(model));
        Ok(report)
    }
}

/// Runs from which on it changes little that layers in front were fitted to those held out, too.
const FEW: usize = 256;

/// What was found out about layers.
#[derive(Debug, Default)]
struct Known {
    /// There are few samples.
    few: bool,
    /// In this round, for each layer that is better fitted.
    chosen: HashMap<NodeId, Way>,
    /// In the round before, in which nothing was fitted to samples that are held out.
    found: Option<HashMap<NodeId, Way>>,
    /// Layers that were fitted to fewer vectors than they have inputs, and both numbers.
    narrow: Vec<(NodeId, u64, usize)>,
}

impl Known {
    /// What a layer is fitted to.
    fn to(&self, node: NodeId) -> To {
        match &self.found {
            Some(found) => To::Known(found.get(&node).copied()),
            None if self.few => To::Fitting,
            None => To::All,
        }
    }

    /// That there were too few samples.
    fn in_words(&self, model: &Model) -> Option<String> {
        let worst = self.narrow.iter().min_by(|a, b| {
            let share = |&(_, rows, columns): &(NodeId, u64, usize)| rows as f64 / columns as f64;
            share(a).total_cmp(&share(b))
        });
        let &(node, rows, columns) = worst?;
        let (count, place) = (self.narrow.len(), model.label(node));
        Some(format!(
            "the samples are few: {count} layers are fitted to fewer vectors than they have inputs \
             ({place}: {rows} for {columns}); give more samples with --data"
        ))
    }
}

/// What a layer gave before the cut, run by run, without channels that were cut.
type Target = Vec<Option<Vec<f32>>>;

/// A layer that is to be fitted.
#[derive(Clone, Copy)]
struct Task {
    node: NodeId,
    stage: usize,
    /// A skip connection that is added to its output, and the sum.
    joined: Option<(ValueId, ValueId)>,
}

/// The model before the cut, and what is known of it.
struct Before<'a> {
    reference: &'a Model,
    shapes: Shapes,
    survivors: &'a Survivors,
    measure: &'a dyn Measure,
}

impl Before<'_> {
    fn layer(&self, model: &Model, node: NodeId) -> Result<Option<Layer>, String> {
        Layer::of(model, self.reference, node, (&self.shapes, self.survivors))
    }

    fn task(&self, model: &Model, task: Task) -> Option<Layer> {
        let mut layer = self.layer(model, task.node).ok().flatten()?;
        if let Some(joined) = task.joined {
            layer.join(joined);
        }
        Some(layer)
    }

    /// The layers that read something that moved, in order of their stages.
    fn tasks(&self, model: &Model, report: &mut Report) -> Vec<Task> {
        let (mut layers, mut refused) = (Vec::new(), Vec::new());
        for (node, _) in model.nodes_of(model.main()) {
            match self.layer(model, node) {
                Ok(found) => layers.extend(found),
                Err(reason) => refused.push((node, reason)),
            }
        }
        let nodes: Vec<NodeId> = layers.iter().map(|layer| layer.node).collect();
        let stages = Stages::of(model, self.survivors, &nodes);
        for (node, reason) in refused {
            if stages.nodes.contains_key(&node) {
                report.refuse(model.label(node), reason);
            }
        }
        let task = |layer: &Layer| {
            let stage = *stages.nodes.get(&layer.node)?;
            let joined = layer.joined(model).filter(|&(skip, sum)| {
                let like = |value| self.shapes.same_dims(value, layer.gave.value);
                like(skip) && like(sum) && stages.is_settled(skip, stage)
            });
            Some(Task { node: layer.node, stage, joined })
        };
        let mut tasks: Vec<Task> = layers.iter().filter_map(task).collect();
        tasks.sort_by_key(|task| task.stage);
        tasks
    }

    /// Fits the first stages of `tasks`, as many as their targets fit into memory, and returns how many
    /// layers that are.
    fn fit_some(
        &self,
        model: &mut Model,
        tasks: &[Task],
        (known, report): (&mut Known, &mut Report),
    ) -> Result<usize> {
        let (mut done, mut bytes, mut layers) = (0, 0, Vec::new());
        for stage in tasks.chunk_by(|a, b| a.stage == b.stage) {
            let found: Vec<Layer> =
                stage.iter().filter_map(|&task| self.task(model, task)).collect();
            let columns: usize = found.iter().map(|layer| layer.gave.columns).sum();
            let more = columns * VECTORS * size_of::<f32>();
            if done > 0 && bytes + more > TARGETS {
                break;
            }
            bytes += more;
            done += stage.len();
            layers.extend(found);
        }
        let nodes = layers.iter().map(|layer| layer.node);
        let mut targets: HashMap<NodeId, Target> = nodes.zip(self.targets(&layers)?).collect();
        for stage in tasks[..done].chunk_by(|a, b| a.stage == b.stage) {
            // What was fitted may have given others their weights and biases.
            let stage: Vec<Layer> =
                stage.iter().filter_map(|&task| self.task(model, task)).collect();
            let target = |layer: &Layer| targets.remove(&layer.node).unwrap_or_default();
            let targets: Vec<Target> = stage.iter().map(target).collect();
            fit_stage(model, self.measure, (&stage, &targets), (&mut *known, &mut *report))?;
        }
        Ok(done)
    }

    /// Fits all layers, in order.
    fn fit(
        &self,
        model: &mut Model,
        tasks: &[Task],
        known: &mut Known,
        report: &mut Report,
    ) -> Result<()> {
        known.narrow.clear();
        let mut next = 0;
        while next < tasks.len() {
            next += self.fit_some(model, &tasks[next..], (&mut *known, &mut *report))?;
        }
        Ok(())
    }

    fn targets(&self, layers: &[Layer]) -> Result<Vec<Target>> {
        let asked: Vec<_> = layers.iter().map(|layer| layer.gave.clone()).collect();
        let mut targets: Vec<Target> = vec![Vec::new(); layers.len()];
        show(self.reference, self.measure, &asked, &mut |runs| {
            for (i, target) in targets.iter_mut().enumerate() {
                let left = |rows: Vec<f32>| match &layers[i].kept {
                    None => rows,
                    Some(kept) => {
                        let rows = rows.chunks_exact(layers[i].gave.columns);
                        rows.flat_map(|row| kept.iter().filter_map(|&c| row.get(c).copied()))
                            .collect()
                    }
                };
                target.extend(
                    runs.iter().map(|run| Some(left(run.rows[i].as_ref()?.to_f32().ok()?))),
                );
            }
        })?;
        Ok(targets)
    }
}

/// Runs the part of a model that makes what is asked for, and nothing behind it.
fn show(
    model: &Model,
    measure: &dyn Measure,
    asked: &[Vectors],
    see: &mut dyn FnMut(&[RunRows]),
) -> Result<()> {
    let mut values: Vec<ValueId> = asked.iter().map(|asked| asked.value).collect();
    values.sort_unstable();
    values.dedup();
    measure.rows(&model.part(&[], &values), asked, VECTORS, see)
}

/// Fits layers that do not depend on each other.
fn fit_stage(
    model: &mut Model,
    measure: &dyn Measure,
    (stage, targets): (&[Layer], &[Target]),
    (known, report): (&mut Known, &mut Report),
) -> Result<()> {
    let mut asked: Vec<_> = stage.iter().map(|layer| layer.reads.clone()).collect();
    // For each layer, where its skip connection is shown.
    let skips: Vec<Option<usize>> = stage
        .iter()
        .map(|layer| {
            let skip = layer.skip.clone()?;
            asked.push(skip);
            Some(asked.len() - 1)
        })
        .collect();
    let mut sums: Vec<Sums> = stage.iter().map(Sums::none).collect();
    let mut first = 0;
    show(model, measure, &asked, &mut |runs| {
        sums.par_iter_mut().enumerate().for_each(|(i, sums)| {
            for (at, run) in runs.iter().enumerate() {
                sums.add(&stage[i], run, (i, skips[i]), targets[i].get(first + at));
            }
        });
        first += runs.len();
    })?;
    let fitted: Vec<Option<Option<Fitted>>> = stage
        .par_iter()
        .zip(&sums)
        .map(|(layer, sums)| sums.is_usable().then(|| best(layer, sums, known.to(layer.node))))
        .collect();
    for (layer, sums) in stage.iter().zip(&sums) {
        let (rows, columns) = sums.extent();
        if sums.is_usable() && rows < columns as u64 {
            known.narrow.push((layer.node, rows, columns));
        }
    }
    for (layer, fitted) in stage.iter().zip(fitted) {
        let place = model.label(layer.node);
        match fitted {
            None => report.refuse(
                place,
                "nothing is known of what it reads: no samples, or no finite floats",
            ),
            Some(None) => {
                report.refuse(place, "stays as it is: nothing is better on held-out samples");
            }
            Some(Some(Fitted { affine, way })) => {
                known.chosen.insert(layer.node, way);
                let Way { errors, signal, .. } = way;
                if !layer.put(model, &affine) {
                    report.refuse(place, "stays as it is: its type cannot hold what was fitted");
                    continue;
                }
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
