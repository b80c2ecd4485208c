//! Operators whose indices may be computed: GatherElements, GatherND, and their counterparts that scatter.

use crate::grad::Real;
use crate::grad::lower::node::axis_of;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::cells::{Cells, Collect, Scatter};
use crate::grad::walk::strides;
use crate::ir::Node;

impl<T: Real> Lower<'_, T> {
    /// GatherElements and GatherND.
    pub fn collect(&mut self, node: &Node) -> Known<Value> {
        let (data, indices) = (self.input(node, 0)?, self.input(node, 1)?);
        let (data, indices) = (self.plain(&data), self.plain(&indices));
        let dims = self.result_dims(node)?;
        let cells = match node.op() {
            "GatherElements" => elements(node, &data, &indices)?,
            _ => tuples(node, &data, &indices)?,
        };
        if cells.bases.len() * cells.block != dims.iter().product::<usize>() {
            return Err("its indices do not fit".to_owned());
        }
        let len = dims.iter().product();
        let buffer = self.tape.step(Collect(cells), &[data.buffer, indices.buffer], len);
        Ok(Value::plain(buffer, &dims, data.dtype))
    }

    /// ScatterElements and ScatterND.
    pub fn scatter(&mut self, node: &Node) -> Known<Value> {
        let adds = match node.attr_str("reduction").unwrap_or("none") {
            "none" => false,
            "add" => true,
            other => return Err(format!("there is no kernel for reduction `{other}`")),
        };
        let given = [self.input(node, 0)?, self.input(node, 1)?, self.input(node, 2)?];
        let [data, indices, updates] = given.map(|value| self.plain(&value));
        let cells = match node.op() {
            "ScatterND" => tuples(node, &data, &indices)?,
            _ => elements(node, &data, &indices)?,
        };
        if cells.bases.len() * cells.block != updates.len() {
            return Err("its updates do not fit".to_owned());
        }
        let kernel = Scatter { cells, adds, len: data.len() };
        let buffers = [data.buffer, indices.buffer, updates.buffer];
        let buffer = self.tape.step(kernel, &buffers, data.len());
        Ok(Value { buffer, ..data })
    }
}

/// One index for each element, along one axis.
fn elements(node: &Node, data: &Value, indices: &Value) -> Known<Cells> {
    let axis = axis_of(node.attr_int("axis").unwrap_or(0), data.rank())?;
    if indices.rank() != data.rank() {
        return Err("its indices do not fit".to_owned());
    }
    let (own, theirs) = (strides(&indices.dims), strides(&data.dims));
    let base = |at: usize| -> usize {
        let others = (0..data.rank()).filter(|&other| other != axis);
        others.map(|other| at / own[other] % indices.dims[other] * theirs[other]).sum()
    };
    Ok(Cells {
        bases: (0..indices.len()).map(base).collect(),
        axes: vec![(data.dims[axis], theirs[axis])],
        block: 1,
    })
}

/// Tuples of indices on the last axis, each of which stands for what is behind its axes.
fn tuples(node: &Node, data: &Value, indices: &Value) -> Known<Cells> {
    let leading = usize::try_from(node.attr_int("batch_dims").unwrap_or(0)).unwrap_or(usize::MAX);
    let count = indices.dims.last().copied().unwrap_or(0);
    let behind = leading.saturating_add(count);
    if count == 0 || behind > data.rank() || leading >= indices.rank() {
        return Err("its indices do not fit".to_owned());
    }
    let stride = strides(&data.dims);
    let batches: usize = data.dims[..leading].iter().product();
    let each = indices.len() / count / batches.max(1);
    let of_batch: usize = data.dims[leading..].iter().product();
    Ok(Cells {
        bases: (0..batches * each).map(|tuple| tuple / each.max(1) * of_batch).collect(),
        axes: (leading..behind).map(|axis| (data.dims[axis], stride[axis])).collect(),
        block: data.dims[behind..].iter().product(),
    })
}
