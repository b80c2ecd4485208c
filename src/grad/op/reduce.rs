//! Sums, means and extremes over axes.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::walk::{Walk, repeating};

/// What becomes of the elements.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grad) enum Reduction {
    Sum,
    Mean,
    Max,
    Min,
}

/// A reduction over axes.
#[derive(Debug)]
pub(in crate::grad) struct Reduce {
    reduction: Reduction,
    /// Over the input; the tensor is the result.
    walk: Walk<1>,
    /// Elements that become one.
    count: usize,
}

impl Reduce {
    /// Of a tensor of `dims` to one of `kept`, which has 1 where axes go.
    pub fn new(reduction: Reduction, dims: &[usize], kept: &[usize]) -> Self {
        let count = dims.iter().zip(kept).filter(|(_, k)| **k == 1).map(|(d, _)| d).product();
        Self { reduction, walk: Walk::new(dims, [&repeating(kept)]), count }
    }

    fn fold<T: Real>(&self, x: &[T], y: &mut [T], first: T, f: impl Fn(T, T) -> T) {
        y.fill(first);
        let Walk { len, inner: [step], .. } = self.walk;
        let mut rows = x.chunks_exact(len.max(1));
        self.walk.rows(|[at]| {
            let Some(x) = rows.next() else { return };
            if step == 0 {
                y[at] = x.iter().fold(y[at], |y, &x| f(y, x));
            } else {
                y[at..].iter_mut().zip(x).for_each(|(y, &x)| *y = f(*y, x));
            }
        });
    }

    /// Each element of the input with that of the result that it became part of.
    fn pairs(&self, mut see: impl FnMut(usize, usize)) {
        let Walk { len, inner: [step], .. } = self.walk;
        let mut first = 0;
        self.walk.rows(|[at]| {
            (0..len).for_each(|i| see(first + i, at + i * step));
            first += len;
        });
    }
}

impl<T: Real> Kernel<T> for Reduce {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let x = x[0];
        match self.reduction {
            Reduction::Sum => self.fold(x, y, T::ZERO, |y, x| y + x),
            Reduction::Mean => {
                self.fold(x, y, T::ZERO, |y, x| y + x);
                let factor = T::ONE / T::of(self.count as f64);
                y.iter_mut().for_each(|y| *y *= factor);
            }
            Reduction::Max => self.fold(x, y, T::of(f64::NEG_INFINITY), T::greater),
            Reduction::Min => self.fold(x, y, T::of(f64::INFINITY), T::less),
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, y, g, dx, scratch } = step;
        let Some(d) = dx[0].as_deref_mut() else { return };
        match self.reduction {
            Reduction::Sum => self.pairs(|i, o| d[i] += g[o]),
            Reduction::Mean => {
                let factor = T::ONE / T::of(self.count as f64);
                self.pairs(|i, o| d[i] += factor * g[o]);
            }
            // Winners share: rows of zeros behind Relu are all winners.
            Reduction::Max | Reduction::Min => {
                let ties = &mut scratch[..y.len()];
                ties.fill(T::ZERO);
                self.pairs(|i, o| {
                    if x[0][i] == y[o] {
                        ties[o] += T::ONE;
                    }
                });
                self.pairs(|i, o| {
                    if x[0][i] == y[o] {
                        d[i] += g[o] / ties[o];
                    }
                });
            }
        }
    }

    fn rereads(&self) -> Rereads {
        match self.reduction {
            Reduction::Sum | Reduction::Mean => Rereads::NOTHING,
            Reduction::Max | Reduction::Min => Rereads::BOTH,
        }
    }

    fn scratch(&self) -> usize {
        // At most as many results as there are places.
        let mut most = 0;
        self.walk.rows(|[at]| most = most.max(at + self.walk.len * self.walk.inner[0].max(1)));
        if matches!(self.reduction, Reduction::Max | Reduction::Min) { most } else { 0 }
    }
}
