//! Operators that cut, join, pad and resize along axes.

use crate::analysis::shapes::call::{Axes, Call, positions};
use crate::analysis::shapes::content::{Content, strides};
use crate::analysis::shapes::fact::{Dims, Fact, sum, unknown};
use crate::analysis::shapes::term::Term;
use crate::ir::position;
use crate::tensor::element_count;

/// Concat.
pub(super) fn concat(call: &Call<'_>) -> Fact {
    let slots = 0..call.node.inputs().len();
    joined(call, call.int("axis", 1), &slots.collect::<Vec<_>>())
}

/// QLinearConcat: `y_scale, y_zero`, then a tensor with its scale and zero point for each part.
pub(super) fn qlinear_concat(call: &Call<'_>) -> Fact {
    let slots: Vec<usize> = (2..call.node.inputs().len()).step_by(3).collect();
    joined(call, call.int("axis", 1), &slots)
}

fn joined(call: &Call<'_>, axis: i64, slots: &[usize]) -> Fact {
    let dtype = slots.iter().find_map(|&slot| call.dtype(slot));
    let Some(rank) = slots.iter().find_map(|&slot| call.dims(slot)).map(<[_]>::len) else {
        return Fact::new(dtype, None);
    };
    let Some(axis) = position(axis, rank) else { return Fact::new(dtype, None) };
    let parts: Option<Vec<&[Term]>> = slots.iter().map(|&slot| call.dims(slot)).collect();
    let same_rank = |parts: &Vec<&[Term]>| parts.iter().all(|p| p.len() == rank);
    let mut dims = unknown(rank);
    // Parts agree outside the axis, so one known extent is enough.
    for part in slots.iter().filter_map(|&slot| call.dims(slot)).filter(|p| p.len() == rank) {
        for (extent, other) in dims.iter_mut().zip(part) {
            *extent = extent.also(other);
        }
    }
    dims[axis] = parts.filter(same_rank).map(|p| sum(p.iter().map(|p| &p[axis]))).into();
    let fact = Fact::new(dtype, Some(dims));
    let content = joined_content(call, &fact, axis, slots);
    fact.holding(content)
}

fn joined_content(call: &Call<'_>, result: &Fact, axis: usize, slots: &[usize]) -> Option<Content> {
    let dims = result.fixed_dims()?;
    let outer = element_count(&dims[..axis])?;
    if element_count(&dims)? > call.limit {
        return None;
    }
    let mut pieces = Vec::new();
    for &slot in slots {
        let own = call.fact(slot).fixed_dims()?;
        pieces.push((call.fact(slot).content.as_ref()?, element_count(&own[axis..])?));
    }
    if outer == 1 {
        let parts: Vec<Content> = pieces.into_iter().map(|(content, _)| content.clone()).collect();
        return Content::chain(&parts);
    }
    if pieces.iter().any(|(content, _)| content.len() == 0) {
        return None;
    }
    let mut parts = Vec::new();
    for row in 0..outer {
        for (content, width) in &pieces {
            let start = row.checked_mul(*width)?;
            let indices: Vec<usize> = (start..start.checked_add(*width)?).collect();
            parts.push(content.pick(&indices)?);
        }
    }
    Content::chain(&parts)
}

/// Split: sizes from an attribute, an input, or equal parts.
pub(super) fn split(call: &Call<'_>) -> Vec<Fact> {
    let count = call.node.outputs().len();
    let whole = call.dims(0).zip(call.dims(0).and_then(|dims| call.axis(0, dims.len())));
    let Some((dims, axis)) = whole else {
        let rank_only = call.dims(0).map(|dims| unknown(dims.len()));
        return vec![Fact::new(call.dtype(0), rank_only); count];
    };
    let sizes = split_sizes(call, &dims[axis], count);
    let mut start = Term::Known(0);
    let mut facts = Vec::with_capacity(count);
    for slot in 0..count {
        let size = Term::from(sizes.get(slot));
        let mut part = dims.to_vec();
        part[axis] = size.clone();
        let fact = Fact::new(call.dtype(0), Some(part));
        let content = start.known().and_then(|start| {
            let steps = strides(&call.fact(0).fixed_dims()?);
            let offset = i128::from(start).saturating_mul(steps[axis]);
            call.fact(0).content.as_ref()?.pick(&call.view(&fact.fixed_dims()?, offset, &steps)?)
        });
        facts.push(fact.holding(content));
        start = start + size;
    }
    facts
}

