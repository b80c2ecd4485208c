//! Shapes computed at run time, as exporters of dynamic models write them.

use onnxpress::ir::NewNode;
use onnxpress::tensor::{DType, Tensor};

use super::builder::{Builder, Value};

/// The extent of an axis as a vector of one element: Shape, Gather or Slice, Unsqueeze.
fn extent(builder: &mut Builder<'_, '_>, x: &Value, axis: usize) -> Option<Value> {
    let plain = Value { batched: false, degree: 0, ..x.clone() };
    let shape = NewNode::new("Shape", &[x.id], "shape");
    let shape = builder.typed(shape, &plain, DType::Int64, vec![x.rank()])?;
    let taken = if builder.choices.chance(2) {
        let index = builder.tensor(Tensor::from_i64(&[], &[axis as i64]));
        let node = NewNode::new("Gather", &[shape.id, index.id], "extent").attr("axis", 0i64);
        builder.node(node, &shape, vec![])?
    } else {
        let index = builder.ints(&[axis as i64]);
        let node = NewNode::new("Gather", &[shape.id, index.id], "extent").attr("axis", 0i64);
        return builder.node(node, &shape, vec![1]);
    };
    let node = NewNode::new("Unsqueeze", &[taken.id], "listed");
    let node = builder.moved(node, "axes", &[0], 13);
    builder.node(node, &shape, vec![1])
}

/// Reshape to extents that are partly those of the value itself, partly constants.
pub fn reshape_like(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(2..=4)?;
    let mut parts = Vec::new();
    for (axis, &side) in x.dims.iter().enumerate() {
        let dynamic = (x.batched && axis == 0) || builder.choices.chance(2);
        let part = if dynamic { extent(builder, &x, axis)? } else { builder.ints(&[side as i64]) };
        parts.push(part);
    }
    // The last two axes become one.
    let merged = builder.choices.chance(2);
    let mut dims = x.dims.clone();
    if merged && x.rank() > 2 {
        parts.truncate(x.rank() - 2);
        parts.push(builder.ints(&[-1]));
        let last = dims.pop()?;
        *dims.last_mut()? *= last;
    }
    let like = Value { batched: false, ..parts[0].clone() };
    let ids: Vec<_> = parts.iter().map(|part| part.id).collect();
    let node = NewNode::new("Concat", &ids, "target").attr("axis", 0i64);
    let target = builder.node(node, &like, vec![dims.len()])?;
    builder.node(NewNode::new("Reshape", &[x.id, target.id], "like"), &x, dims)
}

/// One row for each sample, by a shape from ConstantOfShape, arithmetic or a Cast.
pub fn flat_like(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=4)?;
    let rows = extent(builder, &x, 0)?;
    let one = builder.ints(&[1]);
    let rows = match builder.choices.below(3) {
        0 => builder.node(NewNode::new("Mul", &[rows.id, one.id], "rows"), &rows, vec![1])?,
        1 => {
            let int = |dtype: DType| i64::from(dtype.to_onnx());
            let node = NewNode::new("Cast", &[rows.id], "narrow").attr("to", int(DType::Int32));
            let narrow = builder.typed(node, &rows, DType::Int32, vec![1])?;
            let node = NewNode::new("Cast", &[narrow.id], "wide").attr("to", int(DType::Int64));
            builder.typed(node, &narrow, DType::Int64, vec![1])?
        }
        _ => rows,
    };
    let rest = builder.ints(&[-1]);
    let node = NewNode::new("Concat", &[rows.id, rest.id], "target").attr("axis", 0i64);
    let target = builder.node(node, &rows, vec![2])?;
    let dims = vec![x.dims[0], x.dims[1..].iter().product()];
    builder.node(NewNode::new("Reshape", &[x.id, target.id], "rows"), &x, dims)
}
