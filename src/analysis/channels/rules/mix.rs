//! Operators in which an element depends on all others along an axis.

use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};
use crate::ir::position;

/// All axes but one, or, before operator set 13, all axes before it.
pub(super) fn softmax(site: &mut Site<'_>) -> Option<()> {
    site.rest = Reason::Mixed(site.op());
    let old = site.opset() < 13;
    let axis = site.axis_attr("axis", if old { 1 } else { -1 }, X)?;
    site.same_but(X, Y, |other| if old { other >= axis } else { other == axis })
}

/// All axes but one.
pub(super) fn along_axis(site: &mut Site<'_>) -> Option<()> {
    site.rest = Reason::Mixed(site.op());
    let axis = site.axis_attr("axis", -1, X)?;
    for output in 0..site.node.outputs().len() {
        if site.node.output(output).is_some() {
            site.same_but(X, Port::Out(output), |other| other == axis)?;
        }
    }
    Some(())
}

pub(super) fn cumulate(site: &mut Site<'_>) -> Option<()> {
    site.rest = Reason::Mixed(site.op());
    let axis = position(*site.ints(1)?.first()?, site.rank(X)?)?;
    site.same_but(X, Y, |other| other == axis)
}

pub(super) fn arg_reduce(site: &mut Site<'_>) -> Option<()> {
    let axis = site.axis_attr("axis", 0, X)?;
    reduced(site, &[axis])
}

pub(super) fn reduce(site: &mut Site<'_>) -> Option<()> {
    let rank = site.rank(X)?;
    let axes = match (site.node.attr_ints("axes"), site.node.input(1)) {
        (Some(axes), _) => axes.to_vec(),
        (None, Some(_)) => site.ints(1)?,
        (None, None) => Vec::new(),
    };
    let axes: Vec<usize> = axes.iter().map(|&a| position(a, rank)).collect::<Option<_>>()?;
    if !axes.is_empty() {
        return reduced(site, &axes);
    }
    match site.node.attr_int("noop_with_empty_axes").unwrap_or(0) {
        0 => reduced(site, &(0..rank).collect::<Vec<_>>()),
        _ => site.same_but(X, Y, |_| false),
    }
}

/// The axes that stay go through.
fn reduced(site: &mut Site<'_>, axes: &[usize]) -> Option<()> {
    site.rest = Reason::Mixed(site.op());
    let keep = site.node.attr_int("keepdims").unwrap_or(1) != 0;
    let mut to = 0;
    for axis in 0..site.rank(X)? {
        if axes.contains(&axis) {
            to += usize::from(keep);
            continue;
        }
        site.pass((X, axis), (Y, to));
        to += 1;
    }
    Some(())
}
