//! GRU in one direction.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::op::gates::Gates;
use crate::grad::real::{Product, View};

/// Inputs are x `[steps, rows, inputs]`, W `[3 hidden, inputs]`, R `[3 hidden, hidden]`, B `[6 hidden]`, and h before
/// the first step, `[rows, hidden]`. The output holds h after each step. Gates are in the order z, r, h.
#[derive(Debug)]
pub(in crate::grad) struct Gru {
    pub steps: usize,
    pub rows: usize,
    pub inputs: usize,
    pub hidden: usize,
    /// The reset is applied to what R makes of h, not to h.
    pub late_reset: bool,
}

impl Gru {
    fn state(&self) -> usize {
        self.rows * self.hidden
    }

    fn gates(&self) -> usize {
        3 * self.state()
    }

    /// What inputs put into the gates.
    fn of_rows(&self) -> Gates {
        Gates { rows: self.steps * self.rows, inputs: self.inputs, width: 3 * self.hidden }
    }

    fn inputs<T: Real>(&self, x: &[&[T]], gates: &mut [T]) {
        let width = 3 * self.hidden;
        gates.chunks_exact_mut(width).for_each(|row| row.copy_from_slice(&x[3][..width]));
        self.of_rows().forward(x[0], x[1], gates);
    }

    /// `h · R' + b` for `count` gates from `first` on.
    fn recurrent<T: Real>(&self, x: &[&[T]], h: &[T], first: usize, count: usize, to: &mut [T]) {
        let (hidden, width) = (self.hidden, 3 * self.hidden);
        let bias = &x[3][width + first * hidden..][..count * hidden];
        for row in to[..self.gates()].chunks_exact_mut(width) {
            row[first * hidden..][..count * hidden].copy_from_slice(bias);
        }
        let product = Product {
            extents: [self.rows, hidden, count * hidden],
            a: View::packed(0, hidden),
            b: View::packed(first * hidden * hidden, hidden).turned(),
            c: View { start: first * hidden, rows: width, columns: 1 },
            adds: true,
        };
        T::multiply(product, h, x[2], to);
    }

    /// Activates the gates of a step, in place. `u` becomes what R makes of h and the bias; `reset` becomes h with
    /// the reset, when that comes first.
    fn step<T: Real>(&self, x: &[&[T]], h: &[T], gates: &mut [T], u: &mut [T], reset: &mut [T]) {
        let (hidden, width) = (self.hidden, 3 * self.hidden);
        self.recurrent(x, h, 0, if self.late_reset { 3 } else { 2 }, u);
        for row in 0..self.rows {
            let (gates, u) = (&mut gates[row * width..], &u[row * width..]);
            for j in 0..2 * hidden {
                gates[j] = (gates[j] + u[j]).sigmoid();
            }
            for j in 0..hidden {
                reset[row * hidden + j] = gates[hidden + j] * h[row * hidden + j];
            }
        }
        if !self.late_reset {
            self.recurrent(x, reset, 2, 1, u);
        }
        for row in 0..self.rows {
            let (gates, u) = (&mut gates[row * width..], &u[row * width..]);
            for j in 0..hidden {
                let r = if self.late_reset { gates[hidden + j] } else { T::ONE };
                gates[2 * hidden + j] = (gates[2 * hidden + j] + r * u[2 * hidden + j]).tanh();
            }
        }
    }
}

