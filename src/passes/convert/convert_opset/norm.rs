//! BatchNormalization (9, 14) and GroupNormalization (21).

use crate::ir::{Model, Node, ValueId};
use crate::tensor::DType;

use super::plan::{Feed, Made, Plan, Planned, float, int, required};
use super::{Span, facts};

/// Before 9, `spatial = 0` asked for parameters for each element `[C, D1, …]`: the same as one
/// channel for each element of the flattened input. Before 14, more than one output asked for
/// training, whose outputs have changed since.
pub(super) fn batch(node: &Node, span: Span) -> Planned {
    if span.crosses(14) && node.outputs().iter().flatten().count() > 1 {
        return Err("has outputs beside the first, which ask for training".into());
    }
    if !span.crosses(9) || node.attr("spatial").is_none() {
        return Ok(None);
    }
    if int(node, "spatial")? != Some(0) {
        return Plan::new("spatial = 1, the only choice left, was dropped").drop("spatial").into();
    }
    let x = required(node.input(0), "X")?;
    let mut inputs = vec![Made::new("Flatten", [x.into()]).attr("axis", 1).into()];
    for (slot, name) in [(1, "scale"), (2, "B"), (3, "mean"), (4, "var")] {
        inputs.push(reshape(required(node.input(slot), name)?.into(), &[-1]).into());
    }
    let mut normalized = Made::new("BatchNormalization", inputs);
    if let Some(epsilon) = float(node, "epsilon")? {
        normalized = normalized.attr("epsilon", epsilon);
    }
    let mut plan = Plan::new("applied to the flattened input, then reshaped back")
        .op("Reshape")
        .input(0, normalized)
        .input(1, Made::new("Shape", [x.into()]))
        .drop("spatial")
        .drop("epsilon")
        .drop("momentum");
    for slot in 2..node.inputs().len() {
        plan = plan.input(slot, Feed::Nothing);
    }
    plan.into()
}

/// Before 21, scale and bias hold a number for each group; since, one for each channel. The first
/// stage was computed in the type of the input; since, in `stash_type`.
pub(super) fn group(model: &Model, node: &Node, span: Span) -> Planned {
    if !span.crosses(21) {
        return Ok(None);
    }
    let x = required(node.input(0), "X")?;
    let groups = required(int(node, "num_groups")?, "num_groups")?;
    if groups < 1 {
        return Err(format!("expected at least one group, found {groups}"));
    }
    let mut plan = Plan::new("scale and bias are repeated for each channel of a group");
    match facts::dtype(model, x) {
        Some(DType::Float) => {}
        Some(dtype) => plan = plan.attr("stash_type", dtype as i64),
        None => return Err("the element type is not known, which decides the precision".into()),
    }
    for (slot, name) in [(1, "scale"), (2, "bias")] {
        let of_groups = required(node.input(slot), name)?;
        let column = reshape(of_groups.into(), &[groups, 1]);
        let matrix = Made::new("Expand", [column.into(), groups_by_channels(model, x, groups)]);
        plan = plan.input(slot, reshape(matrix.into(), &[-1]));
    }
    plan.into()
}

/// The dims `[groups, channels of a group]`.
fn groups_by_channels(model: &Model, x: ValueId, groups: i64) -> Feed {
    let channels = facts::dims(model, x).and_then(|dims| dims.get(1).copied().flatten());
    if let Some(channels) = channels.and_then(|channels| i64::try_from(channels).ok()) {
        return Feed::ints("groups_by_channels", &[groups, channels / groups]);
    }
    let channels = Made::new("Shape", [x.into()]).attr("start", 1).attr("end", 2);
    let count = || Feed::ints("groups", &[groups]);
    let each = Made::new("Div", [channels.into(), count()]);
    Made::new("Concat", [count(), each.into()]).attr("axis", 0).into()
}

fn reshape(value: Feed, dims: &[i64]) -> Made {
    Made::new("Reshape", [value, Feed::ints("dims", dims)])
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::super::testing::{Single, with_input};
    use crate::ir::NewNode;
    use crate::tensor::Tensor;

    fn batch(opset: i64, spatial: i64, outputs: &[&str]) -> Single {
        let (mut model, x) = with_input(opset, None);
        let main = model.main();
        let p = model.add_initializer(main, "p", Tensor::from_f32(&[2], &[1.0, 2.0]));
        let mut new = NewNode::new("BatchNormalization", &[x, p, p, p, p], "y");
        new.outputs = outputs.iter().map(ToString::to_string).collect();
        new = new.attr("spatial", spatial).attr("epsilon", 0.5f32);
        Single::convert(model, new, 13)
    }

    #[test]
    fn spatial_is_dropped() {
        let done = batch(7, 1, &["y"]);
        assert_eq!(done.ops(), ["BatchNormalization"]);
        assert!(done.model.node(done.node).attr("spatial").is_none());
    }

    #[test]
    fn parameters_for_each_element_become_channels() {
        let done = batch(8, 0, &["y"]);
        let reshapes = ["Reshape"; 4];
        let expected = [&["Flatten"], &reshapes[..], &["BatchNormalization", "Shape", "Reshape"]];
        assert_eq!(done.ops(), expected.concat());
        let inner = done.model.node(done.producer(done.node, 0));
        assert_eq!(inner.attr_float("epsilon"), Some(0.5));
        assert!(done.model.node(done.node).attributes().is_empty());
        assert_eq!(done.model.node(done.node).inputs().len(), 2);
    }

    #[test]
    fn training_outputs_are_refused_from_14_on() {
        let all = ["y", "mean", "var", "saved_mean", "saved_var"];
        let (mut model, x) = with_input(9, None);
        let main = model.main();
        let p = model.add_initializer(main, "p", Tensor::from_f32(&[2], &[1.0, 2.0]));
        let mut new = NewNode::new("BatchNormalization", &[x, p, p, p, p], "y");
        new.outputs = all.iter().map(ToString::to_string).collect();
        assert!(Single::convert(model, new, 14).refusal().contains("training"));
        assert!(batch(7, 1, &all).report.changed(), "13 has the same outputs");
    }

    #[test]
    fn group_parameters_are_repeated() {
        for (dims, shape_ops) in [(Some(&[1, 6, 4][..]), 0), (None, 3)] {
            let (mut model, x) = with_input(18, dims);
            let main = model.main();
            let p = model.add_initializer(main, "p", Tensor::from_f32(&[2], &[1.0, 2.0]));
            let new = NewNode::new("GroupNormalization", &[x, p, p], "y").attr("num_groups", 2);
            let done = Single::convert(model, new, 21);
            assert_eq!(done.ops().len(), 1 + 2 * (3 + shape_ops));
            assert!(done.model.node(done.node).attr("stash_type").is_none());
            let expand = done.producer(done.producer(done.node, 2), 0);
            assert_eq!(done.model.node(expand).op(), "Expand");
            let nodes = done.model.nodes_of(done.main);
            let names: HashSet<&str> = nodes.map(|(_, node)| node.name()).collect();
            assert_eq!(names.len(), done.ops().len(), "every node has a name of its own");
        }
    }
}
