//! Terms as text: `N`, `2*N + 1`, `floor((H + 1)/2)`, `?` for what is unknown.

use std::fmt;

use super::Term;
use super::polynomial::{Atom, Monomial, Polynomial, Symbol};

impl fmt::Display for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Unknown => f.write_str("?"),
            Self::Known(number) => number.fmt(f),
            Self::Symbolic(polynomial) => polynomial.fmt(f),
        }
    }
}

impl fmt::Display for Symbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Named(name) => f.write_str(name),
            Self::Axis(value, axis) | Self::Inner(value, axis) | Self::Data(value, axis) => {
                write!(f, "{value}[{axis}]")
            }
        }
    }
}

impl fmt::Display for Polynomial {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(symbol) = self.symbol() {
            return symbol.fmt(f);
        }
        for (i, (monomial, coefficient)) in self.terms().enumerate() {
            match (i, coefficient < 0) {
                (0, false) => {}
                (0, true) => f.write_str("-")?,
                (_, false) => f.write_str(" + ")?,
                (_, true) => f.write_str(" - ")?,
            }
            write_product(f, monomial, coefficient.unsigned_abs())?;
        }
        Ok(())
    }
}

fn write_product(f: &mut fmt::Formatter<'_>, monomial: &Monomial, number: u64) -> fmt::Result {
    let factors = monomial.factors();
    if number != 1 || factors.is_empty() {
        write!(f, "{number}{}", if factors.is_empty() { "" } else { "*" })?;
    }
    let powers = factors.iter().flat_map(|(atom, n)| std::iter::repeat_n(atom, *n as usize));
    for (i, atom) in powers.enumerate() {
        write!(f, "{}{atom}", if i > 0 { "*" } else { "" })?;
    }
    Ok(())
}

impl fmt::Display for Atom {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(Symbol::Named(name)) if !is_word(name) => write!(f, "({name})"),
            Self::Symbol(symbol) => symbol.fmt(f),
            Self::Floor(a, b) => write!(f, "floor({}/{})", Operand(a), Operand(b)),
            Self::Min(a, b) => write!(f, "min({a}, {b})"),
            Self::Max(a, b) => write!(f, "max({a}, {b})"),
        }
    }
}

/// A side of a fraction, in parentheses when it is more than a word.
struct Operand<'a>(&'a Term);

impl fmt::Display for Operand<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = self.0.to_string();
        if is_word(&text) { f.write_str(&text) } else { write!(f, "({text})") }
    }
}

fn is_word(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_alphanumeric() || matches!(c, '_' | '.'))
}
