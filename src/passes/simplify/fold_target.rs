//! `fold-target`: see `docs/passes/fold-target.md`.

use crate::analysis::{Shapes, Term, constant};
use crate::ir::{Model, NodeId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes the target of a Reshape or Expand a constant although extents are free: in a Reshape, 0
/// copies an extent and -1 stands for one; in an Expand, 1 leaves an extent as it is.
#[derive(Debug, Clone, Copy, Default)]
pub struct FoldTarget;

/// The node and its target.
pub struct Plan {
    node: NodeId,
    target: Vec<i64>,
}

impl Rule for FoldTarget {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fold-target"
    }

    fn summary(&self) -> &'static str {
        "Makes computed targets of Reshape and Expand constants, with free extents."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let kind = entry.is("Reshape") || entry.is("Expand");
        let (true, Some(input), Some(target)) = (kind, entry.input(0), entry.input(1)) else {
            return Match::No;
        };
        let Some(wanted) = shapes.contents(target).filter(|_| constant(model, target).is_none())
        else {
            return Match::No;
        };
        let dims = shapes.dims(input);
        let found = match entry.is("Expand") {
            true => dims.and_then(|dims| expand(wanted, dims)),
            false => reshape(wanted, dims, entry.attr_int("allowzero").unwrap_or(0) != 0)
                .or_else(|| shapes.reshape_target(entry.only_output()?)),
        };
        match found {
            Some(target) if entry.is("Reshape") && !never_ambiguous(wanted, &target) => {
                Match::Refused("next to an extent that may be 0, -1 would be ambiguous".into())
            }
            Some(target) => Match::Yes(Plan { node, target }),
            None => Match::Refused("more than one extent of the result is free".into()),
        }
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let (graph, name) =
            (model.node(plan.node).graph(), model.node(plan.node).name().to_owned());
        let text = format!("its target became the constant {:?}", plan.target);
        let tensor = Tensor::from_i64(&[plan.target.len()], &plan.target);
        let target = model.add_initializer(graph, &format!("{name}_shape"), tensor);
        model.set_input(plan.node, 1, Some(target));
        text
    }
}

/// A constant with the meaning of `wanted`: numbers as they are, 0 where the extent of that axis is
/// copied, -1 for one more.
fn reshape(wanted: &[Term], dims: Option<&[Term]>, allow_zero: bool) -> Option<Vec<i64>> {
    let copied = |i: usize, term: &Term| {
        !allow_zero && term.is_determined() && dims.and_then(|dims| dims.get(i)) == Some(term)
    };
    let target: Option<Vec<i64>> = wanted
        .iter()
        .enumerate()
        .map(|(i, term)| match term {
            Term::Known(number) => Some(*number),
            term if copied(i, term) => Some(0),
            _ => None,
        })
        .scan(false, |open, number| {
            // One extent may be left to Reshape itself.
            let first = !std::mem::replace(open, *open || number.is_none());
            Some(number.or_else(|| first.then_some(-1)))
        })
        .collect();
    let target = target?;
    let inferred = target.iter().filter(|&&number| number == -1).count();
    // Next to an extent of 0, -1 is ambiguous.
    let zero = wanted.contains(&Term::Known(0));
    (inferred == 0 || (inferred == 1 && !zero)).then_some(target)
}

/// Whether Reshape can compute the -1 of a target that stands for the terms `wanted` in every run in which it
/// could before: the product of all other extents must not be 0.
fn never_ambiguous(wanted: &[Term], target: &[i64]) -> bool {
    let Some(open) = target.iter().position(|&number| number == -1) else { return true };
    let inferred = |term: &Term| *term == Term::Known(-1);
    let positive = |(i, term): (usize, &Term)| i == open || target[i] > 0 || term.at_least(1);
    wanted.iter().any(inferred) || wanted.iter().enumerate().all(positive)
}

/// A constant that expands `dims` to the same extents as `wanted`.
fn expand(wanted: &[Term], dims: &[Term]) -> Option<Vec<i64>> {
    let fewer = wanted.len().saturating_sub(dims.len());
    let axis =
        |(i, term): (usize, &Term)| match (term, i.checked_sub(fewer).and_then(|i| dims.get(i))) {
            (Term::Known(number), _) => Some(*number),
            (term, Some(own)) if term.is_determined() && own == term => Some(1),
            _ => None,
        };
    // Axes that the target leaves out would be aligned with others.
    (wanted.len() >= dims.len()).then(|| wanted.iter().enumerate().map(axis).collect()).flatten()
}
