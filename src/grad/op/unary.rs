//! Functions of one number.

use crate::grad::Real;
use crate::grad::kernel::{Backward, Forward, Kernel, Rereads};

/// A function of one number.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::grad) enum Unary {
    Relu,
    /// Slope below 0.
    LeakyRelu(f64),
    /// Least and most.
    Clip(f64, f64),
    Sigmoid,
    Tanh,
    Exp,
    Log,
    Sqrt,
    Erf,
    Neg,
    Abs,
    Reciprocal,
    Softplus,
    Softsign,
    Sin,
    Cos,
    /// `clamp(alpha x + beta, 0, 1)`.
    HardSigmoid(f64, f64),
    HardSwish,
    /// `x Phi(x)`.
    Gelu,
    /// Its approximation by tanh.
    FastGelu,
    /// `x sigmoid(alpha x)`.
    Swish(f64),
    Mish,
    /// `gamma (x or alpha (e^(x / width) - 1))`.
    Elu {
        alpha: f64,
        gamma: f64,
        width: f64,
    },
    /// `factor x`.
    Scale(f64),
    /// `x^exponent`.
    Power(f64),
    /// Steps; no gradient passes.
    Floor,
    Ceil,
    Round,
    Sign,
    Truncate,
    Not,
    /// 1 where the number is not 0.
    Truth,
}

/// 1 / sqrt(2).
const HALF_ROOT: f64 = std::f64::consts::FRAC_1_SQRT_2;
/// sqrt(2 / pi), of the approximation of Gelu.
const GELU_FACTOR: f64 = 0.797_884_560_802_865_4;
const GELU_CUBE: f64 = 0.044_715;
/// Where a square root has no finite slope, it is taken for this.
const LEAST_ROOT: f64 = 1e-12;

