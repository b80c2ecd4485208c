//! Operators that were renamed, whose words changed, or that cannot be carried over.

use crate::ir::{Model, Node};

use super::plan::{Plan, Planned, text};
use super::{Span, facts};
use crate::tensor::DType;

/// Scatter is called ScatterElements (11).
pub(super) fn scatter() -> Planned {
    Plan::new("became ScatterElements").op("ScatterElements").into()
}

/// The modes of GridSample lost their `bi` (20).
pub(super) fn grid_sample(node: &Node, span: Span) -> Planned {
    if !span.crosses(20) {
        return Ok(None);
    }
    let mode = match text(node, "mode")? {
        Some(b"bilinear") => "linear",
        Some(b"bicubic") => "cubic",
        _ => return Ok(None),
    };
    Plan::new("mode was renamed").attr("mode", mode).into()
}

/// RoiAlign can shift by half a pixel since 16, and does by default; before, it did not.
pub(super) fn roi_align(span: Span) -> Planned {
    if !span.crosses(16) {
        return Ok(None);
    }
    let plan = Plan::new("coordinates without the half-pixel shift were written out");
    plan.attr("coordinate_transformation_mode", "output_half_pixel").into()
}

/// Scan of 8 has a batch axis and sequence lengths.
pub(super) fn scan(span: Span) -> Planned {
    if span.crosses(9) {
        return Err("Scan of operator set 8 loops over a batch, which later versions cannot".into());
    }
    Ok(None)
}

/// Erf took integers before 13. What is not known to be an integer is taken to be a float: no
/// runtime computed the others.
pub(super) fn erf(model: &Model, node: &Node, span: Span) -> Planned {
    let dtype = node.input(0).and_then(|x| facts::dtype(model, x));
    match dtype {
        Some(dtype) if span.crosses(13) && !dtype.is_float() => {
            Err(format!("takes {dtype}, which is not allowed from operator set 13"))
        }
        _ => Ok(None),
    }
}

/// A window that starts behind the last element is left out since 22, when `ceil_mode` makes room for
/// it; before, it was for the runtime to say.
pub(super) fn pool(node: &Node, span: Span) -> Planned {
    if !span.crosses(22) || node.attr_int("ceil_mode").unwrap_or(0) == 0 {
        return Ok(None);
    }
    let kernel = node.attr_ints("kernel_shape").unwrap_or_default();
    let pads = node.attr_ints("pads").unwrap_or_default();
    let ends = pads.get(pads.len() / 2..).unwrap_or_default();
    let strides = node.attr_ints("strides").unwrap_or_default();
    // Then the last window begins at an element in any case.
    let inside = node.attr_str("auto_pad").is_none_or(|pad| pad == "NOTSET" || pad == "VALID")
        && ends.iter().all(|&pad| pad == 0)
        && strides.iter().zip(kernel).all(|(stride, size)| stride <= size);
    if inside {
        return Ok(None);
    }
    Err("windows that `ceil_mode` lets start in the padding are left out from operator set 22"
        .into())
}

/// Attention of 24 defines masks that 23 left open.
pub(super) fn attention(span: Span) -> Planned {
    if span.crosses(24) {
        return Err("operator set 24 says otherwise what a masked row gives".into());
    }
    Ok(None)
}

/// Infinity became the largest 8-bit float in 24, also in the formats in which it was no number.
pub(super) fn cast(model: &Model, node: &Node, span: Span) -> Planned {
    if !span.crosses(24) {
        return Ok(None);
    }
    let to = match node.op() {
        "Cast" => node.attr_int("to").and_then(|to| DType::from_onnx(i32::try_from(to).ok()?)),
        _ => node.input(1).and_then(|like| facts::dtype(model, like)),
    };
    let saturates = node.attr_int("saturate").unwrap_or(1) != 0;
    match to {
        Some(to) if saturates && to.is_float() && to.bits() == 8 => {
            Err(format!("what infinity becomes in {to} changed in operator set 24"))
        }
        None => Err("what it makes is not known, and operator set 24 changed 8-bit floats".into()),
        Some(_) => Ok(None),
    }
}

