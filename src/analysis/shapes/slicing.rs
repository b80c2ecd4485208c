//! Operators that cut, join, pad and resize along axes.

use crate::analysis::shapes::call::{Axes, Call, positions};
use crate::analysis::shapes::content::{Content, MAX_ELEMENTS, strides, view};
use crate::analysis::shapes::fact::{Dims, Extent, Fact, position, sum};
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
    let parts: Option<Vec<&[Extent]>> = slots.iter().map(|&slot| call.dims(slot)).collect();
    let same_rank = |parts: &Vec<&[Extent]>| parts.iter().all(|p| p.len() == rank);
    let mut dims: Dims = vec![None; rank];
    // Parts agree outside the axis, so one known extent is enough.
    for part in slots.iter().filter_map(|&slot| call.dims(slot)).filter(|p| p.len() == rank) {
        for (extent, &other) in dims.iter_mut().zip(part) {
            *extent = extent.or(other);
        }
    }
    let along: Option<Dims> =
        parts.filter(same_rank).map(|parts| parts.iter().map(|p| p[axis]).collect());
    dims[axis] = along.and_then(|along| sum(&along));
    let fact = Fact::new(dtype, Some(dims));
    let content = joined_content(call, &fact, axis, slots);
    fact.holding(content)
}

fn joined_content(call: &Call<'_>, result: &Fact, axis: usize, slots: &[usize]) -> Option<Content> {
    let dims = result.fixed_dims()?;
    let outer = element_count(&dims[..axis])?;
    if element_count(&dims)? > MAX_ELEMENTS {
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
        let rank_only = call.dims(0).map(|dims| vec![None; dims.len()]);
        return vec![Fact::new(call.dtype(0), rank_only); count];
    };
    let sizes = split_sizes(call, dims[axis], count);
    let mut start = Some(0usize);
    let mut facts = Vec::with_capacity(count);
    for slot in 0..count {
        let size = sizes.get(slot).copied().flatten();
        let mut part = dims.to_vec();
        part[axis] = size;
        let fact = Fact::new(call.dtype(0), Some(part));
        let content = start.and_then(|start| {
            let steps = strides(&call.fact(0).fixed_dims()?);
            let offset = (start as i128).saturating_mul(steps[axis]);
            call.fact(0).content.as_ref()?.pick(&view(&fact.fixed_dims()?, offset, &steps)?)
        });
        facts.push(fact.holding(content));
        start = start.zip(size).and_then(|(start, size)| start.checked_add(size));
    }
    facts
}

fn split_sizes(call: &Call<'_>, extent: Extent, count: usize) -> Dims {
    if let Some(sizes) = call.node.attr_ints("split") {
        return sizes.iter().map(|&n| usize::try_from(n).ok()).collect();
    }
    if call.has(1) {
        let sizes = call.ints(1).unwrap_or_default();
        return sizes.iter().map(|n| n.and_then(|n| usize::try_from(n).ok())).collect();
    }
    let Some(extent) = extent.filter(|_| count > 0) else { return vec![None; count] };
    // From operator set 18 on, the last part may be smaller.
    let part = extent.div_ceil(count);
    let last = part.checked_mul(count - 1).and_then(|before| extent.checked_sub(before));
    match last {
        Some(last) => (1..count).map(|_| Some(part)).chain([Some(last)]).collect(),
        None => vec![None; count],
    }
}

/// Slice, its bounds from attributes (before operator set 10) or inputs.
pub(super) fn slice(call: &Call<'_>) -> Fact {
    let rank_only = call.dims(0).map(|dims| vec![None; dims.len()]);
    let unknown = Fact::new(call.dtype(0), rank_only);
    let Some(cuts) = call.dims(0).and_then(|dims| cuts(call, dims.len())) else { return unknown };
    let mut dims = call.shape(0).unwrap_or_default();
    let mut offset = Some(0i128);
    let own = call.fact(0).fixed_dims().map(|dims| strides(&dims));
    let mut steps = own.clone();
    for Cut { axis, start, end, step } in cuts {
        let place = |start: i64, end: i64, step: i64| cut(dims[axis]?, start, end, step);
        let placed = start.zip(end).zip(step).and_then(|((start, end), s)| place(start, end, s));
        dims[axis] = placed.map(|(_, count)| count);
        offset = offset.zip(placed).zip(own.as_ref()).and_then(|((offset, (first, _)), own)| {
            offset.checked_add(first.checked_mul(own[axis])?)
        });
        if let (Some(steps), Some(step)) = (&mut steps, step) {
            steps[axis] = steps[axis].saturating_mul(i128::from(step));
        }
    }
    let fact = Fact::new(call.dtype(0), Some(dims));
    let content = offset.zip(steps).and_then(|(offset, steps)| {
        call.fact(0).content.as_ref()?.pick(&view(&fact.fixed_dims()?, offset, &steps)?)
    });
    fact.holding(content)
}

