//! Operators that keep the elements and change the extents.

use crate::analysis::shapes::call::{Axes, Call, positions};
use crate::analysis::shapes::content::{Content, broadcast_strides, strides, view};
use crate::analysis::shapes::fact::{Dims, Extent, Fact, all_known, broadcast, position, product};

/// The elements of the first input under other extents.
fn reshaped(call: &Call<'_>, dims: Option<Dims>) -> Fact {
    Fact::new(call.dtype(0), dims).holding(call.fact(0).content.clone())
}

/// Reshape, its target from an attribute (before operator set 5) or an input.
pub(super) fn reshape(call: &Call<'_>) -> Fact {
    let target: Option<Vec<Option<i64>>> = match call.node.attr_ints("shape") {
        Some(shape) if !call.has(1) => Some(shape.iter().copied().map(Some).collect()),
        _ => call.ints(1).map(<[_]>::to_vec),
    };
    let dims = match target {
        Some(target) => resolve(call.dims(0), &target, call.flag("allowzero", false)),
        None => match call.dims(1) {
            Some(&[Some(rank)]) if rank <= crate::analysis::shapes::content::MAX_ELEMENTS => {
                Some(vec![None; rank])
            }
            _ => None,
        },
    };
    reshaped(call, dims)
}

/// One axis of the target of a Reshape.
#[derive(Clone, Copy, PartialEq)]
enum Target {
    Known(usize),
    /// The unknown extent of this input axis.
    Copied(usize),
    Open,
}

fn resolve(input: Option<&[Extent]>, target: &[Option<i64>], allow_zero: bool) -> Option<Dims> {
    let axis = |(i, &wanted): (usize, &Option<i64>)| match wanted {
        Some(0) if !allow_zero => match input {
            Some(dims) => match dims.get(i)? {
                Some(extent) => Some(Target::Known(*extent)),
                None => Some(Target::Copied(i)),
            },
            None => Some(Target::Open),
        },
        Some(-1) | None => Some(Target::Open),
        Some(n) => usize::try_from(n).ok().map(Target::Known),
    };
    let mut axes: Vec<Target> = target.iter().enumerate().map(axis).collect::<Option<_>>()?;
    let open: Vec<usize> = (0..axes.len()).filter(|&i| axes[i] == Target::Open).collect();
    if let (&[open], Some(input)) = (open.as_slice(), input) {
        // Unknown extents that are copied stand on both sides and cancel.
        let copied = |i: &usize| axes.contains(&Target::Copied(*i));
        let rest: Dims = (0..input.len()).filter(|i| !copied(i)).map(|i| input[i]).collect();
        let others: Dims = axes
            .iter()
            .filter_map(|axis| match axis {
                Target::Known(n) => Some(Some(*n)),
                _ => None,
            })
            .collect();
        if let (Some(total), Some(others)) = (product(&rest), product(&others))
            && let Some(0) = total.checked_rem(others)
        {
            axes[open] = Target::Known(total / others);
        }
    }
    let extent = |axis: Target| if let Target::Known(n) = axis { Some(n) } else { None };
    Some(axes.into_iter().map(extent).collect())
}

/// Flatten: a matrix.
pub(super) fn flatten(call: &Call<'_>) -> Fact {
    let dims = match call.dims(0) {
        None => Some(vec![None, None]),
        Some(dims) => {
            let axis = call.int("axis", 1);
            let axis = if usize::try_from(axis) == Ok(dims.len()) {
                Some(dims.len())
            } else {
                position(axis, dims.len())
            };
            axis.map(|axis| vec![product(&dims[..axis]), product(&dims[axis..])])
        }
    };
    reshaped(call, dims)
}

/// Squeeze, its axes from an attribute or an input.
pub(super) fn squeeze(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).and_then(|dims| match call.axes(1) {
        Axes::Absent => {
            all_known(dims).map(|d| d.into_iter().filter(|&d| d != 1).map(Some).collect())
        }
        Axes::Listed(axes) => {
            let gone = positions(&axes, dims.len())?;
            Some((0..dims.len()).filter(|i| !gone.contains(i)).map(|i| dims[i]).collect())
        }
        Axes::Unknown => match call.dims(1) {
            Some(&[Some(count)]) => Some(vec![None; dims.len().checked_sub(count)?]),
            _ => None,
        },
    });
    reshaped(call, dims)
}

/// Unsqueeze, its axes from an attribute or an input; they count in the result.
pub(super) fn unsqueeze(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).and_then(|dims| match call.axes(1) {
        Axes::Absent | Axes::Unknown => None,
        Axes::Listed(axes) => {
            let rank = dims.len().checked_add(axes.len())?;
            let new = positions(&axes, rank)?;
            let mut old = dims.iter().copied();
            let mut is_new = vec![false; rank];
            new.into_iter().for_each(|i| is_new[i] = true);
            Some(
                is_new
                    .into_iter()
                    .map(|n| if n { Some(1) } else { old.next().flatten() })
                    .collect(),
            )
        }
    });
    reshaped(call, dims)
}

