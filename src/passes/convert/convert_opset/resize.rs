//! Upsample (replaced by Resize in 10) and Resize, whose coordinates became a choice in 11.

use crate::analysis::constant;
use crate::ir::{Model, Node, ValueId};

use super::plan::{Feed, Plan, Planned, floats, required, text};
use super::{Span, facts};

/// Upsample becomes the Resize that computes the same.
pub(super) fn upsample(model: &Model, node: &Node) -> Planned {
    let plan = Plan::new("became Resize").op("Resize").drop("scales");
    if let Some(scales) = floats(node, "scales")? {
        // Known to be at least 1: the operator is defined for nothing else.
        let plan = asymmetric(node, plan, Some(scales), true)?;
        return plan.input(2, Feed::floats("scales", scales)).into();
    }
    let scales = required(node.input(1), "scales")?;
    let known = numbers(model, scales);
    let plan = asymmetric(node, plan, known.as_deref(), true)?;
    plan.input(1, Feed::Nothing).input(2, scales).into()
}

/// Resize as of 10 becomes Resize with its fixed choices written out; as of 11, it loses the
/// inputs that stand for "not given" as tensors without elements.
pub(super) fn resize(model: &Model, node: &Node, span: Span) -> Planned {
    if span.crosses(11) {
        let scales = required(node.input(1), "scales")?;
        let known = numbers(model, scales);
        let plan = Plan::new("asymmetric coordinates were written out");
        let plan = asymmetric(node, plan, known.as_deref(), false)?;
        return plan.input(1, Feed::Nothing).input(2, scales).into();
    }
    if !span.crosses(13) {
        return Ok(None);
    }
    let mut plan = Plan::new("inputs without elements were left out");
    let coordinates = text(node, "coordinate_transformation_mode")?.unwrap_or(b"half_pixel");
    if coordinates == b"tf_half_pixel_for_nn" {
        plan = half_pixel(node)?;
    }
    let empty = |slot| node.input(slot).is_some_and(|value| facts::is_empty(model, value));
    if empty(1) && coordinates != b"tf_crop_and_resize" {
        plan = plan.input(1, Feed::Nothing);
    }
    if node.input(2).is_some() && node.input(3).is_some() {
        plan = match (empty(2), empty(3)) {
            (true, false) => plan.input(2, Feed::Nothing),
            (false, true) => plan.input(3, Feed::Nothing),
            _ => return Err("has both scales and sizes, and it is not known which is empty".into()),
        };
    }
    plan.unless_empty()
}

/// Writes out what was fixed before 11: output `i` lies at input `i / scale`. Between two elements
/// "nearest" is the lower one when enlarging; when shrinking, nothing says which.
fn asymmetric(
    node: &Node,
    plan: Plan,
    scales: Option<&[f32]>,
    enlarges: bool,
) -> Result<Plan, String> {
    let plan = plan.attr("coordinate_transformation_mode", "asymmetric");
    match text(node, "mode")?.unwrap_or(b"nearest") {
        b"linear" => Ok(plan),
        b"nearest" => {
            // By a power of two, `i / scale` is a whole number and the question does not arise.
            let settled = |&s: &f32| s >= 1.0 || (s > 0.0 && s.to_bits() & 0x007f_ffff == 0);
            match scales {
                Some(scales) if scales.iter().all(settled) => {
                    Ok(plan.attr("nearest_mode", "floor"))
                }
                None if enlarges => Ok(plan.attr("nearest_mode", "floor")),
                Some(_) => {
                    Err("shrinks to the nearest element, which its version leaves open".into())
                }
                None => Err("takes the nearest element at a scale known only when running; its \
                             version leaves open which that is when shrinking"
                    .into()),
            }
        }
        other => Err(format!("mode `{}` is not known", String::from_utf8_lossy(other))),
    }
}

/// `tf_half_pixel_for_nn` was removed in 13. It is `half_pixel` moved by one half, which for
/// "nearest" another rounding makes up for: `floor(v) = round_prefer_ceil(v - 0.5)` and
/// `round_prefer_floor(v) = ceil(v - 0.5)`.
fn half_pixel(node: &Node) -> Result<Plan, String> {
    let nearest = text(node, "mode")?.unwrap_or(b"nearest") == b"nearest";
    let rounding = match text(node, "nearest_mode")?.unwrap_or(b"round_prefer_floor") {
        b"floor" if nearest => "round_prefer_ceil",
        b"round_prefer_floor" if nearest => "ceil",
        _ => {
            return Err(
                "coordinate mode `tf_half_pixel_for_nn` was removed in operator set 13".into()
            );
        }
    };
    Ok(Plan::new("half-pixel coordinates were written with the rounding that makes them equal")
        .attr("coordinate_transformation_mode", "half_pixel")
        .attr("nearest_mode", rounding))
}

