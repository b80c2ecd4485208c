//! How much an orbit matters to the layers that read it, on samples.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rayon::prelude::*;

use crate::analysis::channels::{self, AxisId, Channels, Group};
use crate::analysis::{Contraction, Measure, VectorMoments, WEIGHT_SLOT, constant};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::math::surgeon::{Reader, removal_costs};
use crate::math::{Fingerprint, Moments};
use crate::passes::prune::prune_channels::score::Importance;

/// Scores of each group, where there are any.
type Scores = Vec<Option<Vec<f64>>>;

/// Remembers scores of models that were measured; clones share what they know.
#[derive(Debug, Clone, Default)]
pub struct Measured(Arc<Mutex<HashMap<u64, Scores>>>);

impl PartialEq for Measured {
    /// What is remembered changes no result.
    fn eq(&self, _: &Self) -> bool {
        true
    }
}

/// Most columns of a layer whose inputs are weighed against each other; of wider ones each is weighed by
/// itself.
const MOST_COLUMNS: usize = 2304;
/// Bytes of second moments that are in memory at once.
const CHUNK: usize = 256 << 20;
/// Added to the variance of each input, in units of their mean: what is less is not known.
const DAMPING: f64 = 1e-3;

/// On which samples channels are weighed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    /// Those on which nothing is judged.
    Fitting,
    /// All.
    All,
}

/// What was seen of the vectors of one group.
fn seen(fitting: &Moments, held_out: &Moments, part: Part) -> Moments {
    let mut seen = fitting.clone();
    if part == Part::All {
        seen.merge(held_out);
    }
    seen
}

/// A layer that sums over indices of groups.
struct Consumer {
    contraction: Contraction,
    /// The axis of its input that it sums over.
    axis: AxisId,
    weights: Vec<f64>,
    /// Input channels of each of its groups, and columns for each.
    inputs: usize,
    places: usize,
}

impl Consumer {
    fn of(model: &Model, channels: &Channels, node: NodeId, axis: AxisId) -> Option<Self> {
        let tensor = constant(model, model.node(node).input(WEIGHT_SLOT)?)?;
        let contraction = Contraction::of(model, node, tensor.dims()).ok()?;
        let inputs = channels.axes[axis].extent.checked_div(contraction.groups)?;
        let places = contraction.columns.checked_div(inputs)?;
        let weights = contraction.matrices(&tensor.to_f64().ok()?);
        Some(Self { contraction, axis, weights, inputs, places })
    }

    /// For each of its groups the columns of some input channels.
    fn columns(&self, channels: impl Iterator<Item = usize>) -> BTreeMap<usize, Vec<usize>> {
        let mut columns: BTreeMap<usize, Vec<usize>> = BTreeMap::new();
        for channel in channels {
            let (group, within) = (channel / self.inputs, channel % self.inputs);
            let places = within * self.places..(within + 1) * self.places;
            columns.entry(group).or_default().extend(places);
        }
        columns
    }
}

impl Measured {
    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Scores>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What was learned of a model: a score for each orbit of each group. Nothing for groups that no layer
    /// with constant weights reads, or of which nothing was seen.
    pub(super) fn of(&self, model: &Model, channels: &Channels, importance: Importance) -> Scores {
        let known = if importance.needs_samples() {
            self.lock().get(&key(model, importance)).cloned()
        } else {
            None
        };
        let known = known.filter(|known| known.len() == channels.groups.len());
        known.unwrap_or_else(|| vec![None; channels.groups.len()])
    }

    /// Learns the scores of a model, unless they are known.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub(super) fn learn(
        &self,
        model: &Model,
        channels: &Channels,
        importance: Importance,
        (measure, part): (&dyn Measure, Part),
    ) -> Result<()> {
        let key = key(model, importance);
        if !importance.needs_samples() || self.lock().contains_key(&key) {
            return Ok(());
        }
        let scores = scores(model, channels, importance, (measure, part))?;
        self.lock().insert(key, scores);
        Ok(())
    }
}