fn split_sizes(call: &Call<'_>, extent: &Term, count: usize) -> Dims {
    if let Some(sizes) = call.node.attr_ints("split") {
        return sizes.iter().copied().map(Term::Known).collect();
    }
    if call.has(1) {
        return call.ints(1).map(<[_]>::to_vec).unwrap_or_default();
    }
    let Some(before) = count.checked_sub(1) else { return Dims::new() };
    // From operator set 18 on, the last part may be smaller.
    let part = match call.opset {
        ..18 => extent.quotient(count),
        _ => extent.ceil_div(count),
    };
    let last = extent - &part * before;
    if last.known().is_some_and(|last| last < 0) {
        return Dims::new();
    }
    std::iter::repeat_n(part, before).chain([last]).collect()
}

/// Slice, its bounds from attributes (before operator set 10) or inputs.
pub(super) fn slice(call: &Call<'_>) -> Fact {
    let rank_only = call.dims(0).map(|dims| unknown(dims.len()));
    let unknown = Fact::new(call.dtype(0), rank_only);
    let Some(cuts) = call.dims(0).and_then(|dims| cuts(call, dims.len())) else { return unknown };
    let mut dims = call.shape(0).unwrap_or_default();
    let mut offset = Some(0i128);
    let own = call.fact(0).fixed_dims().map(|dims| strides(&dims));
    let mut steps = own.clone();
    for Cut { axis, start, end, step } in cuts {
        let (first, count) = match step.known() {
            Some(step) => cut(&dims[axis], &start, &end, step).unwrap_or_default(),
            None => (Term::Unknown, Term::Unknown),
        };
        dims[axis] = count;
        offset = offset.zip(first.known()).zip(own.as_ref()).and_then(|((offset, first), own)| {
            offset.checked_add(i128::from(first).checked_mul(own[axis])?)
        });
        if let (Some(steps), Some(step)) = (&mut steps, step.known()) {
            steps[axis] = steps[axis].saturating_mul(i128::from(step));
        }
    }
    let fact = Fact::new(call.dtype(0), Some(dims));
    let content = offset.zip(steps).and_then(|(offset, steps)| {
        call.fact(0).content.as_ref()?.pick(&call.view(&fact.fixed_dims()?, offset, &steps)?)
    });
    fact.holding(content)
}

struct Cut {
    axis: usize,
    start: Term,
    end: Term,
    step: Term,
}

/// The cuts of a Slice; nothing when the axes are not known.
fn cuts(call: &Call<'_>, rank: usize) -> Option<Vec<Cut>> {
    if let (Some(starts), Some(ends)) = (call.node.attr_ints("starts"), call.node.attr_ints("ends"))
    {
        let axes = match call.node.attr_ints("axes") {
            Some(axes) => positions(axes, rank)?,
            None => (0..starts.len().min(rank)).collect(),
        };
        let bounds = axes.into_iter().zip(starts.iter().zip(ends));
        let cut = |(axis, (&start, &end))| {
            let (start, end) = (Term::Known(start), Term::Known(end));
            Cut { axis, start, end, step: Term::ONE }
        };
        return Some(bounds.map(cut).collect());
    }
    let count = [1, 2, 3].into_iter().find_map(|slot| match call.dims(slot) {
        Some([count]) => count.extent(),
        _ => None,
    });
    let axes = if call.has(3) {
        positions(&call.all_ints(3)?, rank)?
    } else {
        (0..count.filter(|&count| count <= rank)?).collect()
    };
    let at = |slot: usize, i: usize| Term::from(call.ints(slot).and_then(|xs| xs.get(i)));
    let step = |i| if call.has(4) { at(4, i) } else { Term::ONE };
    let cut = |(i, axis)| Cut { axis, start: at(1, i), end: at(2, i), step: step(i) };
    Some(axes.into_iter().enumerate().map(cut).collect())
}

