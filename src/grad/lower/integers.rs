//! Integers with scales: what they stand for is computed, and rounded on the way forward alone.

use crate::grad::Real;
use crate::grad::lower::node::axis_of;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::binary::Function;
use crate::grad::op::grid::Grid;
use crate::grad::op::pick::{Pick, Places};
use crate::ir::Node;
use crate::tensor::DType;

impl<T: Real> Lower<'_, T> {
    /// The nearest integers that a type holds.
    pub fn on_grid(&mut self, value: &Value, range: (f64, f64)) -> Value {
        let grid = Grid { low: range.0, high: range.1 };
        let buffer = self.tape.step(grid, &[value.buffer], value.len());
        Value { buffer, ..value.clone() }
    }

    pub fn dequantize(&mut self, node: &Node) -> Known<Value> {
        let integers = self.input(node, 0)?;
        let scale = self.along(node, 1, &integers.dims)?.ok_or("it has no scale")?;
        let centred = match self.along(node, 2, &integers.dims)? {
            Some(zero) => self.binary(Function::Sub, &integers, &zero)?,
            None => integers,
        };
        let result = self.binary(Function::Mul, &centred, &scale)?;
        Ok(Value { dtype: scale.dtype, ..result })
    }

    pub fn quantize(&mut self, node: &Node) -> Known<Value> {
        let value = self.input(node, 0)?;
        let dtype = node.output(0).and_then(|output| self.shapes.dtype(output));
        let dtype = dtype.ok_or("the type of its output is not known")?;
        let range = integers_of(dtype).ok_or("its integers are none")?;
        let scale = self.along(node, 1, &value.dims)?.ok_or("it has no scale")?;
        let divided = self.binary(Function::Div, &value, &scale)?;
        let result = match self.along(node, 2, &value.dims)? {
            Some(zero) => {
                let rounded = self.on_grid(&divided, (f64::NEG_INFINITY, f64::INFINITY));
                let moved = self.binary(Function::Add, &rounded, &zero)?;
                self.on_grid(&moved, range)
            }
            None => self.on_grid(&divided, range),
        };
        Ok(Value { dtype, ..result })
    }

    /// Scales or zero points, as a tensor that is broadcast to `dims`.
    fn along(&mut self, node: &Node, slot: usize, dims: &[usize]) -> Known<Option<Value>> {
        let Some(value) = self.optional(node, slot)? else { return Ok(None) };
        if value.len() == 1 {
            return Ok(Some(self.reshaped(&value, &[])));
        }
        let axis = axis_of(node.attr_int("axis").unwrap_or(1), dims.len())?;
        let block = node.attr_int("block_size").unwrap_or(0);
        let block = usize::try_from(block).map_err(|_| "its blocks do not fit")?;
        if block == 0 {
            if value.len() != dims[axis] {
                return Err("its scales do not fit".to_owned());
            }
            let mut seen = vec![1; dims.len()];
            seen[axis] = dims[axis];
            return Ok(Some(self.reshaped(&value, &seen)));
        }
        if value.rank() != dims.len() || value.dims[axis] != dims[axis].div_ceil(block) {
            return Err("its scales do not fit".to_owned());
        }
        let value = self.plain(&value);
        let mut places: Vec<Places> =
            value.dims.iter().map(|&extent| (0..extent).map(Some).collect()).collect();
        places[axis] = (0..dims[axis]).map(|i| Some(i / block)).collect();
        let kernel = Pick::new(&value.dims, places, 0.0);
        let buffer = self.tape.step(kernel, &[value.buffer], dims.iter().product());
        Ok(Some(Value { buffer, dims: dims.to_vec(), ..value }))
    }
}

/// The smallest and largest integer of a type.
pub fn integers_of(dtype: DType) -> Option<(f64, f64)> {
    dtype.integer_range().map(|(low, high)| (low as f64, high as f64))
}
