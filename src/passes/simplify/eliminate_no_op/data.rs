//! Operators that move, cut or repeat elements, and here leave them where they are.

use super::Returned;
use super::site::Site;

/// The input, when `holds`.
fn input(holds: bool) -> Returned {
    holds.then_some(0)
}

/// Reshapes and repetitions are judged by what comes out.
pub(super) fn same_extents(site: &Site<'_>) -> Returned {
    input(site.keeps_extents(0))
}

/// Sum, Max, Concat, … of one input.
pub(super) fn single(site: &Site<'_>) -> Returned {
    input(site.node.inputs().len() == 1)
}

/// Inference mode: no mask is asked for, and training is not on (an input from operator set 12 on,
/// an attribute below 7).
pub(super) fn dropout(site: &Site<'_>) -> Returned {
    let trains = match site.opset() {
        12.. => {
            site.node.input(2).is_some()
                && site.constant(2).is_none_or(|t| t.to_i64().ok() != Some(vec![0]))
        }
        7..12 => false,
        _ => site.node.attr_int("is_test").unwrap_or(0) == 0,
    };
    let mask = site.node.output(1).is_some();
    input(!trains && !mask)
}

pub(super) fn cast(site: &Site<'_>) -> Returned {
    let to = site.node.attr_int("to")?;
    input(site.dtype(0).is_some_and(|dtype| i64::from(dtype.to_onnx()) == to))
}

pub(super) fn cast_like(site: &Site<'_>) -> Returned {
    input(site.dtype(0).is_some() && site.dtype(0) == site.dtype(1))
}

pub(super) fn transpose(site: &Site<'_>) -> Returned {
    match site.node.attr_ints("perm") {
        Some(perm) => input(perm.iter().enumerate().all(|(i, &axis)| i as i64 == axis)),
        None => input(site.shapes.rank(site.node.input(0)?)? <= 1),
    }
}

/// As many elements as before, in steps of one: all of them, in order.
pub(super) fn slice(site: &Site<'_>) -> Returned {
    let forward = match site.node.input(4) {
        Some(_) => site.constant(4)?.to_i64().ok()?.iter().all(|&step| step == 1),
        None => true,
    };
    input(forward && site.keeps_extents(0))
}

pub(super) fn pad(site: &Site<'_>) -> Returned {
    let pads = site.ints("pads", 1)?;
    input(pads.iter().all(|&pad| pad == 0))
}

/// One part that is everything.
pub(super) fn split(site: &Site<'_>) -> Returned {
    input(site.node.outputs().len() == 1 && site.keeps_extents(0))
}

/// Windows of one element.
pub(super) fn pool(site: &Site<'_>) -> Returned {
    let node = site.node;
    let ones = |name: &str| node.attr_ints(name).is_none_or(|xs| xs.iter().all(|&x| x == 1));
    let unpadded = node.attr_ints("pads").is_none_or(|pads| pads.iter().all(|&pad| pad == 0));
    let kernel = node.attr_ints("kernel_shape").is_some() && ones("kernel_shape");
    input(
        kernel && ones("strides") && unpadded && node.outputs().len() == 1 && site.keeps_extents(0),
    )
}

pub(super) fn block(site: &Site<'_>) -> Returned {
    input(site.node.attr_int("blocksize") == Some(1))
}

/// Over axes of one element each, which stay. Sums start from 0.0 and would turn -0.0 into it.
pub(super) fn reduce(site: &Site<'_>) -> Returned {
    let sums = matches!(site.node.op(), "ReduceSum" | "ReduceMean");
    if sums && site.dtype(0).is_none_or(|dtype| dtype.is_float()) {
        return None;
    }
    let kept = site.node.attr_int("keepdims").unwrap_or(1) == 1;
    input(kept && site.keeps_extents(0))
}

/// All slices along an axis, in order.
pub(super) fn gather(site: &Site<'_>) -> Returned {
    let indices = site.constant(1)?;
    let in_order = indices.dims().len() == 1
        && indices.to_i64().ok()?.iter().enumerate().all(|(i, &x)| i as i64 == x);
    input(in_order && site.keeps_extents(0))
}

/// A condition that is the same everywhere.
pub(super) fn select(site: &Site<'_>) -> Returned {
    let condition = site.constant(0)?.to_i64().ok()?;
    let slot = match condition.first()? {
        0 => 2,
        _ => 1,
    };
    let same = condition.iter().all(|&x| (x != 0) == (slot == 1));
    (same && site.keeps_extents(slot)).then_some(slot)
}
