//! The equation of Einsum.

use std::collections::BTreeMap;

use crate::analysis::shapes::fact::{Dims, broadcast, broadcast_axis, product};
use crate::analysis::shapes::term::Term;

/// Einstein summation with the extents of its indices.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Einsum {
    /// Extents of the result.
    pub output: Dims,
    /// Extents of all indices, those behind the ellipsis included.
    loops: Dims,
    operands: usize,
}

impl Einsum {
    /// Reads `equation` for `operands`; nothing when it does not fit them.
    pub fn of(equation: &str, operands: &[&[Term]]) -> Option<Self> {
        let equation: String = equation.chars().filter(|c| !c.is_whitespace()).collect();
        let (left, right) = match equation.split_once("->") {
            Some((left, right)) => (left, Some(right)),
            None => (equation.as_str(), None),
        };
        let terms: Vec<&str> = left.split(',').collect();
        if terms.len() != operands.len() {
            return None;
        }
        let mut labels: BTreeMap<char, (Term, usize)> = BTreeMap::new();
        let mut ellipsis = Dims::new();
        for (term, dims) in terms.iter().zip(operands) {
            let (before, after) = term.split_once("...").unwrap_or((term, ""));
            let hidden = dims.len().checked_sub(before.chars().count() + after.chars().count())?;
            if hidden > 0 && !term.contains("...") {
                return None;
            }
            let (head, rest) = dims.split_at_checked(before.chars().count())?;
            let (middle, tail) = rest.split_at_checked(hidden)?;
            ellipsis = broadcast(&ellipsis, middle);
            let own = before.chars().chain(after.chars()).zip(head.iter().chain(tail));
            for (label, extent) in own {
                if !label.is_ascii_alphabetic() {
                    return None;
                }
                let entry = labels.entry(label).or_insert((Term::ONE, 0));
                let numbers = [entry.0.known(), extent.known()];
                if let [Some(a), Some(b)] = numbers
                    && a != b
                    && !numbers.contains(&Some(1))
                {
                    return None;
                }
                entry.0 = broadcast_axis(&entry.0, extent);
                entry.1 += 1;
            }
        }
        let output = match right {
            Some(right) => {
                let (before, after) = right.split_once("...").unwrap_or((right, ""));
                let of = |text: &str| -> Option<Dims> {
                    text.chars().map(|c| labels.get(&c).map(|entry| entry.0.clone())).collect()
                };
                let middle = if right.contains("...") { ellipsis.clone() } else { Dims::new() };
                [of(before)?, middle, of(after)?].concat()
            }
            None => {
                let once =
                    labels.values().filter(|entry| entry.1 == 1).map(|entry| entry.0.clone());
                ellipsis.iter().cloned().chain(once).collect()
            }
        };
        let loops = labels.into_values().map(|entry| entry.0).chain(ellipsis).collect();
        Some(Self { output, loops, operands: operands.len() })
    }

    /// Multiplications when every combination of all indices is visited once, as a single nested
    /// loop does: for two operands the multiply-accumulates of the equivalent matrix product.
    pub fn products(&self) -> Option<usize> {
        product(&self.loops).extent()?.checked_mul(self.operands.saturating_sub(1))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(equation: &str, operands: &[&[usize]]) -> Option<(Vec<usize>, usize)> {
        let operands: Vec<Dims> =
            operands.iter().map(|d| d.iter().copied().map(Term::from).collect()).collect();
        let operands: Vec<&[Term]> = operands.iter().map(Vec::as_slice).collect();
        let einsum = Einsum::of(equation, &operands)?;
        Some((einsum.output.iter().map(Term::extent).collect::<Option<_>>()?, einsum.products()?))
    }

    #[test]
    fn equations_of_every_form() {
        assert_eq!(of("ij,jk->ik", &[&[2, 3], &[3, 4]]), Some((vec![2, 4], 24)));
        assert_eq!(of("ij , jk", &[&[2, 3], &[3, 4]]), Some((vec![2, 4], 24)));
        assert_eq!(
            of("...ij,...jk->...ik", &[&[5, 2, 3], &[6, 1, 3, 4]]),
            Some((vec![6, 5, 2, 4], 720))
        );
        assert_eq!(of("bhid,bhjd->bhij", &[&[1, 2, 3, 4], &[1, 2, 5, 4]]).unwrap().0, [1, 2, 3, 5]);
        assert_eq!(of("ii->i", &[&[3, 3]]), Some((vec![3], 0)));
        assert_eq!(of("b...->...", &[&[2, 3]]), Some((vec![3], 0)));
        assert_eq!(of("ij", &[&[2, 3, 4]]), None);
        assert_eq!(of("ij,jk->iz", &[&[2, 3], &[3, 4]]), None);
        assert_eq!(of("", &[]), None);
    }
}
