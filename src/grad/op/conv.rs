//! Convolutions of any number of axes, channels last: a product of matrices over gathered windows.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::real::{Product, View};
use crate::grad::windows::{NOWHERE, Windows};

/// Elements of gathered windows that are in work at a time; they and what is made of them stay in the
/// second-level cache.
const BLOCK: usize = 1 << 17;
/// Fewest rows of a product that keep its kernel busy.
const FEWEST_ROWS: usize = 32;

/// Inputs are x `[images, places, channels]`, the weights `[groups, taps, channels of a group, filters of a
/// group]`, and perhaps a bias.
#[derive(Debug)]
pub(in crate::grad) struct Conv {
    pub windows: Windows,
    pub images: usize,
    pub groups: usize,
    /// Channels of a group, and filters of a group.
    pub channels: usize,
    pub filters: usize,
}

impl Conv {
    fn width(&self) -> usize {
        self.windows.taps * self.channels
    }

    fn block(&self) -> usize {
        (BLOCK / self.width().max(1)).max(FEWEST_ROWS).min(self.rows().max(1))
    }

    fn rows(&self) -> usize {
        self.images * self.windows.outputs
    }

    /// Windows of `count` places of the output from `first` on, of one group.
    fn gather<T: Real>(&self, x: &[T], group: usize, first: usize, count: usize, to: &mut [T]) {
        let (channels, all) = (self.channels, self.channels * self.groups);
        let mut cells = to[..count * self.width()].chunks_exact_mut(channels);
        for row in first..first + count {
            let (image, output) = (row / self.windows.outputs, row % self.windows.outputs);
            let image = &x[image * self.windows.places * all..];
            for &place in self.windows.of(output) {
                let Some(cell) = cells.next() else { return };
                if place == NOWHERE {
                    cell.fill(T::ZERO);
                } else {
                    let start = place as usize * all + group * channels;
                    cell.copy_from_slice(&image[start..start + channels]);
                }
            }
        }
    }

    /// Adds windows to where they were gathered.
    fn scatter<T: Real>(&self, from: &[T], group: usize, first: usize, count: usize, d: &mut [T]) {
        let (channels, all) = (self.channels, self.channels * self.groups);
        let mut cells = from[..count * self.width()].chunks_exact(channels);
        for row in first..first + count {
            let (image, output) = (row / self.windows.outputs, row % self.windows.outputs);
            let image = &mut d[image * self.windows.places * all..];
            for &place in self.windows.of(output) {
                let Some(cell) = cells.next() else { return };
                if place != NOWHERE {
                    let start = place as usize * all + group * channels;
                    let to = &mut image[start..start + channels];
                    to.iter_mut().zip(cell).for_each(|(d, &g)| *d += g);
                }
            }
        }
    }

    /// The windows are the input itself.
    fn direct(&self) -> bool {
        self.windows.trivial
    }

    /// The windows in the input itself.
    fn direct_view(&self, group: usize, first: usize) -> View {
        let all = self.channels * self.groups;
        View { start: first * all + group * self.channels, rows: all, columns: 1 }
    }

    /// Calls `each` with every group and block of rows.
    fn blocks(&self, mut each: impl FnMut(usize, usize, usize)) {
        for first in (0..self.rows()).step_by(self.block()) {
            let count = self.block().min(self.rows() - first);
            (0..self.groups).for_each(|group| each(group, first, count));
        }
    }

    fn weights(&self, group: usize) -> View {
        View::packed(group * self.width() * self.filters, self.filters)
    }

    fn outputs(&self, group: usize, first: usize) -> View {
        let all = self.filters * self.groups;
        View { start: first * all + group * self.filters, rows: all, columns: 1 }
    }
}

impl<T: Real> Kernel<T> for Conv {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, scratch } = step;
        let bias = x.get(2);
        if let Some(bias) = bias {
            y.chunks_exact_mut(bias.len()).for_each(|y| y.copy_from_slice(bias));
        }
        self.blocks(|group, first, count| {
            let (from, a) = if self.direct() {
                (x[0], self.direct_view(group, first))
            } else {
                self.gather(x[0], group, first, count, scratch);
                (&*scratch, View::packed(0, self.width()))
            };
            let product = Product {
                extents: [count, self.width(), self.filters],
                a,
                b: self.weights(group),
                c: self.outputs(group, first),
                adds: bias.is_some(),
            };
            T::multiply(product, from, x[1], y);
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, scratch, .. } = step;
        if let Some(d) = dx.get_mut(2).and_then(|d| d.as_deref_mut()) {
            for g in g.chunks_exact(d.len()) {
                d.iter_mut().zip(g).for_each(|(d, &g)| *d += g);
            }
        }
        let width = self.width();
        if let Some(d) = dx[1].as_deref_mut() {
            self.blocks(|group, first, count| {
                let (from, a) = if self.direct() {
                    (x[0], self.direct_view(group, first))
                } else {
                    self.gather(x[0], group, first, count, scratch);
                    (&*scratch, View::packed(0, width))
                };
                let product = Product {
                    extents: [width, count, self.filters],
                    a: a.turned(),
                    b: self.outputs(group, first),
                    c: self.weights(group),
                    adds: true,
                };
                T::multiply(product, from, g, d);
            });
        }
        if let Some(d) = dx[0].as_deref_mut() {
            self.blocks(|group, first, count| {
                let product = Product {
                    extents: [count, self.filters, width],
                    a: self.outputs(group, first),
                    b: self.weights(group).turned(),
                    c: View::packed(0, width),
                    adds: false,
                };
                if self.direct() {
                    let c = self.direct_view(group, first);
                    T::multiply(Product { c, adds: true, ..product }, g, x[1], d);
                } else {
                    T::multiply(product, g, x[1], scratch);
                    self.scatter(scratch, group, first, count, d);
                }
            });
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }

    fn scratch(&self) -> usize {
        if self.direct() { 0 } else { self.block() * self.width() }
    }
}
