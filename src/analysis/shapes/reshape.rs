//! Operators that keep the elements and change the extents.

use crate::analysis::shapes::call::{Axes, Call, positions};
use crate::analysis::shapes::content::{Content, broadcast_strides, strides};
use crate::analysis::shapes::fact::{
    Dims, Fact, all_known, broadcast, countable, product, unknown,
};
use crate::analysis::shapes::term::Term;
use crate::ir::position;

/// The elements of the first input under other extents.
fn reshaped(call: &Call<'_>, dims: Option<Dims>) -> Fact {
    Fact::new(call.dtype(0), dims).holding(call.fact(0).content.clone())
}

/// Reshape, its target from an attribute (before operator set 5) or an input.
pub(super) fn reshape(call: &Call<'_>) -> Fact {
    let target = match call.node.attr_ints("shape") {
        Some(shape) if !call.has(1) => Some(shape.iter().copied().map(Term::Known).collect()),
        _ => call.listed(1),
    };
    let allow_zero = call.flag("allowzero", false);
    reshaped(call, target.and_then(|target| resolve(call.dims(0), &target, allow_zero)))
}

/// The extents that a target asks for. An axis computed to be 0 in some run would copy an extent of
/// the input there; no exporter means that, and it is taken to stand for itself.
fn resolve(input: Option<&[Term]>, target: &[Term], allow_zero: bool) -> Option<Dims> {
    let mut open = Vec::new();
    let mut dims = Dims::new();
    // Unknown extents that are copied stand on both sides and cancel.
    let mut rest = input.map(<[_]>::to_vec);
    for (i, wanted) in target.iter().enumerate() {
        let copied = *wanted == 0 && !allow_zero;
        match wanted {
            Term::Known(..-1) => return None,
            _ if copied && input.is_some() => {
                dims.push(input?.get(i)?.clone());
                if !dims[i].is_determined() {
                    rest.as_mut()?[i] = Term::ONE;
                }
            }
            known if !copied && known.at_least(0) => dims.push(known.clone()),
            _ => {
                open.push(i);
                dims.push(Term::Unknown);
            }
        }
    }
    if let (&[open], Some(rest)) = (open.as_slice(), rest) {
        let is_copied = |i: usize| i != open && !dims[i].is_determined();
        let others: Dims = (0..dims.len())
            .filter(|&i| i != open && !is_copied(i))
            .map(|i| dims[i].clone())
            .collect();
        dims[open] = product(&rest).quotient(product(&others));
    }
    Some(dims)
}

/// Flatten: a matrix.
pub(super) fn flatten(call: &Call<'_>) -> Fact {
    let dims = match call.dims(0) {
        None => Some(unknown(2)),
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
            all_known(dims).map(|d| d.into_iter().filter(|&d| d != 1).map(Term::from).collect())
        }
        Axes::Listed(axes) => {
            let gone = positions(&axes, dims.len())?;
            Some((0..dims.len()).filter(|i| !gone.contains(i)).map(|i| dims[i].clone()).collect())
        }
        Axes::Unknown => match call.dims(1) {
            Some([count]) => Some(unknown(dims.len().checked_sub(count.extent()?)?)),
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
            let mut old = dims.iter();
            let mut is_new = vec![false; rank];
            new.into_iter().for_each(|i| is_new[i] = true);
            Some(
                is_new.into_iter().map(|n| if n { Term::ONE } else { old.next().into() }).collect(),
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
        Some(order) => order.iter().map(|&axis| dims[axis].clone()).collect(),
        None => unknown(dims.len()),
    });
    let fact = Fact::new(call.dtype(0), dims);
    let content = || {
        let own = strides(&call.fact(0).fixed_dims()?);
        let steps: Vec<i128> = order.as_ref()?.iter().map(|&axis| own[axis]).collect();
        call.fact(0).content.as_ref()?.pick(&call.view(&fact.fixed_dims()?, 0, &steps)?)
    };
    let content = content();
    fact.holding(content)
}

/// Expand: broadcast to extents that an input gives.
pub(super) fn expand(call: &Call<'_>) -> Fact {
    let dims = call
        .dims(0)
        .zip(call.listed(1))
        .map(|(dims, target)| broadcast(dims, &target.iter().map(countable).collect::<Dims>()));
    let fact = Fact::new(call.dtype(0), dims);
    let content = expanded(call, &fact);
    fact.holding(content)
}

