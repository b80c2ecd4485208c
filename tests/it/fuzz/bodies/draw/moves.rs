//! Steps that move elements without changing them.

use onnxpress::ir::NewNode;
use onnxpress::tensor::Tensor;

use super::builder::{Builder, LARGEST, Value};
use super::windows::ints;

/// A value of any type.
fn any(builder: &mut Builder<'_, '_>, ranks: std::ops::RangeInclusive<usize>) -> Option<Value> {
    builder.pick(|value| ranks.contains(&value.rank()))
}

/// An axis that may change, perhaps counted from the end.
fn axis(builder: &mut Builder<'_, '_>, x: &Value) -> Option<usize> {
    (x.first_axis() < x.rank()).then(|| builder.choices.between(x.first_axis(), x.rank() - 1))
}

/// The same axis as a number from the end, now and then, where operator set `since` allows it.
fn signed(builder: &mut Builder<'_, '_>, axis: usize, rank: usize, since: i64) -> i64 {
    let negative = builder.opset >= since && builder.choices.chance(3);
    axis as i64 - if negative { rank as i64 } else { 0 }
}

/// To a constant shape, with 0 for what stays and -1 for what follows.
pub fn reshape(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 0..=6)?;
    let fixed: usize = x.dims[x.first_axis()..].iter().product();
    let mut dims: Vec<usize> = x.dims[..x.first_axis()].to_vec();
    let mut left = fixed;
    for _ in 0..builder.choices.below(4) {
        let divisors: Vec<usize> = (1..=left).filter(|d| left.is_multiple_of(*d)).collect();
        let side = *builder.choices.one_of(&divisors);
        dims.push(side);
        left /= side;
    }
    if left > 1 || dims.is_empty() {
        dims.push(left);
    }
    let mut shape = ints(&dims);
    let mut open = false;
    for (i, side) in shape.iter_mut().enumerate() {
        let same = x.dims.get(i) == Some(&dims[i]);
        let batch = x.batched && i == 0;
        match builder.choices.below(4) {
            0 if !open => (*side, open) = (-1, true),
            0 | 1 if same => *side = 0,
            _ if batch => *side = 0,
            _ => {}
        }
    }
    let shape = builder.ints(&shape);
    builder.node(NewNode::new("Reshape", &[x.id, shape.id], "shaped"), &x, dims)
}

pub fn flatten(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=6)?;
    let axis = if x.batched { 1 } else { builder.choices.between(0, x.rank()) };
    let mut node = NewNode::new("Flatten", &[x.id], "flat");
    if axis != 1 || builder.choices.chance(2) {
        let signed =
            if axis < x.rank() { signed(builder, axis, x.rank(), 11) } else { axis as i64 };
        node = node.attr("axis", signed);
    }
    let (rows, columns) = x.dims.split_at(axis);
    builder.node(node, &x, vec![rows.iter().product(), columns.iter().product()])
}

pub fn transpose(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 1..=6)?;
    let mut perm: Vec<usize> = (0..x.rank()).collect();
    let plain = !x.batched && builder.choices.chance(4);
    if plain {
        perm.reverse();
    } else {
        for i in x.first_axis()..x.rank() {
            let j = builder.choices.between(i, x.rank() - 1);
            perm.swap(i, j);
        }
    }
    let node = NewNode::new("Transpose", &[x.id], "turned");
    let node = if plain { node } else { node.attr("perm", ints(&perm)) };
    builder.node(node, &x, perm.iter().map(|&axis| x.dims[axis]).collect())
}

pub fn squeeze(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 1..=6)?;
    let ones: Vec<usize> = (x.first_axis()..x.rank()).filter(|&i| x.dims[i] == 1).collect();
    if ones.is_empty() {
        return None;
    }
    let all = !x.batched && builder.choices.chance(4);
    let chosen = if all { ones } else { vec![*builder.choices.one_of(&ones)] };
    let node = NewNode::new("Squeeze", &[x.id], "squeezed");
    let node = match all {
        true => node,
        false => {
            let axes: Vec<i64> =
                chosen.iter().map(|&axis| signed(builder, axis, x.rank(), 11)).collect();
            builder.moved(node, "axes", &axes, 13)
        }
    };
    let left = (0..x.rank()).filter(|axis| !chosen.contains(axis));
    builder.node(node, &x, left.map(|axis| x.dims[axis]).collect())
}

