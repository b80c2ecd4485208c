//! The adjoint of a convolution, channels last.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::real::{Product, View};
use crate::grad::windows::{NOWHERE, Windows};

/// Inputs are x `[images, places, channels]`, the weights `[groups, channels of a group, taps, filters of a
/// group]`, and perhaps a bias.
#[derive(Debug)]
pub(in crate::grad) struct ConvTranspose {
    /// Of the convolution from the output to the input.
    pub windows: Windows,
    pub images: usize,
    pub groups: usize,
    /// Channels of a group, and filters of a group.
    pub channels: usize,
    pub filters: usize,
}

impl ConvTranspose {
    fn width(&self) -> usize {
        self.windows.taps * self.filters
    }

    /// Calls `each` with every cell of the windows of an image and where it stands in the output.
    fn cells(&self, group: usize, mut each: impl FnMut(usize, usize)) {
        let all = self.filters * self.groups;
        for (cell, &place) in self.windows.table.iter().enumerate() {
            if place != NOWHERE {
                each(cell * self.filters, place as usize * all + group * self.filters);
            }
        }
    }

    fn inputs(&self, image: usize, group: usize) -> View {
        let all = self.channels * self.groups;
        let start = image * self.windows.outputs * all + group * self.channels;
        View { start, rows: all, columns: 1 }
    }

    fn weights(&self, group: usize) -> View {
        View::packed(group * self.channels * self.width(), self.width())
    }

    /// Calls `each` with every image and group.
    fn parts(&self, mut each: impl FnMut(usize, usize)) {
        (0..self.images).for_each(|i| (0..self.groups).for_each(|g| each(i, g)));
    }
}

impl<T: Real> Kernel<T> for ConvTranspose {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, scratch } = step;
        match x.get(2) {
            Some(bias) => y.chunks_exact_mut(bias.len()).for_each(|y| y.copy_from_slice(bias)),
            None => y.fill(T::ZERO),
        }
        let size = y.len() / self.images.max(1);
        let filters = self.filters;
        self.parts(|image, group| {
            let product = Product {
                extents: [self.windows.outputs, self.channels, self.width()],
                a: self.inputs(image, group),
                b: self.weights(group),
                c: View::packed(0, self.width()),
                adds: false,
            };
            T::multiply(product, x[0], x[1], scratch);
            let y = &mut y[image * size..][..size];
            self.cells(group, |from, to| {
                let to = y[to..to + filters].iter_mut();
                to.zip(&scratch[from..]).for_each(|(y, &v)| *y += v);
            });
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, scratch, .. } = step;
        if let Some(d) = dx.get_mut(2).and_then(|d| d.as_deref_mut()) {
            for g in g.chunks_exact(d.len()) {
                d.iter_mut().zip(g).for_each(|(d, &g)| *d += g);
            }
        }
        let size = g.len() / self.images.max(1);
        let filters = self.filters;
        self.parts(|image, group| {
            scratch.fill(T::ZERO);
            let g = &g[image * size..][..size];
            self.cells(group, |to, from| {
                scratch[to..to + filters].copy_from_slice(&g[from..from + filters]);
            });
            let cells = View::packed(0, self.width());
            if let Some(d) = dx[0].as_deref_mut() {
                let product = Product {
                    extents: [self.windows.outputs, self.width(), self.channels],
                    a: cells,
                    b: self.weights(group).turned(),
                    c: self.inputs(image, group),
                    adds: true,
                };
                T::multiply(product, scratch, x[1], d);
            }
            if let Some(d) = dx[1].as_deref_mut() {
                let product = Product {
                    extents: [self.channels, self.windows.outputs, self.width()],
                    a: self.inputs(image, group).turned(),
                    b: cells,
                    c: self.weights(group),
                    adds: true,
                };
                T::multiply(product, x[0], scratch, d);
            }
        });
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }

    fn scratch(&self) -> usize {
        self.windows.outputs * self.width()
    }
}
