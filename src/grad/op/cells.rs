//! Cells of a tensor that computed indices point at: what is gathered from them, and scattered to them.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// Where tuples of indices point.
#[derive(Debug, Clone)]
pub(in crate::grad) struct Cells {
    /// For each tuple the place from which its indices count.
    pub bases: Vec<usize>,
    /// Extent and stride of each axis that a tuple indexes; at least one.
    pub axes: Vec<(usize, usize)>,
    /// Elements in a row that a tuple stands for.
    pub block: usize,
}

impl Cells {
    /// The first element of each cell. An index that is out of bounds counts as the nearest one.
    fn each<'a, T: Real>(
        &'a self,
        indices: &'a [T],
    ) -> impl DoubleEndedIterator<Item = usize> + ExactSizeIterator + 'a {
        let tuples = indices.chunks_exact(self.axes.len().max(1));
        tuples.zip(&self.bases).map(|(tuple, &base)| {
            let place = |(&index, &(extent, stride)): (&T, &(usize, usize))| {
                let index = index.wide();
                let index = if index < 0.0 { index + extent as f64 } else { index };
                (index.max(0.0) as usize).min(extent.saturating_sub(1)) * stride
            };
            base + tuple.iter().zip(&self.axes).map(place).sum::<usize>()
        })
    }
}

/// Inputs are a tensor and the indices; the result has the cells, one after the other.
#[derive(Debug)]
pub(in crate::grad) struct Collect(pub Cells);

impl<T: Real> Kernel<T> for Collect {
    fn forward(&self, step: Forward<'_, T>) {
        let block = self.0.block.max(1);
        for (y, start) in step.y.chunks_exact_mut(block).zip(self.0.each(step.x[1])) {
            y.copy_from_slice(&step.x[0][start..start + block]);
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Some(d) = step.dx[0].as_deref_mut() else { return };
        let block = self.0.block.max(1);
        for (g, start) in step.g.chunks_exact(block).zip(self.0.each(step.x[1])) {
            d[start..start + block].iter_mut().zip(g).for_each(|(d, &g)| *d += g);
        }
    }

    fn passes(&self, slot: usize) -> bool {
        slot == 0
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }
}

/// Inputs are a tensor, the indices, and what cells become, or what is added to them.
#[derive(Debug)]
pub(in crate::grad) struct Scatter {
    pub cells: Cells,
    pub adds: bool,
    /// Elements of the tensor.
    pub len: usize,
}

impl<T: Real> Kernel<T> for Scatter {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let block = self.cells.block.max(1);
        y.copy_from_slice(x[0]);
        for (update, start) in x[2].chunks_exact(block).zip(self.cells.each(x[1])) {
            let cell = &mut y[start..start + block];
            match self.adds {
                true => cell.iter_mut().zip(update).for_each(|(y, &u)| *y += u),
                false => cell.copy_from_slice(update),
            }
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, scratch, .. } = step;
        let block = self.cells.block.max(1);
        let left = &mut scratch[..self.len];
        left.copy_from_slice(g);
        // The last update of a cell is the one that counts, and what was there before does not.
        for (i, start) in self.cells.each(x[1]).enumerate().rev() {
            let cell = &mut left[start..start + block];
            if let Some(d) = dx[2].as_deref_mut() {
                d[i * block..][..block].iter_mut().zip(&*cell).for_each(|(d, &g)| *d += g);
            }
            if !self.adds {
                cell.fill(T::ZERO);
            }
        }
        if let Some(d) = dx[0].as_deref_mut() {
            d.iter_mut().zip(&*left).for_each(|(d, &g)| *d += g);
        }
    }

    fn passes(&self, slot: usize) -> bool {
        slot != 1
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }

    fn scratch(&self) -> usize {
        self.len
    }
}