fn numbers(model: &Model, value: ValueId) -> Option<Vec<f32>> {
    constant(model, value)?.to_f32().ok()
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Single, with_input};
    use crate::ir::{NewNode, TensorType};
    use crate::tensor::{DType, Tensor};

    fn resized(opset: i64, op: &str, scales: &[f32], mode: &str) -> Single {
        let (mut model, x) = with_input(opset, None);
        let main = model.main();
        let s = model.add_initializer(main, "s", Tensor::from_f32(&[scales.len()], scales));
        Single::convert(model, NewNode::new(op, &[x, s], "y").attr("mode", mode), 13)
    }

    #[test]
    fn upsample_becomes_resize() {
        let (model, x) = with_input(7, None);
        let new = NewNode::new("Upsample", &[x], "y").attr("scales", vec![1.0f32, 1.0, 2.0, 2.5]);
        for done in [
            Single::convert(model, new, 13),
            resized(9, "Upsample", &[1.0, 1.0, 2.0, 2.5], "nearest"),
        ] {
            let node = done.model.node(done.node);
            assert_eq!((node.op(), node.inputs().len(), node.input(1)), ("Resize", 3, None));
            assert_eq!(done.tensor(2).to_f32().unwrap(), [1.0, 1.0, 2.0, 2.5]);
            assert!(node.attr("scales").is_none());
            assert_eq!(node.attr_str("coordinate_transformation_mode"), Some("asymmetric"));
            assert_eq!(node.attr_str("nearest_mode"), Some("floor"));
        }
    }

    #[test]
    fn resize_10_keeps_its_coordinates() {
        let done = resized(10, "Resize", &[1.0, 0.3], "linear");
        let node = done.model.node(done.node);
        assert_eq!(node.attr_str("coordinate_transformation_mode"), Some("asymmetric"));
        assert!(node.attr("nearest_mode").is_none());
        let halved = resized(10, "Resize", &[1.0, 0.25, 3.0], "nearest");
        assert_eq!(halved.model.node(halved.node).attr_str("nearest_mode"), Some("floor"));
        assert!(resized(10, "Resize", &[1.0, 0.3], "nearest").refusal().contains("leaves open"));
        assert!(resized(10, "Resize", &[2.0], "cubic").refusal().contains("`cubic`"));
    }

    #[test]
    fn resize_11_loses_empty_inputs() {
        let (mut model, x) = with_input(11, None);
        let main = model.main();
        let none = model.add_initializer(main, "none", Tensor::from_f32(&[0], &[]));
        let sizes = model.add_initializer(main, "sizes", Tensor::from_i64(&[2], &[4, 4]));
        let done = Single::convert(model, NewNode::new("Resize", &[x, none, none, sizes], "y"), 13);
        let node = done.model.node(done.node);
        assert_eq!(node.inputs(), [Some(x), None, None, Some(sizes)]);

        let (mut model, x) = with_input(11, None);
        let main = model.main();
        let scales = model.add_input(main, "scales", TensorType::of(DType::Float));
        let sizes = model.add_initializer(main, "sizes", Tensor::from_i64(&[2], &[4, 4]));
        let both = NewNode::new("Resize", &[x, scales, scales, sizes], "y");
        assert!(Single::convert(model, both, 13).refusal().contains("both scales and sizes"));
    }

    #[test]
    fn the_removed_coordinate_mode_is_rewritten_for_nearest_only() {
        let run = |mode: &str, rounding: &str| {
            let (mut model, x) = with_input(11, None);
            let main = model.main();
            let scales = model.add_initializer(main, "s", Tensor::from_f32(&[1], &[2.0]));
            let new = NewNode::new("Resize", &[x, scales, scales], "y")
                .attr("coordinate_transformation_mode", "tf_half_pixel_for_nn")
                .attr("mode", mode)
                .attr("nearest_mode", rounding);
            Single::convert(model, new, 13)
        };
        let done = run("nearest", "floor");
        let node = done.model.node(done.node);
        assert_eq!(node.attr_str("coordinate_transformation_mode"), Some("half_pixel"));
        assert_eq!(node.attr_str("nearest_mode"), Some("round_prefer_ceil"));
        assert!(run("nearest", "ceil").refusal().contains("removed"));
        assert!(run("linear", "floor").refusal().contains("removed"));
    }
}
