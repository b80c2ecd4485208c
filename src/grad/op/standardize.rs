//! Vectors with mean 0 and variance 1, or mean square 1: what all normalizations of activations share.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// `(x - mean) / sqrt(variance + epsilon)` of each row, or `x / sqrt(mean square + epsilon)`.
#[derive(Debug)]
pub(in crate::grad) struct Standardize {
    /// Elements of a row.
    pub len: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// The mean is taken away.
    pub centred: bool,
}

impl Standardize {
    /// Mean, and one over the deviation.
    fn moments<T: Real>(&self, row: &[T]) -> (T, T) {
        let count = T::of(self.len as f64);
        let mean = if self.centred { row.iter().copied().sum::<T>() / count } else { T::ZERO };
        let square: T = row.iter().map(|&x| (x - mean) * (x - mean)).sum();
        (mean, T::ONE / (square / count + T::of(self.epsilon)).sqrt())
    }
}

impl<T: Real> Kernel<T> for Standardize {
    fn forward(&self, step: Forward<'_, T>) {
        for (x, y) in step.x[0].chunks_exact(self.len).zip(step.y.chunks_exact_mut(self.len)) {
            let (mean, factor) = self.moments(x);
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = (x - mean) * factor);
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, y, g, dx, .. } = step;
        let Some(d) = dx[0].as_deref_mut() else { return };
        let rows = x[0].chunks_exact(self.len).zip(y.chunks_exact(self.len));
        let gradients = g.chunks_exact(self.len).zip(d.chunks_exact_mut(self.len));
        let count = T::of(self.len as f64);
        for ((x, y), (g, d)) in rows.zip(gradients) {
            let (_, factor) = self.moments(x);
            let mean = match self.centred {
                true => g.iter().copied().sum::<T>() / count,
                false => T::ZERO,
            };
            let along = g.iter().zip(y).map(|(&g, &y)| g * y).sum::<T>() / count;
            for ((d, &g), &y) in d.iter_mut().zip(g).zip(y) {
                *d += factor * (g - mean - y * along);
            }
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::BOTH
    }
}