/// Transpose.
pub(super) fn transpose(call: &Call<'_>) -> Fact {
    let order = call.dims(0).and_then(|dims| match call.node.attr_ints("perm") {
        Some(perm) => positions(perm, dims.len()).filter(|perm| perm.len() == dims.len()),
        None => Some((0..dims.len()).rev().collect()),
    });
    let dims = call.dims(0).map(|dims| match &order {
        Some(order) => order.iter().map(|&axis| dims[axis]).collect(),
        None => vec![None; dims.len()],
    });
    let fact = Fact::new(call.dtype(0), dims);
    let content = || {
        let own = strides(&call.fact(0).fixed_dims()?);
        let steps: Vec<i128> = order.as_ref()?.iter().map(|&axis| own[axis]).collect();
        call.fact(0).content.as_ref()?.pick(&view(&fact.fixed_dims()?, 0, &steps)?)
    };
    let content = content();
    fact.holding(content)
}

/// Expand: broadcast to extents that an input gives.
pub(super) fn expand(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).zip(call.ints(1)).map(|(dims, target)| {
        let target: Dims = target.iter().map(|d| d.and_then(|d| usize::try_from(d).ok())).collect();
        broadcast(dims, &target)
    });
    let fact = Fact::new(call.dtype(0), dims);
    let content = expanded(call, &fact);
    fact.holding(content)
}

fn expanded(call: &Call<'_>, result: &Fact) -> Option<Content> {
    let dims = result.fixed_dims()?;
    let own = call.fact(0).fixed_dims()?;
    call.fact(0).content.as_ref()?.pick(&view(&dims, 0, &broadcast_strides(&own, dims.len()))?)
}

/// Tile: each axis repeated as often as an input says.
pub(super) fn tile(call: &Call<'_>) -> Fact {
    if call.opset < 6 {
        return Fact::new(call.dtype(0), None);
    }
    let dims = call.dims(0).map(|dims| match call.ints(1) {
        Some(repeats) if repeats.len() == dims.len() => {
            let axis = |(d, r): (&Extent, &Option<i64>)| {
                (*d)?.checked_mul(r.and_then(|r| usize::try_from(r).ok())?)
            };
            dims.iter().zip(repeats).map(axis).collect()
        }
        _ => vec![None; dims.len()],
    });
    let fact = Fact::new(call.dtype(0), dims);
    let content = tiled(call, &fact);
    fact.holding(content)
}

fn tiled(call: &Call<'_>, result: &Fact) -> Option<Content> {
    let (own, dims) = (call.fact(0).fixed_dims()?, result.fixed_dims()?);
    // Each axis as (repetition, position); a step of 0 repeats.
    let pairs = |d: &usize, r: &usize| [r.checked_div(*d).unwrap_or(0), *d];
    let split: Vec<usize> = own.iter().zip(&dims).flat_map(|(d, r)| pairs(d, r)).collect();
    let steps: Vec<i128> = strides(&own).into_iter().flat_map(|s| [0, s]).collect();
    call.fact(0).content.as_ref()?.pick(&view(&split, 0, &steps)?)
}

/// DepthToSpace: blocks of channels become pixels.
pub(super) fn depth_to_space(call: &Call<'_>) -> Fact {
    let block = call.size("blocksize").filter(|&b| b > 0);
    let dims = call.dims(0).and_then(|dims| match *dims {
        [n, c, h, w] => {
            let grown = |d: Extent| d?.checked_mul(block?);
            let shrunk = |c: usize| {
                let area = block?.checked_mul(block?)?;
                c.is_multiple_of(area).then_some(c / area)
            };
            Some(vec![n, c.and_then(shrunk), grown(h), grown(w)])
        }
        _ => None,
    });
    Fact::new(call.dtype(0), dims)
}

/// SpaceToDepth: blocks of pixels become channels.
pub(super) fn space_to_depth(call: &Call<'_>) -> Fact {
    let block = call.size("blocksize").filter(|&b| b > 0);
    let dims = call.dims(0).and_then(|dims| match *dims {
        [n, c, h, w] => {
            let shrunk =
                |d: Extent| d.zip(block).and_then(|(d, b)| d.is_multiple_of(b).then_some(d / b));
            let area = block.and_then(|b| b.checked_mul(b));
            let channels = c.zip(area).and_then(|(c, area)| c.checked_mul(area));
            Some(vec![n, channels, shrunk(h), shrunk(w)])
        }
        _ => None,
    });
    Fact::new(call.dtype(0), dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reshape_targets() {
        let of = |input: &[Extent], target: &[i64]| {
            let target: Vec<_> = target.iter().copied().map(Some).collect();
            resolve(Some(input), &target, false)
        };
        assert_eq!(of(&[Some(2), Some(12)], &[0, 3, -1]), Some(vec![Some(2), Some(3), Some(4)]));
        assert_eq!(of(&[None, Some(4), Some(5)], &[0, -1]), Some(vec![None, Some(20)]));
        assert_eq!(of(&[None, Some(4)], &[-1, 4]), Some(vec![None, Some(4)]));
        assert_eq!(of(&[Some(6)], &[4, -1]), Some(vec![Some(4), None]));
        assert_eq!(of(&[Some(0)], &[0, -1]), Some(vec![Some(0), None]));
        assert_eq!(of(&[Some(6)], &[-2, 3]), None);
        assert_eq!(of(&[Some(6)], &[6, 0]), None);
        assert_eq!(resolve(None, &[Some(0), Some(3)], false), Some(vec![None, Some(3)]));
        assert_eq!(resolve(Some(&[Some(0)]), &[Some(0)], true), Some(vec![Some(0)]));
        let partial = resolve(Some(&[Some(24)]), &[None, Some(4)], false);
        assert_eq!(partial, Some(vec![Some(6), Some(4)]));
    }
}
