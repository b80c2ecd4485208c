//! Softmax and its logarithm.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// Over the middle of three axes.
#[derive(Debug)]
pub(in crate::grad) struct Softmax {
    /// Extents of what is before, the axis, and what is behind.
    pub extents: [usize; 3],
    /// The logarithm.
    pub log: bool,
}

impl Softmax {
    /// Calls `each` with the first index of every vector and the distance of its elements.
    fn vectors(&self, mut each: impl FnMut(usize)) {
        let [outer, len, inner] = self.extents;
        for o in 0..outer {
            (0..inner).for_each(|i| each(o * len * inner + i));
        }
    }
}

impl<T: Real> Kernel<T> for Softmax {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let (x, [_, len, inner]) = (x[0], self.extents);
        self.vectors(|at| {
            let index = |i: usize| at + i * inner;
            let top = (1..len).fold(x[at], |top, i| top.greater(x[index(i)]));
            let mut sum = T::ZERO;
            for i in 0..len {
                let power = (x[index(i)] - top).exp();
                sum += power;
                y[index(i)] = if self.log { x[index(i)] - top } else { power };
            }
            let (shift, factor) = (sum.ln(), T::ONE / sum);
            for i in 0..len {
                let y = &mut y[index(i)];
                *y = if self.log { *y - shift } else { *y * factor };
            }
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { y, g, dx, .. } = step;
        let Some(d) = dx[0].as_deref_mut() else { return };
        let [_, len, inner] = self.extents;
        self.vectors(|at| {
            let places = || (0..len).map(|i| at + i * inner);
            if self.log {
                let sum: T = places().map(|i| g[i]).sum();
                places().for_each(|i| d[i] += g[i] - y[i].exp() * sum);
            } else {
                let sum: T = places().map(|i| g[i] * y[i]).sum();
                places().for_each(|i| d[i] += y[i] * (g[i] - sum));
            }
        });
    }

    fn rereads(&self) -> Rereads {
        Rereads::Y
    }
}
