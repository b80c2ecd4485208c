//! An integer that is known, an expression over the extents of inputs, or unknown.
//!
//! Shapes and the elements of tensors that hold shapes are of the same kind, so that an extent can
//! travel through Shape, Gather, arithmetic and Reshape and still be the same extent. Expressions
//! have one form for each polynomial, so equal ones compare equal.
//!
//! An expression holds in every run of a valid model: where it divides, the model has divided by
//! the same number, which therefore is not 0. Nothing is wrapped: what does not fit 64 bits, and
//! what grows beyond [`MAX_SIZE`], is unknown.

mod bounds;
mod display;
mod divide;
mod polynomial;
#[cfg(test)]
mod tests;

use std::ops::{Add, Mul, Sub};
use std::sync::Arc;

pub use polynomial::{Polynomial, Symbol};

use polynomial::Atom;

/// Symbols and operators in one expression. Extents of real models have a handful; without a limit
/// expressions could double with every node.
const MAX_SIZE: usize = 48;

/// An integer, as far as it is known. The default is [`Term::Unknown`].
#[derive(Debug, Clone, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Term {
    /// Nothing is known. Two unknown terms compare equal, but need not be the same number.
    #[default]
    Unknown,
    /// A number.
    Known(i64),
    /// An expression that is no constant: a number in each run, the same wherever it stands.
    Symbolic(Arc<Polynomial>),
}

impl Term {
    /// The extent of 1.
    pub const ONE: Self = Self::Known(1);

    /// A named extent: at least 0, the same wherever the name stands.
    pub fn named(name: &str) -> Self {
        Self::atom(Atom::Symbol(Symbol::Named(name.into())))
    }

    /// The extent of an axis of an input that has no name.
    pub fn axis(input: &Arc<str>, axis: usize) -> Self {
        Self::atom(Atom::Symbol(Symbol::Axis(Arc::clone(input), axis)))
    }

    /// The extent of an axis of an inner value that nothing more is known about.
    pub(super) fn inner(value: &Arc<str>, axis: usize) -> Self {
        Self::atom(Atom::Symbol(Symbol::Inner(Arc::clone(value), axis)))
    }

    /// The extent of an axis of an inner value that the elements of tensors decide.
    pub(super) fn data(value: &Arc<str>, axis: usize) -> Self {
        Self::atom(Atom::Symbol(Symbol::Data(Arc::clone(value), axis)))
    }

    fn atom(atom: Atom) -> Self {
        match bounds::only(&atom) {
            Some(number) => Self::Known(number),
            None => Self::of(Polynomial::atom(atom)),
        }
    }

    /// The term for a polynomial: a number when it is constant, unknown when it is too large.
    fn of(polynomial: Polynomial) -> Self {
        match polynomial.constant() {
            Some(number) => Self::Known(number),
            None if polynomial.size() > MAX_SIZE => Self::Unknown,
            None => Self::Symbolic(Arc::new(polynomial)),
        }
    }

    fn polynomial(&self) -> Option<Polynomial> {
        match self {
            Self::Unknown => None,
            Self::Known(number) => Some(Polynomial::from(*number)),
            Self::Symbolic(polynomial) => Some(Polynomial::clone(polynomial)),
        }
    }

    /// False for [`Term::Unknown`].
    pub fn is_determined(&self) -> bool {
        *self != Self::Unknown
    }

    /// True when the extents of the inputs decide it.
    pub fn follows_from_inputs(&self) -> bool {
        let given = |symbol: &Symbol| !matches!(symbol, Symbol::Inner(..) | Symbol::Data(..));
        self.is_determined() && self.all_symbols(given)
    }

    /// True when it may be another number than the same file says, in every run: the extents of the inputs, or
    /// elements of tensors, decide it.
    pub(super) fn is_free(&self) -> bool {
        self.is_determined() && self.all_symbols(|symbol| !matches!(symbol, Symbol::Inner(..)))
    }

    /// True when every axis in it has a name, or there is none.
    pub fn is_named(&self) -> bool {
        self.is_determined() && self.all_symbols(|symbol| matches!(symbol, Symbol::Named(_)))
    }

    fn all_symbols(&self, holds: fn(&Symbol) -> bool) -> bool {
        let mut all = true;
        if let Self::Symbolic(polynomial) = self {
            polynomial.visit(&mut |symbol| all &= holds(symbol));
        }
        all
    }

