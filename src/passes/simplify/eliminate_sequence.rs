//! `eliminate-sequence`: see `docs/passes/eliminate-sequence.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{At, Attribute, Model, NewNode, NodeId, ValueId};
use crate::passes::rewrite::axes::with_axes;
use crate::passes::rewrite::bypass::Bypass;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Most elements of a sequence that is followed: lists of layers, heads and states are far shorter.
const MOST_ELEMENTS: usize = 1024;

/// The version of the operator set since which Split takes sizes as an input.
const SIZES_ARE_INPUT: i64 = 13;

/// Replaces operators on sequences whose elements are known by operators on tensors.
#[derive(Debug, Clone, Copy, Default)]
pub struct EliminateSequence;

/// What a node becomes.
pub enum Plan {
    /// SequenceAt: the element.
    Element(Bypass),
    /// The same, where the output must keep a name that the element cannot take.
    Copy(NodeId, ValueId),
    /// SequenceAt on slices along an axis: a Gather, which keeps the axis or not.
    Gather { node: NodeId, x: ValueId, axis: i64, position: i64 },
    /// SequenceLength: a number.
    Length(NodeId, usize),
    /// ConcatFromSequence: a Concat, perhaps along a new axis.
    Joined { node: NodeId, parts: Vec<ValueId>, axis: i64, new: bool },
    /// SplitToSequence: a Split whose outputs are the elements.
    Split { node: NodeId, x: ValueId, axis: i64, sizes: Vec<i64> },
}

impl Rule for EliminateSequence {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "eliminate-sequence"
    }

    fn summary(&self) -> &'static str {
        "Replaces operators on sequences of known elements by operators on tensors."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn reach(&self) -> usize {
        /// Nodes of SequenceInsert between the first element and who reads it.
        const LONGEST: usize = 16;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let ours = ["SequenceAt", "SequenceLength", "ConcatFromSequence", "SplitToSequence"];
        if !ours.iter().any(|op| entry.is(op)) || model.function_of(entry).is_some() {
            return Match::No;
        }
        match entry.op() {
            "SequenceAt" => element(model, node, shapes),
            "SplitToSequence" => {
                let plan =
                    if serves_tensors(model, node) { split(model, node, shapes) } else { None };
                plan.map_or(Match::No, Match::Yes)
            }
            op => {
                let list = entry.input(0).and_then(|list| elements(model, list));
                let made =
                    entry.only_output().is_some_and(|output| !model.value(output).is_output());
                match list {
                    Some(parts) if op == "SequenceLength" && made => {
                        Match::Yes(Plan::Length(node, parts.len()))
                    }
                    Some(parts) if op == "ConcatFromSequence" && !parts.is_empty() => {
                        let Some(axis) = entry.attr_int("axis") else { return Match::No };
                        let new = entry.attr_int("new_axis").unwrap_or(0) != 0;
                        Match::Yes(Plan::Joined { node, parts, axis, new })
                    }
                    _ => Match::No,
                }
            }
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        match plan {
            Plan::Element(bypass) => {
                bypass.apply(model);
                "replaced by the element".into()
            }
            Plan::Copy(node, part) => {
                model.turn_into(node, "", "Identity", &[Some(part)], vec![]);
                "became a copy of the element".into()
            }
            Plan::Gather { node, x, axis, position } => {
                let graph = model.node(node).graph();
                let at =
                    model.add_initializer(graph, "position", Tensor::from_i64(&[], &[position]));
                let axis = vec![Attribute::new("axis", axis)];
                model.turn_into(node, "", "Gather", &[Some(x), Some(at)], axis);
                "became a Gather".into()
            }
            Plan::Length(node, length) => {
                let length = i64::try_from(length).unwrap_or(i64::MAX);
                model.fold_node(node, vec![Some(Tensor::from_i64(&[], &[length]))]);
                "replaced by a constant".into()
            }
            Plan::Joined { node, mut parts, axis, new } => {
                if new {
                    parts =
                        parts.into_iter().map(|part| unsqueezed(model, node, part, axis)).collect();
                }
                let parts: Vec<_> = parts.into_iter().map(Some).collect();
                model.turn_into(node, "", "Concat", &parts, vec![Attribute::new("axis", axis)]);
                "became a Concat of the elements".into()
            }
            Plan::Split { node, x, axis, sizes } => {
                let count = sizes.len();
                let (graph, name) = (model.node(node).graph(), model.node(node).name().to_owned());
                let mut split = NewNode::new("Split", &[x], &name).attr("axis", axis);
                split.outputs = vec!["element".to_owned(); count];
                if model.opset_in_force() < SIZES_ARE_INPUT {
                    split = split.attr("split", sizes);
                } else {
                    let sizes = Tensor::from_i64(&[count], &sizes);
                    split.inputs.push(Some(model.add_initializer(graph, "sizes", sizes)));
                }
                let split = model.add_node(graph, At::Before(node), split);
                let outputs = model.node(split).outputs().to_vec();
                model.turn_into(node, "", "SequenceConstruct", &outputs, vec![]);
                format!("became a Split into {count} parts")
            }
        }
    }
}

