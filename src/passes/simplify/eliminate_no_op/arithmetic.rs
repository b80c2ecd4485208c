//! Arithmetic with a neutral element. Exact means every bit: `x + 0.0` turns -0.0 into 0.0 and is
//! not among them, `x + -0.0` and `x - 0.0` are.

use super::Returned;
use super::site::Site;

/// The operand that stays when the other is neutral on either side.
fn either(site: &Site<'_>, neutral: impl Fn(f64) -> bool) -> Returned {
    (0..2).find(|&slot| site.neutral(1 - slot, &neutral))
}

/// The first operand, when the second is neutral.
fn right(site: &Site<'_>, neutral: impl Fn(f64) -> bool) -> Returned {
    site.neutral(1, neutral).then_some(0)
}

fn is_float(site: &Site<'_>) -> bool {
    site.dtype(0).or(site.dtype(1)).is_none_or(|dtype| dtype.is_float())
}

pub(super) fn add(site: &Site<'_>) -> Returned {
    let float = is_float(site);
    either(site, |x| x == 0.0 && (!float || x.is_sign_negative()))
}

pub(super) fn sub(site: &Site<'_>) -> Returned {
    let float = is_float(site);
    right(site, |x| x == 0.0 && (!float || x.is_sign_positive()))
}

pub(super) fn mul(site: &Site<'_>) -> Returned {
    either(site, |x| x == 1.0)
}

pub(super) fn div(site: &Site<'_>) -> Returned {
    right(site, |x| x == 1.0)
}

/// The exponent may be of another type than the base; the result has the base's.
pub(super) fn pow(site: &Site<'_>) -> Returned {
    right(site, |x| x == 1.0)
}

pub(super) fn and(site: &Site<'_>) -> Returned {
    either(site, |x| x != 0.0)
}

pub(super) fn or(site: &Site<'_>) -> Returned {
    zero(site)
}

pub(super) fn zero(site: &Site<'_>) -> Returned {
    either(site, |x| x == 0.0)
}

pub(super) fn bitwise_and(site: &Site<'_>) -> Returned {
    let ones = |slot: usize| site.dtype(slot)?.integer_range().map(|(_, high)| high);
    // All bits set: -1, or the largest number of an unsigned type small enough to be exact here.
    let all = ones(0).or(ones(1)).filter(|&high| high < 1 << 33)? as f64;
    let signed = site.dtype(0).or(site.dtype(1))?.integer_range()?.0 < 0;
    either(site, move |x| if signed { x == -1.0 } else { x == all })
}
