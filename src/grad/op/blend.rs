//! Each place of an axis as a weighted sum of places of the input: resizing, cumulative sums.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// A sparse matrix applied along the middle of three axes.
#[derive(Debug)]
pub(in crate::grad) struct Blend {
    /// Extents before, of, and behind the axis of the input.
    pub extents: [usize; 3],
    /// For each place of the result the places of the input with their weights.
    pub terms: Vec<Vec<(usize, f64)>>,
}

impl Blend {
    /// Calls `each` with the starts of rows of the result and the input, and the weight.
    fn rows(&self, mut each: impl FnMut(usize, usize, f64)) {
        let [outer, len, inner] = self.extents;
        for o in 0..outer {
            for (place, terms) in self.terms.iter().enumerate() {
                for &(from, weight) in terms {
                    let to = (o * self.terms.len() + place) * inner;
                    each(to, (o * len + from) * inner, weight);
                }
            }
        }
    }
}

impl<T: Real> Kernel<T> for Blend {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        y.fill(T::ZERO);
        let inner = self.extents[2];
        self.rows(|to, from, weight| {
            let weight = T::of(weight);
            let from = &x[0][from..from + inner];
            y[to..to + inner].iter_mut().zip(from).for_each(|(y, &x)| *y += weight * x);
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Some(d) = step.dx[0].as_deref_mut() else { return };
        let inner = self.extents[2];
        self.rows(|to, from, weight| {
            let weight = T::of(weight);
            let g = &step.g[to..to + inner];
            d[from..from + inner].iter_mut().zip(g).for_each(|(d, &g)| *d += weight * g);
        });
    }

    fn rereads(&self) -> Rereads {
        Rereads::NOTHING
    }
}
