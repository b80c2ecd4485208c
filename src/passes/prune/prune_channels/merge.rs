//! Repair without samples: what is cut is taken for a multiple of something similar that stays.
//!
//! Kim, Kim and Kim, "Neuron Merging: Compensating for Pruned Neurons", 2020.

use std::collections::BTreeSet;

use crate::analysis::channels::{AxisId, Channels, Group, Orbit};
use crate::analysis::constant;
use crate::ir::ops::Conv;
use crate::ir::{Model, ValueId};
use crate::tensor::{DType, Tensor};

/// Least cosine between the weights that make two orbits for one to stand for the other: less similar ones
/// say nothing of each other.
const SIMILAR: f64 = 0.4;

/// Weights along an axis.
struct Along {
    axis: AxisId,
    value: ValueId,
    elements: Vec<f32>,
    dtype: DType,
    dims: Vec<usize>,
    at: usize,
}

impl Along {
    fn of(model: &Model, channels: &Channels, axis: AxisId) -> Option<Self> {
        let found = &channels.axes[axis];
        let tensor = constant(model, found.value)
            .filter(|tensor| matches!(tensor.dtype(), DType::Float | DType::Float16))?;
        let (dims, elements) = (tensor.dims().to_vec(), tensor.to_f32().ok()?);
        let dtype = tensor.dtype();
        Some(Self { axis, value: found.value, elements, dtype, dims, at: found.axis })
    }

    /// The places of the elements at an index.
    fn places(&self, index: usize) -> impl Iterator<Item = usize> + use<> {
        let inner: usize = self.dims[self.at + 1..].iter().product();
        let extent = self.dims[self.at];
        let outer: usize = self.dims[..self.at].iter().product();
        (0..outer).flat_map(move |o| (0..inner).map(move |i| (o * extent + index) * inner + i))
    }

    fn of_orbit(&self, orbit: &Orbit) -> Vec<f64> {
        let places = orbit.on(self.axis).flat_map(|index| self.places(index));
        places.map(|place| f64::from(self.elements[place])).collect()
    }
}

/// Adds to the weights that read an orbit that stays those that read orbits of which it makes a multiple;
/// `gone` are the orbits of `group` that will be cut. That is exact behind a Relu when weights and biases
/// that make them are in proportion. Returns for how many a stand-in was found.
pub(super) fn merge(
    model: &mut Model,
    channels: &Channels,
    group: &Group,
    gone: &[&Orbit],
) -> usize {
    // Heads attend to other places; a depthwise Conv changes what is similar.
    let through = |axis: AxisId| {
        let value = model.value(channels.axes[axis].value);
        let mut readers = value.consumers().filter(|&(_, slot)| slot == 1);
        readers.any(|(node, _)| Conv::of(model, node).is_some_and(|conv| conv.group > 1))
    };
    if group.heads || group.members.iter().any(|member| through(member.axis)) {
        return 0;
    }
    let sums = channels.sums(group);
    let operands = sums.iter().flat_map(|sum| &sum.operands);
    let summed: BTreeSet<AxisId> = operands.filter_map(|operand| operand.id).collect();
    let along = group.members.iter().filter_map(|m| Along::of(model, channels, m.axis));
    let (mut read, made): (Vec<Along>, Vec<Along>) =
        along.partition(|along| summed.contains(&along.axis));
    let own = |along: &Along| {
        let value = model.value(along.value);
        value.initializer().is_some() && value.only_consumer().is_some()
    };
    if made.is_empty() || read.len() != sums.len() || !read.iter().all(own) {
        return 0;
    }
    let makes = |orbit: &Orbit| -> Vec<f64> {
        made.iter().flat_map(|along| along.of_orbit(orbit)).collect()
    };
    let dot = |a: &[f64], b: &[f64]| a.iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let stays = group.orbits.iter().filter(|orbit| !gone.contains(orbit));
    let stays: Vec<(&Orbit, Vec<f64>)> = stays.map(|orbit| (orbit, makes(orbit))).collect();
    let mut merged = 0;
    for orbit in gone {
        let lost = makes(orbit);
        let cosine = |of: &[f64]| dot(of, &lost) / (dot(of, of) * dot(&lost, &lost)).sqrt();
        let nearest = stays.iter().map(|(stand_in, of)| (cosine(of), stand_in, of));
        let nearest = nearest.filter(|found| found.0 >= SIMILAR).max_by(|a, b| a.0.total_cmp(&b.0));
        let Some((_, stand_in, of)) = nearest else { continue };
        let scale = dot(of, &lost) / dot(of, of);
        for along in &mut read {
            for (from, to) in orbit.on(along.axis).zip(stand_in.on(along.axis)) {
                for (from, to) in along.places(from).zip(along.places(to)) {
                    along.elements[to] += (scale * f64::from(along.elements[from])) as f32;
                }
            }
        }
        merged += 1;
    }
    let stored =
        |along: &Along| Tensor::from_f32_as(along.dtype, &along.dims, &along.elements).ok();
    let Some(tensors) = read.iter().map(stored).collect::<Option<Vec<_>>>() else { return 0 };
    for (along, tensor) in read.iter().zip(tensors).filter(|_| merged > 0) {
        model.set_tensor(along.value, tensor);
    }
    merged
}