fn expanded(call: &Call<'_>, result: &Fact) -> Option<Content> {
    let dims = result.fixed_dims()?;
    let own = call.fact(0).fixed_dims()?;
    call.fact(0).content.as_ref()?.pick(&call.view(
        &dims,
        0,
        &broadcast_strides(&own, dims.len()),
    )?)
}

/// Tile: each axis repeated as often as an input says.
pub(super) fn tile(call: &Call<'_>) -> Fact {
    if call.opset < 6 {
        return Fact::new(call.dtype(0), None);
    }
    let dims = call.dims(0).map(|dims| match call.ints(1) {
        Some(repeats) if repeats.len() == dims.len() => {
            dims.iter().zip(repeats).map(|(d, r)| d * r).collect()
        }
        _ => unknown(dims.len()),
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
    call.fact(0).content.as_ref()?.pick(&call.view(&split, 0, &steps)?)
}

/// DepthToSpace: blocks of channels become pixels.
pub(super) fn depth_to_space(call: &Call<'_>) -> Fact {
    let block = call.size("blocksize");
    let dims = call.dims(0).and_then(|dims| match dims {
        [n, c, h, w] => Some(vec![n.clone(), c.quotient(&block * &block), h * &block, w * &block]),
        _ => None,
    });
    Fact::new(call.dtype(0), dims)
}

/// SpaceToDepth: blocks of pixels become channels.
pub(super) fn space_to_depth(call: &Call<'_>) -> Fact {
    let block = call.size("blocksize");
    let dims = call.dims(0).and_then(|dims| match dims {
        [n, c, h, w] => {
            Some(vec![n.clone(), c * &block * &block, h.quotient(&block), w.quotient(&block)])
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
        let of = |input: &[i64], target: &[i64]| {
            // -9 stands for an unknown extent.
            let term = |&n: &i64| if n == -9 { Term::Unknown } else { Term::Known(n) };
            let input: Dims = input.iter().map(term).collect();
            let target: Dims = target.iter().map(term).collect();
            let text = |dims: Dims| dims.iter().map(Term::to_string).collect::<Vec<_>>().join(" ");
            resolve(Some(&input), &target, false).map_or("none".to_owned(), text)
        };
        assert_eq!(of(&[2, 12], &[0, 3, -1]), "2 3 4");
        assert_eq!(of(&[-9, 4, 5], &[0, -1]), "? 20");
        assert_eq!(of(&[-9, 4], &[-1, 4]), "? 4");
        assert_eq!(of(&[6], &[4, -1]), "4 ?");
        assert_eq!(of(&[0], &[0, -1]), "0 ?");
        assert_eq!(of(&[6], &[-2, 3]), "none");
        assert_eq!(of(&[6], &[6, 0]), "none");
        assert_eq!(of(&[24], &[-9, 4]), "6 4");
        let (zero, three) = (Term::Known(0), Term::Known(3));
        let unresolved = resolve(None, &[zero.clone(), three.clone()], false);
        assert_eq!(unresolved, Some(vec![Term::Unknown, three]));
        let zero = [zero];
        assert_eq!(resolve(Some(&zero), &zero, true), Some(zero.to_vec()));
    }

    #[test]
    fn symbols_cancel_in_targets() {
        let (n, l, rest) = (Term::named("N"), Term::named("L"), Term::Known(-1));
        let input = [n.clone(), l.clone(), Term::Known(768)];
        let heads = [n.clone(), rest.clone(), 12.into(), 64.into()];
        let expected = vec![n.clone(), l.clone(), 12.into(), 64.into()];
        assert_eq!(resolve(Some(&input), &heads, false), Some(expected));
        let rows = resolve(Some(&input), &[rest.clone(), 768.into()], false);
        assert_eq!(rows, Some(vec![&n * &l, 768.into()]));
        let back = resolve(rows.as_deref(), &[n.clone(), l.clone(), rest], false);
        assert_eq!(back.as_deref(), Some(&input[..]));
    }
}
