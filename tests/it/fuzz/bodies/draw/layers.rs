//! Layers with weights.

use onnxpress::ir::NewNode;
use onnxpress::tensor::{DType, Tensor};

use super::builder::{Builder, HIGHEST_DEGREE, LARGEST, Value};
use super::windows;

/// A feature map: batch, channels, one or two axes of space.
fn map(builder: &mut Builder<'_, '_>) -> Option<Value> {
    builder.pick_float(3..=4)
}

pub fn conv(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = map(builder)?;
    convolve(builder, &x)
}

/// Convolution in one or two dimensions, grouped or not, with or without a bias.
fn convolve(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let channels = x.dims[1];
    let groups = if builder.choices.chance(3) { channels } else { 1 };
    let out = groups * builder.choices.between(1, 3);
    let (window, extents) = windows::Window::fitting(builder.choices, &x.dims[2..], true)?;
    let dims = [&[out, channels / groups], &window.kernel[..]].concat();
    let weight = builder.constant(x.dtype, &dims, -0.5, 0.5);
    let mut node = NewNode::new("Conv", &[x.id, weight.id], "conv");
    match builder.choices.below(4) {
        0 | 1 => {}
        2 if builder.choices.chance(4) => node.inputs.push(None),
        _ => node.inputs.push(Some(builder.constant(x.dtype, &[out], -0.5, 0.5).id)),
    }
    if groups > 1 || builder.choices.chance(4) {
        node = node.attr("group", groups as i64);
    }
    if builder.choices.chance(2) {
        node = node.attr("kernel_shape", windows::ints(&window.kernel));
    }
    let node = window.attributes(node, true);
    builder.node(node, x, [&[x.dims[0], out], &extents[..]].concat())
}

/// The other way round: each element is spread over a window.
pub fn conv_transpose(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = map(builder)?;
    let channels = x.dims[1];
    let groups = if builder.choices.chance(4) { channels } else { 1 };
    let each = builder.choices.between(1, 2);
    let (kernel, stride) = (builder.choices.between(1, 3), builder.choices.between(1, 2));
    let pad = if kernel > 2 { builder.choices.below(2) } else { 0 };
    let space = x.rank() - 2;
    let grown = |side: &usize| (stride * (side - 1) + kernel).checked_sub(2 * pad);
    let extents: Vec<usize> = x.dims[2..].iter().map(grown).collect::<Option<_>>()?;
    if extents.contains(&0) || extents.iter().product::<usize>() * groups * each > LARGEST / 4 {
        return None;
    }
    let dims = [&[channels, each], &vec![kernel; space][..]].concat();
    let weight = builder.constant(x.dtype, &dims, -0.5, 0.5);
    let mut node = NewNode::new("ConvTranspose", &[x.id, weight.id], "deconv")
        .attr("strides", vec![stride as i64; space])
        .attr("pads", vec![pad as i64; 2 * space])
        .attr("group", groups as i64);
    if builder.choices.chance(2) {
        let bias = builder.constant(x.dtype, &[groups * each], -0.5, 0.5);
        node.inputs.push(Some(bias.id));
    }
    builder.node(node, &x, [&[x.dims[0], groups * each], &extents[..]].concat())
}

/// Batch normalization behind a convolution, sometimes with something between them.
pub fn conv_norm(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = map(builder)?;
    let mut value =
        if builder.choices.chance(4) { conv_transpose(builder)? } else { convolve(builder, &x)? };
    match builder.choices.below(6) {
        0 => {
            let node = NewNode::new("Identity", &[value.id], "same");
            value = builder.node(node, &value, value.dims.clone())?;
        }
        // Others may read the convolution, too.
        1 => builder.values.push(value.clone()),
        _ => {}
    }
    batch_norm(builder, &value)
}

pub fn norm(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(2..=4)?;
    match builder.choices.below(4) {
        0 if builder.opset >= 17 => layer_norm(builder, &x),
        1 if x.rank() > 2 => instance_norm(builder, &x),
        2 if x.rank() == 4 => {
            let node = NewNode::new("LRN", &[x.id], "lrn").attr("size", 3i64);
            builder.node(node, &x, x.dims.clone())
        }
        _ => batch_norm(builder, &x),
    }
}

fn batch_norm(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let channels = [x.dims[1]];
    let mut node = NewNode::new("BatchNormalization", &[x.id], "norm");
    for (low, high) in [(0.5, 1.5), (-0.5, 0.5), (-0.25, 0.25), (0.75, 2.0)] {
        // Parameters of other types than the input came later; these are of one.
        node.inputs.push(Some(builder.constant(x.dtype, &channels, low, high).id));
    }
    if builder.choices.chance(2) {
        node = node.attr("epsilon", *builder.choices.one_of(&[1e-3f32, 1e-5, 0.0]));
    }
    if builder.choices.chance(4) {
        node = node.attr("momentum", 0.5);
    }
    if builder.opset < 9 && builder.choices.chance(2) {
        node = node.attr("spatial", 1i64);
    }
    builder.node(node, x, x.dims.clone())
}

fn instance_norm(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let scale = builder.constant(x.dtype, &[x.dims[1]], 0.5, 1.5);
    let bias = builder.constant(x.dtype, &[x.dims[1]], -0.5, 0.5);
    let node = NewNode::new("InstanceNormalization", &[x.id, scale.id, bias.id], "inorm");
    builder.node(node.attr("epsilon", 0.1), x, x.dims.clone())
}

