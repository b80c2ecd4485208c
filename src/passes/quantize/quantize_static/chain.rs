//! Which operators between products compute with integers, and which values are quantized for that.

use std::collections::{BTreeSet, HashSet};

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, Use, ValueId};
use crate::passes::quantize::quantize_static::plan::PlannedNode;
use crate::passes::quantize::quantize_static::table::{self, Role};
use crate::passes::quantize::quantize_static::target::Rules;
use crate::tensor::DType;

/// Products whose kernels can write integers at no cost.
const WRITE_INTEGERS: &[&str] = &["Conv", "ConvTranspose"];
/// An operand that has at most this part of the elements of the result (a gate of channels, say) costs
/// little to be quantized for a kernel.
const SMALL_OPERAND: usize = 8;

/// What is looked at.
pub(super) struct Chain<'a> {
    pub model: &'a Model,
    pub rules: &'a Rules,
    pub shapes: &'a Shapes,
    /// Products that read integers.
    pub products: &'a [PlannedNode],
    /// Nodes that the target could run on integers, in order.
    pub candidates: &'a [NodeId],
    /// Values that have no range.
    pub banned: &'a HashSet<ValueId>,
    /// Inputs and outputs of the model become integers.
    pub interface: bool,
}

/// What was chosen.
pub(super) struct Selection {
    /// Nodes between products that compute with integers.
    pub inner: Vec<NodeId>,
    /// Values that get QuantizeLinear and DequantizeLinear, in the order of the model.
    pub values: Vec<ValueId>,
}