fn scores(
    model: &Model,
    channels: &Channels,
    importance: Importance,
    (measure, part): (&dyn Measure, Part),
) -> Result<Scores> {
    let consumers = consumers(model, channels);
    let readers: Vec<Vec<NodeId>> = channels
        .groups
        .iter()
        .map(|group| {
            let nodes = channels.sums(group).into_iter().map(|sum| sum.node);
            let reads = |node: &NodeId| {
                let axis = consumers.get(node).map(|consumer| consumer.axis);
                group.members.iter().any(|member| Some(member.axis) == axis)
            };
            nodes.filter(reads).collect::<BTreeSet<NodeId>>().into_iter().collect()
        })
        .collect();
    let mut scores: Scores = Vec::new();
    while scores.len() < channels.groups.len() {
        let start = scores.len();
        let (mut end, mut nodes) = (start, BTreeSet::new());
        let bytes = |nodes: &BTreeSet<NodeId>| -> usize {
            nodes.iter().map(|node| consumers[node].contraction.moment_bytes()).sum()
        };
        while end < readers.len() && (end == start || bytes(&nodes) <= CHUNK) {
            nodes.extend(&readers[end]);
            end += 1;
        }
        let wide = |node: &NodeId| {
            importance == Importance::Obs && consumers[node].contraction.columns <= MOST_COLUMNS
        };
        let asked: Vec<_> =
            nodes.iter().map(|node| consumers[node].contraction.vectors(wide(node))).collect();
        let found = measure.moments(model, &asked)?;
        let pairs: Vec<_> = nodes.into_iter().zip(found).collect();
        let moments: BTreeMap<NodeId, Vec<Moments>> = pairs
            .into_par_iter()
            .filter_map(|(node, found)| {
                let VectorMoments { fitting, held_out } = found.filter(VectorMoments::is_usable)?;
                let groups = fitting.iter().zip(&held_out);
                Some((node, groups.map(|(a, b)| seen(a, b, part)).collect()))
            })
            .collect();
        let score = |i: usize| {
            let seen = readers[i]
                .iter()
                .filter_map(|node| Some((&consumers[node], moments.get(node)?.as_slice())));
            let seen: Vec<(&Consumer, &[Moments])> = seen.collect();
            // What one of the readers would miss is no less missed for want of samples.
            let all = !seen.is_empty() && seen.len() == readers[i].len();
            all.then(|| weigh(&channels.groups[i], &seen, importance))
        };
        scores.extend((start..end).into_par_iter().map(score).collect::<Vec<_>>());
    }
    Ok(scores)
}

/// The layers with constant weights that sum over axes that are followed.
fn consumers(model: &Model, channels: &Channels) -> BTreeMap<NodeId, Consumer> {
    let consumer = |sum: &channels::Contraction| {
        let axis = sum.operands.iter().find(|operand| operand.slot == 0)?.id?;
        Some((sum.node, Consumer::of(model, channels, sum.node, axis)?))
    };
    channels.contractions.iter().filter_map(consumer).collect()
}

/// What scores depend on, besides the samples.
fn key(model: &Model, importance: Importance) -> u64 {
    let mut digest = Fingerprint::default();
    digest.add(importance.name().as_bytes());
    for (_, value) in model.values() {
        digest.add(value.name().as_bytes());
        if let Some(tensor) = value.initializer() {
            digest.add(tensor.bytes());
        }
    }
    digest.finish()
}

fn weigh(group: &Group, seen: &[(&Consumer, &[Moments])], importance: Importance) -> Vec<f64> {
    let single = |orbit: usize| -> f64 {
        seen.iter()
            .map(|(consumer, moments)| {
                let columns = consumer.columns(group.orbits[orbit].on(consumer.axis));
                let in_group = columns.iter().map(|(&g, columns)| {
                    columns
                        .iter()
                        .map(|&c| alone(consumer, &moments[g], (g, c), importance))
                        .sum::<f64>()
                });
                in_group.sum::<f64>()
            })
            .sum()
    };
    let dense = seen.iter().all(|(_, moments)| moments.iter().all(Moments::has_products));
    if importance != Importance::Obs || !dense {
        let sums: Vec<f64> = (0..group.orbits.len()).map(single).collect();
        let mean = sums.iter().sum::<f64>() / sums.len().max(1) as f64;
        return sums.into_iter().map(|sum| if mean > 0.0 { sum / mean } else { sum }).collect();
    }
    let mut readers: Vec<Reader> = Vec::new();
    for (consumer, moments) in seen {
        let Contraction { groups, rows, columns, .. } = consumer.contraction;
        let columns_of: Vec<BTreeMap<usize, Vec<usize>>> =
            group.orbits.iter().map(|orbit| consumer.columns(orbit.on(consumer.axis))).collect();
        let mut of_consumer = Vec::new();
        for g in 0..groups {
            let blocks: Vec<Vec<usize>> =
                columns_of.iter().map(|of| of.get(&g).cloned().unwrap_or_default()).collect();
            let centre = moments[g].mean();
            let (Some(covariance), true) =
                (moments[g].about(&centre), blocks.iter().any(|block| !block.is_empty()))
            else {
                continue;
            };
            let weights = consumer.weights[g * rows * columns..][..rows * columns].to_vec();
            of_consumer.push(Reader { columns, weights, covariance, blocks, weight: 1.0 });
        }
        let variance: f64 = of_consumer.iter().map(Reader::variance).sum();
        let weight = if variance > 0.0 { 1.0 / variance } else { 0.0 };
        readers.extend(of_consumer.into_iter().map(|reader| Reader { weight, ..reader }));
    }
    removal_costs(readers, group.orbits.len(), DAMPING)
}

/// What a column gives, by itself.
fn alone(
    consumer: &Consumer,
    moments: &Moments,
    (group, column): (usize, usize),
    importance: Importance,
) -> f64 {
    let square = moments.square(column);
    if importance == Importance::Activation {
        return square;
    }
    let Contraction { rows, columns, .. } = consumer.contraction;
    let weights = &consumer.weights[group * rows * columns..][..rows * columns];
    let norm: f64 = weights.iter().skip(column).step_by(columns).map(|w| w.abs()).sum();
    norm * square.sqrt()
}
