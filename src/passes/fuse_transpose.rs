//! `fuse-transpose`: see `docs/passes/fuse-transpose.md`.

use crate::analysis::{Shapes, Term};
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};

/// Makes one Transpose of two in a row, and of one between two Reshape that merge axes and split them again.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseTranspose;

/// The last node, what the first one reads, and the order of all together.
pub struct Plan {
    node: NodeId,
    from: ValueId,
    perm: Vec<i64>,
}

impl Rule for FuseTranspose {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-transpose"
    }

    fn summary(&self) -> &'static str {
        "Makes one Transpose of two in a row, or of one between Reshapes."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn reach(&self) -> usize {
        2
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let found = in_a_row(model, shapes, node).or_else(|| between(model, shapes, node));
        found.map_or(Match::No, |(from, perm)| Match::Yes(Plan { node, from, perm }))
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let Plan { node, from, perm } = plan;
        let alone = model.node(node).is("Transpose");
        let what = if alone { "the one before it" } else { "the Reshape and Transpose before it" };
        let text = format!("joined with {what}: perm = {perm:?}");
        let perm = Attribute::new("perm", AttrValue::Ints(perm));
        if alone {
            model.set_input(node, 0, Some(from));
            model.set_attr(node, perm);
        } else {
            model.turn_into(node, "", "Transpose", &[Some(from)], vec![perm]);
        }
        text
    }
}

/// A Transpose that reads another: what that one reads, and the order of both.
fn in_a_row(model: &Model, shapes: &Shapes, node: NodeId) -> Option<(ValueId, Vec<i64>)> {
    let (middle, outer) = transpose(model, shapes, node)?;
    let (from, inner) = transpose(model, shapes, model.value(middle).producer()?)?;
    let at = |&axis: &i64| inner.get(usize::try_from(axis).ok()?).copied();
    Some((from, outer.iter().map(at).collect::<Option<_>>()?))
}

/// A Reshape that splits the axes again which a Reshape merged before a Transpose: what that Reshape reads, and the
/// order of the axes in the end.
fn between(model: &Model, shapes: &Shapes, node: NodeId) -> Option<(ValueId, Vec<i64>)> {
    let reshaped = |node: NodeId| {
        let entry = model.node(node);
        entry.input(0).filter(|_| entry.is("Reshape"))
    };
    let turned = reshaped(node)?;
    let (merged, perm) = transpose(model, shapes, model.value(turned).producer()?)?;
    let from = reshaped(model.value(merged).producer()?)?;
    // Otherwise a Transpose is added to the one that stays.
    model.value(turned).only_consumer()?;
    let result = model.node(node).only_output()?;
    let (axes, merged, found) = (shapes.dims(from)?, shapes.dims(merged)?, shapes.dims(result)?);
    let groups = groups(axes, merged)?;
    let order: Option<Vec<&Vec<usize>>> =
        perm.iter().map(|&axis| groups.get(usize::try_from(axis).ok()?)).collect();
    let order: Vec<usize> = order?.into_iter().flatten().copied().collect();
    let same = order.len() == found.len()
        && order.iter().zip(found).all(|(&axis, dim)| axes[axis] == *dim && dim.is_determined());
    let order = order.into_iter().map(i64::try_from).collect::<Result<_, _>>().ok()?;
    same.then_some((from, order))
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
