//! What can be proved about the sign of terms, from extents being at least 0.

use super::Term;
use super::polynomial::{Atom, Monomial, Polynomial, floor};

/// Smallest and largest value; nothing where there is no limit or none is found.
type Bounds = (Option<i64>, Option<i64>);

impl Term {
    /// True when the term is at least `least` in every run.
    pub fn at_least(&self, least: i64) -> bool {
        bounds(self).0.is_some_and(|low| low >= least)
    }

    /// True when the term is at most `other` in every run.
    pub fn at_most(&self, other: &Self) -> bool {
        (other - self).at_least(0)
            || matches!((bounds(self).1, bounds(other).0), (Some(a), Some(b)) if a <= b)
    }
}

/// The only number an atom can be.
pub(super) fn only(atom: &Atom) -> Option<i64> {
    let (low, high) = of_atom(atom);
    low.filter(|_| low == high)
}

fn bounds(term: &Term) -> Bounds {
    match term {
        Term::Unknown => (None, None),
        Term::Known(number) => (Some(*number), Some(*number)),
        Term::Symbolic(polynomial) => of_sum(polynomial),
    }
}

fn of_sum(polynomial: &Polynomial) -> Bounds {
    let add = |sum: Option<i64>, next: Option<i64>| sum?.checked_add(next?);
    polynomial.terms().fold((Some(0), Some(0)), |(low, high), (monomial, coefficient)| {
        let (least, most) = of_product(monomial);
        let (least, most) = if coefficient < 0 { (most, least) } else { (least, most) };
        let scaled = |bound: Option<i64>| bound?.checked_mul(coefficient);
        (add(low, scaled(least)), add(high, scaled(most)))
    })
}

fn of_product(monomial: &Monomial) -> Bounds {
    if let [(atom, 1)] = monomial.factors() {
        return of_atom(atom);
    }
    monomial.factors().iter().fold((Some(1), Some(1)), |(low, high), (atom, power)| {
        match (low, of_atom(atom)) {
            (Some(a), (Some(b), most)) if a >= 0 && b >= 0 => {
                let high = high.zip(most.and_then(|most| most.checked_pow(*power)));
                let low = b.checked_pow(*power).and_then(|b| a.checked_mul(b));
                (low, high.and_then(|(a, b)| a.checked_mul(b)))
            }
            _ => (None, None),
        }
    })
}

fn of_atom(atom: &Atom) -> Bounds {
    match atom {
        Atom::Symbol(_) => (Some(0), None),
        Atom::Floor(a, Term::Known(b)) if *b > 0 => {
            let (low, high) = bounds(a);
            (low.and_then(|low| floor(low, *b)), high.and_then(|high| floor(high, *b)))
        }
        // A divisor that is not negative is at least 1, or nothing was divided.
        Atom::Floor(a, b) if a.at_least(0) && b.at_least(0) => (Some(0), bounds(a).1),
        Atom::Floor(..) => (None, None),
        Atom::Min(a, b) => {
            let ((a, x), (b, y)) = (bounds(a), bounds(b));
            (a.zip(b).map(|(a, b)| a.min(b)), [x, y].into_iter().flatten().min())
        }
        Atom::Max(a, b) => {
            let ((a, x), (b, y)) = (bounds(a), bounds(b));
            ([a, b].into_iter().flatten().max(), x.zip(y).map(|(x, y)| x.max(y)))
        }
    }
}
