//! Attributes that became inputs.

use crate::ir::{Model, Node};
use crate::tensor::DType;

use super::plan::{Feed, Plan, Planned, float, int, ints, required, text};
use super::{Span, facts};

/// The `axes` of Squeeze, Unsqueeze and ReduceSum (13) and of the other reductions (18).
pub(super) fn axes(node: &Node, span: Span, at: i64) -> Planned {
    if !span.crosses(at) {
        return Ok(None);
    }
    match ints(node, "axes")? {
        Some(axes) => {
            Plan::new("axes became an input").drop("axes").input(1, Feed::ints("axes", axes)).into()
        }
        None if node.is("Unsqueeze") => Err("`axes` is missing".into()),
        None => Ok(None),
    }
}

/// The `split` of Split (13); from 18, equal parts are asked for by their number.
pub(super) fn split(node: &Node, span: Span) -> Planned {
    let attribute = if span.crosses(13) { ints(node, "split")? } else { None };
    if let Some(sizes) = attribute {
        let plan = Plan::new("split became an input").drop("split");
        return plan.input(1, Feed::ints("split", sizes)).into();
    }
    if !span.crosses(18) || node.input(1).is_some() {
        return Ok(None);
    }
    let count = i64::try_from(node.outputs().len()).unwrap_or(i64::MAX);
    Plan::new("number of equal parts became an attribute").attr("num_outputs", count).into()
}

/// `starts`, `ends` and `axes` of Slice (10).
pub(super) fn slice(node: &Node, span: Span) -> Planned {
    if !span.crosses(10) {
        return Ok(None);
    }
    let starts = required(ints(node, "starts")?, "starts")?;
    let ends = required(ints(node, "ends")?, "ends")?;
    let axes = match ints(node, "axes")? {
        Some(axes) => axes.to_vec(),
        None => (0i64..).take(starts.len()).collect(),
    };
    if starts.len() != ends.len() || starts.len() != axes.len() {
        return Err("starts, ends and axes have different lengths".into());
    }
    let mut plan = Plan::new("starts, ends and axes became inputs");
    for (slot, (name, values)) in
        [("starts", starts), ("ends", ends), ("axes", &axes)].iter().enumerate()
    {
        plan = plan.drop(name).input(slot + 1, Feed::ints(name, values));
    }
    plan.into()
}

/// `min` and `max` of Clip (11). A bound that is left out was the largest `float` before, and is
/// the largest number of the element type since: for other types than `float` it is written out.
pub(super) fn clip(model: &Model, node: &Node, span: Span) -> Planned {
    if !span.crosses(11) {
        return Ok(None);
    }
    let dtype = element_type(model, node, "min and max")?;
    if !matches!(dtype, DType::Float | DType::Double | DType::Float16) {
        return Err(format!("clips {dtype}, which its version does not"));
    }
    let mut plan = Plan::new("min and max became inputs");
    for (slot, (name, default)) in [("min", f32::MIN), ("max", f32::MAX)].into_iter().enumerate() {
        let bound = float(node, name)?.unwrap_or(default);
        if dtype != DType::Float || bound != default {
            plan = plan.input(slot + 1, Feed::scalar(name, dtype, bound)?);
        }
        plan = plan.drop(name);
    }
    plan.into()
}

/// `pads` and `value` of Pad (11).
pub(super) fn pad(model: &Model, node: &Node, span: Span) -> Planned {
    if !span.crosses(11) {
        return Ok(None);
    }
    let pads = required(ints(node, "pads")?, "pads")?;
    let plan = Plan::new("pads and value became inputs").drop("pads").drop("value");
    let mut plan = plan.input(1, Feed::ints("pads", pads));
    let constant = text(node, "mode")?.is_none_or(|mode| mode == b"constant");
    match float(node, "value")? {
        Some(value) if constant && value.to_bits() != 0 => {
            let dtype = element_type(model, node, "value")?;
            plan = plan.input(2, Feed::scalar("pad_value", dtype, value)?);
        }
        _ => {}
    }
    plan.into()
}

