//! Sliding windows: what Conv and pooling have in common.

use onnxpress::ir::NewNode;
use onnxpress::tensor::DType;

use super::Choices;
use super::builder::{Builder, LARGEST, Value};

pub fn ints(sizes: &[usize]) -> Vec<i64> {
    sizes.iter().map(|&size| size as i64).collect()
}

/// How windows slide over the axes of space.
pub struct Window {
    pub kernel: Vec<usize>,
    strides: Vec<usize>,
    dilations: Vec<usize>,
    /// Begins, then ends.
    pads: Vec<usize>,
    auto: Option<&'static str>,
}

impl Window {
    /// A window that fits into `sides`, and the extents of what it gives.
    pub fn fitting(
        choices: &mut Choices<'_>,
        sides: &[usize],
        dilated: bool,
    ) -> Option<(Self, Vec<usize>)> {
        let axes = sides.len();
        let mut draw = |low: usize, high: usize| -> Vec<usize> {
            (0..axes).map(|_| choices.between(low, high)).collect()
        };
        let (kernel, strides) = (draw(1, 3), draw(1, 2));
        let mut dilations = draw(1, 2);
        if !dilated {
            dilations.fill(1);
        }
        let mut pads = [draw(0, 1), draw(0, 1)].concat();
        // A pad as large as the window would pool nothing.
        for (pad, size) in pads.iter_mut().zip(kernel.iter().cycle()) {
            *pad = (*pad).min(size - 1);
        }
        let auto = match choices.below(8) {
            0 => Some("SAME_UPPER"),
            1 => Some("SAME_LOWER"),
            2 => Some("VALID"),
            _ => None,
        };
        if auto.is_some_and(|auto| auto.starts_with("SAME")) {
            dilations.fill(1);
        }
        let window = Self { kernel, strides, dilations, pads, auto };
        let extent = |axis: usize| window.extent(axis, sides[axis]);
        let extents = (0..axes).map(extent).collect::<Option<Vec<usize>>>()?;
        (extents.iter().product::<usize>() <= LARGEST / 16).then_some((window, extents))
    }

    fn extent(&self, axis: usize, side: usize) -> Option<usize> {
        let reach = (self.kernel[axis] - 1) * self.dilations[axis] + 1;
        let padded = match self.auto {
            Some(auto) if auto.starts_with("SAME") => {
                return Some(side.div_ceil(self.strides[axis]));
            }
            Some(_) => side,
            None => side + self.pads[axis] + self.pads[axis + self.kernel.len()],
        };
        Some(padded.checked_sub(reach)? / self.strides[axis] + 1)
    }

    /// Adds what is not the default.
    pub fn attributes(&self, mut node: NewNode, dilated: bool) -> NewNode {
        if self.strides.iter().any(|&stride| stride > 1) {
            node = node.attr("strides", ints(&self.strides));
        }
        if dilated && self.dilations.iter().any(|&dilation| dilation > 1) {
            node = node.attr("dilations", ints(&self.dilations));
        }
        match self.auto {
            Some(auto) => node.attr("auto_pad", auto),
            None if self.pads.iter().any(|&pad| pad > 0) => node.attr("pads", ints(&self.pads)),
            None => node,
        }
    }
}

pub fn pool(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(3..=4)?;
    let op = *builder.choices.one_of(&["MaxPool", "AveragePool"]);
    let (window, extents) = Window::fitting(builder.choices, &x.dims[2..], false)?;
    let node = NewNode::new(op, &[x.id], "pool").attr("kernel_shape", ints(&window.kernel));
    let mut node = window.attributes(node, false);
    if op == "AveragePool" && builder.choices.chance(3) {
        node = node.attr("count_include_pad", 1i64);
    }
    let mut outputs = vec![(x.dtype, [&x.dims[..2], &extents[..]].concat())];
    // The places of the largest elements, which nobody reads.
    if op == "MaxPool" && builder.opset >= 8 && builder.choices.chance(6) {
        outputs.push((DType::Int64, outputs[0].1.clone()));
    }
    Some(builder.add(node, &outputs, &x).swap_remove(0))
}

pub fn global_pool(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick_float(3..=4)?;
    let op = *builder.choices.one_of(&["GlobalAveragePool", "GlobalMaxPool"]);
    let space = vec![1; x.rank() - 2];
    builder.node(NewNode::new(op, &[x.id], "global"), &x, [&x.dims[..2], &space[..]].concat())
}

/// Twice as large in space, by the operator that the version has.
pub fn resize(builder: &mut Builder<'_, '_>) -> Option<Value> {
    let x = builder.pick(|x| x.dtype == DType::Float && x.rank() == 4 && x.len() <= LARGEST / 4)?;
    let dims = vec![x.dims[0], x.dims[1], 2 * x.dims[2], 2 * x.dims[3]];
    let factors = vec![1.0f32, 1.0, 2.0, 2.0];
    if builder.opset < 9 {
        let node = NewNode::new("Upsample", &[x.id], "up").attr("mode", "nearest");
        return builder.node(node.attr("scales", factors), &x, dims);
    }
    let factors =
        builder.tensor(onnxpress::tensor::Tensor::from_f32(&[factors.len()], &factors)).id;
    let op = if builder.opset < 10 { "Upsample" } else { "Resize" };
    let mut node = NewNode::new(op, &[x.id], "up").attr("mode", "nearest");
    // From operator set 11 on there is a region of interest between, which may be left out from 13
    // on.
    match builder.opset {
        ..11 => {}
        11..13 => {
            let nothing = builder.tensor(onnxpress::tensor::Tensor::from_f32(&[0], &[]));
            node.inputs.push(Some(nothing.id));
        }
        _ => node.inputs.push(None),
    }
    if builder.opset >= 11 {
        node =
            node.attr("coordinate_transformation_mode", "asymmetric").attr("nearest_mode", "floor");
    }
    node.inputs.push(Some(factors));
    builder.node(node, &x, dims)
}
