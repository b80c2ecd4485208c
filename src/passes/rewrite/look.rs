//! Looking upstream for the operators that exporters decompose others into.

use std::cell::RefCell;

use crate::analysis::{Shapes, constant};
use crate::ir::{self, Model, Node, NodeId, ValueId};

/// A look at a model from one node upstream. It remembers the nodes it went through.
pub(in crate::passes) struct Look<'a> {
    pub model: &'a Model,
    pub shapes: &'a Shapes,
    through: RefCell<Vec<NodeId>>,
}

/// A product: constant factors multiplied out, and the others.
pub(in crate::passes) struct Product {
    pub scalar: f64,
    pub others: Vec<ValueId>,
}

/// Nested products beyond this many are not looked through.
const MAX_FACTORS: usize = 8;

impl<'a> Look<'a> {
    pub fn new(model: &'a Model, shapes: &'a Shapes) -> Self {
        Self { model, shapes, through: RefCell::default() }
    }

    /// The node that makes `value`, when it is the standard operator `op` with one output.
    pub fn made_by(&self, value: ValueId, op: &str) -> Option<&'a Node> {
        let id = self.model.value(value).producer()?;
        let node = self.model.node(id);
        node.only_output().filter(|_| node.is(op) && self.model.function_of(node).is_none())?;
        self.through.borrow_mut().push(id);
        Some(node)
    }

    /// The first operand of the `op` that makes `value`.
    pub fn operand(&self, value: ValueId, op: &str) -> Option<ValueId> {
        self.made_by(value, op)?.input(0)
    }

    /// Both operands of the `op` that makes `value`.
    pub fn operands(&self, value: ValueId, op: &str) -> Option<[ValueId; 2]> {
        let node = self.made_by(value, op)?;
        Some([node.input(0)?, node.input(1)?])
    }

    /// The operands of the `op` that makes `value`, in the order in which `fits` likes the first.
    pub fn either<T>(
        &self,
        value: ValueId,
        op: &str,
        fits: impl Fn(ValueId) -> Option<T>,
    ) -> Option<(T, ValueId)> {
        let [a, b] = self.operands(value, op)?;
        let mark = self.through.borrow().len();
        fits(a).map(|found| (found, b)).or_else(|| {
            self.through.borrow_mut().truncate(mark);
            fits(b).map(|found| (found, a))
        })
    }

    /// A constant of one element.
    pub fn scalar(&self, value: ValueId) -> Option<f64> {
        // Weights are asked, too: they must not be converted for this.
        let tensor = constant(self.model, value).filter(|tensor| tensor.len() == 1)?;
        tensor.to_f64().ok()?.first().copied()
    }

    /// `value` as a sum of something and a constant number.
    pub fn plus(&self, value: ValueId) -> Option<(ValueId, f64)> {
        let (number, other) = self.either(value, "Add", |v| self.scalar(v))?;
        Some((other, number))
    }

    /// `value` as a product, looking through Mul, and Div by a constant number.
    pub fn product(&self, value: ValueId) -> Product {
        let mut product = Product { scalar: 1.0, others: Vec::new() };
        let mut pending = vec![value];
        while let Some(value) = pending.pop() {
            if let Some(number) = self.scalar(value) {
                product.scalar *= number;
                continue;
            }
            let divisor = |node: &Node| self.scalar(node.input(1)?);
            let full = pending.len() + product.others.len() >= MAX_FACTORS;
            if let Some([a, b]) =
                self.peek(value, "Mul").filter(|_| !full).and(self.operands(value, "Mul"))
            {
                pending.extend([b, a]);
            } else if let Some((node, number)) =
                self.peek(value, "Div").and_then(|node| Some((node, divisor(node)?)))
            {
                self.made_by(value, "Div");
                product.scalar /= number;
                pending.extend(node.input(0));
            } else {
                product.others.push(value);
            }
        }
        product
    }

    /// As [`Look::made_by`], without remembering the node.
    fn peek(&self, value: ValueId, op: &str) -> Option<&'a Node> {
        let node = self.model.node(self.model.value(value).producer()?);
        node.only_output().filter(|_| node.is(op))?;
        Some(node)
    }

    /// True when the nodes gone through, apart from `root`, serve nobody else, and all stand in the
    /// graph of `root`.
    pub fn is_closed(&self, root: NodeId) -> bool {
        let through = self.through.borrow();
        let graph = self.model.node(root).graph();
        through.iter().filter(|&&node| node != root).all(|&node| {
            let entry = self.model.node(node);
            entry.graph() == graph
                && entry.outputs().iter().flatten().all(|&output| {
                    let value = self.model.value(output);
                    value.consumers().count() == value.uses().len()
                        && value
                            .consumers()
                            .all(|(user, _)| user == root || through.contains(&user))
                })
        })
    }

    /// Axes of a reduction, from the front, in order; an attribute or an input.
    pub fn reduced(&self, node: &Node) -> Option<Vec<usize>> {
        let rank = self.shapes.rank(node.input(0)?)?;
        let axes = match (node.attr_ints("axes"), node.input(1)) {
            (Some(axes), _) => axes.to_vec(),
            (None, Some(axes)) => constant(self.model, axes)?.to_i64().ok()?,
            (None, None) => return None,
        };
        let position = |&axis: &i64| ir::position(axis, rank);
        let mut axes: Vec<usize> = axes.iter().map(position).collect::<Option<_>>()?;
        axes.sort_unstable();
        Some(axes)
    }

    /// The reduced input of the `op` that makes `value`, with the axes, which stay as 1.
    pub fn kept_reduction(&self, value: ValueId, op: &str) -> Option<(ValueId, Vec<usize>)> {
        let node = self.made_by(value, op)?;
        let kept = node.attr_int("keepdims").unwrap_or(1) == 1;
        Some((node.input(0)?, self.reduced(node).filter(|axes| kept && !axes.is_empty())?))
    }

    /// What `value` is the square of.
    pub fn square(&self, value: ValueId) -> Option<ValueId> {
        if let Some([base, exponent]) = self.peek(value, "Pow").and(self.operands(value, "Pow")) {
            return (self.scalar(exponent) == Some(2.0)).then_some(base);
        }
        let [a, b] = self.operands(value, "Mul")?;
        (a == b).then_some(a)
    }
}

/// Equal within what exporters round constants to.
pub(in crate::passes) fn near(x: f64, wanted: f64) -> bool {
    /// Seven digits are written by most; some write six.
    const RELATIVE: f64 = 2e-6;
    (x - wanted).abs() <= RELATIVE * wanted.abs()
}
