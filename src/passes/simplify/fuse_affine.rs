//! `fuse-affine`: see `docs/passes/fuse-affine.md`.

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::rewrite::linear::{Absorbed, Affine, Layer, adjacent, along};
use crate::passes::{Match, Promise, Rule};

/// Folds a constant that is added, subtracted, multiplied or divided by, into the layer before it
/// (Conv, ConvTranspose, Gemm, MatMul, BatchNormalization, LayerNormalization, RMSNormalization).
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseAffine;

/// The new parameters and where they go.
pub struct Plan {
    node: NodeId,
    output: ValueId,
    input: ValueId,
    absorbed: Absorbed,
}

impl Rule for FuseAffine {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-affine"
    }

    fn summary(&self) -> &'static str {
        "Folds Add, Sub, Mul and Div by constants into the layer before them."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(node);
        let kind = ["Add", "Sub", "Mul", "Div"].iter().any(|op| entry.is(op));
        let (true, Some(a), Some(b)) = (kind, entry.input(0), entry.input(1)) else {
            return Match::No;
        };
        let sides = [(a, b, false), (b, a, true)];
        let found = sides.into_iter().find_map(|(x, other, swapped)| {
            let layer = Layer::of(model, model.value(x).producer()?)?;
            constant(model, other).map(|_| (layer, other, swapped))
        });
        let Some((layer, other, swapped)) = found else { return Match::No };
        // A constant divided by a layer is not affine; before operator set 7 operands did not
        // broadcast by position.
        if (swapped && entry.is("Div")) || model.opset_in_force() < 7 {
            return Match::No;
        }
        let Some(output) = entry.only_output() else { return Match::No };
        let Some(rank) = shapes.rank(layer.y) else { return Match::No };
        let values = match along(model, other, layer.axis, rank, layer.channels) {
            Ok(values) => values,
            Err(_) => return Match::No,
        };
        let Some(affine) = affine(entry.op(), swapped, values) else { return Match::No };
        let input = layer.y;
        // MatMul has no place for an offset: that is no pattern to be refused.
        let offset = affine.offset.iter().any(|&x| x != 0.0);
        if offset && model.value(input).producer().is_some_and(|p| model.node(p).is("MatMul")) {
            return Match::No;
        }
        let plan =
            adjacent(model, &layer, node, output).and_then(|()| layer.absorb(model, &affine));
        plan.map(|absorbed| Plan { node, output, input, absorbed }).into()
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let place = plan.absorbed.apply(model);
        model.substitute(plan.output, plan.input);
        model.remove_node(plan.node);
        format!("folded into {place}")
    }
}

/// What the operator does to the layer's output when the other operand is `values`.
fn affine(op: &str, swapped: bool, values: Vec<f64>) -> Option<Affine> {
    let constant = |x: f64| vec![x; values.len()];
    Some(match (op, swapped) {
        ("Add", _) => Affine { factor: constant(1.0), offset: values },
        ("Sub", false) => {
            Affine { factor: constant(1.0), offset: values.into_iter().map(|x| -x).collect() }
        }
        ("Sub", true) => Affine { factor: constant(-1.0), offset: values },
        ("Mul", _) => Affine { offset: constant(0.0), factor: values },
        ("Div", false) => {
            Affine { offset: constant(0.0), factor: values.into_iter().map(|x| 1.0 / x).collect() }
        }
        _ => return None,
    })
}
