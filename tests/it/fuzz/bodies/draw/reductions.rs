//! Steps that bring an axis down.

use onnxpress::ir::NewNode;
use onnxpress::tensor::DType;

use super::builder::{Builder, HIGHEST_DEGREE, Value};

/// Over some axes or all of them; these became inputs at 13 for ReduceSum and at 18 for the others.
pub fn reduce(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=5)?;
    let ops = ["ReduceMean", "ReduceSum", "ReduceMax", "ReduceL2", "ReduceSumSquare"];
    let op = *builder.choices.one_of(&ops);
    let degree = if op == "ReduceSumSquare" { 2 * x.degree } else { x.degree };
    if degree > HIGHEST_DEGREE {
        return None;
    }
    let all = !x.batched && builder.choices.chance(3);
    let (first, last) = (x.first_axis(), x.rank().checked_sub(1)?);
    if first > last {
        return None;
    }
    let chosen: Vec<usize> = match all {
        true => (0..x.rank()).collect(),
        false => {
            let axis = builder.choices.between(first, last);
            (axis..=builder.choices.between(axis, last)).collect()
        }
    };
    let mut node = NewNode::new(op, &[x.id], "reduced");
    if !(all && builder.choices.chance(2)) {
        let negative = builder.opset >= 11 && builder.choices.chance(2);
        let shift = if negative { x.rank() as i64 } else { 0 };
        let axes: Vec<i64> = chosen.iter().map(|&axis| axis as i64 - shift).collect();
        let since = if op == "ReduceSum" { 13 } else { 18 };
        node = builder.moved(node, "axes", &axes, since);
    }
    let kept = builder.choices.chance(2);
    if !kept || builder.choices.chance(2) {
        node = node.attr("keepdims", i64::from(kept));
    }
    let dims = reduced(&x.dims, &chosen, kept);
    builder.node(node, &Value { degree, ..x }, dims)
}

fn reduced(dims: &[usize], chosen: &[usize], kept: bool) -> Vec<usize> {
    let sides = dims.iter().enumerate().filter(|(axis, _)| kept || !chosen.contains(axis));
    sides.map(|(axis, &side)| if chosen.contains(&axis) { 1 } else { side }).collect()
}

/// Before operator set 13 it flattens to two axes at `axis`; the extents are the same.
pub fn softmax(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=5)?;
    let op = *builder.choices.one_of(&["Softmax", "Softmax", "LogSoftmax"]);
    let first = x.first_axis();
    if first >= x.rank() {
        return None;
    }
    let mut axis = builder.choices.between(first, x.rank() - 1) as i64;
    if builder.opset >= 11 && builder.choices.chance(3) {
        axis -= x.rank() as i64;
    }
    let mut node = NewNode::new(op, &[x.id], "soft");
    // The default axis was 1 and became the last one.
    if x.rank() < 2 || !builder.choices.chance(3) {
        node = node.attr("axis", axis);
    }
    builder.node(node, &x, x.dims.clone())
}

/// Places of the largest elements, as integers.
pub fn arg(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick(|value| value.dtype == DType::Float && value.rank() > 0)?;
    let first = x.first_axis();
    if first >= x.rank() {
        return None;
    }
    let axis = builder.choices.between(first, x.rank() - 1);
    let kept = builder.choices.chance(2);
    let op = *builder.choices.one_of(&["ArgMax", "ArgMin"]);
    let node = NewNode::new(op, &[x.id], "arg");
    let node = node.attr("axis", axis as i64).attr("keepdims", i64::from(kept));
    builder.typed(node, &x, DType::Int64, reduced(&x.dims, &[axis], kept))
}
