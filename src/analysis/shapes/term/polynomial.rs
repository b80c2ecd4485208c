//! Polynomials with integer coefficients over extents and what cannot be taken apart.

use std::cmp::Ordering;
use std::collections::BTreeMap;
use std::sync::Arc;

use super::{MAX_SIZE, Term};

/// An extent that only a run knows; at least 0.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Symbol {
    /// An axis that the model names.
    Named(Arc<str>),
    /// An axis without a name: of this input, at this position.
    Axis(Arc<str>, usize),
    /// An axis of this inner value whose extent does not follow from the inputs.
    Inner(Arc<str>, usize),
    /// The same where the elements of tensors decide: any number in any run, whatever is declared.
    Data(Arc<str>, usize),
}

/// A factor that is no sum or product.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Atom {
    Symbol(Symbol),
    /// Quotient rounded down.
    Floor(Term, Term),
    Min(Term, Term),
    Max(Term, Term),
}

/// Factors with their powers, in the order of the factors.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Monomial(Vec<(Atom, u32)>);

/// A sum of products.
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Polynomial {
    /// Coefficients, none of them 0.
    terms: BTreeMap<Monomial, i64>,
}

/// Lexicographic, the first factor counting most, so that a product of two monomials grows with
/// each of them: division needs that.
impl Ord for Monomial {
    fn cmp(&self, other: &Self) -> Ordering {
        for ((a, n), (b, m)) in self.0.iter().zip(&other.0) {
            let order = b.cmp(a).then(n.cmp(m));
            if order.is_ne() {
                return order;
            }
        }
        self.0.len().cmp(&other.0.len())
    }
}

impl PartialOrd for Monomial {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Monomial {
    pub fn factors(&self) -> &[(Atom, u32)] {
        &self.0
    }

    /// Powers added, or subtracted; nothing when one would be negative.
    fn merged(&self, other: &Self, power: fn(u32, u32) -> Option<u32>) -> Option<Self> {
        let mut powers: BTreeMap<&Atom, u32> = self.0.iter().map(|(atom, n)| (atom, *n)).collect();
        for (atom, n) in &other.0 {
            let own = powers.entry(atom).or_default();
            *own = power(*own, *n)?;
        }
        let left = powers.into_iter().filter(|(_, n)| *n > 0);
        Some(Self(left.map(|(atom, n)| (atom.clone(), n)).collect()))
    }

    fn times(&self, other: &Self) -> Option<Self> {
        self.merged(other, u32::checked_add)
    }

    /// The quotient, when it is a monomial.
    pub fn over(&self, divisor: &Self) -> Option<Self> {
        self.merged(divisor, u32::checked_sub)
    }

    /// The largest common divisor.
    pub fn common(&self, other: &Self) -> Self {
        let of_other = |atom: &Atom| other.0.iter().find(|(b, _)| b == atom).map_or(0, |(_, m)| *m);
        let shared = self.0.iter().map(|(atom, n)| (atom.clone(), of_other(atom).min(*n)));
        Self(shared.filter(|(_, n)| *n > 0).collect())
    }
}

impl From<i64> for Polynomial {
    fn from(number: i64) -> Self {
        Self::product(Monomial::default(), number)
    }
}

impl Polynomial {
    pub(super) fn atom(atom: Atom) -> Self {
        Self::product(Monomial(vec![(atom, 1)]), 1)
    }

    pub(super) fn product(monomial: Monomial, coefficient: i64) -> Self {
        Self { terms: [(monomial, coefficient)].into_iter().filter(|(_, c)| *c != 0).collect() }
    }

    /// Products with their coefficients, the leading one first.
    pub(super) fn terms(&self) -> impl Iterator<Item = (&Monomial, i64)> {
        self.terms.iter().rev().map(|(monomial, &coefficient)| (monomial, coefficient))
    }

    /// The number it is, when it is constant.
    pub(super) fn constant(&self) -> Option<i64> {
        match self.terms.first_key_value() {
            None => Some(0),
            Some((monomial, &number)) => {
                (self.terms.len() == 1 && monomial.0.is_empty()).then_some(number)
            }
        }
    }

