//! Operators whose result does not depend on the elements of a large tensor: constants, shapes,
//! ranges, random numbers, windows.

use crate::analysis::constant;
use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::{Content, MAX_ELEMENTS};
use crate::analysis::shapes::fact::{Dims, Extent, Fact, product};
use crate::tensor::{DType, Tensor, element_count};

/// Constant in all its forms.
pub(super) fn constant_node(call: &Call<'_>) -> Fact {
    let tensor = call.node.output(0).and_then(|value| constant(call.model, value));
    tensor.map(|tensor| Fact::of_tensor(&tensor)).unwrap_or_default()
}

/// Extents that an input lists.
fn listed(call: &Call<'_>, slot: usize) -> Option<Dims> {
    match (call.ints(slot), call.dims(slot)) {
        (Some(xs), _) => Some(xs.iter().map(|x| x.and_then(|x| usize::try_from(x).ok())).collect()),
        (None, Some(&[Some(rank)])) if rank <= MAX_ELEMENTS => Some(vec![None; rank]),
        _ => None,
    }
}

/// ConstantOfShape: one number everywhere.
pub(super) fn constant_of_shape(call: &Call<'_>) -> Fact {
    let zero = || Tensor::from_f32(&[1], &[0.0]);
    let value = call.node.attr_tensor("value").cloned().unwrap_or_else(zero);
    let fact = Fact::new(Some(value.dtype()), listed(call, 0));
    let count = fact.fixed_dims().and_then(|dims| element_count(&dims));
    let content = count
        .filter(|&n| n <= MAX_ELEMENTS)
        .and_then(|count| Content::of_tensor(&value)?.pick(&vec![0; count]));
    fact.holding(content)
}

/// Shape, or the part of it between `start` and `end`.
pub(super) fn shape(call: &Call<'_>) -> Fact {
    let Some(dims) = call.dims(0) else { return Fact::new(Some(DType::Int64), Some(vec![None])) };
    let bound = |name, default: usize| match call.node.attr_int(name) {
        None => default,
        Some(at) => {
            let rank = dims.len() as i128;
            let at = i128::from(at) + if at < 0 { rank } else { 0 };
            usize::try_from(at.clamp(0, rank)).unwrap_or_default()
        }
    };
    let (start, end) = (bound("start", 0), bound("end", dims.len()));
    let part = dims.get(start..end).unwrap_or_default();
    let elements = part.iter().map(|d| d.and_then(|d| i64::try_from(d).ok()));
    Fact::fixed(DType::Int64, &[part.len()]).holding(Content::from_ints(elements))
}

/// Size: the number of elements.
pub(super) fn size(call: &Call<'_>) -> Fact {
    let count = call.dims(0).and_then(product).and_then(|n| i64::try_from(n).ok());
    Fact::fixed(DType::Int64, &[]).holding(Content::from_ints([count]))
}

/// Range: `ceil((limit - start) / delta)` numbers.
pub(super) fn range(call: &Call<'_>) -> Fact {
    let ints = call.one_int(0).zip(call.one_int(1)).zip(call.one_int(2));
    if let Some(((start, limit), delta)) = ints.filter(|&(_, delta)| delta != 0) {
        let (start, limit, delta) = (i128::from(start), i128::from(limit), i128::from(delta));
        let room = if delta > 0 { limit - start } else { start - limit };
        let count = usize::try_from((room.max(0) + delta.abs() - 1) / delta.abs()).ok();
        let elements = count.filter(|&n| n <= MAX_ELEMENTS).and_then(|count| {
            let at = |i: usize| i64::try_from(start + delta * i as i128).ok();
            Content::from_ints((0..count).map(at))
        });
        return Fact::new(call.dtype(0), Some(vec![count])).holding(elements);
    }
    let floats = (call.all_floats(0), call.all_floats(1), call.all_floats(2));
    let count = match floats {
        (Some(start), Some(limit), Some(delta)) => float_count(&start, &limit, &delta),
        _ => None,
    };
    Fact::new(call.dtype(0), Some(vec![count]))
}

fn float_count(start: &[f64], limit: &[f64], delta: &[f64]) -> Extent {
    let ([start], [limit], [delta]) = (start, limit, delta) else { return None };
    let count = ((limit - start) / delta).ceil().max(0.0);
    // Single and double precision agree on a quotient that is not close to a whole number; only
    // whole operands are taken, for which both are exact enough.
    let whole = [start, limit, delta].iter().all(|x| x.fract() == 0.0);
    (whole && count < 1e6).then_some(count as usize)
}

/// RandomNormal and RandomUniform: extents from an attribute.
pub(super) fn random(call: &Call<'_>) -> Fact {
    let dims = call.node.attr_ints("shape");
    let dims = dims.map(|dims| dims.iter().map(|&d| usize::try_from(d).ok()).collect());
    Fact::new(Some(call.dtype_attr("dtype").unwrap_or(DType::Float)), dims)
}

/// Multinomial: `[batch, sample_size]`.
pub(super) fn multinomial(call: &Call<'_>) -> Fact {
    let batch = call.dims(0).and_then(|dims| dims.first().copied().flatten());
    let count = usize::try_from(call.int("sample_size", 1)).ok();
    Fact::new(Some(call.dtype_attr("dtype").unwrap_or(DType::Int32)), Some(vec![batch, count]))
}

/// HannWindow, HammingWindow, BlackmanWindow.
pub(super) fn window(call: &Call<'_>) -> Fact {
    let size = call.one_int(0).and_then(|n| usize::try_from(n).ok());
    let dtype = call.dtype_attr("output_datatype").unwrap_or(DType::Float);
    Fact::new(Some(dtype), Some(vec![size]))
}

/// AffineGrid: `[N, H, W, 2]` or `[N, D, H, W, 3]` for the image extents that an input lists.
pub(super) fn affine_grid(call: &Call<'_>) -> Fact {
    let dims = listed(call, 1).and_then(|size| match size[..] {
        [n, _, h, w] => Some(vec![n, h, w, Some(2)]),
        [n, _, d, h, w] => Some(vec![n, d, h, w, Some(3)]),
        _ => None,
    });
    Fact::new(call.dtype(0), dims)
}

/// GridSample: `[N, C]` of the image, extents of the grid.
pub(super) fn grid_sample(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).zip(call.dims(1)).and_then(|(x, grid)| {
        let inner = grid.get(1..grid.len().checked_sub(1)?)?;
        Some([x.get(..2)?, inner].concat())
    });
    Fact::new(call.dtype(0), dims)
}
