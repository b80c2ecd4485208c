//! Operators that pick elements by index.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::Content;
use crate::analysis::shapes::fact::{Fact, unknown};
use crate::analysis::shapes::term::Term;
use crate::tensor::{DType, element_count};

/// Gather: the axis is replaced by the extents of the indices.
pub(super) fn gather(call: &Call<'_>) -> Fact {
    let (Some(data), Some(indices)) = (call.dims(0), call.dims(1)) else {
        return Fact::new(call.dtype(0), None);
    };
    let Some(axis) = call.axis(0, data.len()) else { return Fact::new(call.dtype(0), None) };
    let dims = [&data[..axis], indices, &data[axis + 1..]].concat();
    let fact = Fact::new(call.dtype(0), Some(dims));
    let content = gathered(call, axis);
    fact.holding(content)
}

fn gathered(call: &Call<'_>, axis: usize) -> Option<Content> {
    let content = call.fact(0).content.as_ref()?;
    let dims = call.fact(0).fixed_dims()?;
    let extent = i64::try_from(dims[axis]).ok()?;
    let mut rows = Vec::new();
    for index in call.all_ints(1)? {
        let index = if index < 0 { index.checked_add(extent)? } else { index };
        rows.push(usize::try_from(index).ok().filter(|_| index < extent)?);
    }
    let (inner, outer) = (element_count(&dims[axis + 1..])?, element_count(&dims[..axis])?);
    let count = outer.checked_mul(rows.len())?.checked_mul(inner)?;
    if count == 0 || count > call.limit {
        // Without elements `outer` says nothing about how long the loop below would run.
        return content.pick(&[]).filter(|_| count == 0);
    }
    let mut picked = Vec::with_capacity(count);
    for o in 0..outer {
        for &row in &rows {
            let start = (o * dims[axis] + row) * inner;
            picked.extend(start..start + inner);
        }
    }
    content.pick(&picked)
}

/// GatherElements: the extents of the indices.
pub(super) fn gather_elements(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), call.shape(1))
}

/// GatherND: indices `[…, k]` pick slices behind the first `batch_dims + k` axes.
pub(super) fn gather_nd(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).zip(call.dims(1)).and_then(|(data, indices)| {
        let (depth, outer) = indices.split_last()?;
        let batch = usize::try_from(call.int("batch_dims", 0)).ok()?;
        let rest = data.get(batch.checked_add(depth.extent()?)?..)?;
        Some([outer, rest].concat())
    });
    Fact::new(call.dtype(0), dims)
}

/// OneHot: a new axis of `depth` elements.
pub(super) fn one_hot(call: &Call<'_>) -> Fact {
    let depth = match call.all_floats(1).as_deref() {
        // Exporters write the depth as a float too; it is truncated.
        Some(&[depth]) if (0.0..1e9).contains(&depth) => Term::Known(depth as i64),
        _ => call.element(1),
    };
    let dims = call.shape(0).and_then(|mut dims| {
        let axis = call.axis(-1, dims.len() + 1)?;
        dims.insert(axis, depth);
        Some(dims)
    });
    Fact::new(call.dtype(2), dims)
}

/// TopK: values and indices, `k` from an attribute or an input.
pub(super) fn top_k(call: &Call<'_>) -> Vec<Fact> {
    let k = call.size("k").or(call.element(1));
    let dims = call.shape(0).and_then(|mut dims| {
        let axis = call.axis(-1, dims.len())?;
        dims[axis] = k;
        Some(dims)
    });
    vec![Fact::new(call.dtype(0), dims.clone()), Fact::new(Some(DType::Int64), dims)]
}

/// How many elements are not 0.
fn count_true(call: &Call<'_>, slot: usize) -> Term {
    call.all_ints(slot).map(|xs| xs.iter().filter(|&&x| x != 0).count()).into()
}

/// NonZero: one row for each axis, one column for each element that is not 0.
pub(super) fn non_zero(call: &Call<'_>) -> Fact {
    // A scalar counts as a vector of one element.
    let rank = call.dims(0).map(|dims| dims.len().max(1));
    Fact::new(Some(DType::Int64), Some(vec![rank.into(), count_true(call, 0)]))
}

/// NonMaxSuppression: rows of batch, class and box.
pub(super) fn non_max_suppression(_: &Call<'_>) -> Fact {
    Fact::new(Some(DType::Int64), Some(vec![Term::Unknown, Term::Known(3)]))
}

/// Compress: elements, or slices along an axis, where a condition holds.
pub(super) fn compress(call: &Call<'_>) -> Fact {
    let kept = count_true(call, 1);
    let dims = match call.node.attr_int("axis") {
        None => Some(vec![kept]),
        Some(_) => call.shape(0).and_then(|mut dims| {
            let axis = call.axis(0, dims.len())?;
            dims[axis] = kept;
            Some(dims)
        }),
    };
    Fact::new(call.dtype(0), dims)
}

/// Unique: elements (or slices), then first positions, inverse positions and counts.
pub(super) fn unique(call: &Call<'_>) -> Vec<Fact> {
    let dims = match call.node.attr_int("axis") {
        None => Some(unknown(1)),
        Some(_) => call.shape(0).and_then(|mut dims| {
            let axis = call.axis(0, dims.len())?;
            dims[axis] = Term::Unknown;
            Some(dims)
        }),
    };
    let positions = Fact::new(Some(DType::Int64), Some(unknown(1)));
    let first = Fact::new(call.dtype(0), dims);
    vec![first, positions.clone(), positions.clone(), positions]
}