    /// Symbols and operators in it.
    pub(super) fn size(&self) -> usize {
        let of_monomial = |monomial: &Monomial| {
            let of_factor = |(atom, n): &(Atom, u32)| (*n as usize).saturating_mul(atom.size());
            monomial.0.iter().map(of_factor).fold(1, usize::saturating_add)
        };
        self.terms.keys().map(of_monomial).fold(0, usize::saturating_add)
    }

    pub(super) fn plus(&self, other: &Self) -> Option<Self> {
        self.plus_scaled(other, 1)
    }

    pub(super) fn minus(&self, other: &Self) -> Option<Self> {
        self.plus_scaled(other, -1)
    }

    fn plus_scaled(&self, other: &Self, factor: i64) -> Option<Self> {
        let mut sum = self.clone();
        for (monomial, coefficient) in &other.terms {
            sum.add(monomial.clone(), coefficient.checked_mul(factor)?)?;
        }
        Some(sum)
    }

    /// Adds one product; nothing on overflow.
    pub(super) fn add(&mut self, monomial: Monomial, coefficient: i64) -> Option<()> {
        let own = self.terms.entry(monomial.clone()).or_default();
        *own = own.checked_add(coefficient)?;
        if *own == 0 {
            self.terms.remove(&monomial);
        }
        Some(())
    }

    pub(super) fn times(&self, other: &Self) -> Option<Self> {
        let mut product = Self::default();
        if self.terms.len().saturating_mul(other.terms.len()) > MAX_SIZE {
            return None;
        }
        for (a, x) in &self.terms {
            for (b, y) in &other.terms {
                product.add(a.times(b)?, x.checked_mul(*y)?)?;
            }
        }
        Some(product)
    }

    pub(super) fn evaluate(&self, extent: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        self.terms.iter().try_fold(0i64, |sum, (monomial, &coefficient)| {
            let product = monomial.0.iter().try_fold(coefficient, |product, (atom, power)| {
                product.checked_mul(atom.evaluate(extent)?.checked_pow(*power)?)
            })?;
            sum.checked_add(product)
        })
    }

    /// The only symbol of it, when that is all it is.
    pub fn symbol(&self) -> Option<&Symbol> {
        match self.terms.first_key_value() {
            Some((Monomial(factors), 1)) if self.terms.len() == 1 => match &factors[..] {
                [(Atom::Symbol(symbol), 1)] => Some(symbol),
                _ => None,
            },
            _ => None,
        }
    }

    /// Calls `see` with every symbol in it.
    pub fn visit(&self, see: &mut dyn FnMut(&Symbol)) {
        for (atom, _) in self.terms.keys().flat_map(Monomial::factors) {
            match atom {
                Atom::Symbol(symbol) => see(symbol),
                Atom::Floor(a, b) | Atom::Min(a, b) | Atom::Max(a, b) => {
                    for term in [a, b] {
                        if let Term::Symbolic(inner) = term {
                            inner.visit(see);
                        }
                    }
                }
            }
        }
    }
}

impl Atom {
    fn size(&self) -> usize {
        let of = |term: &Term| match term {
            Term::Symbolic(polynomial) => polynomial.size(),
            _ => 1,
        };
        match self {
            Self::Symbol(_) => 1,
            Self::Floor(a, b) | Self::Min(a, b) | Self::Max(a, b) => of(a).saturating_add(of(b)),
        }
    }

    fn evaluate(&self, extent: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        Some(match self {
            Self::Symbol(symbol) => extent(symbol)?,
            Self::Floor(a, b) => floor(a.evaluate(extent)?, b.evaluate(extent)?)?,
            Self::Min(a, b) => a.evaluate(extent)?.min(b.evaluate(extent)?),
            Self::Max(a, b) => a.evaluate(extent)?.max(b.evaluate(extent)?),
        })
    }
}

/// `⌊a / b⌋`; nothing for a division by 0 and on overflow.
pub(super) fn floor(a: i64, b: i64) -> Option<i64> {
    let quotient = a.checked_div(b)?;
    let below = a % b != 0 && (a < 0) != (b < 0);
    Some(if below { quotient - 1 } else { quotient })
}
