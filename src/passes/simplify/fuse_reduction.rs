//! `fuse-reduction`: see `docs/passes/fuse-reduction.md`.

use crate::analysis::{Shapes, Term};
use crate::ir::{AttrValue, Attribute, Model, NodeId, ValueId};
use crate::passes::rewrite::axes::axes_are_input_since;
use crate::passes::rewrite::look::Look;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::Tensor;

/// Makes one reduction of two equal ones in a row, ReduceL1, ReduceL2 and ReduceSumSquare of what they
/// are defined as, and lets a reduction drop its axes itself.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseReduction;

/// The last node of the pattern and what it becomes.
pub struct Plan {
    node: NodeId,
    op: String,
    x: ValueId,
    axes: Vec<i64>,
    keep: i64,
}

impl Rule for FuseReduction {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-reduction"
    }

    fn summary(&self) -> &'static str {
        "Makes one reduction of two in a row, of decomposed norms, and of one whose axes are dropped."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn reach(&self) -> usize {
        /// Mul, ReduceSum, Sqrt.
        const LONGEST: usize = 3;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let found = twice(model, node, shapes)
            .or_else(|| norm(model, node, shapes))
            .or_else(|| dropped(model, node, shapes));
        found.map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let mut inputs = vec![Some(plan.x)];
        let mut attributes = vec![Attribute::new("keepdims", AttrValue::Int(plan.keep))];
        let since = axes_are_input_since(&plan.op);
        if model.opset_in_force() >= since {
            let (graph, name) =
                (model.node(plan.node).graph(), model.node(plan.node).name().to_owned());
            let axes = Tensor::from_i64(&[plan.axes.len()], &plan.axes);
            inputs.push(Some(model.add_initializer(graph, &format!("{name}_axes"), axes)));
        } else {
            attributes.push(Attribute::new("axes", AttrValue::Ints(plan.axes.clone())));
        }
        model.turn_into(plan.node, "", &plan.op, &inputs, attributes);
        format!("became {} over axes {:?} with the nodes before it", plan.op, plan.axes)
    }
}

/// Two equal reductions, the first with its axes kept as 1.
fn twice(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    const OPS: &[&str] = &["ReduceSum", "ReduceMean", "ReduceMax", "ReduceMin", "ReduceProd"];
    let look = Look::new(model, shapes);
    let entry = model.node(node);
    let op = entry.op();
    let y = entry.only_output().filter(|_| OPS.contains(&op))?;
    let outer = look.reduced(look.made_by(y, op)?)?;
    let (x, inner) = look.kept_reduction(entry.input(0)?, op)?;
    let apart = outer.iter().all(|axis| !inner.contains(axis));
    let mut axes: Vec<i64> =
        inner.into_iter().chain(outer).filter_map(|a| i64::try_from(a).ok()).collect();
    axes.sort_unstable();
    let keep = entry.attr_int("keepdims").unwrap_or(1);
    let fits = apart && !axes.is_empty() && look.is_closed(node);
    fits.then(|| Plan { node, op: op.to_owned(), x, axes, keep })
}

/// A reduction, or a pooling of whole images, whose axes of one element a Reshape, Flatten or Squeeze
/// takes away.
fn dropped(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    /// The poolings, and the reductions that they are.
    const POOLS: &[(&str, &str)] =
        &[("GlobalAveragePool", "ReduceMean"), ("GlobalMaxPool", "ReduceMax")];
    let look = Look::new(model, shapes);
    let entry = model.node(node);
    let kind = ["Flatten", "Reshape", "Squeeze"].iter().any(|op| entry.is(op));
    let (reduced, y) = (entry.input(0).filter(|_| kind)?, entry.only_output()?);
    let op = model.node(model.value(reduced).producer()?).op();
    let (op, x, axes) = match POOLS.iter().find(|(pool, _)| *pool == op) {
        Some((pool, op)) => {
            let x = look.operand(reduced, pool)?;
            (*op, x, (2..shapes.rank(x)?).collect())
        }
        None if op.starts_with("Reduce") => {
            let (x, axes) = look.kept_reduction(reduced, op)?;
            (op, x, axes)
        }
        None => return None,
    };
    let dims = shapes.dims(x)?.iter().enumerate();
    let rest = dims.filter(|(axis, _)| !axes.contains(axis)).map(|(_, dim)| dim);
    let wanted = shapes.dims(y)?;
    let fits = !axes.is_empty()
        && wanted.iter().all(Term::is_determined)
        && rest.eq(wanted)
        && look.is_closed(node);
    let axes = axes.into_iter().filter_map(|axis| i64::try_from(axis).ok()).collect();
    fits.then(|| Plan { node, op: op.to_owned(), x, axes, keep: 0 })
}

/// `sqrt(sum(x²))`, `sum(x²)`, `sum(|x|)`.
fn norm(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let look = Look::new(model, shapes);
    let entry = model.node(node);
    let y = entry.only_output()?;
    let (sum, root) = match entry.op() {
        "Sqrt" => (look.operand(y, "Sqrt")?, true),
        "ReduceSum" => (y, false),
        _ => return None,
    };
    let reduction = look.made_by(sum, "ReduceSum")?;
    let axes = look.reduced(reduction)?;
    let inner = reduction.input(0)?;
    let (op, x) = match (look.operand(inner, "Abs"), root) {
        (Some(x), false) => ("ReduceL1", x),
        (Some(_), true) => return None,
        (None, true) => ("ReduceL2", look.square(inner)?),
        (None, false) => {
            // The square root behind it makes it a ReduceL2.
            let next = model.value(y).only_consumer().map(|(user, _)| model.node(user));
            if next.is_some_and(|next| next.is("Sqrt")) {
                return None;
            }
            ("ReduceSumSquare", look.square(inner)?)
        }
    };
    let keep = reduction.attr_int("keepdims").unwrap_or(1);
    let axes: Vec<i64> = axes.into_iter().filter_map(|a| i64::try_from(a).ok()).collect();
    let float = shapes.dtype(x).is_some_and(|dtype| dtype.is_float());
    let fits = float && !axes.is_empty() && look.is_closed(node);
    fits.then(|| Plan { node, op: op.to_owned(), x, axes, keep })
}
