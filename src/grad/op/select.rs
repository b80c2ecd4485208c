//! Where: one of two numbers, by a condition.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::walk::{Walk, repeating};

/// Condition, what is taken where it holds, and what elsewhere.
#[derive(Debug)]
pub(in crate::grad) struct Select {
    walk: Walk<3>,
}

impl Select {
    /// On operands of as many axes as the result, each of its extent or of 1.
    pub fn new(result: &[usize], operands: [&[usize]; 3]) -> Self {
        let strides = operands.map(repeating);
        Self { walk: Walk::new(result, [&strides[0], &strides[1], &strides[2]]) }
    }
}

impl<T: Real> Kernel<T> for Select {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let Walk { len, inner, .. } = self.walk;
        let mut rows = y.chunks_exact_mut(len.max(1));
        self.walk.rows(|at| {
            let Some(y) = rows.next() else { return };
            for (i, y) in y.iter_mut().enumerate() {
                let taken = if x[0][at[0] + i * inner[0]] == T::ZERO { 2 } else { 1 };
                *y = x[taken][at[taken] + i * inner[taken]];
            }
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, .. } = step;
        let Walk { len, inner, .. } = self.walk;
        let mut rows = g.chunks_exact(len.max(1));
        self.walk.rows(|at| {
            let Some(g) = rows.next() else { return };
            for (i, &g) in g.iter().enumerate() {
                let taken = if x[0][at[0] + i * inner[0]] == T::ZERO { 2 } else { 1 };
                if let Some(d) = dx[taken].as_deref_mut() {
                    d[at[taken] + i * inner[taken]] += g;
                }
            }
        });
    }

    fn passes(&self, slot: usize) -> bool {
        slot > 0
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }
}
