//! Convolutions of each channel by itself, channels last.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::windows::{NOWHERE, Windows};

/// Inputs are x `[images, places, channels]`, the weights `[taps, channels]`, and perhaps a bias.
#[derive(Debug)]
pub(in crate::grad) struct Depthwise {
    pub windows: Windows,
    pub channels: usize,
}

impl Depthwise {
    /// Calls `each` with every place of the output, tap, and place of the input.
    fn taps(&self, rows: usize, mut each: impl FnMut(usize, usize, usize)) {
        let windows = &self.windows;
        for row in 0..rows {
            let (image, output) = (row / windows.outputs, row % windows.outputs);
            for (tap, &place) in windows.of(output).iter().enumerate() {
                if place != NOWHERE {
                    each(row, tap, image * windows.places + place as usize);
                }
            }
        }
    }
}

impl<T: Real> Kernel<T> for Depthwise {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let c = self.channels;
        match x.get(2) {
            Some(bias) => y.chunks_exact_mut(c).for_each(|y| y.copy_from_slice(bias)),
            None => y.fill(T::ZERO),
        }
        self.taps(y.len() / c, |row, tap, place| {
            let weights = &x[1][tap * c..][..c];
            let from = &x[0][place * c..][..c];
            let to = y[row * c..][..c].iter_mut();
            to.zip(from).zip(weights).for_each(|((y, &x), &w)| *y += x * w);
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, .. } = step;
        let c = self.channels;
        if let Some(d) = dx.get_mut(2).and_then(|d| d.as_deref_mut()) {
            for g in g.chunks_exact(c) {
                d.iter_mut().zip(g).for_each(|(d, &g)| *d += g);
            }
        }
        if let Some(d) = dx[1].as_deref_mut() {
            self.taps(g.len() / c, |row, tap, place| {
                let (g, from) = (&g[row * c..][..c], &x[0][place * c..][..c]);
                let to = d[tap * c..][..c].iter_mut();
                to.zip(from).zip(g).for_each(|((d, &x), &g)| *d += x * g);
            });
        }
        if let Some(d) = dx[0].as_deref_mut() {
            self.taps(g.len() / c, |row, tap, place| {
                let (g, weights) = (&g[row * c..][..c], &x[1][tap * c..][..c]);
                let to = d[place * c..][..c].iter_mut();
                to.zip(weights).zip(g).for_each(|((d, &w), &g)| *d += w * g);
            });
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }
}
