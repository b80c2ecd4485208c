//! Operators whose result does not depend on the elements of a large tensor: constants, shapes,
//! ranges, random numbers, windows.

use crate::analysis::constant;
use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::content::Content;
use crate::analysis::shapes::fact::{Fact, product};
use crate::analysis::shapes::term::Term;
use crate::tensor::{DType, Tensor, element_count};

/// Constant in all its forms.
pub(super) fn constant_node(call: &Call<'_>) -> Fact {
    let tensor = call.node.output(0).and_then(|value| constant(call.model, value));
    tensor.map(|tensor| Fact::of_tensor(&tensor)).unwrap_or_default()
}

/// ConstantOfShape: one number everywhere.
pub(super) fn constant_of_shape(call: &Call<'_>) -> Fact {
    let zero = || Tensor::from_f32(&[1], &[0.0]);
    let value = call.node.attr_tensor("value").cloned().unwrap_or_else(zero);
    let fact = Fact::new(Some(value.dtype()), call.listed(0));
    let count = fact.fixed_dims().and_then(|dims| element_count(&dims));
    let content = count
        .filter(|&n| n <= call.limit)
        .and_then(|count| Content::of_tensor(&value, 1)?.pick(&vec![0; count]));
    fact.holding(content)
}

/// Shape, or the part of it between `start` and `end`.
pub(super) fn shape(call: &Call<'_>) -> Fact {
    let Some(dims) = call.dims(0) else {
        return Fact::new(Some(DType::Int64), Some(vec![Term::Unknown]));
    };
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
    Fact::fixed(DType::Int64, &[part.len()]).holding(Content::from_ints(part))
}

/// Size: the number of elements.
pub(super) fn size(call: &Call<'_>) -> Fact {
    let count = call.dims(0).map(product);
    Fact::fixed(DType::Int64, &[]).holding(Content::from_ints([count]))
}

/// SequenceLength: a number.
pub(super) fn sequence_length(_: &Call<'_>) -> Fact {
    Fact::fixed(DType::Int64, &[])
}

/// OptionalHasElement: a truth value.
pub(super) fn has_element(_: &Call<'_>) -> Fact {
    Fact::fixed(DType::Bool, &[])
}

/// Range: `ceil((limit - start) / delta)` numbers.
pub(super) fn range(call: &Call<'_>) -> Fact {
    let (start, limit, delta) = (call.element(0), call.element(1), call.element(2));
    let floats = (call.all_floats(0), call.all_floats(1), call.all_floats(2));
    let count = match floats {
        (Some(start), Some(limit), Some(delta)) => float_count(&start, &limit, &delta).into(),
        _ if delta.known().is_some() => (limit - &start).ceil_div(&delta).larger(&Term::Known(0)),
        _ => Term::Unknown,
    };
    let elements = count.extent().filter(|&n| n <= call.limit && start.is_determined());
    let elements =
        elements.and_then(|n| Content::from_ints((0..n).map(|i| &start + &delta * Term::from(i))));
    Fact::new(call.dtype(0), Some(vec![count])).holding(elements)
}

fn float_count(start: &[f64], limit: &[f64], delta: &[f64]) -> Option<usize> {
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
    let dims = dims.map(|dims| dims.iter().map(|&d| Term::Known(d)).collect());
    Fact::new(Some(call.dtype_attr("dtype").unwrap_or(DType::Float)), dims)
}

/// Multinomial: `[batch, sample_size]`.
pub(super) fn multinomial(call: &Call<'_>) -> Fact {
    let dims = vec![call.extent(0, 0), call.int("sample_size", 1).into()];
    Fact::new(Some(call.dtype_attr("dtype").unwrap_or(DType::Int32)), Some(dims))
}

/// HannWindow, HammingWindow, BlackmanWindow.
pub(super) fn window(call: &Call<'_>) -> Fact {
    let dtype = call.dtype_attr("output_datatype").unwrap_or(DType::Float);
    Fact::new(Some(dtype), Some(vec![call.element(0)]))
}

/// AffineGrid: `[N, H, W, 2]` or `[N, D, H, W, 3]` for the image extents that an input lists.
pub(super) fn affine_grid(call: &Call<'_>) -> Fact {
    let dims = call.listed(1).and_then(|size| match &size[..] {
        [n, _, image @ ..] if (2..=3).contains(&image.len()) => {
            Some([std::slice::from_ref(n), image, &[image.len().into()]].concat())
        }
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
