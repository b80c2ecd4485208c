//! Axes in another order.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::walk::{Walk, strides};

/// The axes of a tensor in another order.
#[derive(Debug)]
pub(in crate::grad) struct Permute {
    /// Over the result; the tensor is the input.
    walk: Walk<1>,
}

impl Permute {
    /// Axis `i` of the result is axis `order[i]` of a tensor of `dims`.
    pub fn new(dims: &[usize], order: &[usize]) -> Self {
        let from = strides(dims);
        let result: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
        let from: Vec<usize> = order.iter().map(|&axis| from[axis]).collect();
        Self { walk: Walk::new(&result, [&from]) }
    }

    /// The elements in the new order.
    pub fn apply<T: Real>(&self, x: &[T], y: &mut [T]) {
        let Walk { len, inner: [step], .. } = self.walk;
        let mut rows = y.chunks_exact_mut(len.max(1));
        self.walk.rows(|[at]| {
            let Some(y) = rows.next() else { return };
            if step == 1 {
                y.copy_from_slice(&x[at..at + len]);
            } else {
                y.iter_mut().zip(x[at..].iter().step_by(step.max(1))).for_each(|(y, &x)| *y = x);
            }
        });
    }

    /// Adds elements in the new order to those in the old one.
    fn add_back<T: Real>(&self, g: &[T], d: &mut [T]) {
        let Walk { len, inner: [step], .. } = self.walk;
        let mut rows = g.chunks_exact(len.max(1));
        self.walk.rows(|[at]| {
            let Some(g) = rows.next() else { return };
            d[at..].iter_mut().step_by(step.max(1)).zip(g).for_each(|(d, &g)| *d += g);
        });
    }
}

impl<T: Real> Kernel<T> for Permute {
    fn forward(&self, step: Forward<'_, T>) {
        self.apply(step.x[0], step.y);
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        if let Some(d) = step.dx[0].as_deref_mut() {
            self.add_back(step.g, d);
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::NOTHING
    }
}
