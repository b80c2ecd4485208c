//! Convolutions and what works on images: axis 1 carries channels, the others are positions.

use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};
use crate::ir::Node;

const W: Port = Port::In(1);
const B: Port = Port::In(2);

fn groups(node: &Node) -> Option<usize> {
    usize::try_from(node.attr_int("group").unwrap_or(1)).ok().filter(|&group| group > 0)
}

/// Output channels are rows of the weight; input channels are summed over. Groups keep equal sizes:
/// index `i` of one goes with index `i` of all others. A depthwise one has no sum: its channels go
/// through, and their number is `group`.
pub(super) fn conv(site: &mut Site<'_>) -> Option<()> {
    let group = groups(site.node)?;
    let (channels, filters) = (site.extent((X, 1))?, site.extent((W, 0))?);
    site.pass((X, 0), (Y, 0));
    site.pass((W, 0), (Y, 1));
    if site.value(B).is_some() {
        site.pass((B, 0), (Y, 1));
    }
    if group == 1 {
        site.contract((X, 1), (W, 1));
    } else if group == channels {
        let each = filters / group;
        site.relate((X, 1), (Y, 1), |i| i * each..(i + 1) * each);
        site.attribute("group", (X, 1));
    } else {
        let (each, rows) = (channels / group, filters / group);
        if each * group != channels || rows * group != filters || each < 2 {
            return None;
        }
        site.relate((W, 1), (X, 1), |i| (0..group).map(move |g| g * each + i));
        site.contracted(&[(W, 1)]);
        site.tie((Y, 1), |m| m % rows);
    }
    Some(())
}

/// As Conv, with a weight `[C, M/group, …]`.
pub(super) fn transposed(site: &mut Site<'_>) -> Option<()> {
    let group = groups(site.node)?;
    let (channels, rows) = (site.extent((X, 1))?, site.extent((W, 1))?);
    site.pass((X, 0), (Y, 0));
    if site.value(B).is_some() {
        site.pass((B, 0), (Y, 1));
    }
    if group == 1 {
        site.contract((X, 1), (W, 0));
        site.pass((W, 1), (Y, 1));
    } else if group == channels {
        site.pass((X, 1), (W, 0));
        site.relate((X, 1), (Y, 1), |i| i * rows..(i + 1) * rows);
        site.attribute("group", (X, 1));
    } else {
        let each = channels / group;
        if each * group != channels {
            return None;
        }
        site.contract((X, 1), (W, 0));
        site.tie((X, 1), |i| i % each);
        match rows {
            // One output channel of each group is all there is.
            1 => site.tie((Y, 1), |_| 0),
            _ => site.relate((W, 1), (Y, 1), |m| (0..group).map(move |g| g * rows + m)),
        }
    }
    Some(())
}

/// Samples and channels go through. Places of maxima count through all channels, so that none can go.
pub(super) fn pool(site: &mut Site<'_>) -> Option<()> {
    if site.node.output(1).is_some() {
        return None;
    }
    site.pass((X, 0), (Y, 0));
    site.pass((X, 1), (Y, 1));
    Some(())
}

/// An axis that keeps its extent goes through; where it is in a list of sizes, it follows.
pub(super) fn resize(site: &mut Site<'_>) -> Option<()> {
    if site.node.attr_str("coordinate_transformation_mode") == Some("tf_crop_and_resize") {
        return None;
    }
    let listed = site.node.attr_ints("axes").map(<[i64]>::to_vec);
    let sizes = site.node.input(3).is_some();
    for axis in 0..site.rank(X)? {
        if site.extent((X, axis)).is_none() || site.extent((X, axis)) != site.extent((Y, axis)) {
            continue;
        }
        site.pass((X, axis), (Y, axis));
        let at = match &listed {
            None => Some(axis),
            Some(axes) if axes.iter().any(|&a| a < 0) => return None,
            Some(axes) => axes.iter().position(|&a| usize::try_from(a) == Ok(axis)),
        };
        if let (true, Some(index)) = (sizes, at) {
            site.extent_of(3, index, (Y, axis));
        }
    }
    Some(())
}
