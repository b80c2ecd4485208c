//! LSTM in one direction.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::op::gates::Gates;
use crate::grad::real::{Product, View};

/// Inputs are x `[steps, rows, inputs]`, W `[4 hidden, inputs]`, R `[4 hidden, hidden]`, B `[8 hidden]`, and h and
/// c before the first step, `[rows, hidden]`. The output holds h after each step, then c after each step. Gates are
/// in the order i, o, f, c.
#[derive(Debug)]
pub(in crate::grad) struct Lstm {
    pub steps: usize,
    pub rows: usize,
    pub inputs: usize,
    pub hidden: usize,
}

impl Lstm {
    /// Elements of h after one step.
    fn state(&self) -> usize {
        self.rows * self.hidden
    }

    /// Elements of the gates of one step.
    fn gates(&self) -> usize {
        4 * self.state()
    }

    /// What inputs put into the gates.
    fn of_rows(&self) -> Gates {
        Gates { rows: self.steps * self.rows, inputs: self.inputs, width: 4 * self.hidden }
    }

    /// What inputs and biases put into the gates of all steps.
    fn of_inputs<T: Real>(&self, x: &[&[T]], gates: &mut [T]) {
        let width = 4 * self.hidden;
        let (first, second) = x[3].split_at(width);
        for row in gates.chunks_exact_mut(width) {
            row.iter_mut().zip(first).zip(second).for_each(|((g, &a), &b)| *g = a + b);
        }
        self.of_rows().forward(x[0], x[1], gates);
    }

    /// Adds what `h` puts into the gates of `count` rows.
    fn of_state<T: Real>(&self, h: &[T], r: &[T], count: usize, gates: &mut [T]) {
        let product = Product {
            extents: [count, self.hidden, 4 * self.hidden],
            a: View::packed(0, self.hidden),
            b: View::packed(0, self.hidden).turned(),
            c: View::packed(0, 4 * self.hidden),
            adds: true,
        };
        T::multiply(product, h, r, gates);
    }

    /// Sigmoid of the first three gates, tanh of the last.
    fn activate<T: Real>(&self, gates: &mut [T]) {
        for row in gates.chunks_exact_mut(4 * self.hidden) {
            let (sharp, last) = row.split_at_mut(3 * self.hidden);
            sharp.iter_mut().for_each(|g| *g = g.sigmoid());
            last.iter_mut().for_each(|g| *g = g.tanh());
        }
    }
}

impl<T: Real> Kernel<T> for Lstm {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, scratch } = step;
        let (state, hidden) = (self.state(), self.hidden);
        self.of_inputs(x, &mut scratch[..self.steps * self.gates()]);
        let (hs, cs) = y.split_at_mut(self.steps * state);
        for t in 0..self.steps {
            let gates = &mut scratch[t * self.gates()..][..self.gates()];
            let (done, rest) = hs.split_at_mut(t * state);
            let before = if t == 0 { x[4] } else { &done[(t - 1) * state..] };
            self.of_state(before, x[2], self.rows, gates);
            self.activate(gates);
            let (done, now) = cs.split_at_mut(t * state);
            let before = if t == 0 { x[5] } else { &done[(t - 1) * state..] };
            for row in 0..self.rows {
                let gates = &gates[row * 4 * hidden..];
                for j in 0..hidden {
                    let at = row * hidden + j;
                    let (i, o, f) = (gates[j], gates[hidden + j], gates[2 * hidden + j]);
                    now[at] = f * before[at] + i * gates[3 * hidden + j];
                    rest[at] = o * now[at].tanh();
                }
            }
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, y, g, dx, scratch } = step;
        let (state, hidden, all) = (self.state(), self.hidden, self.steps * self.gates());
        let (hs, cs) = y.split_at(self.steps * state);
        let (gates, rest) = scratch.split_at_mut(all);
        let (carry_h, carry_c) = rest[..2 * state].split_at_mut(state);
        carry_h.fill(T::ZERO);
        carry_c.fill(T::ZERO);
        self.of_inputs(x, gates);
        self.of_state(x[4], x[2], self.rows, gates);
        let later = (self.steps - 1) * self.rows;
        self.of_state(hs, x[2], later, &mut gates[self.gates()..]);
        self.activate(gates);
        for t in (0..self.steps).rev() {
            let gates = &mut gates[t * self.gates()..][..self.gates()];
            let before = if t == 0 { x[5] } else { &cs[(t - 1) * state..] };
            let (g_h, g_c) = (&g[t * state..], &g[(self.steps + t) * state..]);
            for row in 0..self.rows {
                let gates = &mut gates[row * 4 * hidden..][..4 * hidden];
                for j in 0..hidden {
                    let at = row * hidden + j;
                    let places = [j, hidden + j, 2 * hidden + j, 3 * hidden + j];
                    let [i, o, f, c] = places.map(|place| gates[place]);
                    let bent = cs[t * state + at].tanh();
                    let d_h = g_h[at] + carry_h[at];
                    let d_c = g_c[at] + carry_c[at] + d_h * o * (T::ONE - bent * bent);
                    gates[places[0]] = d_c * c * i * (T::ONE - i);
                    gates[places[1]] = d_h * bent * o * (T::ONE - o);
                    gates[places[2]] = d_c * before[at] * f * (T::ONE - f);
                    gates[places[3]] = d_c * i * (T::ONE - c * c);
                    carry_c[at] = d_c * f;
                }
            }
            let product = Product {
                extents: [self.rows, 4 * hidden, hidden],
                a: View::packed(0, 4 * hidden),
                b: View::packed(0, hidden),
                c: View::packed(0, hidden),
                adds: false,
            };
            T::multiply(product, gates, x[2], carry_h);
        }
        let width = 4 * hidden;
        let down = View::packed(0, width).turned();
        let (dx0, rest) = dx.split_at_mut(1);
        let wanted = (dx0[0].as_deref_mut(), rest[0].as_deref_mut());
        self.of_rows().backward(gates, (x[0], x[1]), wanted);
        if let Some(d) = dx[2].as_deref_mut() {
            let c = View::packed(0, hidden);
            let first =
                Product { extents: [width, self.rows, hidden], a: down, b: c, c, adds: true };
            T::multiply(first, gates, x[4], d);
            let rest = Product { extents: [width, later, hidden], ..first };
            T::multiply(rest, &gates[self.gates()..], hs, d);
        }
        if let Some(d) = dx[3].as_deref_mut() {
            for row in gates.chunks_exact(width) {
                d.iter_mut().zip(row.iter().chain(row)).for_each(|(d, &g)| *d += g);
            }
        }
        for (slot, carry) in [(4, carry_h), (5, carry_c)] {
            if let Some(d) = dx[slot].as_deref_mut() {
                d.iter_mut().zip(carry).for_each(|(d, carry)| *d += *carry);
            }
        }
    }

    fn rereads(&self) -> Rereads {
        Rereads::BOTH
    }

    fn scratch(&self) -> usize {
        self.steps * self.gates() + 2 * self.state()
    }
}
