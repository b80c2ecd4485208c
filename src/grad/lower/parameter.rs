//! Constants that are trained, and the order in which their numbers are kept.

use crate::error::Result;
use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::permute::Permute;
use crate::ir::ValueId;
use crate::tensor::Tensor;

/// A constant of the model that is trained.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Parameter {
    /// The constant.
    pub value: ValueId,
    /// Its extents.
    pub dims: Vec<usize>,
    /// Its numbers are kept as those of a tensor of other extents, whose axes are in another order.
    order: Option<(Vec<usize>, Vec<usize>)>,
}

impl Parameter {
    /// An input that is treated as a parameter.
    pub(super) fn input(value: ValueId, dims: &[usize]) -> Self {
        Self { value, dims: dims.to_vec(), order: None }
    }

    /// The numbers of a tensor in the order of the program.
    ///
    /// # Errors
    /// When they are no real numbers.
    pub fn take<T: Real>(&self, tensor: &Tensor) -> Result<Vec<T>> {
        let numbers: Vec<T> = tensor.to_f64()?.into_iter().map(T::of).collect();
        Ok(self.inwards(&numbers))
    }

    /// Numbers in the order of the model, in that of the program.
    pub fn inwards<T: Real>(&self, numbers: &[T]) -> Vec<T> {
        let mut out = numbers.to_vec();
        if let Some((dims, order)) = &self.order {
            Permute::new(dims, order).apply(numbers, &mut out);
        }
        out
    }

    /// Numbers in the order of the program, in that of the model.
    pub fn outwards<T: Real>(&self, numbers: &[T]) -> Vec<T> {
        let mut out = numbers.to_vec();
        if let Some((dims, order)) = &self.order {
            let dims: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
            let mut back = vec![0; order.len()];
            order.iter().enumerate().for_each(|(i, &axis)| back[axis] = i);
            Permute::new(&dims, &back).apply(numbers, &mut out);
        }
        out
    }
}

impl<T: Real> Lower<'_, T> {
    /// Makes a constant of the model a parameter.
    pub fn parameter(
        &mut self,
        value: ValueId,
        dims: &[usize],
        order: Option<(Vec<usize>, Vec<usize>)>,
    ) -> usize {
        self.parameters.push(Parameter { value, dims: dims.to_vec(), order });
        self.tape.parameter(dims.iter().product())
    }

    /// The weights of a kernel, seen as a tensor of `dims` with its axes in another order. A parameter that
    /// nothing else reads is kept in this order; anything else is brought into it.
    pub fn weights(&mut self, value: ValueId, dims: &[usize], order: &[usize]) -> Known<usize> {
        let entry = self.model.value(value);
        let alone = entry.uses().len() == 1 && !self.values.contains_key(&value);
        if alone && self.is_parameter(value) {
            let own = self.shapes.fixed_dims(value).ok_or("extents of a weight are unknown")?;
            let kept = Some((dims.to_vec(), order.to_vec()));
            let buffer = self.parameter(value, &own, kept);
            return Ok(buffer);
        }
        let found = self.get(value)?;
        let found = self.plain(&found);
        let seen = Value { dims: dims.to_vec(), ..found };
        Ok(self.permuted(&seen, order))
    }
}
