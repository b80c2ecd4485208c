//! Reductions over axes, and what is made of them.

use crate::grad::Real;
use crate::grad::lower::node::axis_of;
use crate::grad::lower::tensor::{Value, same_order};
use crate::grad::lower::{Known, Lower};
use crate::grad::op::binary::Function;
use crate::grad::op::reduce::{Reduce, Reduction};
use crate::grad::op::softmax::Softmax;
use crate::grad::op::unary::Unary;
use crate::ir::Node;

impl<T: Real> Lower<'_, T> {
    pub fn reduce_node(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let axes = match node.attr_ints("axes") {
            Some(axes) => axes.to_vec(),
            None => self.ints(node, 1)?.unwrap_or_default(),
        };
        if axes.is_empty() && node.attr_int("noop_with_empty_axes").unwrap_or(0) != 0 {
            return match node.op() {
                "ReduceSum" | "ReduceMean" | "ReduceMax" | "ReduceMin" => Ok(value),
                _ => Err("it has no axes".to_owned()),
            };
        }
        let axes: Vec<usize> = match axes.is_empty() {
            true => (0..value.rank()).collect(),
            false => axes.iter().map(|&a| axis_of(a, value.rank())).collect::<Known<_>>()?,
        };
        let keep = node.attr_int("keepdims").unwrap_or(1) != 0;
        let mut reduce = |value: &Value, how| self.reduced(value, how, &axes, keep);
        match node.op() {
            "ReduceSum" => Ok(reduce(&value, Reduction::Sum)),
            "ReduceMean" => Ok(reduce(&value, Reduction::Mean)),
            "ReduceMax" => Ok(reduce(&value, Reduction::Max)),
            "ReduceMin" => Ok(reduce(&value, Reduction::Min)),
            "ReduceL1" => self.reduced_of(Unary::Abs, &value, &axes, keep, None),
            "ReduceL2" => {
                self.reduced_of(Unary::Power(2.0), &value, &axes, keep, Some(Unary::Sqrt))
            }
            "ReduceSumSquare" => self.reduced_of(Unary::Power(2.0), &value, &axes, keep, None),
            "ReduceLogSum" => {
                let sum = reduce(&value, Reduction::Sum);
                Ok(self.unary(Unary::Log, &sum))
            }
            "ReduceLogSumExp" => {
                let top = self.reduced(&value, Reduction::Max, &axes, true);
                let shifted = self.binary(Function::Sub, &value, &top)?;
                let powers = self.unary(Unary::Exp, &shifted);
                let sum = self.reduced(&powers, Reduction::Sum, &axes, keep);
                let log = self.unary(Unary::Log, &sum);
                let dims = log.dims.clone();
                let top = self.reshaped(&top, &dims);
                self.binary(Function::Add, &log, &top)
            }
            op => Err(format!("there is no kernel for {op}")),
        }
    }

    /// The sum of a function of each number, and a function of the sum.
    fn reduced_of(
        &mut self,
        first: Unary,
        value: &Value,
        axes: &[usize],
        keep: bool,
        then: Option<Unary>,
    ) -> Known<Value> {
        let value = self.unary(first, value);
        let sum = self.reduced(&value, Reduction::Sum, axes, keep);
        Ok(match then {
            Some(then) => self.unary(then, &sum),
            None => sum,
        })
    }

    /// A reduction over axes.
    pub fn reduced(&mut self, value: &Value, how: Reduction, axes: &[usize], keep: bool) -> Value {
        let kept = |value: &Value| -> Vec<usize> {
            let dims = value.dims.iter().enumerate();
            dims.map(|(axis, &extent)| if axes.contains(&axis) { 1 } else { extent }).collect()
        };
        let dims = kept(value);
        // Without the axes, their order must not matter any more.
        let value = match keep || same_order(&dims) {
            true => value.clone(),
            false => self.plain(value),
        };
        let result = Value { buffer: 0, dims, ..value.clone() };
        let kernel = Reduce::new(how, &value.physical(), &result.physical());
        let buffer = self.tape.step(kernel, &[value.buffer], result.len());
        let result = Value { buffer, ..result };
        if keep {
            return result;
        }
        let left = (0..value.rank()).filter(|axis| !axes.contains(axis));
        let dims: Vec<usize> = left.map(|axis| value.dims[axis]).collect();
        Value { dims, last: false, ..result }
    }

    pub fn global_pool(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let axes: Vec<usize> = (2..value.rank()).collect();
        let how = if node.op() == "GlobalMaxPool" { Reduction::Max } else { Reduction::Mean };
        Ok(self.reduced(&value, how, &axes, true))
    }

    pub fn softmax(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let flat = self.opset < 13;
        let axis =
            axis_of(node.attr_int("axis").unwrap_or(if flat { 1 } else { -1 }), value.rank())?;
        let value = if flat { self.plain(&value) } else { value };
        let extents = match (flat, value.around(axis)) {
            (true, [outer, len, inner]) => [outer, len * inner, 1],
            (false, extents) => extents,
        };
        let kernel = Softmax { extents, log: node.op() == "LogSoftmax" };
        let buffer = self.tape.step(kernel, &[value.buffer], value.len());
        Ok(Value { buffer, ..value })
    }
}
