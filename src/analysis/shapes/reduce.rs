//! Reductions along axes.

use crate::analysis::shapes::arithmetic;
use crate::analysis::shapes::call::{Axes, Call, positions};
use crate::analysis::shapes::content::Content;
use crate::analysis::shapes::fact::{Dims, Fact, unknown};
use crate::analysis::shapes::term::Term;
use crate::tensor::DType;

/// Reduce…, its axes from an attribute or an input.
pub(super) fn reduce(call: &Call<'_>) -> Fact {
    let keep = call.flag("keepdims", true);
    let Some(dims) = call.dims(0) else { return Fact::new(call.dtype(0), None) };
    let axes = match call.axes(1) {
        Axes::Listed(axes) if !axes.is_empty() => positions(&axes, dims.len()),
        Axes::Unknown => None,
        _ if call.flag("noop_with_empty_axes", false) => Some(Vec::new()),
        _ => Some((0..dims.len()).collect()),
    };
    let Some(axes) = axes else {
        return Fact::new(call.dtype(0), keep.then(|| unknown(dims.len())));
    };
    let reduced = (0..dims.len()).filter(|i| keep || !axes.contains(i));
    let reduced: Dims =
        reduced.map(|i| if axes.contains(&i) { Term::ONE } else { dims[i].clone() }).collect();
    let content = if axes.len() == dims.len() { total(call) } else { None };
    Fact::new(call.dtype(0), Some(reduced)).holding(content)
}

/// All elements reduced to one.
fn total(call: &Call<'_>) -> Option<Content> {
    let dtype = call.dtype(0)?;
    let op = match call.node.op() {
        "ReduceProd" => "Mul",
        "ReduceSum" => "Add",
        "ReduceMax" => "Max",
        "ReduceMin" => "Min",
        _ => return None,
    };
    let elements = call.ints(0)?.iter().cloned();
    let total = elements.reduce(|a, b| arithmetic::binary_int(op, &a, &b, dtype, true))?;
    Content::from_ints([total])
}

/// ArgMax and ArgMin.
pub(super) fn arg_reduce(call: &Call<'_>) -> Fact {
    let keep = call.flag("keepdims", true);
    let dims = call.shape(0).and_then(|mut dims| {
        let axis = call.axis(0, dims.len())?;
        if keep {
            dims[axis] = Term::ONE;
        } else {
            dims.remove(axis);
        }
        Some(dims)
    });
    Fact::new(Some(DType::Int64), dims)
}
