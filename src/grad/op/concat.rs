//! Tensors behind each other along an axis.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// Rows of several tensors, one after the other.
#[derive(Debug)]
pub(in crate::grad) struct Concat {
    /// Elements of each tensor in a row.
    pub rows: Vec<usize>,
}

impl<T: Real> Kernel<T> for Concat {
    fn forward(&self, step: Forward<'_, T>) {
        let total: usize = self.rows.iter().sum();
        let mut start = 0;
        for (x, &len) in step.x.iter().zip(&self.rows).filter(|(_, len)| **len > 0) {
            let rows = step.y.chunks_exact_mut(total).zip(x.chunks_exact(len));
            rows.for_each(|(y, x)| y[start..start + len].copy_from_slice(x));
            start += len;
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let total: usize = self.rows.iter().sum();
        let mut start = 0;
        for (d, &len) in step.dx.iter_mut().zip(&self.rows).filter(|(_, len)| **len > 0) {
            if let Some(d) = d.as_deref_mut() {
                for (g, d) in step.g.chunks_exact(total).zip(d.chunks_exact_mut(len)) {
                    d.iter_mut().zip(&g[start..start + len]).for_each(|(d, &g)| *d += g);
                }
            }
            start += len;
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::NOTHING
    }
}
