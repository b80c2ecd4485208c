//! Elements that are picked along each axis by itself: slices, padding, repetition, constant indices.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::walk::strides;

/// Where an element of the result along one axis comes from; `None` where it is filled in.
pub(in crate::grad) type Places = Vec<Option<usize>>;

/// The element at `(i, j, …)` of the result is that at `(first[i], second[j], …)` of the input.
#[derive(Debug)]
pub(in crate::grad) struct Pick {
    /// For each axis and index, the part of the index in the input.
    axes: Vec<Vec<Option<usize>>>,
    /// Elements in a row that are together in both.
    block: usize,
    /// What is filled in.
    fill: f64,
}

impl Pick {
    /// Of a tensor of `dims`.
    pub fn new(dims: &[usize], axes: Vec<Places>, fill: f64) -> Self {
        let steps = strides(dims);
        let mut axes = axes;
        let mut block = 1;
        // Axes that are taken as they are, at the end.
        while let Some(last) = axes.last() {
            let whole = last.len() == dims[axes.len() - 1];
            if !whole || !last.iter().enumerate().all(|(i, &place)| place == Some(i)) {
                break;
            }
            block *= last.len();
            axes.pop();
        }
        for (axis, step) in axes.iter_mut().zip(steps) {
            axis.iter_mut().for_each(|place| *place = place.map(|place| place * step));
        }
        Self { axes, block, fill }
    }

    /// Where each block of the result begins in the input.
    fn blocks(&self, see: &mut impl FnMut(Option<usize>)) {
        fn go(
            axes: &[Vec<Option<usize>>],
            start: Option<usize>,
            see: &mut impl FnMut(Option<usize>),
        ) {
            let Some((axis, rest)) = axes.split_first() else { return see(start) };
            for place in axis {
                let next = start.zip(*place).map(|(start, place)| start + place);
                go(rest, next, see);
            }
        }
        go(&self.axes, Some(0), see);
    }
}

impl<T: Real> Kernel<T> for Pick {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let mut blocks = y.chunks_exact_mut(self.block.max(1));
        self.blocks(&mut |start| {
            let Some(y) = blocks.next() else { return };
            match start {
                Some(start) => y.copy_from_slice(&x[0][start..start + self.block]),
                None => y.fill(T::of(self.fill)),
            }
        });
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Some(d) = step.dx[0].as_deref_mut() else { return };
        let mut blocks = step.g.chunks_exact(self.block.max(1));
        self.blocks(&mut |start| {
            if let (Some(g), Some(start)) = (blocks.next(), start) {
                d[start..].iter_mut().zip(g).for_each(|(d, &g)| *d += g);
            }
        });
    }

    fn rereads(&self) -> Rereads {
        Rereads::NOTHING
    }
}
