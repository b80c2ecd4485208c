//! BatchNormalization with fixed statistics.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// `gamma (x - mean) inv + beta`, channels last. Inputs are x, gamma, beta.
#[derive(Debug)]
pub(in crate::grad) struct BatchNorm {
    /// Mean of each channel.
    pub mean: Vec<f64>,
    /// One over the deviation of each channel.
    pub inv: Vec<f64>,
}

impl<T: Real> Kernel<T> for BatchNorm {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x: &[x, gamma, beta], y, scratch } = step else { return };
        let channels = self.mean.len();
        let (factor, offset) = scratch.split_at_mut(channels);
        for c in 0..channels {
            factor[c] = gamma[c] * T::of(self.inv[c]);
            offset[c] = beta[c] - factor[c] * T::of(self.mean[c]);
        }
        for (y, x) in y.chunks_exact_mut(channels).zip(x.chunks_exact(channels)) {
            let terms = factor.iter().zip(&*offset);
            for ((y, &x), (&factor, &offset)) in y.iter_mut().zip(x).zip(terms) {
                *y = factor * x + offset;
            }
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x: &[x, gamma, _], g, dx, scratch, .. } = step else { return };
        let channels = self.mean.len();
        if let Some(d) = dx[0].as_deref_mut() {
            let factor = &mut scratch[..channels];
            for c in 0..channels {
                factor[c] = gamma[c] * T::of(self.inv[c]);
            }
            for (d, g) in d.chunks_exact_mut(channels).zip(g.chunks_exact(channels)) {
                d.iter_mut().zip(g).zip(&*factor).for_each(|((d, &g), &factor)| *d += factor * g);
            }
        }
        let (sums, products) = scratch[..2 * channels].split_at_mut(channels);
        sums.fill(T::ZERO);
        products.fill(T::ZERO);
        for (x, g) in x.chunks_exact(channels).zip(g.chunks_exact(channels)) {
            let totals = sums.iter_mut().zip(products.iter_mut());
            for ((&x, &g), (sum, product)) in x.iter().zip(g).zip(totals) {
                *sum += g;
                *product += g * x;
            }
        }
        if let Some(d) = dx[1].as_deref_mut() {
            for c in 0..channels {
                d[c] += (products[c] - sums[c] * T::of(self.mean[c])) * T::of(self.inv[c]);
            }
        }
        if let Some(d) = dx[2].as_deref_mut() {
            d.iter_mut().zip(sums).for_each(|(d, &mut sum)| *d += sum);
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }

    fn scratch(&self) -> usize {
        2 * self.mean.len()
    }
}