pub fn unsqueeze(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 0..=4)?;
    let first = builder.choices.between(x.first_axis(), x.rank());
    let mut axes = vec![first];
    let mut dims = x.dims.clone();
    dims.insert(first, 1);
    if builder.choices.chance(3) {
        let second = builder.choices.between(first + 1, dims.len());
        dims.insert(second, 1);
        axes.push(second);
    }
    let axes: Vec<i64> = axes.iter().map(|&axis| signed(builder, axis, dims.len(), 11)).collect();
    let node = NewNode::new("Unsqueeze", &[x.id], "unsqueezed");
    let node = builder.moved(node, "axes", &axes, 13);
    builder.node(node, &x, dims)
}

/// One axis, forwards or backwards, with bounds beyond the ends.
pub fn slice(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 1..=6)?;
    let axis = axis(builder, &x)?;
    let side = x.dims[axis];
    let start = builder.choices.below(side);
    let end = builder.choices.between(start + 1, side);
    let step = if builder.opset < 10 { 1 } else { builder.choices.between(1, 2) };
    let backwards = builder.opset >= 10 && builder.choices.chance(4);
    let count = (end - start).div_ceil(step);
    let from_end = |place: usize| place as i64 - side as i64;
    let (low, high) = match builder.choices.below(3) {
        0 if end == side => (from_end(start), i64::MAX),
        1 if end < side => (from_end(start), from_end(end)),
        _ => (start as i64, end as i64),
    };
    let (low, high, step) = match backwards {
        // From the last element taken down to the one before the first.
        true if start == 0 => (end as i64 - 1, i64::MIN, -(step as i64)),
        true => (end as i64 - 1, start as i64 - 1, -(step as i64)),
        false => (low, high, step as i64),
    };
    let mut dims = x.dims.clone();
    dims[axis] = count;
    let mut node = NewNode::new("Slice", &[x.id], "slice");
    let named = signed(builder, axis, x.rank(), 10);
    if builder.opset < 10 {
        node = node.attr("starts", vec![low]).attr("ends", vec![high]).attr("axes", vec![named]);
    } else {
        let lists: [&[i64]; 4] = [&[low], &[high], &[named], &[step]];
        let needed = if step == 1 && builder.choices.chance(2) { 3 } else { 4 };
        for list in &lists[..needed] {
            node.inputs.push(Some(builder.ints(list).id));
        }
    }
    builder.node(node, &x, dims)
}

/// Of two values, of one value twice, or with a constant.
pub fn concat(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 1..=6)?;
    let axis = axis(builder, &x)?;
    let fits = |other: &Value| {
        let same = (0..x.rank()).all(|i| i == axis || other.dims.get(i) == Some(&x.dims[i]));
        same && (other.rank(), other.dtype, other.batched) == (x.rank(), x.dtype, x.batched)
    };
    let mut dims = x.dims.clone();
    let mut inputs = vec![x.id];
    let other = if !x.batched && x.is_float() && builder.choices.chance(3) {
        builder.constant(x.dtype, &x.dims, 0.5, 1.5)
    } else {
        builder.pick(fits)?
    };
    inputs.push(other.id);
    dims[axis] += other.dims[axis];
    if builder.choices.chance(4) {
        inputs.push(x.id);
        dims[axis] += x.dims[axis];
    }
    if dims.iter().product::<usize>() > LARGEST {
        return None;
    }
    let like = Value { degree: x.degree.max(other.degree), ..x.clone() };
    let named = signed(builder, axis, x.rank(), 11);
    builder.node(NewNode::new("Concat", &inputs, "cat").attr("axis", named), &like, dims)
}