/// Bounds from here on, forwards or backwards, mean the end of any axis: exporters write the largest
/// numbers of 32 or 64 bits.
const FAR: i64 = i32::MAX as i64;
const FAR_BACK: i64 = -FAR;

/// First element and number of elements of a Slice along an axis.
fn cut(extent: &Term, start: &Term, end: &Term, step: i64) -> Option<(Term, Term)> {
    match (extent, start, end) {
        (Term::Known(extent), Term::Known(start), Term::Known(end)) => {
            cut_numbers(*extent, *start, *end, step)
        }
        _ if step > 0 => {
            let (first, stop) = (bound(extent, start)?, bound(extent, end)?);
            // Limits keep the order of what they limit.
            let ordered = start.at_least(0) && start.at_most(end) || first.at_most(&stop);
            let room = &stop - &first;
            let room = if ordered { room } else { room.larger(&Term::Known(0)) };
            Some((first, room.ceil_div(step)))
        }
        (extent, Term::Known(-1 | FAR..), Term::Known(..=FAR_BACK)) if step > i64::MIN => {
            Some((extent - 1, extent.ceil_div(-step)))
        }
        _ => None,
    }
}

/// Where a bound lies on an axis; nothing when it may count from either end.
fn bound(extent: &Term, bound: &Term) -> Option<Term> {
    match bound {
        Term::Known(FAR..) => Some(extent.clone()),
        bound if bound.at_least(0) => Some(bound.smaller(extent)),
        bound if bound.at_most(&Term::Known(-1)) => {
            Some(extent - (Term::Known(0) - bound).smaller(extent))
        }
        _ => None,
    }
}

fn cut_numbers(extent: i64, start: i64, end: i64, step: i64) -> Option<(Term, Term)> {
    if step < 0 && (end == i64::MAX || end == i64::from(i32::MAX)) {
        // Backwards to nowhere by the letter of the specification, to the first element in engines.
        return None;
    }
    let extent = i128::from(extent);
    let step = i128::from(step);
    let from_end = |x: i64| if x < 0 { i128::from(x) + extent } else { i128::from(x) };
    let (start, end) = (from_end(start), from_end(end));
    let (start, count) = match step {
        0 => return None,
        1.. => {
            let (start, end) = (start.clamp(0, extent), end.clamp(0, extent));
            (start, (end - start + step - 1) / step)
        }
        _ => {
            if extent == 0 {
                return Some((Term::Known(0), Term::Known(0)));
            }
            let (start, end) = (start.clamp(0, extent - 1), end.clamp(-1, extent - 1));
            (start, (start - end - step - 1) / -step)
        }
    };
    Some((i64::try_from(start).ok()?.into(), i64::try_from(count.max(0)).ok()?.into()))
}

/// Pad, its widths from an attribute or inputs.
pub(super) fn pad(call: &Call<'_>) -> Fact {
    let listed = call.node.attr_ints("pads").or(call.node.attr_ints("paddings"));
    let pads: Option<Dims> = match listed {
        Some(pads) => Some(pads.iter().copied().map(Term::Known).collect()),
        None => call.ints(1).map(<[_]>::to_vec),
    };
    let padded = |dims: &[Term]| padded(call, dims, pads.as_deref()?);
    let dims = call.dims(0).map(|dims| padded(dims).unwrap_or_else(|| unknown(dims.len())));
    Fact::new(call.dtype(0), dims)
}

fn padded(call: &Call<'_>, dims: &[Term], pads: &[Term]) -> Option<Dims> {
    let axes = if call.has(3) {
        positions(&call.all_ints(3)?, dims.len())?
    } else {
        (0..dims.len()).collect()
    };
    if pads.len() != axes.len().checked_mul(2)? {
        return None;
    }
    let mut result = dims.to_vec();
    for (i, &axis) in axes.iter().enumerate() {
        result[axis] = &dims[axis] + &pads[i] + &pads[i + axes.len()];
    }
    Some(result)
}

