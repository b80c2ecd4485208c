//! Softmax, LogSoftmax and Hardmax (13): from "flatten at the axis" to "along the axis".

use crate::ir::{Model, Node};

use super::plan::{Made, Plan, Planned, int, required};
use super::{Span, facts};

/// Before 13 the input is seen as a matrix `[d0 · … · d(axis-1), d(axis) · …]` and each row
/// normalised; `axis` is 1 by default. Since 13 only `axis` itself is normalised. The two agree
/// when `axis` is the last one, or only axes of extent 1 follow; otherwise the matrix is made.
pub(super) fn softmax(model: &Model, node: &Node, span: Span) -> Planned {
    if !span.crosses(13) {
        return Ok(None);
    }
    let written = int(node, "axis")?;
    let axis = written.unwrap_or(1);
    let x = required(node.input(0), "input")?;
    let ends = [Some(x), node.output(0)];
    let dims = ends.into_iter().flatten().find_map(|value| facts::dims(model, value));
    let along = match dims {
        None => axis == -1,
        Some(dims) => {
            let position =
                if axis < 0 { axis.checked_add_unsigned(dims.len() as u64) } else { Some(axis) };
            let position = position.and_then(|axis| usize::try_from(axis).ok());
            let following = position.and_then(|axis| dims.get(axis..));
            let Some(following) = following else {
                return Err(format!("axis {axis} is out of range for {} axes", dims.len()));
            };
            !following.is_empty() && following[1..].iter().all(|&dim| dim == Some(1))
        }
    };
    if along {
        return match written {
            Some(_) => Ok(None),
            None => Plan::new("default axis 1 was written out").attr("axis", axis).into(),
        };
    }
    let op = match node.op() {
        "Softmax" => "Softmax",
        "LogSoftmax" => "LogSoftmax",
        _ => "Hardmax",
    };
    let matrix = Made::new("Flatten", [x.into()]).attr("axis", axis);
    let rows = Made::new(op, [matrix.into()]).attr("axis", -1);
    let mut plan = Plan::new("applied to the flattened input, then reshaped back")
        .input(0, rows)
        .input(1, Made::new("Shape", [x.into()]))
        .op("Reshape")
        .drop("axis");
    if span.to >= 14 {
        plan = plan.attr("allowzero", 1);
    }
    plan.into()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Single, with_input};
    use crate::ir::NewNode;

    fn softmax(dims: Option<&[usize]>, axis: Option<i64>, target: i64) -> Single {
        let (model, x) = with_input(11, dims);
        let new = NewNode::new("Softmax", &[x], "y");
        let new = match axis {
            Some(axis) => new.attr("axis", axis),
            None => new,
        };
        Single::convert(model, new, target)
    }

    #[test]
    fn along_the_last_axis_only_the_default_is_written_out() {
        let done = softmax(Some(&[2, 5]), None, 13);
        assert_eq!(done.ops(), ["Softmax"]);
        assert_eq!(done.model.node(done.node).attr_int("axis"), Some(1));
        for (dims, axis) in [(Some(&[2, 3, 5][..]), 2), (Some(&[2, 3, 5][..]), -1), (None, -1)] {
            let done = softmax(dims, Some(axis), 13);
            assert_eq!(done.ops(), ["Softmax"]);
            assert_eq!(done.model.node(done.node).attr_int("axis"), Some(axis));
        }
    }

    #[test]
    fn axes_of_extent_one_may_follow() {
        let done = softmax(Some(&[1, 1000, 1, 1]), None, 13);
        assert_eq!(done.ops(), ["Softmax"]);
    }

    #[test]
    fn otherwise_the_matrix_is_made_and_the_output_keeps_its_name() {
        for dims in [Some(&[2, 3, 4][..]), None] {
            let done = softmax(dims, None, 13);
            assert_eq!(done.ops(), ["Flatten", "Softmax", "Shape", "Reshape"]);
            let reshape = done.model.node(done.node);
            assert!(reshape.attributes().is_empty());
            assert_eq!(done.model.value(reshape.only_output().unwrap()).name(), "y");
            let inner = done.producer(done.node, 0);
            assert_eq!(done.model.node(inner).attr_int("axis"), Some(-1));
            let flatten = done.producer(inner, 0);
            assert_eq!(done.model.node(flatten).attr_int("axis"), Some(1));
        }
        let done = softmax(None, Some(2), 21);
        assert_eq!(done.model.node(done.node).attr_int("allowzero"), Some(1));
    }

    #[test]
    fn an_axis_out_of_range_is_refused() {
        assert_eq!(
            softmax(Some(&[2, 3]), Some(3), 13).refusal(),
            "axis 3 is out of range for 2 axes"
        );
    }
}
