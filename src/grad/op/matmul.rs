//! Products of matrices.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::real::{Product, View};

/// Products of matrices, one for each place of the leading axes.
#[derive(Debug)]
pub(in crate::grad) struct MatMul {
    /// Rows of the left one, columns of the left one, columns of the right one.
    pub extents: [usize; 3],
    /// The left and the right one are stored transposed.
    pub turned: [bool; 2],
    /// Which matrix of the left and which of the right are multiplied, for each of the result.
    pub pairs: Vec<[usize; 2]>,
}

impl MatMul {
    fn views(&self, at: usize) -> [View; 3] {
        let [m, k, n] = self.extents;
        let [a, b] = self.pairs[at];
        let view = |index: usize, rows: usize, columns: usize, turned: bool| {
            let start = index * rows * columns;
            if turned { View::packed(start, rows).turned() } else { View::packed(start, columns) }
        };
        [view(a, m, k, self.turned[0]), view(b, k, n, self.turned[1]), View::packed(at * m * n, n)]
    }
}

impl<T: Real> Kernel<T> for MatMul {
    fn forward(&self, step: Forward<'_, T>) {
        for at in 0..self.pairs.len() {
            let [a, b, c] = self.views(at);
            let product = Product { extents: self.extents, a, b, c, adds: false };
            T::multiply(product, step.x[0], step.x[1], step.y);
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, .. } = step;
        let [m, k, n] = self.extents;
        for at in 0..self.pairs.len() {
            let [a, b, c] = self.views(at);
            if let Some(d) = dx[0].as_deref_mut() {
                let product = Product { extents: [m, n, k], a: c, b: b.turned(), c: a, adds: true };
                T::multiply(product, g, x[1], d);
            }
            if let Some(d) = dx[1].as_deref_mut() {
                let product = Product { extents: [k, m, n], a: a.turned(), b: c, c: b, adds: true };
                T::multiply(product, x[0], g, d);
            }
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }
}
