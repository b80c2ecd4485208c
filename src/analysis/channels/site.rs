//! What a rule sees and says: one node, and which indices of its inputs and outputs belong together.

use crate::analysis::channels::Options;
use crate::analysis::channels::extents::spot;
use crate::analysis::channels::follow::{Contraction, Follow, Operand};
use crate::analysis::channels::form::Form;
use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::space::{AxisId, Space};
use crate::analysis::{Shapes, Term, constant};
use crate::ir::{Model, Node, NodeId, ValueId, position};

/// An input or output of the node.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Port {
    In(usize),
    Out(usize),
}

/// An axis of an input or output.
pub(super) type At = (Port, usize);

/// What all rules together declare.
pub(super) struct Relations {
    pub space: Space,
    pub follow: Vec<Follow>,
    pub contractions: Vec<Contraction>,
    /// Changes of form that are decided once all else is known.
    pub forms: Vec<Form>,
}

/// One node. Every axis of its inputs and outputs that a rule does not speak of is frozen, so a rule
/// that forgets one is too careful, never wrong.
pub(super) struct Site<'a> {
    pub model: &'a Model,
    pub shapes: &'a Shapes,
    pub options: Options,
    pub id: NodeId,
    pub node: &'a Node,
    pub relations: &'a mut Relations,
    spoken: Vec<At>,
    /// Why the axes are frozen that the rule does not speak of.
    pub rest: Reason,
}

impl<'a> Site<'a> {
    pub fn new(
        model: &'a Model,
        shapes: &'a Shapes,
        options: Options,
        id: NodeId,
        relations: &'a mut Relations,
    ) -> Self {
        let node = model.node(id);
        let rest = Reason::Positions(node.op().to_owned());
        Self { model, shapes, options, id, node, relations, spoken: Vec::new(), rest }
    }

    pub fn op(&self) -> String {
        self.node.op().to_owned()
    }

    pub fn opset(&self) -> i64 {
        self.model.opset_in_force()
    }

    pub fn value(&self, port: Port) -> Option<ValueId> {
        match port {
            Port::In(slot) => self.node.input(slot),
            Port::Out(slot) => self.node.output(slot),
        }
    }

    pub fn ports(&self) -> impl Iterator<Item = Port> {
        let inputs = (0..self.node.inputs().len()).map(Port::In);
        inputs.chain((0..self.node.outputs().len()).map(Port::Out))
    }

    pub fn rank(&self, port: Port) -> Option<usize> {
        self.shapes.rank(self.value(port)?)
    }

