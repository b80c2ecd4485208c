//! Functions of two numbers, with broadcasting.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};
use crate::grad::walk::{Walk, repeating};

/// A function of two numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::grad) enum Function {
    Add,
    Sub,
    Mul,
    Div,
    Pow,
    Max,
    Min,
    /// The second number is the slope below 0.
    PRelu,
    /// A quotient of integers.
    WholeDiv,
    /// A remainder with the sign of the divisor, as integers have it.
    Mod,
    Equal,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
    And,
    Or,
    Xor,
}

/// A function of two tensors, element by element.
#[derive(Debug)]
pub(in crate::grad) struct Binary {
    function: Function,
    walk: Walk<2>,
}

impl Binary {
    /// On operands of as many axes as the result, each of its extent or of 1.
    pub fn new(function: Function, result: &[usize], a: &[usize], b: &[usize]) -> Self {
        Self { function, walk: Walk::new(result, [&repeating(a), &repeating(b)]) }
    }

    fn fill<T: Real>(&self, a: &[T], b: &[T], y: &mut [T], f: impl Fn(T, T) -> T) {
        let Walk { len, inner: [step_a, step_b], .. } = self.walk;
        let mut rows = y.chunks_exact_mut(len.max(1));
        self.walk.rows(|[a_at, b_at]| {
            let Some(y) = rows.next() else { return };
            let (a, b) = (&a[a_at..], &b[b_at..]);
            match (step_a, step_b) {
                (1, 1) => {
                    y.iter_mut().zip(a).zip(b).for_each(|((y, &a), &b)| *y = f(a, b));
                }
                (1, 0) => y.iter_mut().zip(a).for_each(|(y, &a)| *y = f(a, b[0])),
                (0, 1) => y.iter_mut().zip(b).for_each(|(y, &b)| *y = f(a[0], b)),
                _ => y.iter_mut().for_each(|y| *y = f(a[0], b[0])),
            }
        });
    }

    /// Adds `g · slope(a, b)` to the gradient of operand `of`.
    fn back<T: Real>(
        &self,
        of: usize,
        [a, b, g]: [&[T]; 3],
        d: &mut [T],
        slope: impl Fn(T, T) -> T,
    ) {
        let Walk { len, inner, .. } = self.walk;
        let [step_a, step_b] = inner;
        let mut rows = g.chunks_exact(len.max(1));
        self.walk.rows(|at| {
            let Some(g) = rows.next() else { return };
            let terms = g.iter().enumerate();
            let value = |i: usize, g: T| g * slope(a[at[0] + i * step_a], b[at[1] + i * step_b]);
            if inner[of] == 0 {
                d[at[of]] += terms.map(|(i, &g)| value(i, g)).sum::<T>();
            } else {
                let d = &mut d[at[of]..][..len];
                d.iter_mut().zip(terms).for_each(|(d, (i, &g))| *d += value(i, g));
            }
        });
    }

    /// Adds `factor · g`, which needs no operands.
    fn pass<T: Real>(&self, of: usize, g: &[T], d: &mut [T], factor: T) {
        let Walk { len, inner, .. } = self.walk;
        let mut rows = g.chunks_exact(len.max(1));
        self.walk.rows(|at| {
            let Some(g) = rows.next() else { return };
            if inner[of] == 0 {
                d[at[of]] += factor * g.iter().copied().sum::<T>();
            } else {
                d[at[of]..].iter_mut().zip(g).for_each(|(d, &g)| *d += factor * g);
            }
        });
    }
}

fn truth<T: Real>(x: bool) -> T {
    if x { T::ONE } else { T::ZERO }
}

/// Remainder with the sign of the divisor.
fn modulo<T: Real>(a: T, b: T) -> T {
    let (a, b) = (a.wide(), b.wide());
    T::of(a - b * (a / b).floor())
}

impl<T: Real> Kernel<T> for Binary {
    fn forward(&self, step: Forward<'_, T>) {
        let Forward { x, y, .. } = step;
        let (a, b) = (x[0], x[1]);
        let is = |x: T| x != T::ZERO;
        match self.function {
            Function::Add => self.fill(a, b, y, |a, b| a + b),
            Function::Sub => self.fill(a, b, y, |a, b| a - b),
            Function::Mul => self.fill(a, b, y, |a, b| a * b),
            Function::Div => self.fill(a, b, y, |a, b| a / b),
            Function::Pow => self.fill(a, b, y, T::pow),
            Function::Max => self.fill(a, b, y, T::greater),
            Function::Min => self.fill(a, b, y, T::less),
            Function::PRelu => self.fill(a, b, y, |a, b| if a < T::ZERO { a * b } else { a }),
            Function::WholeDiv => self.fill(a, b, y, |a, b| T::of((a.wide() / b.wide()).trunc())),
            Function::Mod => self.fill(a, b, y, modulo),
            Function::Equal => self.fill(a, b, y, |a, b| truth(a == b)),
            Function::Less => self.fill(a, b, y, |a, b| truth(a < b)),
            Function::LessOrEqual => self.fill(a, b, y, |a, b| truth(a <= b)),
            Function::Greater => self.fill(a, b, y, |a, b| truth(a > b)),
            Function::GreaterOrEqual => self.fill(a, b, y, |a, b| truth(a >= b)),
            Function::And => self.fill(a, b, y, |a, b| truth(is(a) && is(b))),
            Function::Or => self.fill(a, b, y, |a, b| truth(is(a) || is(b))),
            Function::Xor => self.fill(a, b, y, |a, b| truth(is(a) != is(b))),
        }
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Backward { x, g, dx, .. } = step;
        let (zero, one) = (T::ZERO, T::ONE);
        let all = [x[0], x[1], g];
        let half = T::of(0.5);
        // Equal numbers share the gradient.
        let won = |a: T, b: T| if a > b { one } else { if a == b { half } else { zero } };
        if let Some(d) = dx[0].as_deref_mut() {
            match self.function {
                Function::Add | Function::Sub => self.pass(0, g, d, one),
                Function::Mul => self.back(0, all, d, |_, b| b),
                Function::Div => self.back(0, all, d, |_, b| one / b),
                Function::Pow => self.back(0, all, d, |a, b| b * a.pow(b - one)),
                Function::Max => self.back(0, all, d, won),
                Function::Min => self.back(0, all, d, |a, b| won(b, a)),
                Function::PRelu => self.back(0, all, d, |a, b| if a < zero { b } else { one }),
                _ => {}
            }
        }
        if let Some(d) = dx[1].as_deref_mut() {
            match self.function {
                Function::Add => self.pass(1, g, d, one),
                Function::Sub => self.pass(1, g, d, -one),
                Function::Mul => self.back(1, all, d, |a, _| a),
                Function::Div => self.back(1, all, d, |a, b| -a / (b * b)),
                Function::Max => self.back(1, all, d, |a, b| won(b, a)),
                Function::Min => self.back(1, all, d, won),
                Function::PRelu => self.back(1, all, d, |a, _| if a < zero { a } else { zero }),
                _ => {}
            }
        }
    }

    fn passes(&self, slot: usize) -> bool {
        match self.function {
            Function::Add
            | Function::Sub
            | Function::Mul
            | Function::Div
            | Function::Max
            | Function::Min
            | Function::PRelu => true,
            // An exponent is no weight.
            Function::Pow => slot == 0,
            _ => false,
        }
    }

    fn rereads(&self) -> Rereads {
        match self.function {
            Function::Add | Function::Sub => Rereads::NOTHING,
            _ => Rereads::X,
        }
    }
}
