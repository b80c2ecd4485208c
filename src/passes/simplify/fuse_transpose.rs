//! `fuse-transpose`: see `docs/passes/fuse-transpose.md`.

use crate::analysis::{Shapes, Term};
use crate::ir::{At, AttrValue, Attribute, Model, NewNode, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes one Transpose of two in a row, and lets nothing split axes behind one.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseTranspose;

/// The last node, what the first one reads, and the order of all together.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    /// What a Reshape makes of it before, if one is needed.
    target: Option<Vec<i64>>,
    perm: Vec<i64>,
}

impl Rule for FuseTranspose {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-transpose"
    }

    fn summary(&self) -> &'static str {
        "Makes one Transpose of two in a row, and splits axes in front of one."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn reach(&self) -> usize {
        2
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let found = in_a_row(model, shapes, node).or_else(|| between(model, shapes, node));
        found.map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let Plan { node, from, target, perm } = plan;
        let alone = model.node(node).is("Transpose");
        let what = if alone { "the one before it" } else { "the Reshape and Transpose before it" };
        let split =
            target.as_ref().map_or(String::new(), |target| format!(", of a Reshape to {target:?}"));
        let text = format!("joined with {what}: perm = {perm:?}{split}");
        let perm = Attribute::new("perm", AttrValue::Ints(perm));
        let from = target.map_or(Some(from), |target| reshape(model, node, from, &target));
        if alone {
            model.set_input(node, 0, from);
            model.set_attr(node, perm);
        } else {
            model.turn_into(node, "", "Transpose", &[from], vec![perm]);
        }
        text
    }
}

/// A Reshape in front of a node.
fn reshape(model: &mut Model, node: NodeId, from: ValueId, target: &[i64]) -> Option<ValueId> {
    let (graph, name) = (model.node(node).graph(), model.name_of(node).to_owned());
    let tensor = Tensor::from_i64(&[target.len()], target);
    let shape = model.add_initializer(graph, &format!("{name}_shape"), tensor);
    let split = NewNode::new("Reshape", &[from, shape], &format!("{name}_split"));
    let split = model.add_node(graph, At::Before(node), split);
    model.node(split).output(0)
}

/// A Transpose that reads another: what that one reads, and the order of both.
fn in_a_row(model: &Model, shapes: &Shapes, node: NodeId) -> Option<Plan> {
    let (middle, outer) = transpose(model, shapes, node)?;
    let (from, inner) = transpose(model, shapes, model.value(middle).producer()?)?;
    let at = |&axis: &i64| inner.get(usize::try_from(axis).ok()?).copied();
    Some(Plan { node, from, target: None, perm: outer.iter().map(at).collect::<Option<_>>()? })
}

/// A Reshape that splits axes, behind a Transpose of what a Reshape made: split at once, there is nothing to split
/// behind the Transpose. What the first Reshape reads, its new target, unless that is what it reads, and the order of
/// the axes in the end.
fn between(model: &Model, shapes: &Shapes, node: NodeId) -> Option<Plan> {
    let reshaped = |node: NodeId| {
        let entry = model.node(node);
        entry.input(0).filter(|_| entry.is("Reshape"))
    };
    let turned = reshaped(node)?;
    let (merged, perm) = transpose(model, shapes, model.value(turned).producer()?)?;
    let from = reshaped(model.value(merged).producer()?)?;
    // Otherwise a Transpose is added to the one that stays.
    model.value(turned).only_consumer()?;
    let (axes, result) = (shapes.dims(from)?, shapes.dims(model.node(node).only_output()?)?);
    let parts = groups(result, shapes.dims(turned)?)?;
    // The parts of each axis in front of the Transpose, and where they are in the result.
    let mut split: Vec<usize> = Vec::with_capacity(result.len());
    for axis in 0..perm.len() {
        let at = perm.iter().position(|&from| usize::try_from(from) == Ok(axis))?;
        split.extend(parts.get(at)?);
    }
    let dims: Vec<&Term> = split.iter().map(|&part| &result[part]).collect();
    let order = (0..result.len()).map(|part| split.iter().position(|&other| other == part));
    let order = order.map(|at| i64::try_from(at?).ok()).collect::<Option<_>>()?;
    let same = dims.len() == axes.len() && dims.iter().zip(axes).all(|(a, b)| *a == b);
    let target = if same { None } else { Some(target(axes, &dims)?) };
    // A Reshape that others read stays: two nodes would become two.
    if target.is_some() {
        model.value(merged).only_consumer()?;
    }
    Some(Plan { node, from, target, perm: order })
}

/// The target with which Reshape makes `dims` of `axes`, whatever their extents are.
fn target(axes: &[Term], dims: &[&Term]) -> Option<Vec<i64>> {
    let mut open = 0;
    let mut target = Vec::with_capacity(dims.len());
    for (at, &dim) in dims.iter().enumerate() {
        target.push(match dim.known() {
            Some(0) => return None,
            Some(number) => number,
            // 0 copies.
            None if axes.get(at) == Some(dim) => 0,
            None => {
                open += 1;
                -1
            }
        });
    }
    (open < 2).then_some(target)
}

/// For each merged axis, the axes that it is made of.
fn groups(axes: &[Term], merged: &[Term]) -> Option<Vec<Vec<usize>>> {
    if !axes.iter().chain(merged).all(Term::is_determined) {
        return None;
    }
    let mut next = 0;
    let mut groups = Vec::with_capacity(merged.len());
    for wanted in merged {
        let (mut product, mut group) = (Term::ONE, Vec::new());
        while product != *wanted {
            product = &product * axes.get(next)?;
            group.push(next);
            next += 1;
        }
        groups.push(group);
    }
    // What is left are axes of one element, which move nothing.
    let rest = next..axes.len();
    let last = groups.last_mut()?;
    for axis in rest {
        if axes[axis] != Term::ONE {
            return None;
        }
        last.push(axis);
    }
    Some(groups)
}

/// Input and order of a Transpose.
fn transpose(model: &Model, shapes: &Shapes, node: NodeId) -> Option<(ValueId, Vec<i64>)> {
    let entry = model.node(node);
    let input = entry.input(0).filter(|_| entry.is("Transpose"))?;
    let perm = match entry.attr_ints("perm") {
        Some(perm) => perm.to_vec(),
        None => (0..i64::try_from(shapes.rank(input)?).ok()?).rev().collect(),
    };
    Some((input, perm))
}