impl Chain<'_> {
    /// The largest set of candidates of which each reads what is there as integers, and writes what
    /// is read as integers.
    pub fn select(&self) -> Selection {
        let base = self.base();
        let mut inner: HashSet<NodeId> = self.candidates.iter().copied().collect();
        inner.retain(|&node| !self.touches_banned(node));
        // What a node reads is decided upstream, what it writes downstream: walking both ways, a
        // chain falls in one round.
        let mut falling = !self.rules.everywhere;
        while falling {
            let before = inner.len();
            for &node in self.candidates.iter().chain(self.candidates.iter().rev()) {
                if inner.contains(&node) && !self.stays(node, &base, &inner) {
                    inner.remove(&node);
                }
            }
            falling = inner.len() < before;
        }
        let values = self.values(base, &inner);
        let inner = self.candidates.iter().copied().filter(|node| inner.contains(node)).collect();
        Selection { inner, values }
    }

    /// Values that are quantized whatever stands around them.
    fn base(&self) -> BTreeSet<ValueId> {
        let mut base: BTreeSet<ValueId> = BTreeSet::new();
        base.extend(self.products.iter().flat_map(|product| &product.activations));
        if self.interface {
            let main = self.model.graph(self.model.main());
            base.extend(main.inputs().iter().chain(main.outputs().iter().map(|o| &o.value)));
            base.retain(|&value| self.is_float(value));
        }
        if self.rules.residual {
            base.extend(self.model.all_nodes().into_iter().filter_map(|node| self.residual(node)));
        }
        base.retain(|value| !self.banned.contains(value) && !self.is_quantized(*value));
        base
    }

    fn stays(&self, node: NodeId, base: &BTreeSet<ValueId>, inner: &HashSet<NodeId>) -> bool {
        let entry = self.model.node(node);
        let Some(row) = table::of(self.model, entry) else { return false };
        let operands = table::operands(entry, row.role);
        let mut varying = operands.iter().filter(|&&value| constant(self.model, value).is_none());
        let available = |&value: &ValueId| self.available(value, base, inner);
        let results = table::results(entry);
        let fits = match row.role {
            Role::Compute(_) => {
                let small = |&value: &ValueId| results.iter().all(|&y| self.is_small(value, y));
                varying.clone().any(available) && varying.all(|v| available(v) || small(v))
            }
            _ => varying.all(available),
        };
        fits && results.iter().any(|&value| self.wanted(value, base, inner))
    }

    /// The value is there as integers, or could be without loss of speed.
    fn available(&self, value: ValueId, base: &BTreeSet<ValueId>, inner: &HashSet<NodeId>) -> bool {
        let Some(producer) = self.model.value(value).producer() else {
            return base.contains(&value);
        };
        base.contains(&value)
            || inner.contains(&producer)
            || self.model.node(producer).is("DequantizeLinear")
            || self.writes_integers(producer)
    }

    /// Somebody reads the value as integers.
    fn wanted(&self, value: ValueId, base: &BTreeSet<ValueId>, inner: &HashSet<NodeId>) -> bool {
        base.contains(&value)
            || self.model.value(value).consumers().any(|(node, slot)| {
                self.model.node(node).is("QuantizeLinear") && slot == 0
                    || inner.contains(&node) && self.operands(node).contains(&value)
            })
    }

    fn values(&self, base: BTreeSet<ValueId>, inner: &HashSet<NodeId>) -> Vec<ValueId> {
        let mut values = base.clone();
        for product in self.products.iter().filter(|product| !product.activations.is_empty()) {
            if self.is_closed(product) {
                values.extend(self.model.node(product.last()).output(0));
            }
        }
        for &node in inner {
            let entry = self.model.node(node);
            values.extend(self.operands(node));
            values.extend(
                table::results(entry)
                    .into_iter()
                    .filter(|&value| self.rules.everywhere || self.wanted(value, &base, inner)),
            );
        }
        // Behind a Relu or Clip, not before it: steps are not spent on what is cut off.
        let values: BTreeSet<ValueId> = values.into_iter().map(|v| self.tail(v)).collect();
        let fits = |value: &ValueId| {
            constant(self.model, *value).is_none()
                && !self.banned.contains(value)
                && !self.is_quantized(*value)
        };
        values.into_iter().filter(fits).collect()
    }

    /// Values that layers and callers want as integers, whatever else there is.
    pub fn wanted_values(&self) -> HashSet<ValueId> {
        self.base().into_iter().collect()
    }

    /// What the kernel of a product writes, when that can be nothing but integers.
    pub fn written(&self, product: &PlannedNode) -> Option<ValueId> {
        let output = self.model.node(product.last()).output(0)?;
        (!product.activations.is_empty() && self.is_closed(product)).then(|| self.tail(output))
    }

    /// Its kernel writes integers only.
    fn is_closed(&self, product: &PlannedNode) -> bool {
        let node = self.model.node(product.node);
        if self.rules.closed.iter().any(|op| node.is(op)) {
            return true;
        }
        let last = product.last();
        let next =
            self.model.node(last).output(0).and_then(|y| self.model.value(y).only_consumer());
        let fused = |(next, _)| self.rules.fused.iter().any(|op| self.model.node(next).is(op));
        (node.is("Gemm") || last != product.node) && next.is_some_and(fused)
    }

    /// The end of a chain of clipping activations behind a node that computes: the range of the whole
    /// chain is the range there.
    fn tail(&self, mut value: ValueId) -> ValueId {
        let computes = |node: NodeId| {
            let role = table::of(self.model, self.model.node(node)).map(|row| row.role);
            matches!(role, Some(Role::Product | Role::Scaling | Role::Compute(_) | Role::Clip))
        };
        if !self.model.value(value).producer().is_some_and(computes) {
            return value;
        }
        let graph = self.model.value(value).graph();
        while let Some((consumer, 0)) = self.model.value(value).only_consumer() {
            let node = self.model.node(consumer);
            let clips = table::is_clipping(self.model, consumer) && node.graph() == graph;
            match node.only_output() {
                Some(next) if clips => value = next,
                _ => break,
            }
        }
        value
    }

    /// The summand of an Add that is quantized, when the other one comes out of a Conv that the Add is
    /// fused into; of two such, the one that was computed first.
    fn residual(&self, node: NodeId) -> Option<ValueId> {
        let entry = self.model.node(node);
        let (true, Some(a), Some(b)) = (entry.is("Add"), entry.input(0), entry.input(1)) else {
            return None;
        };
        let fused = |value: ValueId| {
            let entry = self.model.value(value);
            entry.producer().is_some_and(|node| self.writes_integers(node))
                && entry.only_consumer().is_some()
        };
        let other = match (fused(a), fused(b)) {
            (true, true) => a.min(b),
            (true, false) => b,
            (false, true) => a,
            (false, false) => return None,
        };
        constant(self.model, other).is_none().then_some(other)
    }

    /// A product that writes integers for free.
    fn writes_integers(&self, node: NodeId) -> bool {
        let entry = self.model.node(node);
        let writes = WRITE_INTEGERS.iter().chain(self.rules.closed).any(|op| entry.is(op));
        let integer = |p: &PlannedNode| p.node == node && !p.activations.is_empty();
        writes && self.products.iter().any(integer)
    }

    fn operands(&self, node: NodeId) -> Vec<ValueId> {
        let entry = self.model.node(node);
        let role = table::of(self.model, entry).map(|row| row.role);
        role.map(|role| table::operands(entry, role)).unwrap_or_default()
    }

    fn touches_banned(&self, node: NodeId) -> bool {
        let operands = self.operands(node).into_iter();
        operands.chain(table::results(self.model.node(node))).any(|v| self.banned.contains(&v))
    }

    /// The value comes out of a DequantizeLinear, or goes into a QuantizeLinear: it has its pair.
    fn is_quantized(&self, value: ValueId) -> bool {
        is_quantized(self.model, value)
    }

    fn is_float(&self, value: ValueId) -> bool {
        self.shapes.dtype(value).is_none_or(|dtype| dtype == DType::Float)
    }

    fn is_small(&self, value: ValueId, beside: ValueId) -> bool {
        match (self.shapes.elements(value), self.shapes.elements(beside)) {
            (Some(few), Some(many)) => few.saturating_mul(SMALL_OPERAND) <= many,
            _ => self.is_gate(value, beside),
        }
    }

    /// With axes of unknown extent: `[N, C, 1, 1]` beside `[N, C, H, W]`.
    fn is_gate(&self, value: ValueId, beside: ValueId) -> bool {
        let (Some(few), Some(many)) = (self.shapes.dims(value), self.shapes.dims(beside)) else {
            return false;
        };
        let one = |(a, b): (&crate::analysis::Term, &crate::analysis::Term)| {
            a.known() == Some(1) && b.known() != Some(1)
        };
        few.len() == many.len() && few.iter().zip(many).filter(|&pair| one(pair)).count() > 1
    }
}

/// The value comes out of a DequantizeLinear, or goes into a QuantizeLinear.
pub(super) fn is_quantized(model: &Model, value: ValueId) -> bool {
    let entry = model.value(value);
    let read = |u: &Use| matches!(*u, Use::Input { node, slot: 0 } if model.node(node).is("QuantizeLinear"));
    entry.uses().iter().any(read)
        || entry.producer().is_some_and(|node| model.node(node).is("DequantizeLinear"))
}
