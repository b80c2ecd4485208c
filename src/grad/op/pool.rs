//! Pooling over windows, channels last.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::windows::{NOWHERE, Windows};

/// The largest number of each window; the first of equal ones.
#[derive(Debug)]
pub(in crate::grad) struct MaxPool {
    pub windows: Windows,
    pub channels: usize,
}

/// Sums of windows, each divided by a number of its own.
#[derive(Debug)]
pub(in crate::grad) struct AveragePool {
    pub windows: Windows,
    pub channels: usize,
    /// What the sum at each place of the output is divided by.
    pub counts: Vec<usize>,
}

/// Calls `each` with every place of the output, and each place of the input that its window covers.
fn taps(windows: &Windows, rows: usize, mut each: impl FnMut(usize, usize)) {
    for row in 0..rows {
        let (image, output) = (row / windows.outputs, row % windows.outputs);
        for &place in windows.of(output).iter().filter(|&&place| place != NOWHERE) {
            each(row, image * windows.places + place as usize);
        }
    }
}

impl<T: Real> Kernel<T> for MaxPool {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let c = self.channels;
        y.fill(T::of(f64::NEG_INFINITY));
        taps(&self.windows, y.len() / c, |row, place| {
            let from = &x[0][place * c..][..c];
            y[row * c..][..c].iter_mut().zip(from).for_each(|(y, &x)| *y = y.greater(x));
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, y, g, dx, scratch } = step;
        let Some(d) = dx[0].as_deref_mut() else { return };
        let c = self.channels;
        // What is still to be given away at the place of the output in work.
        let (mut current, left) = (usize::MAX, scratch);
        taps(&self.windows, g.len() / c, |row, place| {
            if row != current {
                left.copy_from_slice(&g[row * c..][..c]);
                current = row;
            }
            let (from, y) = (&x[0][place * c..][..c], &y[row * c..][..c]);
            let to = &mut d[place * c..][..c];
            for i in 0..c {
                if from[i] == y[i] {
                    to[i] += left[i];
                    left[i] = T::ZERO;
                }
            }
        });
    }

    fn rereads(&self) -> Rereads {
        Rereads::BOTH
    }

    fn scratch(&self) -> usize {
        self.channels
    }
}

impl AveragePool {
    fn factor<T: Real>(&self, row: usize) -> T {
        T::ONE / T::of(self.counts[row % self.windows.outputs].max(1) as f64)
    }
}

impl<T: Real> Kernel<T> for AveragePool {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let c = self.channels;
        y.fill(T::ZERO);
        taps(&self.windows, y.len() / c, |row, place| {
            let from = &x[0][place * c..][..c];
            y[row * c..][..c].iter_mut().zip(from).for_each(|(y, &x)| *y += x);
        });
        for (row, y) in y.chunks_exact_mut(c).enumerate() {
            let factor = self.factor(row);
            y.iter_mut().for_each(|y| *y *= factor);
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { g, dx, .. } = step;
        let Some(d) = dx[0].as_deref_mut() else { return };
        let c = self.channels;
        taps(&self.windows, g.len() / c, |row, place| {
            let factor = self.factor(row);
            let to = d[place * c..][..c].iter_mut();
            to.zip(&g[row * c..]).for_each(|(d, &g)| *d += g * factor);
        });
    }

    fn rereads(&self) -> Rereads {
        Rereads::NOTHING
    }
}