/// CenterCropPad: chosen axes take the extents that an input gives.
pub(super) fn center_crop_pad(call: &Call<'_>) -> Fact {
    let dims = call.shape(0).and_then(|mut dims| {
        let axes = match call.axes(usize::MAX) {
            Axes::Listed(axes) => positions(&axes, dims.len())?,
            _ => (0..dims.len()).collect(),
        };
        let sizes = call.ints(1);
        for (i, axis) in axes.into_iter().enumerate() {
            dims[axis] = sizes.and_then(|sizes| sizes.get(i)).into();
        }
        Some(dims)
    });
    Fact::new(call.dtype(0), dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn numbers(extent: i64, start: i64, end: i64, step: i64) -> Option<(i64, i64)> {
        let (first, count) = cut(&extent.into(), &start.into(), &end.into(), step)?;
        Some((first.known()?, count.known()?))
    }

    #[test]
    fn cuts_follow_numpy() {
        assert_eq!(numbers(10, 1, -1, 1), Some((1, 8)));
        assert_eq!(numbers(10, 0, i64::MAX, 3), Some((0, 4)));
        assert_eq!(numbers(10, -1, i64::MIN, -1), Some((9, 10)));
        assert_eq!(numbers(10, -1, -4, -2), Some((9, 2)));
        assert_eq!(numbers(10, 5, 5, -1), Some((5, 0)));
        assert_eq!(numbers(10, 20, 30, 1), Some((10, 0)));
        assert_eq!(numbers(0, -1, i64::MIN, -1), Some((0, 0)));
        assert_eq!(numbers(10, 0, 5, 0), None);
        assert_eq!(numbers(10, 9, i64::MAX, -1), None);
        assert_eq!(numbers(4, i64::MIN, i64::MAX, i64::MAX), Some((0, 1)));
        assert_eq!(numbers(4, i64::MAX, i64::MIN, i64::MIN), Some((3, 1)));
    }

    #[test]
    fn cuts_of_open_axes() {
        let n = Term::named("N");
        let count = |extent: &Term, start: i64, end: i64, step: i64| {
            let (_, count) = cut(extent, &start.into(), &end.into(), step).unwrap();
            count.to_string()
        };
        assert_eq!(count(&n, 0, i64::MAX, 1), "N");
        assert_eq!(count(&n, 0, i64::MAX, 2), "floor((N + 1)/2)");
        assert_eq!(count(&n, 0, 1, 1), "min(1, N)");
        assert_eq!(count(&(&n + 2), 0, 1, 1), "1");
        assert_eq!(count(&(&n + 2), 1, -1, 1), "N");
        assert_eq!(count(&(&n + 2), -1, i64::MAX, 1), "1");
        assert_eq!(count(&n, -1, i64::MIN, -1), "N");
        let half = n.floor_div(2);
        let (_, rest) = cut(&n, &half, &Term::Known(i64::MAX), 1).unwrap();
        assert_eq!(rest.evaluate(&|_| Some(7)), Some(4));
        assert_eq!(cut(&n, &(&n - 1), &n, 1), None);
    }

    #[test]
    fn open_cuts_agree_with_numbers() {
        let n = Term::named("N");
        for (start, end, step) in
            (-4..5).flat_map(|s| (-4..5).map(move |e| (s, e, 1 + (s + e) % 2)))
        {
            let step = step.max(1);
            let Some((first, count)) = cut(&n, &start.into(), &end.into(), step) else { continue };
            for extent in 0..8 {
                let at = |term: &Term| term.evaluate(&|_| Some(extent)).unwrap();
                let (number, expected) = numbers(extent, start, end, step).unwrap();
                assert_eq!(at(&count), expected, "{start}:{end}:{step} of {extent}: {count}");
                assert!(
                    expected == 0 || at(&first) == number,
                    "{start}:{end} of {extent}: {first}"
                );
            }
        }
    }
}
