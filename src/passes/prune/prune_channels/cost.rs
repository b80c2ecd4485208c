//! What a model costs when some orbits are gone, without cutting it.

use std::collections::{BTreeMap, HashMap};

use crate::analysis::channels::{AxisId, Channels, Contraction, Operand};
use crate::analysis::{Assume, Cost, Shapes, constant};
use crate::ir::{Model, ValueId};
use crate::passes::budget::Resource;

/// A sum of products over axes: each tensor, or layer, costs in proportion to what is left of the axes
/// that it has.
#[derive(Debug, Clone)]
pub(super) struct CostModel {
    terms: Vec<Term>,
    /// The terms in which an axis is.
    on: BTreeMap<AxisId, Vec<usize>>,
    /// For each group its axes, and the share of them that one orbit is.
    groups: Vec<Vec<(AxisId, f64)>>,
    /// What is left of each axis.
    left: HashMap<AxisId, f64>,
}

#[derive(Debug, Clone)]
struct Term {
    whole: f64,
    axes: Vec<AxisId>,
}

impl CostModel {
    /// The cost of `model` with inputs as `at` says, of which nothing is gone yet.
    pub fn of(model: &Model, channels: &Channels, resource: Resource, at: &Assume) -> Self {
        let terms = match resource {
            Resource::Channels => Vec::new(),
            Resource::Macs => layers(model, channels, at),
            Resource::Parameters | Resource::WeightBytes => tensors(model, channels, resource),
        };
        let share =
            |axis: AxisId, indices: usize| indices as f64 / channels.axes[axis].extent as f64;
        let groups = channels.groups.iter().map(|group| {
            let members = group.members.iter();
            members.map(|member| (member.axis, share(member.axis, member.indices))).collect()
        });
        let mut found =
            Self { terms, on: BTreeMap::new(), groups: groups.collect(), left: HashMap::new() };
        if resource == Resource::Channels {
            // Each orbit counts 1, on an axis of its own beside those of the model.
            for (i, group) in channels.groups.iter().enumerate() {
                let axis = channels.axes.len() + i;
                let all = group.orbits.len() as f64;
                found.terms.push(Term { whole: all, axes: vec![axis] });
                found.groups[i].push((axis, 1.0 / all));
            }
        }
        for (i, term) in found.terms.iter().enumerate() {
            term.axes.iter().for_each(|&axis| found.on.entry(axis).or_default().push(i));
        }
        found
    }

    /// Groups that share nothing, by what each costs and how many orbits it has.
    #[cfg(test)]
    pub fn of_groups(groups: &[(f64, usize)]) -> Self {
        let term = |(axis, &(whole, _))| Term { whole, axes: vec![axis] };
        let share = |(axis, &(_, orbits))| vec![(axis, 1.0 / orbits as f64)];
        Self {
            terms: groups.iter().enumerate().map(term).collect(),
            on: (0..groups.len()).map(|axis| (axis, vec![axis])).collect(),
            groups: groups.iter().enumerate().map(share).collect(),
            left: HashMap::new(),
        }
    }

    /// What is left of everything.
    pub fn total(&self) -> f64 {
        self.terms.iter().map(|term| self.worth(term)).sum()
    }

    fn worth(&self, term: &Term) -> f64 {
        let left = |axis: &AxisId| self.left.get(axis).copied().unwrap_or(1.0).max(0.0);
        term.whole * term.axes.iter().map(left).product::<f64>()
    }

    /// Takes `orbits` of a group away.
    pub fn take(&mut self, group: usize, orbits: usize) {
        self.change(group, -(orbits as f64));
    }

    /// Gives `orbits` of a group back.
    pub fn give_back(&mut self, group: usize, orbits: usize) {
        self.change(group, orbits as f64);
    }

    fn change(&mut self, group: usize, orbits: f64) {
        for &(axis, share) in &self.groups[group] {
            *self.left.entry(axis).or_insert(1.0) += share * orbits;
        }
    }

    /// What taking `orbits` of a group away would save.
    pub fn saved(&mut self, group: usize, orbits: usize) -> f64 {
        -self.changed(group, -(orbits as f64))
    }

    /// What giving `orbits` of a group back would add.
    pub fn added(&mut self, group: usize, orbits: usize) -> f64 {
        self.changed(group, orbits as f64)
    }

    fn changed(&mut self, group: usize, orbits: f64) -> f64 {
        let axes = &self.groups[group];
        let touched = axes.iter().filter_map(|(axis, _)| self.on.get(axis)).flatten();
        let mut touched: Vec<usize> = touched.copied().collect();
        touched.sort_unstable();
        touched.dedup();
        let sum = |costs: &Self| -> f64 {
            touched.iter().map(|&term| costs.worth(&costs.terms[term])).sum()
        };
        let before = sum(self);
        let old = |(axis, _): &(AxisId, f64)| (*axis, self.left.get(axis).copied().unwrap_or(1.0));
        let kept: Vec<_> = axes.iter().map(old).collect();
        self.change(group, orbits);
        let after = sum(self);
        self.left.extend(kept);
        after - before
    }
}

/// The axes of a value that are followed.
fn axes_of(channels: &Channels, value: ValueId) -> Vec<AxisId> {
    channels.axes_of(value).map(|(id, _)| id).collect()
}

/// A layer multiplies each element of its output with each index of what it sums over. Of a layer with
/// several sums (recurrent ones), each has its share.
fn layers(model: &Model, channels: &Channels, at: &Assume) -> Vec<Term> {
    let cost = Cost::of(model, &Shapes::infer(model, at));
    let mut sums: HashMap<_, Vec<&Contraction>> = HashMap::new();
    channels.contractions.iter().for_each(|sum| sums.entry(sum.node).or_default().push(sum));
    let mut terms = Vec::new();
    for layer in &cost.layers {
        let whole = layer.macs.unwrap_or(0) as f64;
        let output = model.node(layer.node).outputs().iter().flatten().next();
        let axes = output.map_or(Vec::new(), |&output| axes_of(channels, output));
        let summed = |sum: &&Contraction| {
            let id = sum.operands.iter().find_map(|operand: &Operand| operand.id)?;
            Some((id, channels.axes[id].extent as f64))
        };
        let found = sums.get(&layer.node).map_or(&[][..], Vec::as_slice);
        let summed: Vec<_> = found.iter().filter_map(summed).collect();
        if summed.is_empty() {
            terms.push(Term { whole, axes });
            continue;
        }
        let all: f64 = summed.iter().map(|(_, extent)| extent).sum();
        for (id, extent) in summed {
            let axes = axes.iter().copied().chain([id]).collect();
            terms.push(Term { whole: whole * extent / all, axes });
        }
    }
    terms
}

/// Every stored tensor.
fn tensors(model: &Model, channels: &Channels, resource: Resource) -> Vec<Term> {
    let stored = model.values().filter_map(|(id, _)| Some((id, constant(model, id)?)));
    let term = |(id, tensor): (ValueId, crate::tensor::Tensor)| {
        let whole = match resource {
            Resource::WeightBytes => tensor.byte_size(),
            _ => tensor.len(),
        };
        Term { whole: whole as f64, axes: axes_of(channels, id) }
    };
    stored.map(term).collect()
}
