//! Gather with indices that are computed, such as those of words.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// Inputs are the table and the indices.
#[derive(Debug)]
pub(in crate::grad) struct Gather {
    /// Extents of the table: what is before the axis, the axis, and what is behind.
    pub extents: [usize; 3],
}

impl Gather {
    /// Calls `each` with the start in the table of every row of the result. An index that is out of bounds
    /// counts as the nearest one.
    fn rows<T: Real>(&self, indices: &[T], mut each: impl FnMut(usize)) {
        let [outer, len, inner] = self.extents;
        for o in 0..outer {
            for index in indices {
                let index = index.wide();
                let index = if index < 0.0 { index + len as f64 } else { index };
                let index = (index.max(0.0) as usize).min(len.saturating_sub(1));
                each((o * len + index) * inner);
            }
        }
    }
}

impl<T: Real> Kernel<T> for Gather {
    fn forward(&self, step: Forward<'_, T>) {
        let (inner, mut rows) = (self.extents[2], step.y.chunks_exact_mut(self.extents[2].max(1)));
        self.rows(step.x[1], |start| {
            let Some(y) = rows.next() else { return };
            y.copy_from_slice(&step.x[0][start..start + inner]);
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Some(d) = step.dx[0].as_deref_mut() else { return };
        let mut rows = step.g.chunks_exact(self.extents[2].max(1));
        self.rows(step.x[1], |start| {
            let Some(g) = rows.next() else { return };
            d[start..].iter_mut().zip(g).for_each(|(d, &g)| *d += g);
        });
    }

    fn passes(&self, slot: usize) -> bool {
        slot == 0
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }
}
