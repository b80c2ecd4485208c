//! Operators that compute each element from those at the same place.

use crate::analysis::channels::rules::{X, Y};
use crate::analysis::channels::site::{Port, Site};
use crate::ir::position;

/// All inputs, stretched to the shape of the outputs.
pub(super) fn all(site: &mut Site<'_>) -> Option<()> {
    let ports: Vec<Port> = site.ports().filter(|&port| site.value(port).is_some()).collect();
    for port in ports.into_iter().filter(|&port| port != Y) {
        site.broadcast(port, Y)?;
    }
    // An extent to which nothing has that extent is stretched cannot be: all its inputs are 1.
    let rank = site.rank(Y)?;
    (0..rank).for_each(|axis| site.free((Y, axis)));
    Some(())
}

/// QuantizeLinear and DequantizeLinear: one scale for all, for each index of an axis, or for each
/// block of indices.
pub(super) fn quantize(site: &mut Site<'_>) -> Option<()> {
    site.same_but(X, Y, |_| false)?;
    let rank = site.rank(X)?;
    let default = if site.node.is_standard() { 1 } else { 0 };
    let axis = site.node.attr_int("axis").unwrap_or(default);
    for scale in [Port::In(1), Port::In(2)] {
        let Some(value) = site.value(scale) else { continue };
        if site.shapes.elements(value) == Some(1) {
            continue;
        }
        match site.rank(scale)? {
            1 => site.pass((scale, 0), (X, position(axis, rank)?)),
            same if same == rank => {
                let blocked = position(axis, rank)?;
                let size = usize::try_from(site.node.attr_int("block_size")?).ok()?.max(1);
                for other in (0..rank).filter(|&other| other != blocked) {
                    site.pass((scale, other), (X, other));
                }
                // One block has one scale and goes as a whole.
                match site.extent((scale, blocked))? {
                    1 => site.tie((X, blocked), |_| 0),
                    _ => site.relate((X, blocked), (scale, blocked), |i| Some(i / size)),
                }
            }
            _ => return None,
        }
    }
    Some(())
}
