//! Orbits and groups of orbits, out of the relations of all nodes.

use std::collections::{BTreeMap, HashMap, HashSet};

use crate::analysis::channels::follow::{Contraction, Follow, Operand};
use crate::analysis::channels::reason::{Frozen, Reason};
use crate::analysis::channels::site::Relations;
use crate::analysis::channels::space::{Axis, AxisId};
use crate::ir::ValueId;

/// What can be cut out of a model, and why the rest cannot.
#[derive(Debug, Clone)]
pub struct Channels {
    /// All axes that are followed.
    pub axes: Vec<Axis>,
    /// Groups of orbits, in the order of their first axes.
    pub groups: Vec<Group>,
    /// For each axis with indices that cannot be cut: the reason, and how many.
    pub frozen: BTreeMap<AxisId, (Frozen, usize)>,
    /// What follows the extents of axes.
    pub follow: Vec<Follow>,
    /// Sums of products.
    pub contractions: Vec<Contraction>,
}

/// Orbits that are alike: the same axes, equally often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    /// Where each orbit has indices.
    pub members: Vec<Member>,
    /// The orbits, in the order of their first elements. Any number may be cut, not all.
    pub orbits: Vec<Orbit>,
    /// An orbit is a head of an attention: it counts products of a batch.
    pub heads: bool,
}

/// An axis on which a group has indices.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Member {
    /// The axis.
    pub axis: AxisId,
    /// Indices of each orbit on it.
    pub indices: usize,
}

/// Elements that can only be cut together.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Orbit {
    /// Axis and index, sorted.
    pub elements: Vec<(AxisId, usize)>,
}

impl Orbit {
    /// Its indices on an axis, sorted.
    pub fn on(&self, axis: AxisId) -> impl Iterator<Item = usize> {
        let start = self.elements.partition_point(|&(other, _)| other < axis);
        self.elements[start..].iter().take_while(move |e| e.0 == axis).map(|e| e.1)
    }
}

impl Channels {
    /// The axes of a value that are followed.
    pub fn axes_of(&self, value: ValueId) -> impl Iterator<Item = (AxisId, &Axis)> {
        // Axes are numbered in the order of values.
        let start = self.axes.partition_point(|axis| axis.value.index() < value.index());
        let axes = self.axes.iter().enumerate().skip(start);
        axes.take_while(move |(_, axis)| axis.value == value)
    }

    /// The sums that run over channels of a group.
    pub fn sums(&self, group: &Group) -> Vec<&Contraction> {
        let members: HashSet<AxisId> = group.members.iter().map(|member| member.axis).collect();
        let within = |operand: &Operand| operand.id.is_some_and(|id| members.contains(&id));
        self.contractions.iter().filter(|sum| sum.operands.iter().any(within)).collect()
    }
}

/// The orbits of the sets that are free, grouped by where they are; a group that leaves no choice is
/// frozen.
pub(super) fn collect(relations: Relations) -> Channels {
    let Relations { mut space, follow, contractions, .. } = relations;
    let mut orbits: BTreeMap<usize, Vec<(AxisId, usize)>> = BTreeMap::new();
    let mut frozen: BTreeMap<AxisId, (Frozen, usize)> = BTreeMap::new();
    for (id, axis) in space.axes.clone().iter().enumerate() {
        for (index, element) in axis.elements().enumerate() {
            match space.sets.frozen(element) {
                None => orbits.entry(space.sets.find(element)).or_default().push((id, index)),
                Some(reason) => {
                    let reason = || (space.sets.reasons[reason].clone(), 0);
                    frozen.entry(id).or_insert_with(reason).1 += 1;
                }
            }
        }
    }
    let operands = contractions.iter().flat_map(|sum: &Contraction| &sum.operands);
    let summed: HashSet<AxisId> = operands.filter_map(|operand| operand.id).collect();
    let mut slots: HashMap<Vec<Member>, usize> = HashMap::new();
    let mut groups: Vec<Group> = Vec::new();
    for (root, elements) in orbits {
        let mut members: Vec<Member> = Vec::new();
        for &(axis, _) in &elements {
            match members.last_mut().filter(|member| member.axis == axis) {
                Some(member) => member.indices += 1,
                None => members.push(Member { axis, indices: 1 }),
            }
        }
        let slot = *slots.entry(members.clone()).or_insert_with(|| {
            groups.push(Group { members, orbits: Vec::new(), heads: space.sets.is_batch(root) });
            groups.len() - 1
        });
        groups[slot].orbits.push(Orbit { elements });
    }
    groups.retain(|group| {
        // What no sum reads is the business of other passes.
        let summed = group.members.iter().any(|member| summed.contains(&member.axis));
        let choice = group.orbits.len() > 1;
        for member in group.members.iter().filter(|_| !choice) {
            let whole = Frozen { reason: Reason::Whole, node: None };
            frozen.entry(member.axis).or_insert((whole, 0)).1 += member.indices;
        }
        choice && summed
    });
    Channels { axes: space.axes, groups, frozen, follow, contractions }
}
