//! Which values share a grid, and in how many bits each is made and read.
//!
//! Values between which elements only move are a group: one grid, and so one width. Nodes that the options name read
//! and write wide groups. What a node writes decides how wide it computes, so what makes a wide value reads wide
//! values, too; where widths differ, a reader reads the value on a second grid.

use std::collections::{HashMap, HashSet};

use crate::ir::{Model, NodeId, ValueId};
use crate::math::UnionFind;
use crate::passes::quantize::quantize_static::plan::{Lookup, PlannedNode};
use crate::passes::quantize::quantize_static::table::{self, Role};
use crate::passes::quantize::quantize_static::ties::{Extents, Ties};
use crate::passes::quantize::quantize_static::{Format, QuantizeStatic};
use crate::passes::rewrite::pattern::fitting;

/// What is looked at.
pub(super) struct Layout<'a> {
    pub model: &'a Model,
    pub options: &'a QuantizeStatic,
    /// Nodes with weights.
    pub products: &'a [PlannedNode],
    /// Nodes between them that compute with integers.
    pub inner: &'a [NodeId],
    /// Values that are quantized, in the order of the model.
    pub values: &'a [ValueId],
    /// Tables that become integers, and who takes rows out of them.
    pub lookups: &'a [Lookup],
    /// What values reach, once that was measured: too different ones share no grid.
    pub extents: Option<&'a Extents>,
}

/// What was found.
pub(super) struct Placement {
    /// In the order of the model.
    pub values: Vec<Placed>,
    /// The format in which each node that computes with integers reads and writes them.
    pub formats: HashMap<NodeId, Format>,
}

/// A value and its format.
pub(super) struct Placed {
    pub value: ValueId,
    /// Values of one group share a grid.
    pub group: usize,
    pub format: Format,
    /// Another format, and who reads the value in that.
    pub converted: Option<(Format, Readers)>,
}

/// Who reads a value on its second grid.
#[derive(Default)]
pub(super) struct Readers {
    pub nodes: Vec<NodeId>,
    /// The callers of the model, too.
    pub callers: bool,
}

/// A node that computes with integers, with the indices of what it reads and writes of them.
struct Kernel {
    node: NodeId,
    /// A product: most of what is computed.
    layer: bool,
    reads: Vec<usize>,
    writes: Vec<usize>,
}

impl Kernel {
    fn values(&self) -> impl Iterator<Item = usize> {
        self.reads.iter().chain(&self.writes).copied()
    }
}