    pub fn dims(&self, port: Port) -> Option<&'a [Term]> {
        self.shapes.dims(self.value(port)?)
    }

    /// Extent of an axis when it is a number.
    pub fn extent(&self, (port, axis): At) -> Option<usize> {
        self.dims(port)?.get(axis)?.extent()
    }

    /// An integer attribute as an axis of `port`.
    pub fn axis_attr(&self, name: &str, default: i64, port: Port) -> Option<usize> {
        position(self.node.attr_int(name).unwrap_or(default), self.rank(port)?)
    }

    /// Integers of a constant input.
    pub fn ints(&self, slot: usize) -> Option<Vec<i64>> {
        constant(self.model, self.node.input(slot)?)?.to_i64().ok()
    }

    pub fn axis(&self, (port, axis): At) -> Option<AxisId> {
        self.relations.space.axis(self.value(port)?, axis)
    }

    /// The axis can be cut as far as this node is concerned.
    pub fn free(&mut self, at: At) {
        self.spoken.push(at);
    }

    pub fn freeze(&mut self, at: At, reason: Reason) {
        self.spoken.push(at);
        if let Some(axis) = self.axis(at) {
            self.relations.space.sets.freeze(
                &self.relations.space.axes[axis],
                Some(self.id),
                reason,
            );
        }
    }

    /// Index `i` of `a` is cut with all `targets(i)` of `b`.
    pub fn relate<I: IntoIterator<Item = usize>>(
        &mut self,
        a: At,
        b: At,
        targets: impl Fn(usize) -> I,
    ) {
        let (Some(from), Some(to)) = (self.axis(a), self.axis(b)) else {
            // An axis of one index has nothing to cut; any other must not be cut alone.
            for at in [a, b] {
                self.freeze(at, Reason::Open);
            }
            return;
        };
        self.spoken.extend([a, b]);
        let space = &mut self.relations.space;
        let (from, to) = (space.axes[from], space.axes[to]);
        for i in 0..from.extent {
            for j in targets(i).into_iter().filter(|&j| j < to.extent) {
                space.sets.join(from.first + i, to.first + j);
            }
        }
    }

    /// Equal indices belong together.
    pub fn pass(&mut self, a: At, b: At) {
        let (x, y) = (self.axis(a), self.axis(b));
        let extent = |axis: Option<AxisId>| axis.map(|axis| self.relations.space.axes[axis].extent);
        if extent(x) == extent(y) {
            self.relate(a, b, Some);
        } else {
            self.freeze(a, Reason::Open);
            self.freeze(b, Reason::Open);
        }
    }

    /// Indices of equal `key` are cut together.
    pub fn tie(&mut self, at: At, key: impl Fn(usize) -> usize) {
        let Some(axis) = self.axis(at) else { return };
        let space = &mut self.relations.space;
        let axis = space.axes[axis];
        let mut first = std::collections::HashMap::new();
        for i in 0..axis.extent {
            let &mut start = first.entry(key(i)).or_insert(i);
            space.sets.join(axis.first + start, axis.first + i);
        }
    }

    /// The node sums products over two axes: equal indices belong together and go no further.
    pub fn contract(&mut self, a: At, b: At) {
        self.pass(a, b);
        self.contracted(&[a, b]);
    }

    /// Zeroing any of these axes at an index takes the index out of the sum. Inputs only.
    pub fn contracted(&mut self, ats: &[At]) {
        let inputs = ats.iter().filter_map(|&(port, axis)| match port {
            Port::In(slot) => Some(Operand { slot, axis, id: self.axis((port, axis)) }),
            Port::Out(_) => None,
        });
        let operands = inputs.collect();
        self.relations.contractions.push(Contraction { node: self.id, operands });
    }

    /// Equal axes of two ports, all but those `left_out`.
    pub fn same_but(&mut self, a: Port, b: Port, left_out: impl Fn(usize) -> bool) -> Option<()> {
        let rank = self.rank(a).filter(|&rank| self.rank(b) == Some(rank))?;
        for axis in (0..rank).filter(|&axis| !left_out(axis)) {
            self.pass((a, axis), (b, axis));
        }
        Some(())
    }

    /// Axes of `a` against those of `b`, aligned at the last one; extents of 1 stretch.
    pub fn broadcast(&mut self, a: Port, b: Port) -> Option<()> {
        let (rank, other) = (self.rank(a)?, self.rank(b)?);
        for axis in 0..rank.min(other) {
            let (x, y) = ((a, rank - 1 - axis), (b, other - 1 - axis));
            if self.extent(x) != Some(1) {
                self.pass(x, y);
            }
        }
        Some(())
    }

    /// An attribute that counts what the axis counts, and shrinks with it.
    pub fn attribute(&mut self, name: &'static str, at: At) {
        if let (Some(axis), Some(count)) = (self.axis(at), self.node.attr_int(name)) {
            let follow = Follow::Attribute { node: self.id, name, count, axis };
            self.relations.follow.push(follow);
        }
    }

    /// Element `index` of input `slot` is the extent of `at`; the axis is frozen where that cannot be
    /// set.
    pub fn extent_of(&mut self, slot: usize, index: usize, at: At) {
        let Some(axis) = self.axis(at) else { return };
        let operand = self.node.input(slot);
        match operand.and_then(|operand| spot(self.model, self.shapes, operand, index)) {
            Some(spot) => {
                self.relations.follow.push(Follow::Extent { node: self.id, slot, spot, axis });
            }
            None => self.freeze(at, Reason::Computed),
        }
    }

    /// The axis counts products of a batch.
    pub fn batch(&mut self, at: At) {
        if let Some(axis) = self.axis(at) {
            let space = &mut self.relations.space;
            space.sets.mark_batch(&space.axes[axis]);
        }
    }

    /// Freezes what the rule did not speak of.
    pub fn finish(mut self) {
        for port in self.ports().collect::<Vec<_>>() {
            for axis in 0..self.rank(port).unwrap_or(0) {
                if !self.spoken.contains(&(port, axis)) {
                    self.freeze((port, axis), self.rest.clone());
                }
            }
        }
    }
}