fn layer_norm(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    let axis = builder.choices.between(x.first_axis().max(1), x.rank() - 1);
    let dims = x.dims[axis..].to_vec();
    let scale = builder.constant(x.dtype, &dims, 0.5, 1.5);
    let mut node = NewNode::new("LayerNormalization", &[x.id, scale.id], "lnorm")
        .attr("axis", axis as i64)
        .attr("epsilon", 0.1);
    if builder.choices.chance(2) {
        node.inputs.push(Some(builder.constant(x.dtype, &dims, -0.5, 0.5).id));
    }
    builder.node(node, x, x.dims.clone())
}

/// `alpha * A' * B' + beta * C`; A is never turned when its rows are the batch.
pub fn gemm(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(2..=2)?;
    let turned = !x.batched && builder.choices.chance(4);
    let (rows, inner) = if turned { (x.dims[1], x.dims[0]) } else { (x.dims[0], x.dims[1]) };
    let columns = builder.choices.between(1, 6);
    let other = builder.choices.chance(2);
    let dims = if other { [columns, inner] } else { [inner, columns] };
    let weight = builder.constant(x.dtype, &dims, -0.5, 0.5);
    let mut node = NewNode::new("Gemm", &[x.id, weight.id], "gemm");
    // The bias became optional with operator set 11.
    if builder.opset < 11 || builder.choices.chance(2) {
        let shapes = [vec![columns], vec![1, columns], vec![1], vec![], vec![rows, columns]];
        let among = if x.batched { &shapes[..4] } else { &shapes[..] };
        let dims = builder.choices.one_of(among).clone();
        node.inputs.push(Some(builder.constant(x.dtype, &dims, -0.5, 0.5).id));
    }
    for (name, set) in [("transA", turned), ("transB", other)] {
        if set || builder.choices.chance(6) {
            node = node.attr(name, i64::from(set));
        }
    }
    for name in ["alpha", "beta"] {
        if builder.choices.chance(4) {
            node = node.attr(name, *builder.choices.one_of(&[1.0f32, 0.5, 2.0, 0.0]));
        }
    }
    builder.node(node, &x, vec![rows, columns])
}

/// With a weight on either side, or with the value itself turned.
pub fn matmul(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(2..=4)?;
    let (outer, &[rows, inner]) = x.dims.split_last_chunk::<2>()?;
    let columns = builder.choices.between(1, 6);
    match builder.choices.below(4) {
        0 if outer.len() >= x.first_axis() && 2 * x.degree <= HIGHEST_DEGREE => {
            let mut perm: Vec<i64> = (0..x.rank() as i64).collect();
            perm.swap(x.rank() - 2, x.rank() - 1);
            let turn = NewNode::new("Transpose", &[x.id], "turned").attr("perm", perm);
            let turned = builder.node(turn, &x, [outer, &[inner, rows]].concat())?;
            let like = Value { degree: 2 * x.degree, ..x.clone() };
            let node = NewNode::new("MatMul", &[x.id, turned.id], "scores");
            builder.node(node, &like, [outer, &[rows, rows]].concat())
        }
        1 if outer.len() >= x.first_axis() => {
            let weight = builder.constant(x.dtype, &[columns, rows], -0.5, 0.5);
            let node = NewNode::new("MatMul", &[weight.id, x.id], "mixed");
            builder.node(node, &x, [outer, &[columns, inner]].concat())
        }
        _ => {
            let weight = builder.constant(x.dtype, &[inner, columns], -0.5, 0.5);
            let node = NewNode::new("MatMul", &[x.id, weight.id], "matmul");
            let product = builder.node(node, &x, [outer, &[rows, columns]].concat())?;
            if !builder.choices.chance(2) {
                return Some(product);
            }
            let bias = builder.constant(x.dtype, &[columns], -0.5, 0.5);
            let node = NewNode::new("Add", &[product.id, bias.id], "biased");
            builder.node(node, &product, product.dims.clone())
        }
    }
}

/// Rows of a table; integer inputs are drawn below the number of rows.
pub fn embedding(builder: &mut Builder<'_, '_>) -> Option<Value> {
    /// What `random:N` draws integers below.
    const ROWS: usize = 8;
    let inputs = builder.model.graph(builder.model.main()).inputs().to_vec();
    let ids = builder.pick(|value| inputs.contains(&value.id) && value.dtype.is_integer())?;
    let width = builder.choices.between(1, 4);
    let table = builder.constant(DType::Float, &[ROWS, width], -1.0, 1.0);
    let node = NewNode::new("Gather", &[table.id, ids.id], "rows").attr("axis", 0i64);
    builder.typed(node, &ids, DType::Float, [&ids.dims[..], &[width]].concat())
}

/// A scale and a zero point, as quantized models store them.
pub fn grid(builder: &mut Builder<'_, '_>) -> (Value, Value) {
    let scale = builder.tensor(Tensor::from_f32(&[], &[0.05]));
    let zero = match builder.choices.chance(2) {
        true => Tensor::new(DType::Uint8, vec![], vec![128].into()),
        false => Tensor::new(DType::Int8, vec![], vec![3].into()),
    };
    let zero = builder.tensor(zero.expect("one byte"));
    (scale, zero)
}
