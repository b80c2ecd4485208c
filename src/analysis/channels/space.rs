//! Elements (an index along an axis of a value) and the sets of those that can only be cut together.

use crate::analysis::Shapes;
use crate::analysis::channels::reason::{Frozen, Reason};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::UnionFind;

/// Largest extent of an axis that is followed; channels are thousands, and a larger axis counts
/// words, pixels or samples.
const MAX_EXTENT: usize = 1 << 16;

/// Elements of all axes together (a few dozen bytes each); values beyond are not followed.
const MAX_ELEMENTS: usize = 1 << 23;

/// Number of an axis among those that are followed.
pub type AxisId = usize;

/// An axis of a value, of a known extent above 1.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Axis {
    /// The value.
    pub value: ValueId,
    /// Position of the axis.
    pub axis: usize,
    /// Number of indices.
    pub extent: usize,
    /// Element of index 0.
    pub(super) first: usize,
}

/// Sets of elements; a set is frozen as soon as one of its elements is.
#[derive(Debug, Clone)]
pub(super) struct Sets {
    union: UnionFind,
    /// At the representative: 1 + the number of the reason, 0 for sets that are free.
    frozen: Vec<u32>,
    /// At the representative: the axis counts the products of a batch.
    batch: Vec<bool>,
    pub reasons: Vec<Frozen>,
}

impl Sets {
    fn new(len: usize) -> Self {
        let union = UnionFind::new(len);
        Self { union, frozen: vec![0; len], batch: vec![false; len], reasons: Vec::new() }
    }

    pub fn find(&mut self, element: usize) -> usize {
        self.union.find(element)
    }

    pub fn join(&mut self, a: usize, b: usize) {
        let (a, b) = (self.find(a), self.find(b));
        self.union.join(a, b);
        let root = self.find(a);
        self.frozen[root] = if self.frozen[a] == 0 { self.frozen[b] } else { self.frozen[a] };
        self.batch[root] = self.batch[a] || self.batch[b];
    }

    pub fn frozen(&mut self, element: usize) -> Option<usize> {
        let root = self.find(element);
        (self.frozen[root] as usize).checked_sub(1)
    }

    /// Freezes all indices of an axis.
    pub fn freeze(&mut self, axis: &Axis, node: Option<NodeId>, reason: Reason) {
        self.reasons.push(Frozen { reason, node });
        for element in axis.elements() {
            let root = self.find(element);
            if self.frozen[root] == 0 {
                self.frozen[root] = u32::try_from(self.reasons.len()).unwrap_or(u32::MAX);
            }
        }
    }

    pub fn mark_batch(&mut self, axis: &Axis) {
        for element in axis.elements() {
            let root = self.find(element);
            self.batch[root] = true;
        }
    }

    pub fn is_batch(&mut self, element: usize) -> bool {
        let root = self.find(element);
        self.batch[root]
    }

    /// Sets along an axis that are free; two or more leave a choice.
    pub fn choices(&mut self, axis: &Axis) -> usize {
        let mut roots: Vec<usize> = Vec::with_capacity(axis.extent);
        for element in axis.elements() {
            if self.frozen(element).is_none() {
                roots.push(self.find(element));
            }
        }
        roots.sort_unstable();
        roots.dedup();
        roots.len()
    }
}

impl Axis {
    /// The part that is one index.
    pub(super) fn at(&self, index: usize) -> Self {
        Self { first: self.first + index, extent: 1, ..*self }
    }

    pub(super) fn elements(&self) -> std::ops::Range<usize> {
        self.first..self.first + self.extent
    }
}

/// All axes of a model that are followed.
#[derive(Debug, Clone)]
pub(super) struct Space {
    pub axes: Vec<Axis>,
    /// By value: the numbers of its axes.
    of_value: Vec<Vec<Option<AxisId>>>,
    pub sets: Sets,
}

impl Space {
    /// The axes of the values of the main graph.
    pub fn new(model: &Model, shapes: &Shapes) -> Self {
        let size = model.values().map(|(id, _)| id.index() + 1).max().unwrap_or(0);
        let (mut axes, mut of_value, mut first) = (Vec::new(), vec![Vec::new(); size], 0);
        for (id, value) in model.values().filter(|(_, value)| value.graph() == model.main()) {
            let Some(dims) = shapes.dims(id) else { continue };
            let wanted = |extent: &usize| (2..=MAX_EXTENT).contains(extent);
            let extents: Vec<_> = dims.iter().map(|dim| dim.extent().filter(wanted)).collect();
            let total: usize = extents.iter().flatten().sum();
            if first + total > MAX_ELEMENTS {
                continue;
            }
            let mut number = |(axis, extent): (usize, &Option<usize>)| {
                let extent = (*extent)?;
                axes.push(Axis { value: id, axis, extent, first });
                first += extent;
                debug_assert!(value.graph() == model.main());
                Some(axes.len() - 1)
            };
            of_value[id.index()] = extents.iter().enumerate().map(&mut number).collect();
        }
        Self { axes, of_value, sets: Sets::new(first) }
    }

    /// The axis of a value when it is followed.
    pub fn axis(&self, value: ValueId, axis: usize) -> Option<AxisId> {
        *self.of_value.get(value.index())?.get(axis)?
    }

    /// All axes of a value that are followed.
    pub fn axes_of(&self, value: ValueId) -> impl Iterator<Item = AxisId> {
        self.of_value.get(value.index()).into_iter().flatten().flatten().copied()
    }

    pub fn freeze_value(&mut self, value: ValueId, node: Option<NodeId>, reason: &Reason) {
        for axis in self.axes_of(value).collect::<Vec<_>>() {
            self.sets.freeze(&self.axes[axis], node, reason.clone());
        }
    }
}