/// `ratio` of Dropout (12). Without the new training input it stays what it was: an identity. Its
/// mask, a by-product of training, changed type (10) and contents (12).
pub(super) fn dropout(model: &Model, node: &Node, span: Span) -> Planned {
    if !span.crosses(12) {
        return Ok(None);
    }
    let mut plan = Plan::new("ratio became an input");
    if let Some(mask) = node.output(1) {
        if !model.value(mask).uses().is_empty() {
            return Err("its mask is read, and means something else from operator set 12".into());
        }
        plan = plan.clear_output(1);
    }
    if let Some(ratio) = float(node, "ratio")? {
        plan = plan.drop("ratio").input(1, Feed::scalar("ratio", DType::Float, ratio)?);
    }
    plan.unless_empty()
}

/// `k` of TopK (10).
pub(super) fn top_k(node: &Node, span: Span) -> Planned {
    if !span.crosses(10) {
        return Ok(None);
    }
    let k = required(int(node, "k")?, "k")?;
    Plan::new("k became an input").drop("k").input(1, Feed::ints("k", &[k])).into()
}

/// `axis` of DFT (20), whose default changed from 1 to -2.
pub(super) fn dft(node: &Node, span: Span) -> Planned {
    if !span.crosses(20) {
        return Ok(None);
    }
    let axis = int(node, "axis")?.unwrap_or(1);
    Plan::new("axis became an input").drop("axis").input(2, Feed::int("axis", axis)).into()
}

/// The element type that a new input of `node` must have.
fn element_type(model: &Model, node: &Node, of: &str) -> Result<DType, String> {
    let ends = [node.input(0), node.output(0)];
    let known = ends.into_iter().flatten().find_map(|value| facts::dtype(model, value));
    known.ok_or_else(|| format!("the element type is not known, which the input for {of} needs"))
}

#[cfg(test)]
mod tests {
    use super::super::testing::{Single, with_input};
    use crate::ir::{At, NewNode, TensorType};
    use crate::tensor::DType;

    #[test]
    fn axes_move_at_13_or_18() {
        for (op, target, moved) in [
            ("Squeeze", 13, true),
            ("Unsqueeze", 13, true),
            ("ReduceSum", 13, true),
            ("ReduceMean", 17, false),
            ("ReduceMean", 18, true),
            ("ReduceMax", 21, true),
        ] {
            let (model, x) = with_input(11, None);
            let new = NewNode::new(op, &[x], "y").attr("axes", vec![0, 2]);
            let done = Single::convert(model, new, target);
            let node = done.model.node(done.node);
            assert_eq!(node.attr("axes").is_none(), moved, "{op}");
            if moved {
                assert_eq!(done.ints(1), [0, 2]);
            }
        }
        let (model, x) = with_input(11, None);
        let done = Single::convert(model, NewNode::new("ReduceSum", &[x], "y"), 18);
        assert_eq!(done.model.node(done.node).inputs().len(), 1);
    }

    #[test]
    fn split_sizes_move_and_equal_parts_are_counted() {
        let parts = |target, sizes: Option<Vec<i64>>| {
            let (model, x) = with_input(11, None);
            let mut new = NewNode::new("Split", &[x], "a");
            new.outputs.push("b".into());
            new = match sizes {
                Some(sizes) => new.attr("split", sizes),
                None => new,
            };
            Single::convert(model, new, target)
        };
        let sized = parts(18, Some(vec![1, 3]));
        assert_eq!(sized.ints(1), [1, 3]);
        assert!(sized.model.node(sized.node).attributes().is_empty());
        let equal = parts(18, None);
        assert_eq!(equal.model.node(equal.node).attr_int("num_outputs"), Some(2));
        let equal = parts(17, None);
        assert!(equal.model.node(equal.node).attributes().is_empty());
    }

    #[test]
    fn slice_without_axes_names_the_leading_ones() {
        let (model, x) = with_input(9, None);
        let new = NewNode::new("Slice", &[x], "y");
        let new = new.attr("starts", vec![1, 2]).attr("ends", vec![-1, i64::MAX]);
        let done = Single::convert(model, new, 13);
        assert_eq!((done.ints(1), done.ints(2)), (vec![1, 2], vec![-1, i64::MAX]));
        assert_eq!(done.ints(3), [0, 1]);
        assert!(done.model.node(done.node).attributes().is_empty());
    }