impl<T: Real> Kernel<T> for Gru {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, scratch } = step;
        let (state, hidden) = (self.state(), self.hidden);
        let (gates, rest) = scratch.split_at_mut(self.steps * self.gates());
        let (u, rest) = rest.split_at_mut(self.gates());
        let reset = &mut rest[..state];
        self.inputs(x, gates);
        for t in 0..self.steps {
            let gates = &mut gates[t * self.gates()..][..self.gates()];
            let (done, now) = y.split_at_mut(t * state);
            let before = if t == 0 { x[4] } else { &done[(t - 1) * state..] };
            self.step(x, before, gates, u, reset);
            for at in 0..state {
                let gates = &gates[at / hidden * 3 * hidden + at % hidden..];
                let (z, h) = (gates[0], gates[2 * hidden]);
                now[at] = (T::ONE - z) * h + z * before[at];
            }
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, y, g, dx, scratch } = step;
        let (state, hidden, width) = (self.state(), self.hidden, 3 * self.hidden);
        let (gates, rest) = scratch.split_at_mut(self.steps * self.gates());
        let (u, rest) = rest.split_at_mut(self.gates());
        let (reset, rest) = rest.split_at_mut(state);
        let (carry, d_reset) = rest[..2 * state].split_at_mut(state);
        carry.fill(T::ZERO);
        self.inputs(x, gates);
        let packed = View::packed(0, hidden);
        for t in (0..self.steps).rev() {
            let gates = &mut gates[t * self.gates()..][..self.gates()];
            let before = if t == 0 { x[4] } else { &y[(t - 1) * state..][..state] };
            self.step(x, before, gates, u, reset);
            // From here on the gates hold gradients for W, and `u` those for R.
            for at in 0..state {
                let place = at / hidden * width + at % hidden;
                let places = [place, place + hidden, place + 2 * hidden];
                let [z, r, h] = places.map(|place| gates[place]);
                let d = g[t * state + at] + carry[at];
                let d_h = d * (T::ONE - z) * (T::ONE - h * h);
                gates[places[0]] = d * (before[at] - h) * z * (T::ONE - z);
                gates[places[2]] = d_h;
                if self.late_reset {
                    gates[places[1]] = d_h * u[places[2]] * r * (T::ONE - r);
                    u[places[2]] = d_h * r;
                } else {
                    u[places[1]] = r;
                    u[places[2]] = d_h;
                }
                carry[at] = d * z;
            }
            if !self.late_reset {
                let b = View::packed(2 * hidden * hidden, hidden);
                let a = View { start: 2 * hidden, rows: width, columns: 1 };
                let extents = [self.rows, hidden, hidden];
                T::multiply(
                    Product { extents, a, b, c: packed, adds: false },
                    gates,
                    x[2],
                    d_reset,
                );
                for at in 0..state {
                    let place = at / hidden * width + hidden + at % hidden;
                    let r = u[place];
                    gates[place] = d_reset[at] * before[at] * r * (T::ONE - r);
                    carry[at] += d_reset[at] * r;
                }
            }
            for at in 0..state {
                let place = at / hidden * width + at % hidden;
                u[place] = gates[place];
                u[place + hidden] = gates[place + hidden];
            }
            // With the late reset all gates read h; else the last one reads h with the reset.
            let read = if self.late_reset { width } else { 2 * hidden };
            let a = View::packed(0, width);
            let extents = [self.rows, read, hidden];
            T::multiply(Product { extents, a, b: packed, c: packed, adds: true }, u, x[2], carry);
            if let Some(d) = dx[2].as_deref_mut() {
                let a = a.turned();
                let extents = [read, self.rows, hidden];
                T::multiply(Product { extents, a, b: packed, c: packed, adds: true }, u, before, d);
                if !self.late_reset {
                    let product = Product {
                        extents: [hidden, self.rows, hidden],
                        a: a.at(2 * hidden),
                        b: packed,
                        c: View::packed(2 * hidden * hidden, hidden),
                        adds: true,
                    };
                    T::multiply(product, u, reset, d);
                }
            }
            if let Some(d) = dx[3].as_deref_mut() {
                for row in u.chunks_exact(width) {
                    d[width..].iter_mut().zip(row).for_each(|(d, &g)| *d += g);
                }
            }
        }
        let (dx0, rest) = dx.split_at_mut(1);
        let wanted = (dx0[0].as_deref_mut(), rest[0].as_deref_mut());
        self.of_rows().backward(gates, (x[0], x[1]), wanted);
        if let Some(d) = dx[3].as_deref_mut() {
            for row in gates.chunks_exact(width) {
                d.iter_mut().zip(row).for_each(|(d, &g)| *d += g);
            }
        }
        if let Some(d) = dx[4].as_deref_mut() {
            d.iter_mut().zip(carry).for_each(|(d, carry)| *d += *carry);
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::BOTH
    }

    fn scratch(&self) -> usize {
        (self.steps + 1) * self.gates() + 3 * self.state()
    }
}
