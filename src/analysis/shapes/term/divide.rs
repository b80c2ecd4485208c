//! Division of terms.

use super::polynomial::{Atom, Monomial, Polynomial, floor};
use super::{MAX_SIZE, Term};

impl Term {
    /// The quotient rounded down; what both sides share cancels. A divisor of 0 is unknown.
    #[must_use]
    pub fn floor_div(&self, divisor: impl Into<Self>) -> Self {
        match (self, divisor.into()) {
            (_, Self::Known(0)) => Self::Unknown,
            (Self::Known(a), Self::Known(b)) => floor(*a, b).into(),
            (a, b) => {
                let both = a.polynomial().zip(b.polynomial());
                both.and_then(|(a, b)| quotient(a, b)).unwrap_or_default()
            }
        }
    }

    /// The quotient rounded up, under the same conditions.
    #[must_use]
    pub fn ceil_div(&self, divisor: impl Into<Self>) -> Self {
        match divisor.into() {
            Self::Known(number @ 1..) => (self + (number - 1)).floor_div(number),
            divisor => Self::Known(0) - (Self::Known(0) - self).floor_div(divisor),
        }
    }

    /// The quotient of a division that leaves nothing in any run; unknown when it surely does.
    #[must_use]
    pub fn quotient(&self, divisor: impl Into<Self>) -> Self {
        let divisor = divisor.into();
        match (self, &divisor) {
            (Self::Known(a), Self::Known(b)) if a.checked_rem(*b) != Some(0) => Self::Unknown,
            _ => self.floor_div(divisor),
        }
    }

    /// The quotient when this term is a multiple of the divisor for all extents.
    #[must_use]
    pub fn exact_div(&self, divisor: impl Into<Self>) -> Option<Self> {
        let divisor = divisor.into().polynomial().filter(|d| d.constant() != Some(0))?;
        exact(&self.polynomial()?, &divisor).map(Self::of)
    }
}

/// Long division that must leave nothing.
fn exact(dividend: &Polynomial, divisor: &Polynomial) -> Option<Polynomial> {
    let (mut rest, mut quotient) = (dividend.clone(), Polynomial::default());
    let (head, scale) = divisor.terms().next()?;
    for _ in 0..MAX_SIZE {
        let Some((monomial, coefficient)) = rest.terms().next() else { return Some(quotient) };
        if coefficient.checked_rem(scale)? != 0 {
            return None;
        }
        let (monomial, coefficient) = (monomial.over(head)?, coefficient.checked_div(scale)?);
        quotient.add(monomial.clone(), coefficient)?;
        rest = rest.minus(&divisor.times(&Polynomial::product(monomial, coefficient))?)?;
    }
    None
}

/// `⌊a / b⌋` in the one form that all equal quotients of this kind have: whole parts stand outside,
/// nothing is left to cancel, and quotients of quotients are one.
fn quotient(mut a: Polynomial, mut b: Polynomial) -> Option<Term> {
    if b.terms().next()?.1 < 0 {
        (a, b) = (Polynomial::default().minus(&a)?, Polynomial::default().minus(&b)?);
    }
    if let Some(exact) = exact(&a, &b) {
        return Some(Term::of(exact));
    }
    let shared = content(a.terms().chain(b.terms()));
    (a, b) = (exact(&a, &shared)?, exact(&b, &shared)?);
    let Some((monomial, number)) = single(&b) else {
        return Some(Term::atom(Atom::Floor(Term::of(a), Term::of(b))));
    };
    // One product below the line: what it divides goes out, term by term.
    let (mut whole, mut rest) = (Polynomial::default(), Polynomial::default());
    for (term, coefficient) in a.terms() {
        match term.over(&monomial) {
            Some(over) => {
                let out = floor(coefficient, number)?;
                whole.add(over, out)?;
                rest.add(term.clone(), coefficient.checked_sub(out.checked_mul(number)?)?)?;
            }
            None => rest.add(term.clone(), coefficient)?,
        }
    }
    let whole = Term::of(whole);
    if monomial.factors().is_empty() {
        return Some(whole + fraction(&rest, number)?);
    }
    Some(whole + Term::atom(Atom::Floor(Term::of(rest), Term::of(b))))
}

/// `⌊a / n⌋` for coefficients from 0 to `n - 1`.
fn fraction(a: &Polynomial, n: i64) -> Option<Term> {
    let variable = a.terms().filter(|(monomial, _)| !monomial.factors().is_empty());
    let shared = variable.fold(n, |shared, (_, coefficient)| gcd(shared, coefficient));
    let mut reduced = Polynomial::default();
    for (monomial, coefficient) in a.terms() {
        reduced.add(monomial.clone(), floor(coefficient, shared)?)?;
    }
    let n = n / shared;
    if n == 1 || reduced.constant().is_some() {
        return Some(Term::of(reduced).floor_div(n));
    }
    // ⌊(⌊p / m⌋ + k) / n⌋ = ⌊(p + k m) / (m n)⌋
    let terms: Vec<_> = reduced.terms().collect();
    if let [(head, 1), rest @ ..] = &terms[..]
        && let [(Atom::Floor(inner, Term::Known(m)), 1)] = head.factors()
        && rest.iter().all(|(monomial, _)| monomial.factors().is_empty())
    {
        let constant = rest.first().map_or(0, |(_, number)| *number);
        return Some((inner + constant.checked_mul(*m)?).floor_div(m.checked_mul(n)?));
    }
    Some(Term::atom(Atom::Floor(Term::of(reduced), Term::Known(n))))
}

/// The largest product that divides all of these.
fn content<'a>(terms: impl Iterator<Item = (&'a Monomial, i64)>) -> Polynomial {
    let shared = terms.fold(None, |shared: Option<(Monomial, i64)>, (monomial, number)| {
        Some(match shared {
            None => (monomial.clone(), number.checked_abs().unwrap_or(1)),
            Some((common, divisor)) => (common.common(monomial), gcd(divisor, number)),
        })
    });
    shared.map_or(Polynomial::from(1), |(monomial, number)| Polynomial::product(monomial, number))
}

/// The product, when it is only one.
fn single(polynomial: &Polynomial) -> Option<(Monomial, i64)> {
    let mut terms = polynomial.terms();
    let (monomial, number) = terms.next()?;
    terms.next().is_none().then(|| (monomial.clone(), number))
}

/// Greatest common divisor of a positive number and any other.
fn gcd(a: i64, b: i64) -> i64 {
    let (mut a, mut b) = (a.unsigned_abs(), b.unsigned_abs());
    while b != 0 {
        (a, b) = (b, a % b);
    }
    i64::try_from(a).unwrap_or(1).max(1)
}