/// MeanVarianceNormalization is a function since 13, into whose body tools paste the axes of the
/// node: the default ones are written out, since shape inference of the `onnx` package wants them.
pub(super) fn mean_variance(node: &Node, span: Span) -> Planned {
    if !span.crosses(13) || node.attr("axes").is_some() {
        return Ok(None);
    }
    Plan::new("default axes were written out").attr("axes", vec![0, 2, 3]).into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Single, with_input};
    use crate::ir::{NewNode, TensorType};
    use crate::tensor::DType;

    #[test]
    fn windows_in_the_padding_are_refused_from_22_on() {
        let pool = |pads: Vec<i64>, strides: Vec<i64>, ceil: i64, target: i64| {
            let (model, x) = with_input(20, Some(&[1, 1, 7]));
            let new = NewNode::new("MaxPool", &[x], "y").attr("kernel_shape", vec![2]);
            let new = new.attr("pads", pads).attr("strides", strides).attr("ceil_mode", ceil);
            Single::convert(model, new, target).report.changed()
        };
        assert!(pool(vec![1, 1], vec![2], 0, 25) && pool(vec![1, 1], vec![2], 1, 21));
        assert!(pool(vec![0, 0], vec![2], 1, 25));
        assert!(!pool(vec![0, 1], vec![2], 1, 25) && !pool(vec![0, 0], vec![3], 1, 22));
    }

    #[test]
    fn casts_to_8_bit_floats_are_refused_from_24_on() {
        let cast = |to: DType, saturate: i64, target: i64| {
            let (model, x) = with_input(21, None);
            let new = NewNode::new("Cast", &[x], "y").attr("to", i64::from(to.to_onnx()));
            Single::convert(model, new.attr("saturate", saturate), target).report.changed()
        };
        assert!(cast(DType::Float16, 1, 25) && cast(DType::Float8E5M2, 1, 23));
        assert!(cast(DType::Float8E5M2, 0, 24) && !cast(DType::Float8E5M2, 1, 24));
    }

    #[test]
    fn scatter_is_renamed() {
        let (mut model, x) = with_input(9, None);
        let indices = model.add_input(model.main(), "indices", TensorType::of(DType::Int64));
        let new = NewNode::new("Scatter", &[x, indices, x], "y").attr("axis", 1);
        let done = Single::convert(model, new, 13);
        assert_eq!(done.ops(), ["ScatterElements"]);
        assert_eq!(done.model.node(done.node).attr_int("axis"), Some(1));
    }

    #[test]
    fn modes_are_renamed() {
        for (old, new) in [("bilinear", "linear"), ("bicubic", "cubic"), ("nearest", "nearest")] {
            let (model, x) = with_input(16, None);
            let node = NewNode::new("GridSample", &[x, x], "y").attr("mode", old);
            let done = Single::convert(model, node, 20);
            assert_eq!(done.model.node(done.node).attr_str("mode"), Some(new));
        }
    }

    #[test]
    fn roi_align_keeps_its_coordinates() {
        let (mut model, x) = with_input(10, None);
        let batch = model.add_input(model.main(), "batch", TensorType::of(DType::Int64));
        let done = Single::convert(model, NewNode::new("RoiAlign", &[x, x, batch], "y"), 16);
        let mode = done.model.node(done.node).attr_str("coordinate_transformation_mode");
        assert_eq!(mode, Some("output_half_pixel"));
    }

    #[test]
    fn default_axes_are_written_out() {
        let (model, x) = with_input(9, None);
        let new = NewNode::new("MeanVarianceNormalization", &[x], "y");
        let done = Single::convert(model, new, 13);
        assert_eq!(done.model.node(done.node).attr_ints("axes"), Some(&[0, 2, 3][..]));
    }

    #[test]
    fn erf_of_integers_is_refused() {
        let (mut model, _) = with_input(9, None);
        let main = model.main();
        let n = model.add_input(main, "n", TensorType::of(DType::Int32));
        let done = Single::convert(model, NewNode::new("Erf", &[n], "y"), 13);
        assert!(done.refusal().contains("int32"));
    }
}
