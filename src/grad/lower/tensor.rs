//! Values of the model on the tape, and the two orders in which their numbers are kept.

use crate::analysis::constant;
use crate::grad::Real;
use crate::grad::lower::integers::integers_of;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::permute::Permute;
use crate::grad::tape::BufferId;
use crate::ir::ValueId;
use crate::tensor::{DType, Tensor};

/// A value of the model on the tape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Value {
    /// Its numbers.
    pub buffer: BufferId,
    /// Its extents, in the order of the model.
    pub dims: Vec<usize>,
    /// The numbers are kept with the second axis behind all others.
    pub last: bool,
    /// Its type in the model; the numbers are real ones all the same.
    pub dtype: DType,
}

impl Value {
    /// A value whose numbers are in the order of its axes.
    pub fn plain(buffer: BufferId, dims: &[usize], dtype: DType) -> Self {
        Self { buffer, dims: dims.to_vec(), last: false, dtype }
    }

    pub fn rank(&self) -> usize {
        self.dims.len()
    }

    pub fn len(&self) -> usize {
        self.dims.iter().product()
    }

    /// Extents in the order of the numbers.
    pub fn physical(&self) -> Vec<usize> {
        if self.last { behind(&self.dims) } else { self.dims.clone() }
    }

    /// Where an axis is in the order of the numbers.
    pub fn place(&self, axis: usize) -> usize {
        if self.last { place_behind(self.rank(), axis) } else { axis }
    }

    /// What is before, on and behind an axis, in the order of the numbers.
    pub fn around(&self, axis: usize) -> [usize; 3] {
        let (dims, place) = (self.physical(), self.place(axis));
        [dims[..place].iter().product(), dims[place], dims[place + 1..].iter().product()]
    }
}

/// Extents with the second one behind all others.
fn behind(dims: &[usize]) -> Vec<usize> {
    order_behind(dims.len()).into_iter().map(|axis| dims[axis]).collect()
}

/// The order of axes with the second one behind all others.
pub fn order_behind(rank: usize) -> Vec<usize> {
    if rank < 3 {
        return (0..rank).collect();
    }
    std::iter::once(0).chain(2..rank).chain([1]).collect()
}

fn place_behind(rank: usize, axis: usize) -> usize {
    match axis {
        _ if rank < 3 => axis,
        0 => 0,
        1 => rank - 1,
        axis => axis - 1,
    }
}

/// Both orders are the same for these extents.
pub fn same_order(dims: &[usize]) -> bool {
    dims.len() < 3 || dims[1] == 1 || dims[2..].iter().all(|&extent| extent == 1)
}

impl<T: Real> Lower<'_, T> {
    /// A value on the tape.
    pub fn get(&mut self, id: ValueId) -> Known<Value> {
        if let Some(known) = self.values.get(&id) {
            return known.clone();
        }
        let found = self.find(id);
        self.values.insert(id, found.clone());
        found
    }

    /// A value that no node has made so far: a parameter or a constant.
    fn find(&mut self, id: ValueId) -> Known<Value> {
        if self.is_parameter(id) {
            let dims = self.shapes.fixed_dims(id).ok_or("extents of a parameter are unknown")?;
            let buffer = self.parameter(id, &dims, None);
            let dtype = self.shapes.dtype(id).unwrap_or(DType::Float);
            let value = Value::plain(buffer, &dims, dtype);
            // Integers are trained as the numbers that they are rounded from.
            return Ok(match integers_of(dtype) {
                Some(range) => self.on_grid(&value, range),
                None => value,
            });
        }
        let whole = self.shapes.dtype(id).is_some_and(|dtype| !dtype.is_float());
        let computed = || if whole { self.shapes.tensor(id) } else { None };
        let tensor = constant(self.model, id).or_else(computed);
        let tensor = tensor.ok_or_else(|| {
            format!("`{}` comes from outside of the graph", self.model.value(id).name())
        })?;
        self.constant_of(&tensor)
    }

    /// A tensor as a constant.
    pub fn constant_of(&mut self, tensor: &Tensor) -> Known<Value> {
        let numbers = tensor.to_f64().map_err(|error| error.to_string())?;
        let buffer = self.tape.constant(numbers.into_iter().map(T::of).collect());
        Ok(Value::plain(buffer, tensor.dims(), tensor.dtype()))
    }

    /// Whether a constant is trained.
    pub fn is_parameter(&self, id: ValueId) -> bool {
        (self.request.train)(id)
            && (constant(self.model, id).is_some() || self.model.value(id).is_input())
    }

    /// The numbers of a value in another order of its axes.
    pub fn permuted(&mut self, value: &Value, order: &[usize]) -> BufferId {
        let dims = value.physical();
        let order: Vec<usize> = order.iter().map(|&axis| value.place(axis)).collect();
        if is_kept(&dims, &order) {
            return value.buffer;
        }
        // The same buffer may be seen with different extents.
        let key = (value.buffer, [&dims[..], &order[..]].concat());
        if let Some(&made) = self.arranged.get(&key) {
            return made;
        }
        let made = self.tape.step(Permute::new(&dims, &order), &[value.buffer], value.len());
        self.arranged.insert(key, made);
        made
    }

    /// The value with its numbers in the order of its axes.
    pub fn plain(&mut self, value: &Value) -> Value {
        if !value.last {
            return value.clone();
        }
        let order: Vec<usize> = (0..value.rank()).collect();
        let buffer = self.permuted(value, &order);
        Value { buffer, last: false, ..value.clone() }
    }

    /// The value with the second axis behind all others.
    pub fn last(&mut self, value: &Value) -> Value {
        if value.last || value.rank() < 3 {
            return value.clone();
        }
        let buffer = self.permuted(value, &order_behind(value.rank()));
        Value { buffer, last: true, ..value.clone() }
    }

    /// The value in either order.
    pub fn ordered(&mut self, value: &Value, last: bool) -> Value {
        if last { self.last(value) } else { self.plain(value) }
    }

    /// The same numbers with other extents.
    pub fn reshaped(&mut self, value: &Value, dims: &[usize]) -> Value {
        let value = self.plain(value);
        Value { dims: dims.to_vec(), ..value }
    }

    /// The axes in another order.
    pub fn transposed(&mut self, value: &Value, order: &[usize]) -> Value {
        let dims: Vec<usize> = order.iter().map(|&axis| value.dims[axis]).collect();
        let rank = value.rank();
        let turned: Vec<usize> = order_behind(rank).into_iter().map(|axis| order[axis]).collect();
        let places: Vec<usize> = turned.iter().map(|&axis| value.place(axis)).collect();
        if rank >= 3 && !same_order(&dims) && is_kept(&value.physical(), &places) {
            return Value { dims, last: true, ..value.clone() };
        }
        let buffer = self.permuted(value, order);
        Value { buffer, dims, last: false, dtype: value.dtype }
    }

    /// With leading axes of 1 up to `rank`.
    pub fn lifted(&mut self, value: &Value, rank: usize) -> Value {
        if value.rank() >= rank {
            return value.clone();
        }
        let dims = [vec![1; rank - value.rank()], value.dims.clone()].concat();
        self.reshaped(value, &dims)
    }
}

/// Whether axes of more than one element stay in their order.
fn is_kept(dims: &[usize], order: &[usize]) -> bool {
    let mut long = order.iter().filter(|&&axis| dims[axis] != 1);
    let mut next = 0;
    long.all(|&axis| {
        let rises = axis >= next;
        next = axis;
        rises
    })
}
