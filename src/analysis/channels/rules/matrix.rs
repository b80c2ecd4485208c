//! Products of matrices.

use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};

const B: Port = Port::In(1);
const C: Port = Port::In(2);

/// Rows and columns go through, what is between is summed over.
pub(super) fn gemm(site: &mut Site<'_>) -> Option<()> {
    let flag = |name: &str| usize::from(site.node.attr_int(name).unwrap_or(0) != 0);
    let (a, b) = (flag("transA"), flag("transB"));
    site.contract((X, 1 - a), (B, b));
    site.pass((X, a), (Y, 0));
    site.pass((B, 1 - b), (Y, 1));
    if site.value(C).is_some() {
        site.broadcast(C, Y)?;
    }
    Some(())
}

/// The last two axes are those of matrices, the ones before count products.
pub(super) fn matmul(site: &mut Site<'_>) -> Option<()> {
    let (a, b, y) = (site.rank(X)?, site.rank(B)?, site.rank(Y)?);
    if a == 0 || b == 0 {
        return None;
    }
    site.contract((X, a - 1), (B, if b == 1 { 0 } else { b - 2 }));
    if b > 1 {
        site.pass((B, b - 1), (Y, y - 1));
    }
    if a > 1 {
        site.pass((X, a - 2), (Y, if b == 1 { y - 1 } else { y - 2 }));
    }
    for (port, rank) in [(X, a), (B, b)] {
        for axis in 0..rank.saturating_sub(2) {
            let at =
                (Y, (y + axis).checked_sub(if a == 1 || b == 1 { 1 + rank - 2 } else { rank })?);
            if site.extent((port, axis)) != Some(1) {
                site.pass((port, axis), at);
            }
        }
    }
    if a > 2 && b > 2 {
        for axis in 0..y.saturating_sub(2) {
            site.batch((Y, axis));
        }
    }
    Some(())
}

/// Equal letters are equal indices; those that the result does not have are summed over.
pub(super) fn einsum(site: &mut Site<'_>) -> Option<()> {
    let equation: String = site.node.attr_str("equation")?.split_whitespace().collect();
    let (inputs, output) = equation.split_once("->")?;
    let inputs: Vec<Vec<char>> = inputs.split(',').map(|term| term.chars().collect()).collect();
    let output: Vec<char> = output.chars().collect();
    let plain = |term: &Vec<char>| {
        let mut seen = std::collections::BTreeSet::new();
        term.iter().all(|c| c.is_alphabetic() && seen.insert(*c))
    };
    if !inputs.iter().all(plain) || !plain(&output) || inputs.len() != site.node.inputs().len() {
        return None;
    }
    let mut letters: Vec<char> = inputs.iter().flatten().copied().collect();
    letters.sort_unstable();
    letters.dedup();
    for letter in letters {
        let places = inputs.iter().enumerate().filter_map(|(slot, term)| {
            Some((Port::In(slot), term.iter().position(|&c| c == letter)?))
        });
        let places: Vec<_> = places.collect();
        let first = *places.first()?;
        if places.iter().any(|&place| site.extent(place) != site.extent(first)) {
            return None;
        }
        places[1..].iter().for_each(|&other| site.pass(first, other));
        match output.iter().position(|&c| c == letter) {
            Some(axis) => {
                site.pass(first, (Y, axis));
                if places.len() > 1 {
                    site.batch((Y, axis));
                }
            }
            None if places.len() > 1 => site.contracted(&places),
            None => site.freeze(first, Reason::Mixed(site.op())),
        }
    }
    Some(())
}
