//! Operators that pick elements, and those that make them.

use crate::analysis::channels::follow::Follow;
use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};
use crate::analysis::constant as constant_of;
use crate::ir::{NodeId, position};

/// Axes around the one that is picked from go through; of that one, constant indices are followed.
pub(super) fn gather(site: &mut Site<'_>) -> Option<()> {
    let axis = site.axis_attr("axis", 0, X)?;
    let picked = site.rank(Port::In(1))?;
    let rank = site.rank(X)?;
    for other in (0..rank).filter(|&other| other != axis) {
        let to = if other < axis { other } else { other + picked - 1 };
        site.pass((X, other), (Y, to));
    }
    let indices = match picked {
        1 => site.ints(1),
        _ => None,
    };
    let (Some(indices), Some(from), Some(to)) =
        (indices, site.axis((X, axis)), site.axis((Y, axis)))
    else {
        return Some(());
    };
    let extent = site.extent((X, axis))?;
    let at = |&i: &i64| position(i, extent);
    let indices: Vec<usize> = indices.iter().map(at).collect::<Option<_>>()?;
    let source = indices.clone();
    site.relate((Y, axis), (X, axis), |i| source.get(i).copied());
    // The list loses the entries of what goes; the rest of them is renumbered.
    site.pass((Port::In(1), 0), (Y, axis));
    site.relations.follow.push(Follow::Indices { node: site.id, axis: from, result: to, indices });
    Some(())
}

/// Axes that are not sliced go through; of those that are, neighbours in order are followed.
pub(super) fn slice(site: &mut Site<'_>) -> Option<()> {
    let rank = site.rank(X)?;
    let list = |name: &str, slot: usize| match site.node.attr_ints(name) {
        Some(attribute) => Some(attribute.to_vec()),
        None => site.ints(slot),
    };
    let (given, steps) = (site.node.input(3).is_some(), site.node.input(4).is_some());
    let count = match list("starts", 1) {
        Some(starts) => starts.len(),
        None => site.shapes.elements(site.node.input(1)?)?,
    };
    let axes = match (site.node.attr_ints("axes"), given) {
        (Some(axes), _) => axes.to_vec(),
        (None, true) => site.ints(3)?,
        (None, false) => (0..count as i64).collect(),
    };
    let axes: Vec<usize> = axes.iter().map(|&a| position(a, rank)).collect::<Option<_>>()?;
    let bounds = list("starts", 1).zip(list("ends", 2));
    let steps = if steps { site.ints(4) } else { Some(vec![1; axes.len()]) };
    for axis in 0..rank {
        let Some(index) = axes.iter().position(|&a| a == axis) else {
            site.pass((X, axis), (Y, axis));
            continue;
        };
        let (Some((starts, ends)), Some(steps)) = (&bounds, &steps) else { continue };
        let (Some(extent), 1) = (site.extent((X, axis)), *steps.get(index)?) else { continue };
        let at = |bound: i64| {
            let last = i64::try_from(extent).ok()?;
            let bound = if bound < 0 { bound.saturating_add(last) } else { bound };
            usize::try_from(bound.clamp(0, last)).ok()
        };
        let (start, end) = (at(*starts.get(index)?)?, at(*ends.get(index)?)?);
        let Some(from) = site.axis((X, axis)).filter(|_| end > start + 1) else { continue };
        site.relate((Y, axis), (X, axis), |i| Some(start + i));
        site.relations.follow.push(Follow::Bounds { node: site.id, index, axis: from, start, end });
    }
    Some(())
}

/// Extents that the model reads must stay; which ones it reads, constant picks say.
pub(super) fn shape(site: &mut Site<'_>) -> Option<()> {
    let rank = site.rank(X)?;
    let start = position_or_end(site.node.attr_int("start").unwrap_or(0), rank);
    let end = position_or_end(site.node.attr_int("end").unwrap_or(i64::MAX), rank);
    let mut read = vec![false; rank];
    let users: Vec<(NodeId, usize)> = site.model.value(site.value(Y)?).consumers().collect();
    for (user, slot) in users {
        match picked(site, user, slot) {
            Some(indices) => {
                let length = end.saturating_sub(start);
                for index in indices {
                    let index = position(index, length)?;
                    read[start + index] = true;
                }
            }
            None => (start..end).for_each(|axis| read[axis] = true),
        }
    }
    if site.model.value(site.value(Y)?).is_output() {
        read.fill(true);
    }
    (0..rank).filter(|&axis| !read[axis]).for_each(|axis| site.free((X, axis)));
    Some(())
}

fn position_or_end(at: i64, rank: usize) -> usize {
    let last = i64::try_from(rank).unwrap_or(i64::MAX);
    let at = if at < 0 { at.saturating_add(last) } else { at };
    usize::try_from(at.clamp(0, last)).unwrap_or(rank)
}

/// The elements of its first input that a Gather picks.
fn picked(site: &Site<'_>, user: NodeId, slot: usize) -> Option<Vec<i64>> {
    let node = site.model.node(user);
    if !node.is("Gather") || slot != 0 {
        return None;
    }
    constant_of(site.model, node.input(1)?)?.to_i64().ok()
}

/// A constant can be cut anywhere.
pub(super) fn constant(site: &mut Site<'_>) -> Option<()> {
    (0..site.rank(Y)?).for_each(|axis| site.free((Y, axis)));
    Some(())
}

/// Equal elements; the shape follows.
pub(super) fn constant_of_shape(site: &mut Site<'_>) -> Option<()> {
    for axis in 0..site.rank(Y)? {
        site.free((Y, axis));
        site.extent_of(0, axis, (Y, axis));
    }
    Some(())
}
