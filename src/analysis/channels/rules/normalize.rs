//! Normalisations: what has statistics of its own can be cut, what shares them cannot.

use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};
use crate::ir::ops::BatchNorm;

/// Each channel has its own numbers.
pub(super) fn batch(site: &mut Site<'_>) -> Option<()> {
    BatchNorm::of(site.model, site.id)?;
    site.same_but(X, Y, |_| false)?;
    if site.rank(X)? > 1 {
        (1..=4).for_each(|slot| site.pass((Port::In(slot), 0), (Y, 1)));
    }
    Some(())
}

/// Each channel has its own statistics, over all positions.
pub(super) fn instance(site: &mut Site<'_>) -> Option<()> {
    site.rest = Reason::Statistics(site.op());
    for axis in 0..2 {
        site.pass((X, axis), (Y, axis));
    }
    (1..=2).for_each(|slot| site.pass((Port::In(slot), 0), (Y, 1)));
    Some(())
}

/// The channels of a group share statistics, so that they go together, and their number with them.
pub(super) fn group(site: &mut Site<'_>) -> Option<()> {
    site.rest = Reason::Statistics(site.op());
    let groups = usize::try_from(site.node.attr_int("num_groups")?).ok().filter(|&g| g > 0)?;
    let channels = site.extent((X, 1))?;
    let each = channels / groups;
    site.pass((X, 0), (Y, 0));
    site.pass((X, 1), (Y, 1));
    site.tie((X, 1), |c| c / each.max(1));
    for scale in [Port::In(1), Port::In(2)] {
        // Before operator set 21 there is one for each group.
        match site.extent((scale, 0))? {
            1 => {}
            all if all == channels => site.pass((scale, 0), (X, 1)),
            _ => site.relate((X, 1), (scale, 0), |c| Some(c / each.max(1))),
        }
    }
    site.attribute("num_groups", (X, 1));
    Some(())
}

/// Axes before those that are normalised go through; the others only when that is asked for.
pub(super) fn layer(site: &mut Site<'_>) -> Option<()> {
    let axis = site.axis_attr("axis", -1, X)?;
    site.rest = Reason::Statistics(site.op());
    for output in 0..site.node.outputs().len() {
        if site.node.output(output).is_some() {
            site.same_but(X, Port::Out(output), |other| other >= axis)?;
        }
    }
    if site.options.normalized {
        site.same_but(X, Y, |other| other < axis)?;
        for slot in 1..site.node.inputs().len() {
            if site.node.input(slot).is_some() {
                site.broadcast(Port::In(slot), Y)?;
            }
        }
    }
    Some(())
}

/// A sum of two inputs and a bias, normalised; output 3 is the sum.
pub(super) fn skip(site: &mut Site<'_>) -> Option<()> {
    let last = site.rank(X)?.checked_sub(1)?;
    site.rest = Reason::Statistics(site.op());
    for port in [Port::In(1), Y, Port::Out(3)] {
        if site.value(port).is_some() {
            let normalized = site.options.normalized;
            site.same_but(X, port, |other| other == last && !normalized)?;
        }
    }
    for slot in 2..site.node.inputs().len() {
        if site.options.normalized && site.node.input(slot).is_some() {
            site.broadcast(Port::In(slot), Y)?;
        }
    }
    Some(())
}

/// Neighbouring channels are summed over.
pub(super) fn local_response(site: &mut Site<'_>) -> Option<()> {
    site.rest = Reason::Statistics(site.op());
    site.same_but(X, Y, |axis| axis == 1)
}