impl Layout<'_> {
    pub fn placed(&self) -> Placement {
        let index: HashMap<ValueId, usize> =
            self.values.iter().enumerate().map(|(i, &value)| (value, i)).collect();
        let mut groups = self.groups(&index);
        let kernels = self.kernels(&index);
        let usual = self.options.activations();
        let wide = self.options.wide_activations().unwrap_or(usual);
        let is_wide = self.wide(&kernels, &mut groups);
        let format = |wanted: bool| if wanted { wide } else { usual };
        let place = |(i, &value): (usize, &ValueId)| Placed {
            value,
            // Integers of callers that leave their group have a grid of their own.
            group: if self.is_given(i) && !is_wide[i] { i } else { groups.find(i) },
            format: format(is_wide[i]),
            converted: None,
        };
        let mut values: Vec<Placed> = self.values.iter().enumerate().map(place).collect();
        let mut formats = HashMap::new();
        for kernel in &kernels {
            let computes = self.computes_wide(kernel, |i| is_wide[i]);
            formats.insert(kernel.node, format(computes));
            for &i in kernel.reads.iter().filter(|&&i| is_wide[i] != computes) {
                let (_, readers) =
                    values[i].converted.get_or_insert((format(computes), Readers::default()));
                readers.nodes.push(kernel.node);
            }
        }
        for (i, placed) in values.iter_mut().enumerate() {
            if self.options.interface && is_wide[i] && self.model.value(placed.value).is_output() {
                let (_, readers) = placed.converted.get_or_insert((usual, Readers::default()));
                readers.callers = true;
            }
        }
        Placement { values, formats }
    }

    /// For each value whether it is wide.
    fn wide(&self, kernels: &[Kernel], groups: &mut UnionFind) -> Vec<bool> {
        if self.options.wide.is_empty() {
            return vec![false; self.values.len()];
        }
        let named = kernels.iter().filter(|kernel| self.is_named(kernel.node));
        let of_named = named.flat_map(Kernel::values);
        let wide: HashSet<usize> = of_named.map(|i| groups.find(i)).collect();
        // Other operators save little: they are as wide as the layers around them, unless one of these is not.
        let mut regions = groups.clone();
        for kernel in kernels.iter().filter(|kernel| !kernel.layer) {
            let mut values = kernel.values();
            let first = values.next();
            values.for_each(|i| regions.join(i, first.unwrap_or(i)));
        }
        let mut beside_others = HashSet::new();
        for layer in kernels.iter().filter(|kernel| kernel.layer) {
            if !self.computes_wide(layer, |i| wide.contains(&groups.find(i))) {
                beside_others.extend(layer.values().map(|i| regions.find(i)));
            }
        }
        let mut is_wide = |i: usize| {
            let alone = !beside_others.contains(&regions.find(i));
            !self.is_given(i) && (alone || wide.contains(&groups.find(i)))
        };
        (0..self.values.len()).map(&mut is_wide).collect()
    }

    /// Whether a node reads and writes wide values.
    fn computes_wide(&self, kernel: &Kernel, is_wide: impl FnMut(usize) -> bool) -> bool {
        self.is_named(kernel.node) || kernel.writes.iter().copied().any(is_wide)
    }

    fn is_named(&self, node: NodeId) -> bool {
        fitting(self.model, node, &self.options.wide).is_some()
    }

    /// Callers give the value as integers of the usual format.
    fn is_given(&self, i: usize) -> bool {
        self.options.interface && self.model.value(self.values[i]).is_input()
    }

    /// Values that only move elements between each other.
    fn groups(&self, index: &HashMap<ValueId, usize>) -> UnionFind {
        let mut groups = UnionFind::new(self.values.len());
        let mut ties = self.extents.map(|extents| Ties::new(extents, self.values));
        let mut join = |i: usize, j: usize| {
            let (a, b) = (groups.find(i), groups.find(j));
            if a == b || ties.as_ref().is_some_and(|ties| !ties.fit(a, b)) {
                return;
            }
            groups.join(a, b);
            if let Some(ties) = &mut ties {
                ties.joined(a, b, groups.find(a));
            }
        };
        for (i, &value) in self.values.iter().enumerate() {
            // Sources may hide behind several data movements.
            let mut pending = vec![value];
            let mut seen = HashSet::new();
            while let Some(at) = pending.pop() {
                if !seen.insert(at) {
                    continue;
                }
                let Some(producer) = self.model.value(at).producer() else { continue };
                for source in table::moved_from(self.model, self.model.node(producer), at) {
                    match index.get(&source) {
                        Some(&j) => join(i, j),
                        None => pending.push(source),
                    }
                }
            }
        }
        // A table has one grid, whoever reads rows of it.
        let mut first: HashMap<ValueId, usize> = HashMap::new();
        for Lookup { node, weight, .. } in self.lookups {
            let rows = self.model.node(*node).output(0).and_then(|rows| index.get(&rows));
            if let Some(&i) = rows {
                join(i, *first.entry(weight.value).or_insert(i));
            }
        }
        groups
    }

    fn kernels(&self, index: &HashMap<ValueId, usize>) -> Vec<Kernel> {
        let indices =
            |values: &[ValueId]| values.iter().filter_map(|v| index.get(v).copied()).collect();
        let kernel = |node, reads: &[ValueId]| Kernel {
            node,
            layer: self.role(node) == Some(Role::Product),
            reads: indices(reads),
            writes: Vec::new(),
        };
        let products = self.products.iter().filter(|product| !product.activations.is_empty());
        let mut kernels: Vec<Kernel> =
            products.clone().map(|p| kernel(p.node, &p.activations)).collect();
        kernels.extend(self.inner.iter().map(|&node| {
            let operands = self.role(node).map(|role| table::operands(self.model.node(node), role));
            kernel(node, &operands.unwrap_or_default())
        }));
        let mut of_node: HashMap<NodeId, usize> =
            kernels.iter().enumerate().map(|(k, kernel)| (kernel.node, k)).collect();
        for (k, product) in products.enumerate() {
            // A product that is added to elsewhere is one kernel with the addition.
            of_node.entry(product.last()).or_insert(k);
        }
        for (i, &value) in self.values.iter().enumerate() {
            let mut pending = vec![value];
            let mut seen = HashSet::new();
            while let Some(at) = pending.pop() {
                let Some(producer) = self.model.value(at).producer() else { continue };
                if !seen.insert(at) {
                    continue;
                }
                if let Some(&k) = of_node.get(&producer) {
                    kernels[k].writes.push(i);
                }
                let hidden = self.passed_on(producer).into_iter();
                pending.extend(hidden.filter(|value| !index.contains_key(value)));
            }
        }
        kernels
    }

    /// What a node cuts off or moves: a kernel in front of it writes what it writes.
    fn passed_on(&self, node: NodeId) -> Vec<ValueId> {
        match self.role(node) {
            Some(role @ (Role::Clip | Role::Move | Role::Join)) => {
                table::operands(self.model.node(node), role)
            }
            _ => Vec::new(),
        }
    }

    fn role(&self, node: NodeId) -> Option<Role> {
        table::of(self.model, self.model.node(node)).map(|row| row.role)
    }
}