    #[test]
    fn clip_bounds_take_the_element_type() {
        let (model, x) = with_input(10, None);
        let relu6 = NewNode::new("Clip", &[x], "y").attr("min", 0.0f32).attr("max", 6.0f32);
        let done = Single::convert(model, relu6, 13);
        assert_eq!(done.tensor(2).to_f32().unwrap(), [6.0]);
        assert_eq!(done.tensor(2).dims(), [0usize; 0]);

        let (model, x) = with_input(10, None);
        let one_sided = NewNode::new("Clip", &[x], "y").attr("max", 1.0f32);
        let done = Single::convert(model, one_sided, 13);
        assert_eq!(done.model.node(done.node).input(1), None);
        assert_eq!(done.tensor(2).dtype(), DType::Float);
    }

    #[test]
    fn a_missing_bound_of_a_half_is_infinite_as_before() {
        let (mut model, _) = with_input(10, None);
        let main = model.main();
        let half = model.add_input(main, "h", TensorType::of(DType::Float16));
        let relu = model.add_node(main, At::End, NewNode::new("Relu", &[half], "r"));
        let r = model.node(relu).only_output().unwrap();
        let new = NewNode::new("Clip", &[r], "y").attr("min", -1.0f32);
        let done = Single::convert(model, new, 13);
        assert_eq!(done.tensor(1).dtype(), DType::Float16);
        assert_eq!(done.tensor(2).to_f32().unwrap(), [f32::INFINITY]);
    }

    #[test]
    fn clip_of_an_unknown_type_is_refused() {
        let (mut model, x) = with_input(10, None);
        let main = model.main();
        let mut custom = NewNode::new("Mystery", &[x], "m");
        custom.domain = "custom".into();
        let mystery = model.add_node(main, At::End, custom);
        let m = model.node(mystery).only_output().unwrap();
        let done = Single::convert(model, NewNode::new("Clip", &[m], "y"), 13);
        assert!(done.refusal().contains("element type is not known"), "{}", done.refusal());
    }

    #[test]
    fn pad_value_is_an_input_only_when_it_matters() {
        let pad = |mode: &str, value: f32| {
            let (model, x) = with_input(9, None);
            let new = NewNode::new("Pad", &[x], "y").attr("pads", vec![1, 0]);
            Single::convert(model, new.attr("mode", mode).attr("value", value), 13)
        };
        let filled = pad("constant", 2.5);
        assert_eq!(filled.ints(1), [1, 0]);
        assert_eq!(filled.tensor(2).to_f32().unwrap(), [2.5]);
        for plain in [pad("constant", 0.0), pad("reflect", 2.5)] {
            assert_eq!(plain.model.node(plain.node).inputs().len(), 2);
            assert!(plain.model.node(plain.node).attr("value").is_none());
        }
    }

    #[test]
    fn dropout_keeps_its_ratio_and_loses_an_unread_mask() {
        let dropout = |read: bool| {
            let (mut model, x) = with_input(7, None);
            let main = model.main();
            let mut new = NewNode::new("Dropout", &[x], "y").attr("ratio", 0.25f32);
            new.outputs.push("mask".into());
            let node = model.add_node(main, At::End, new);
            let slot = usize::from(read);
            let result = model.node(node).output(slot).unwrap();
            model.add_output(main, result, None);
            Single::rerun(model, node, 13)
        };
        let done = dropout(false);
        assert_eq!(done.tensor(1).to_f32().unwrap(), [0.25]);
        assert_eq!(done.model.node(done.node).outputs().len(), 1);
        assert!(dropout(true).refusal().contains("mask"));
    }

    #[test]
    fn counts_and_axes_become_inputs() {
        let (model, x) = with_input(9, None);
        let mut top = NewNode::new("TopK", &[x], "y").attr("k", 3);
        top.outputs.push("i".into());
        assert_eq!(Single::convert(model, top, 13).ints(1), [3]);

        let (model, x) = with_input(17, None);
        let done = Single::convert(model, NewNode::new("DFT", &[x], "y"), 21);
        assert_eq!((done.ints(2), done.tensor(2).dims().len()), (vec![1], 0));
        assert_eq!(done.model.node(done.node).input(1), None);
    }

    #[test]
    fn an_attribute_of_the_wrong_kind_is_refused() {
        let (model, x) = with_input(9, None);
        let new = NewNode::new("Squeeze", &[x], "y").attr("axes", 1.0f32);
        let done = Single::convert(model, new, 13);
        assert_eq!(done.refusal(), "attribute `axes` is not a list of integers");
    }
}
