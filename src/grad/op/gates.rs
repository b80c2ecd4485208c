//! What inputs put into the gates of a recurrent layer, in all of its steps at once.

use crate::grad::Real;
use crate::grad::real::{Product, View};

/// Inputs are `[rows, inputs]`, the rows of all steps; W is `[width, inputs]`, and gates are `[rows, width]`.
pub(super) struct Gates {
    pub rows: usize,
    pub inputs: usize,
    pub width: usize,
}

impl Gates {
    /// Adds `x · W'` to the gates.
    pub fn forward<T: Real>(&self, x: &[T], w: &[T], gates: &mut [T]) {
        let read = View::packed(0, self.inputs);
        let product = Product {
            extents: [self.rows, self.inputs, self.width],
            a: read,
            b: read.turned(),
            c: View::packed(0, self.width),
            adds: true,
        };
        T::multiply(product, x, w, gates);
    }

    /// From gradients of the gates, adds those of x and of W where they are wanted.
    pub fn backward<T: Real>(
        &self,
        gates: &[T],
        (x, w): (&[T], &[T]),
        (dx, dw): (Option<&mut [T]>, Option<&mut [T]>),
    ) {
        let (a, c) = (View::packed(0, self.width), View::packed(0, self.inputs));
        if let Some(d) = dx {
            let extents = [self.rows, self.width, self.inputs];
            T::multiply(Product { extents, a, b: c, c, adds: true }, gates, w, d);
        }
        if let Some(d) = dw {
            let extents = [self.width, self.rows, self.inputs];
            T::multiply(Product { extents, a: a.turned(), b: c, c, adds: true }, gates, x, d);
        }
    }
}