    /// The number, when it is one.
    pub fn known(&self) -> Option<i64> {
        match self {
            Self::Known(number) => Some(*number),
            _ => None,
        }
    }

    /// The number, when it is one and an extent can be so.
    pub fn extent(&self) -> Option<usize> {
        usize::try_from(self.known()?).ok()
    }

    /// This term, or the other one when nothing is known about this one.
    #[must_use]
    pub fn or(self, other: Self) -> Self {
        if self.is_determined() { self } else { other }
    }

    /// The term when it equals `other`, else unknown: what holds whichever of the two is true.
    #[must_use]
    pub fn join(&self, other: &Self) -> Self {
        if self == other { self.clone() } else { Self::Unknown }
    }

    /// One of two terms that are the same number, preferably a number; unknown when they are
    /// different numbers.
    #[must_use]
    pub fn also(&self, other: &Self) -> Self {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) if a != b => Self::Unknown,
            (Self::Known(_), _) => self.clone(),
            (_, Self::Known(_)) => other.clone(),
            _ => self.clone().or(other.clone()),
        }
    }

    /// The smaller of two.
    #[must_use]
    pub fn smaller(&self, other: &Self) -> Self {
        match (self.at_most(other), other.at_most(self)) {
            (true, _) => self.clone(),
            (_, true) => other.clone(),
            _ => self.paired(other, Atom::Min),
        }
    }

    /// The larger of two.
    #[must_use]
    pub fn larger(&self, other: &Self) -> Self {
        match (self.at_most(other), other.at_most(self)) {
            (true, _) => other.clone(),
            (_, true) => self.clone(),
            _ => self.paired(other, Atom::Max),
        }
    }

    fn paired(&self, other: &Self, atom: fn(Self, Self) -> Atom) -> Self {
        if !self.is_determined() || !other.is_determined() {
            return Self::Unknown;
        }
        let (a, b) = if self <= other { (self, other) } else { (other, self) };
        Self::atom(atom(a.clone(), b.clone()))
    }

    /// The number in a run with these extents; nothing when one is missing, the arithmetic
    /// overflows, or no run could have them (a division by 0).
    pub fn evaluate(&self, extent: &dyn Fn(&Symbol) -> Option<i64>) -> Option<i64> {
        match self {
            Self::Unknown => None,
            Self::Known(number) => Some(*number),
            Self::Symbolic(polynomial) => polynomial.evaluate(extent),
        }
    }

    fn combine(
        &self,
        other: &Self,
        numbers: fn(i64, i64) -> Option<i64>,
        polynomials: fn(&Polynomial, &Polynomial) -> Option<Polynomial>,
    ) -> Self {
        match (self, other) {
            (Self::Known(a), Self::Known(b)) => numbers(*a, *b).into(),
            _ => {
                let both = self.polynomial().zip(other.polynomial());
                both.and_then(|(a, b)| polynomials(&a, &b)).map(Self::of).unwrap_or_default()
            }
        }
    }
}

impl From<i64> for Term {
    fn from(number: i64) -> Self {
        Self::Known(number)
    }
}

impl From<i32> for Term {
    fn from(number: i32) -> Self {
        Self::Known(number.into())
    }
}

impl From<usize> for Term {
    fn from(number: usize) -> Self {
        i64::try_from(number).map_or(Self::Unknown, Self::Known)
    }
}

impl<T: Into<Self>> From<Option<T>> for Term {
    fn from(number: Option<T>) -> Self {
        number.map_or(Self::Unknown, Into::into)
    }
}

impl From<&Self> for Term {
    fn from(term: &Self) -> Self {
        term.clone()
    }
}

impl PartialEq<i64> for Term {
    fn eq(&self, number: &i64) -> bool {
        self.known() == Some(*number)
    }
}

/// An operator between terms, references to them, and numbers on the right.
macro_rules! operator {
    ($trait:ident, $method:ident, $numbers:path, $polynomials:path) => {
        impl<T: Into<Term>> $trait<T> for &Term {
            type Output = Term;

            fn $method(self, other: T) -> Term {
                self.combine(&other.into(), $numbers, $polynomials)
            }
        }

        impl<T: Into<Term>> $trait<T> for Term {
            type Output = Self;

            fn $method(self, other: T) -> Self {
                $trait::$method(&self, other)
            }
        }
    };
}

operator!(Add, add, i64::checked_add, Polynomial::plus);
operator!(Sub, sub, i64::checked_sub, Polynomial::minus);
operator!(Mul, mul, i64::checked_mul, Polynomial::times);