/// SequenceAt at a constant position.
fn element(model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
    let entry = model.node(node);
    let (Some(list), Some(position)) = (entry.input(0), number(model, entry.input(1))) else {
        return Match::No;
    };
    if let Some(parts) = elements(model, list) {
        let Some(at) = within(position, parts.len()).filter(|&at| at < parts.len()) else {
            return Match::Refused(format!(
                "position {position} lies outside of {} elements",
                parts.len()
            ));
        };
        return match Bypass::find(model, node, parts[at]) {
            Match::Yes(bypass) => Match::Yes(Plan::Element(bypass)),
            Match::Refused(_) => Match::Yes(Plan::Copy(node, parts[at])),
            Match::No => Match::No,
        };
    }
    let Some(split) =
        model.value(list).producer().filter(|&id| model.node(id).is("SplitToSequence"))
    else {
        return Match::No;
    };
    let split = model.node(split);
    let drops = split.input(1).is_none() && split.attr_int("keepdims") == Some(0);
    let axis = split.attr_int("axis").unwrap_or(0);
    let (true, Some(x)) = (drops, split.input(0)) else { return Match::No };
    let inside = extent(shapes, x, axis).and_then(|n| within(position, n).filter(|&at| at < n));
    if inside.is_none() {
        return Match::No;
    }
    Match::Yes(Plan::Gather { node, x, axis, position })
}

/// The Split that makes the elements of a SplitToSequence.
fn split(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let entry = model.node(node);
    let (x, axis) = (entry.input(0)?, entry.attr_int("axis").unwrap_or(0));
    let equal = |size: i64| -> Option<Vec<i64>> {
        let extent = i64::try_from(extent(shapes, x, axis)?).ok()?;
        let most = i64::try_from(MOST_ELEMENTS).ok()?.checked_mul(size)?;
        let starts = (0..extent).step_by(usize::try_from(size).ok().filter(|&size| size > 0)?);
        (extent <= most).then(|| starts.map(|start| size.min(extent - start)).collect())
    };
    let sizes = match entry.input(1) {
        None if entry.attr_int("keepdims").unwrap_or(1) == 0 => return None,
        None => equal(1)?,
        Some(value) => {
            let tensor = constant(model, value).filter(|tensor| tensor.len() <= MOST_ELEMENTS)?;
            let sizes = tensor.to_i64().ok()?;
            if tensor.dims().is_empty() { equal(*sizes.first()?)? } else { sizes }
        }
    };
    (!sizes.is_empty()).then_some(Plan::Split { node, x, axis, sizes })
}

/// Whether all that is done with a sequence is done to its elements at constant positions.
fn serves_tensors(model: &Model, node: NodeId) -> bool {
    let Some(list) = model.node(node).only_output() else { return false };
    let list = model.value(list);
    let ours = |(user, slot): (NodeId, usize)| {
        let user = model.node(user);
        slot == 0
            && match user.op() {
                "SequenceAt" => number(model, user.input(1)).is_some(),
                op => op == "ConcatFromSequence" || op == "SequenceLength",
            }
    };
    let mut users = list.consumers().peekable();
    users.peek().is_some() && list.consumers().count() == list.uses().len() && users.all(ours)
}

/// The elements of a sequence, when it is made of known ones.
fn elements(model: &Model, list: ValueId) -> Option<Vec<ValueId>> {
    let mut edits = Vec::new();
    let mut at = list;
    let mut parts = loop {
        let node = model.node(model.value(at).producer()?);
        if !node.is_standard() || edits.len() > MOST_ELEMENTS || model.function_of(node).is_some() {
            return None;
        }
        match node.op() {
            "SequenceConstruct" => {
                break node.inputs().iter().copied().collect::<Option<Vec<_>>>()?;
            }
            "SequenceEmpty" => break Vec::new(),
            "SequenceInsert" | "SequenceErase" => edits.push(node),
            "Identity" => {}
            _ => return None,
        }
        at = node.input(0)?;
    };
    for node in edits.into_iter().rev() {
        let insert = node.op() == "SequenceInsert";
        let given = node.input(if insert { 2 } else { 1 });
        let position = match given {
            Some(_) => within(number(model, given)?, parts.len())?,
            None if insert => parts.len(),
            None => parts.len().checked_sub(1)?,
        };
        if insert {
            parts.insert(position, node.input(1)?);
        } else if position < parts.len() {
            parts.remove(position);
        } else {
            return None;
        }
    }
    (parts.len() <= MOST_ELEMENTS).then_some(parts)
}

/// A position, from the end when it is negative, as one from the start; at most `length`.
fn within(position: i64, length: usize) -> Option<usize> {
    let from_start = match position < 0 {
        true => i64::try_from(length).ok()?.checked_add(position)?,
        false => position,
    };
    usize::try_from(from_start).ok().filter(|&at| at <= length)
}

/// A constant whole number.
fn number(model: &Model, value: Option<ValueId>) -> Option<i64> {
    let tensor = constant(model, value?).filter(|tensor| tensor.len() == 1)?;
    tensor.to_i64().ok()?.first().copied()
}

/// How far `x` reaches along an axis, which counts from the end when it is negative.
fn extent(shapes: &Shapes, x: ValueId, axis: i64) -> Option<usize> {
    let dims = shapes.dims(x)?;
    dims.get(within(axis, dims.len())?)?.extent()
}

/// `part` with a new axis, made before `node`.
fn unsqueezed(model: &mut Model, node: NodeId, part: ValueId, axis: i64) -> ValueId {
    let name = model.value(part).name().to_owned();
    let unsqueeze = NewNode::new("Unsqueeze", &[part], &name);
    let unsqueeze = with_axes(model, model.node(node).graph(), unsqueeze, &[axis]);
    let unsqueeze = model.add_node(model.node(node).graph(), At::Before(node), unsqueeze);
    model.node(unsqueeze).output(0).unwrap_or(part)
}
