//! Operators that move elements.

use crate::analysis::channels::follow::Follow;
use crate::analysis::channels::form;
use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};
use crate::ir::position;

/// Axes are split and merged; what is followed is decided when all relations are known.
pub(super) fn form(site: &mut Site<'_>) -> Option<()> {
    let (input, output) = (site.value(X)?, site.value(Y)?);
    let (from, to) = (site.dims(X)?, site.dims(Y)?);
    (0..from.len()).for_each(|axis| site.free((X, axis)));
    (0..to.len()).for_each(|axis| site.free((Y, axis)));
    let relations = &mut *site.relations;
    let forms = form::relate(&mut relations.space, site.id, (input, output), (from, to));
    relations.forms.extend(forms);
    Some(())
}

/// A change of form whose target follows.
pub(super) fn reshape(site: &mut Site<'_>) -> Option<()> {
    form(site)?;
    let rank = site.rank(Y)?;
    match site.node.input(1) {
        Some(_) => (0..rank).for_each(|axis| site.extent_of(1, axis, (Y, axis))),
        // Before operator set 5 the target is an attribute.
        None => (0..rank).for_each(|axis| site.freeze((Y, axis), Reason::Computed)),
    }
    Some(())
}

pub(super) fn transpose(site: &mut Site<'_>) -> Option<()> {
    let rank = site.rank(X)?;
    let reversed = || (0..rank).rev().map(|axis| axis as i64).collect();
    let order: Vec<i64> = site.node.attr_ints("perm").map_or_else(reversed, <[i64]>::to_vec);
    for (to, &from) in order.iter().enumerate() {
        site.pass((X, position(from, rank)?), (Y, to));
    }
    Some(())
}

/// Axes that are stretched have equal elements, so that any of them can go; the target follows.
pub(super) fn expand(site: &mut Site<'_>) -> Option<()> {
    site.broadcast(X, Y)?;
    let target = site.rank(Port::In(1)).filter(|&rank| rank == 1)?;
    let length = site.extent((Port::In(1), target - 1))?;
    let rank = site.rank(Y)?;
    for axis in 0..rank {
        site.free((Y, axis));
        // A target shorter than the result says nothing about the first axes.
        if let Some(index) = (length + axis).checked_sub(rank) {
            site.extent_of(1, index, (Y, axis));
        }
    }
    Some(())
}

pub(super) fn concat(site: &mut Site<'_>) -> Option<()> {
    let axis = site.axis_attr("axis", 1, Y)?;
    let mut offset = 0;
    for slot in 0..site.node.inputs().len() {
        let part = Port::In(slot);
        site.same_but(part, Y, |other| other == axis)?;
        let extent = site.extent((part, axis))?;
        if extent == 1 {
            // A single index has no axis of its own to be cut by.
            pin(site, axis, offset);
        } else if extent > 1 {
            site.relate((part, axis), (Y, axis), |i| Some(offset + i));
        }
        offset += extent;
    }
    site.free((Y, axis));
    Some(())
}

/// Freezes one index of an axis of the result, by way of the set it is in.
fn pin(site: &mut Site<'_>, axis: usize, index: usize) {
    let Some(id) = site.axis((Y, axis)) else { return };
    let space = &mut site.relations.space;
    let single = space.axes[id].at(index);
    space.sets.freeze(&single, Some(site.id), Reason::Form);
}

pub(super) fn split(site: &mut Site<'_>) -> Option<()> {
    let axis = site.axis_attr("axis", 0, X)?;
    let mut offset = 0;
    let mut parts = Vec::new();
    for slot in 0..site.node.outputs().len() {
        let part = Port::Out(slot);
        site.value(part)?;
        site.same_but(X, part, |other| other == axis)?;
        let extent = site.extent((part, axis))?;
        if extent > 1 {
            site.relate((part, axis), (X, axis), |i| Some(offset + i));
        } else if extent == 1
            && let Some(id) = site.axis((X, axis))
        {
            let space = &mut site.relations.space;
            let single = space.axes[id].at(offset);
            space.sets.freeze(&single, Some(site.id), Reason::Form);
        }
        parts.push(site.axis((part, axis)).ok_or(extent));
        offset += extent;
    }
    site.free((X, axis));
    // A Split of sizes that are computed would not follow.
    if site.node.input(1).is_some() && site.ints(1).is_none() {
        site.freeze((X, axis), Reason::Computed);
    }
    site.relations.follow.push(Follow::Parts { node: site.id, parts });
    Some(())
}

/// Channel `c` of the result is made of `blocksize²` channels, far apart (DCR) or neighbours (CRD).
pub(super) fn depth_to_space(site: &mut Site<'_>) -> Option<()> {
    let channels = site.extent((Y, 1))?;
    let block = usize::try_from(site.node.attr_int("blocksize")?).ok()?;
    let count = block.checked_mul(block)?;
    if count.checked_mul(channels)? != site.extent((X, 1))? {
        return None;
    }
    let neighbours = site.node.attr_str("mode") == Some("CRD");
    site.pass((X, 0), (Y, 0));
    if channels > 1 {
        site.relate((Y, 1), (X, 1), |c| {
            (0..count).map(move |b| if neighbours { c * count + b } else { b * channels + c })
        });
    }
    Some(())
}

/// Channel `c` becomes `blocksize²` channels, far apart.
pub(super) fn space_to_depth(site: &mut Site<'_>) -> Option<()> {
    let channels = site.extent((X, 1))?;
    let block = usize::try_from(site.node.attr_int("blocksize")?).ok()?;
    let count = block.checked_mul(block)?;
    if count.checked_mul(channels)? != site.extent((Y, 1))? {
        return None;
    }
    site.pass((X, 0), (Y, 0));
    if channels > 1 {
        site.relate((X, 1), (Y, 1), |c| (0..count).map(move |b| b * channels + c));
    }
    Some(())
}

/// Axes to which nothing is added go through.
pub(super) fn pad(site: &mut Site<'_>) -> Option<()> {
    for axis in 0..site.rank(X)? {
        let known = site.extent((X, axis)).is_some();
        if known && site.extent((X, axis)) == site.extent((Y, axis)) && unpadded(site, axis)? {
            site.pass((X, axis), (Y, axis));
        }
    }
    Some(())
}

/// Whether both ends of an axis stay as they are; equal extents may also come from -1 and 1.
fn unpadded(site: &Site<'_>, axis: usize) -> Option<bool> {
    let rank = site.rank(X)?;
    let attribute = site.node.attr_ints("pads").or(site.node.attr_ints("paddings"));
    let pads = attribute.map(<[i64]>::to_vec).or_else(|| site.ints(1))?;
    let axes = match site.node.input(3) {
        Some(_) => site.ints(3)?.iter().map(|&a| position(a, rank)).collect::<Option<Vec<_>>>()?,
        None => (0..rank).collect(),
    };
    let Some(at) = axes.iter().position(|&a| a == axis) else { return Some(true) };
    Some(pads.get(at) == Some(&0) && pads.get(at + axes.len()) == Some(&0))
}

/// Axes that are not repeated go through.
pub(super) fn tile(site: &mut Site<'_>) -> Option<()> {
    for axis in 0..site.rank(X)? {
        let extent = site.extent((X, axis));
        if extent.is_some() && extent == site.extent((Y, axis)) {
            site.pass((X, axis), (Y, axis));
        }
    }
    Some(())
}