struct Cut {
    axis: usize,
    start: Option<i64>,
    end: Option<i64>,
    step: Option<i64>,
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
        let cut = |(axis, (&s, &e))| Cut { axis, start: Some(s), end: Some(e), step: Some(1) };
        return Some(bounds.map(cut).collect());
    }
    let count = [1, 2, 3].into_iter().find_map(|slot| match call.dims(slot) {
        Some(&[count]) => count,
        _ => None,
    });
    let axes = if call.has(3) {
        positions(&call.all_ints(3)?, rank)?
    } else {
        (0..count.filter(|&count| count <= rank)?).collect()
    };
    let at = |slot: usize, i: usize| call.ints(slot).and_then(|xs| xs.get(i).copied().flatten());
    let step = |i| if call.has(4) { at(4, i) } else { Some(1) };
    let cut = |(i, axis)| Cut { axis, start: at(1, i), end: at(2, i), step: step(i) };
    Some(axes.into_iter().enumerate().map(cut).collect())
}

/// First element and number of elements of a Slice along an axis of `extent` elements.
fn cut(extent: usize, start: i64, end: i64, step: i64) -> Option<(i128, usize)> {
    if step < 0 && (end == i64::MAX || end == i64::from(i32::MAX)) {
        // Backwards to nowhere by the letter of the specification, to the first element in engines.
        return None;
    }
    let extent = i128::from(i64::try_from(extent).ok()?);
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
                return Some((0, 0));
            }
            let (start, end) = (start.clamp(0, extent - 1), end.clamp(-1, extent - 1));
            (start, (start - end - step - 1) / -step)
        }
    };
    Some((start, usize::try_from(count.max(0)).ok()?))
}

/// Pad, its widths from an attribute or inputs.
pub(super) fn pad(call: &Call<'_>) -> Fact {
    let listed = call.node.attr_ints("pads").or(call.node.attr_ints("paddings"));
    let pads: Option<Vec<Option<i64>>> = match listed {
        Some(pads) => Some(pads.iter().copied().map(Some).collect()),
        None => call.ints(1).map(<[_]>::to_vec),
    };
    let dims = call
        .dims(0)
        .map(|dims| padded(call, dims, pads.as_deref()).unwrap_or_else(|| vec![None; dims.len()]));
    Fact::new(call.dtype(0), dims)
}

fn padded(call: &Call<'_>, dims: &[Extent], pads: Option<&[Option<i64>]>) -> Option<Dims> {
    let pads = pads?;
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
        let (begin, end) = (pads[i], pads[i + axes.len()]);
        result[axis] = begin.zip(end).zip(dims[axis]).and_then(|((begin, end), extent)| {
            usize::try_from(i128::from(begin) + i128::from(end) + extent as i128).ok()
        });
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
            let size = sizes.and_then(|sizes| sizes.get(i).copied().flatten());
            dims[axis] = size.and_then(|size| usize::try_from(size).ok());
        }
        Some(dims)
    });
    Fact::new(call.dtype(0), dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cuts_follow_numpy() {
        assert_eq!(cut(10, 1, -1, 1), Some((1, 8)));
        assert_eq!(cut(10, 0, i64::MAX, 3), Some((0, 4)));
        assert_eq!(cut(10, -1, i64::MIN, -1), Some((9, 10)));
        assert_eq!(cut(10, -1, -4, -2), Some((9, 2)));
        assert_eq!(cut(10, 5, 5, -1), Some((5, 0)));
        assert_eq!(cut(10, 20, 30, 1), Some((10, 0)));
        assert_eq!(cut(0, -1, i64::MIN, -1), Some((0, 0)));
        assert_eq!(cut(10, 0, 5, 0), None);
        assert_eq!(cut(10, 9, i64::MAX, -1), None);
        assert_eq!(cut(4, i64::MIN, i64::MAX, i64::MAX), Some((0, 1)));
        assert_eq!(cut(4, i64::MAX, i64::MIN, i64::MIN), Some((3, 1)));
    }
}
