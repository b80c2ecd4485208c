//! Integers of a grid, with the gradient of a straight line.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// The nearest integer from `low` to `high`. On the way back the rounding is not there: the gradient passes where a
/// number is within both (Bengio and others, 2013), so that scales learn as in LSQ (Esser and others, 2020).
#[derive(Debug)]
pub(in crate::grad) struct Grid {
    pub low: f64,
    pub high: f64,
}

impl<T: Real> Kernel<T> for Grid {
    fn forward(&self, step: Forward<'_, T>) {
        let (low, high) = (T::of(self.low), T::of(self.high));
        for (y, &x) in step.y.iter_mut().zip(step.x[0]) {
            *y = T::of(x.wide().round_ties_even()).greater(low).less(high);
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Some(d) = step.dx[0].as_deref_mut() else { return };
        let (low, high) = (T::of(self.low), T::of(self.high));
        for ((d, &g), &x) in d.iter_mut().zip(step.g).zip(step.x[0]) {
            if x >= low && x <= high {
                *d += g;
            }
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::X
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gradients_pass_within_the_grid_alone() {
        let grid = Grid { low: -2.0, high: 1.0 };
        let x = [-3.0f64, -2.0, -0.5, 0.5, 1.4];
        let mut y = [0.0; 5];
        grid.forward(Forward { x: &[&x], y: &mut y, scratch: &mut [] });
        assert_eq!(y, [-2.0, -2.0, 0.0, 0.0, 1.0]);
        let mut d = [0.0; 5];
        let mut dx = [Some(&mut d[..])];
        let g = [1.0; 5];
        grid.backward(Backward { x: &[&x], y: &[], g: &g, dx: &mut dx, scratch: &mut [] });
        assert_eq!(d, [0.0, 1.0, 1.0, 1.0, 0.0]);
    }
}