/// All parts can be used; often some are not.
pub fn split(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 1..=6)?;
    let axis = axis(builder, &x)?;
    let side = x.dims[axis];
    if side < 2 {
        return None;
    }
    let equal = side.is_multiple_of(2) && builder.choices.chance(2);
    let first = if equal { side / 2 } else { builder.choices.between(1, side - 1) };
    let parts = [first, side - first];
    let named = signed(builder, axis, x.rank(), 11);
    let mut node = NewNode::new("Split", &[x.id], "part").attr("axis", named);
    if !equal {
        node = builder.moved(node, "split", &ints(&parts), 13);
    } else if builder.opset >= 18 {
        node = node.attr("num_outputs", 2i64);
    }
    let outputs = parts.map(|part| {
        let mut dims = x.dims.clone();
        dims[axis] = part;
        (x.dtype, dims)
    });
    let mut values = builder.add(node, &outputs, &x);
    if builder.choices.chance(2) {
        builder.values.extend(values.pop());
    }
    Some(values.swap_remove(0))
}

/// A number, the edge, or a mirror image around the value.
pub fn pad(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=5)?;
    let mode = *builder.choices.one_of(&["constant", "constant", "reflect", "edge"]);
    let mut pads = vec![0; 2 * x.rank()];
    let mut dims = x.dims.clone();
    for axis in x.first_axis().max(x.rank().saturating_sub(2))..x.rank() {
        for end in [0, 1] {
            // A mirror shows at most what is there.
            let most = if mode == "reflect" { (x.dims[axis] - 1).min(2) } else { 2 };
            let pad = builder.choices.between(0, most);
            pads[axis + end * x.rank()] = pad as i64;
            dims[axis] += pad;
        }
    }
    if dims.iter().product::<usize>() > LARGEST {
        return None;
    }
    let mut node = NewNode::new("Pad", &[x.id], "padded");
    if mode != "constant" || builder.choices.chance(3) {
        node = node.attr("mode", mode);
    }
    let filled = mode == "constant" && builder.choices.chance(2);
    if builder.opset < 11 {
        node = node.attr("pads", pads);
        node = if filled { node.attr("value", 0.5) } else { node };
    } else {
        node.inputs.push(Some(builder.ints(&pads).id));
        if filled {
            node.inputs.push(Some(builder.constant(x.dtype, &[], 0.5, 0.5).id));
        }
    }
    builder.node(node, &x, dims)
}

/// By constant indices, some of them from the end.
pub fn gather(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = any(builder, 1..=5)?;
    let axis = axis(builder, &x)?;
    let shape = builder.choices.one_of(&[vec![], vec![1], vec![3], vec![2, 2]]).clone();
    let count = shape.iter().product();
    let index = |builder: &mut Builder<'_, '_>| {
        let index = builder.choices.below(x.dims[axis]) as i64;
        let negative = builder.opset >= 11 && builder.choices.chance(3);
        index - if negative { x.dims[axis] as i64 } else { 0 }
    };
    let indices: Vec<i64> = (0..count).map(|_| index(builder)).collect();
    let indices = builder.tensor(Tensor::from_i64(&shape, &indices));
    let mut dims = x.dims.clone();
    dims.splice(axis..=axis, shape);
    let named = signed(builder, axis, x.rank(), 11);
    let node = NewNode::new("Gather", &[x.id, indices.id], "taken").attr("axis", named);
    builder.node(node, &x, dims)
}

/// Expand or Tile.
pub fn repeat(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(1..=5)?;
    let axis = axis(builder, &x)?;
    let mut dims = x.dims.clone();
    let tiled = builder.opset < 8 || builder.choices.chance(2);
    let sizes: Vec<i64> = if tiled {
        dims[axis] *= 2;
        (0..x.rank()).map(|i| if i == axis { 2 } else { 1 }).collect()
    } else {
        if dims[axis] == 1 {
            dims[axis] = 3;
        }
        let own = |i: usize| if i == axis { dims[i] as i64 } else { 1 };
        (0..x.rank()).map(own).collect()
    };
    if dims.iter().product::<usize>() > LARGEST {
        return None;
    }
    let sizes = builder.ints(&sizes);
    let op = if tiled { "Tile" } else { "Expand" };
    builder.node(NewNode::new(op, &[x.id, sizes.id], "repeated"), &x, dims)
}