impl Unary {
    fn forward<T: Real>(self, x: &[T], y: &mut [T]) {
        fn each<T: Real>(x: &[T], y: &mut [T], f: impl Fn(T) -> T) {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = f(x));
        }
        let (zero, one) = (T::ZERO, T::ONE);
        let of = T::of;
        match self {
            Self::Relu => each(x, y, |x| if x > zero { x } else { zero }),
            Self::LeakyRelu(slope) => {
                let slope = of(slope);
                each(x, y, |x| if x < zero { slope * x } else { x });
            }
            Self::Clip(low, high) => {
                let (low, high) = (of(low), of(high));
                each(x, y, |x| x.greater(low).less(high));
            }
            Self::Sigmoid => each(x, y, T::sigmoid),
            Self::Tanh => each(x, y, T::tanh),
            Self::Exp => each(x, y, T::exp),
            Self::Log => each(x, y, T::ln),
            Self::Sqrt => each(x, y, T::sqrt),
            Self::Erf => each(x, y, T::erf),
            Self::Neg => each(x, y, |x| -x),
            Self::Abs => each(x, y, T::abs),
            Self::Reciprocal => each(x, y, |x| one / x),
            Self::Softplus => each(x, y, softplus),
            Self::Softsign => each(x, y, |x| x / (one + x.abs())),
            Self::Sin => each(x, y, |x| of(x.wide().sin())),
            Self::Cos => each(x, y, |x| of(x.wide().cos())),
            Self::HardSigmoid(alpha, beta) => {
                let (alpha, beta) = (of(alpha), of(beta));
                each(x, y, |x| (alpha * x + beta).greater(zero).less(one));
            }
            Self::HardSwish => {
                each(x, y, |x| x * (x * of(1.0 / 6.0) + of(0.5)).greater(zero).less(one));
            }
            Self::Gelu => each(x, y, |x| x * of(0.5) * (one + (x * of(HALF_ROOT)).erf())),
            Self::FastGelu => each(x, y, |x| x * of(0.5) * (one + gelu_inner(x).tanh())),
            Self::Swish(alpha) => each(x, y, |x| x * (of(alpha) * x).sigmoid()),
            Self::Mish => each(x, y, |x| x * softplus(x).tanh()),
            Self::Elu { alpha, gamma, width } => {
                let (alpha, gamma, width) = (of(alpha), of(gamma), of(width));
                let below = |x: T| gamma * alpha * ((x / width).exp() - one);
                each(x, y, |x| if x > zero { gamma * x } else { below(x) });
            }
            Self::Scale(factor) => each(x, y, |x| x * of(factor)),
            Self::Power(exponent) => match exponent {
                2.0 => each(x, y, |x| x * x),
                0.5 => each(x, y, T::sqrt),
                _ => each(x, y, |x| of(x.wide().powf(exponent))),
            },
            Self::Floor => each(x, y, |x| of(x.wide().floor())),
            Self::Ceil => each(x, y, |x| of(x.wide().ceil())),
            Self::Round => each(x, y, |x| of(x.wide().round_ties_even())),
            Self::Sign => each(x, y, |x| match x {
                x if x > zero => one,
                x if x < zero => -one,
                _ => zero,
            }),
            Self::Truncate => each(x, y, |x| of(x.wide().trunc())),
            Self::Not => each(x, y, |x| if x == zero { one } else { zero }),
            Self::Truth => each(x, y, |x| if x == zero { zero } else { one }),
        }
    }

    fn backward<T: Real>(self, x: &[T], y: &[T], g: &[T], dx: &mut [T]) {
        fn each<T: Real>(of: &[T], g: &[T], dx: &mut [T], slope: impl Fn(T) -> T) {
            dx.iter_mut().zip(g).zip(of).for_each(|((dx, &g), &v)| *dx += g * slope(v));
        }
        let (zero, one) = (T::ZERO, T::ONE);
        let of = T::of;
        let within = |inside: bool, slope: T| if inside { slope } else { zero };
        match self {
            Self::Relu => each(y, g, dx, |y| within(y > zero, one)),
            Self::LeakyRelu(slope) => each(x, g, dx, |x| if x < zero { of(slope) } else { one }),
            Self::Clip(low, high) => {
                let (low, high) = (of(low), of(high));
                each(x, g, dx, |x| within(x > low && x < high, one));
            }
            Self::Sigmoid => each(y, g, dx, |y| y * (one - y)),
            Self::Tanh => each(y, g, dx, |y| one - y * y),
            Self::Exp => each(y, g, dx, |y| y),
            Self::Log => each(x, g, dx, |x| one / x),
            Self::Sqrt => each(y, g, dx, root_slope),
            Self::Erf => each(x, g, dx, |x| of(std::f64::consts::FRAC_2_SQRT_PI) * (-x * x).exp()),
            Self::Neg => each(g, g, dx, |_| -one),
            Self::Abs => each(x, g, dx, |x| if x < zero { -one } else { within(x > zero, one) }),
            Self::Reciprocal => each(y, g, dx, |y| -y * y),
            Self::Softplus => each(x, g, dx, T::sigmoid),
            Self::Softsign => each(x, g, dx, |x| {
                let size = one + x.abs();
                one / (size * size)
            }),
            Self::Sin => each(x, g, dx, |x| of(x.wide().cos())),
            Self::Cos => each(x, g, dx, |x| of(-x.wide().sin())),
            Self::HardSigmoid(alpha, _) => {
                each(y, g, dx, |y| within(y > zero && y < one, of(alpha)));
            }
            Self::HardSwish => each(x, g, dx, |x| match x.wide() {
                x if x <= -3.0 => zero,
                x if x >= 3.0 => one,
                x => of((2.0 * x + 3.0) / 6.0),
            }),
            Self::Gelu => each(x, g, dx, |x| {
                let phi = of(0.398_942_280_401_432_7) * (-x * x * of(0.5)).exp();
                of(0.5) * (one + (x * of(HALF_ROOT)).erf()) + x * phi
            }),
            Self::FastGelu => each(x, g, dx, |x| {
                let t = gelu_inner(x).tanh();
                let inner = of(GELU_FACTOR) * (one + of(3.0 * GELU_CUBE) * x * x);
                of(0.5) * (one + t) + of(0.5) * x * (one - t * t) * inner
            }),
            Self::Swish(alpha) => each(x, g, dx, |x| {
                let s = (of(alpha) * x).sigmoid();
                s + of(alpha) * x * s * (one - s)
            }),
            Self::Mish => each(x, g, dx, |x| {
                let t = softplus(x).tanh();
                t + x * (one - t * t) * x.sigmoid()
            }),
            Self::Elu { alpha, gamma, width } => each(x, g, dx, |x| {
                let (alpha, gamma, width) = (of(alpha), of(gamma), of(width));
                if x > zero { gamma } else { gamma * alpha / width * (x / width).exp() }
            }),
            Self::Scale(factor) => each(g, g, dx, |_| of(factor)),
            Self::Power(exponent) => match exponent {
                2.0 => each(x, g, dx, |x| x + x),
                0.5 => each(y, g, dx, root_slope),
                _ => each(x, g, dx, |x| of(exponent * x.wide().powf(exponent - 1.0))),
            },
            Self::Floor
            | Self::Ceil
            | Self::Round
            | Self::Sign
            | Self::Truncate
            | Self::Not
            | Self::Truth => {}
        }
    }
}

fn root_slope<T: Real>(y: T) -> T {
    T::of(0.5) / y.greater(T::of(LEAST_ROOT))
}

/// `ln(1 + e^x)`, without an overflow.
fn softplus<T: Real>(x: T) -> T {
    x.greater(T::ZERO) + (T::ONE + (-x.abs()).exp()).ln()
}

fn gelu_inner<T: Real>(x: T) -> T {
    T::of(GELU_FACTOR) * (x + T::of(GELU_CUBE) * x * x * x)
}

impl<T: Real> Kernel<T> for Unary {
    fn forward(&self, step: Forward<'_, T>) {
        Unary::forward(*self, step.x[0], step.y);
    }

    fn backward(&self, step: Backward<'_, '_, T>) {
        let Some(dx) = step.dx[0].as_deref_mut() else { return };
        Unary::backward(*self, step.x[0], step.y, step.g, dx);
    }

    fn passes(&self, _: usize) -> bool {
        !matches!(
            self,
            Self::Floor
                | Self::Ceil
                | Self::Round
                | Self::Sign
                | Self::Truncate
                | Self::Not
                | Self::Truth
        )
    }

    fn rereads(&self) -> Rereads {
        match self {
            Self::Relu
            | Self::Sigmoid
            | Self::Tanh
            | Self::Exp
            | Self::Sqrt
            | Self::Reciprocal
            | Self::HardSigmoid(..) => Rereads::Y,
            Self::Power(0.5) => Rereads::Y,
            Self::Neg | Self::Scale(_) => Rereads::NOTHING,
            _ => Rereads::X,
        }
    }
}
