//! How much an orbit matters.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::analysis::channels::{AxisId, Channels, Contraction, Group, Orbit};
use crate::analysis::{constant, dequantized};
use crate::ir::{Model, ValueId};
use crate::tensor::Tensor;

/// What the importance of an orbit is made of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Importance {
    /// Sum of the absolute weights of all its members.
    #[default]
    L1,
    /// Sum of the squared weights of all its members.
    L2,
    /// Half of each of these two sums.
    ElasticNet,
    /// Sum of the absolute scales of BatchNormalization.
    BnScale,
    /// Distance to the other channels of the group.
    Fpgm,
    /// Squares beside all squares that are no smaller.
    Lamp,
    /// What taking it away costs the layers that read it, when their other weights make up for it
    /// (structured Optimal Brain Surgeon). Needs samples.
    Obs,
    /// Sum of the absolute weights that read it, times the root mean square of what they read. Needs
    /// samples.
    Wanda,
    /// Mean square of what is read. Needs samples.
    Activation,
    /// Seeded noise: what any other choice must beat.
    Random,
}

impl Importance {
    /// All of them.
    pub const ALL: &[Self] = &[
        Self::L1,
        Self::L2,
        Self::ElasticNet,
        Self::BnScale,
        Self::Fpgm,
        Self::Lamp,
        Self::Obs,
        Self::Wanda,
        Self::Activation,
        Self::Random,
    ];

    /// It looks at what layers read on samples.
    pub fn needs_samples(self) -> bool {
        matches!(self, Self::Obs | Self::Wanda | Self::Activation)
    }

    /// The name, as options give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::L1 => "l1",
            Self::L2 => "l2",
            Self::ElasticNet => "elastic-net",
            Self::BnScale => "bn-scale",
            Self::Fpgm => "fpgm",
            Self::Lamp => "lamp",
            Self::Obs => "obs",
            Self::Wanda => "wanda",
            Self::Activation => "activation",
            Self::Random => "random",
        }
    }
}

/// Norms of the weights, index by index along the axes of groups.
pub(super) struct Norms {
    axes: BTreeMap<AxisId, Vec<f64>>,
}

impl Norms {
    /// Norms of all weights that groups have a part in: constants of two axes and more, for what
    /// shifts or scales a channel says little about its use.
    pub fn of(model: &Model, channels: &Channels, importance: Importance) -> Self {
        let members = channels.groups.iter().flat_map(|group| &group.members);
        let wanted: BTreeSet<AxisId> = members.map(|member| member.axis).collect();
        let mut by_value: BTreeMap<ValueId, Vec<AxisId>> = BTreeMap::new();
        for id in wanted {
            by_value.entry(channels.axes[id].value).or_default().push(id);
        }
        let mut axes = BTreeMap::new();
        for (value, ids) in by_value {
            let Some(weight) = weight(model, value).filter(|tensor| tensor.dims().len() > 1) else {
                continue;
            };
            let Ok(elements) = weight.to_f32() else { continue };
            for id in ids {
                let axis = channels.axes[id].axis;
                axes.insert(id, along(&elements, weight.dims(), axis, importance));
            }
        }
        Self { axes }
    }

    /// Sum over the members of an orbit.
    fn sum(&self, orbit: &Orbit) -> f64 {
        let norm = |&(axis, index): &(AxisId, usize)| self.axes.get(&axis)?.get(index);
        orbit.elements.iter().filter_map(norm).sum()
    }

    /// Whether every weight at the indices of an orbit on an axis is 0; false for what is no weight.
    fn is_zero(&self, axis: AxisId, orbit: &Orbit) -> bool {
        let norms = self.axes.get(&axis);
        norms.is_some_and(|norms| orbit.on(axis).all(|index| norms.get(index) == Some(&0.0)))
    }

    /// For each orbit of a group, whether no sum takes anything from it: where its indices are summed
    /// over, the weights are 0.
    pub fn dead(&self, channels: &Channels, group: &Group) -> Vec<bool> {
        let sums = channels.sums(group);
        let reads = |sum: &&&Contraction, orbit: &Orbit| {
            let mut ids = sum.operands.iter().filter_map(|operand| operand.id);
            ids.any(|id| orbit.on(id).next().is_some())
        };
        let gives_nothing = |orbit: &Orbit| {
            sums.iter().filter(|sum| reads(sum, orbit)).all(|sum| {
                let mut ids = sum.operands.iter().filter_map(|operand| operand.id);
                ids.any(|id| self.is_zero(id, orbit))
            })
        };
        group.orbits.iter().map(gives_nothing).collect()
    }
}

/// The numbers of a constant; of integers that a DequantizeLinear reads, what it makes of them.
pub(super) fn weight(model: &Model, value: ValueId) -> Option<Tensor> {
    let tensor = constant(model, value)?;
    if tensor.dtype().is_float() {
        return Some(tensor);
    }
    let (node, slot) = model.value(value).only_consumer()?;
    dequantized(model, node).filter(|_| slot == 0)
}

/// For each index of an axis, the norm of the elements there.
fn along(elements: &[f32], dims: &[usize], axis: usize, importance: Importance) -> Vec<f64> {
    let extent = dims[axis];
    let inner: usize = dims[axis + 1..].iter().product();
    let mut norms = vec![0.0; extent];
    for (i, run) in elements.chunks(inner.max(1)).enumerate() {
        let sum: f64 = match importance {
            Importance::L2 | Importance::Lamp => run.iter().map(|&x| f64::from(x).powi(2)).sum(),
            Importance::ElasticNet => {
                run.iter().map(|&x| f64::from(x.abs()).midpoint(f64::from(x).powi(2))).sum()
            }
            _ => run.iter().map(|&x| f64::from(x.abs())).sum(),
        };
        norms[i % extent] += sum;
    }
    norms
}

/// The importance of each orbit of a group, 1 on average, so that groups compare.
pub(super) fn scores(norms: &Norms, group: &Group, importance: Importance, seed: u64) -> Vec<f64> {
    if importance == Importance::Random {
        let first = |orbit: &Orbit| orbit.elements.first().copied().unwrap_or_default();
        let noise = |orbit| {
            let (axis, index) = first(orbit);
            mixed(mixed(mixed(seed).wrapping_add(axis as u64)).wrapping_add(index as u64))
        };
        return group.orbits.iter().map(|orbit| noise(orbit) as f64).collect();
    }
    let sums: Vec<f64> = group.orbits.iter().map(|orbit| norms.sum(orbit)).collect();
    let mean = sums.iter().sum::<f64>() / sums.len() as f64;
    let scale = if mean > 0.0 { mean } else { 1.0 };
    sums.into_iter().map(|sum| sum / scale).collect()
}

/// A step of SplitMix64 (Steele, Lea and Flood 2014).
fn mixed(state: u64) -> u64 {
    let mut z = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
