//! `fuse-gemm`: see `docs/passes/fuse-gemm.md`.

use crate::analysis::{Shapes, Term};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::{Match, Promise, Rule};
use crate::tensor::DType;

/// Makes a Gemm of a MatMul of two matrices and the Add behind it.
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseGemm;

/// The two nodes, the value that is added, and the results.
pub struct Plan {
    product: NodeId,
    sum: NodeId,
    bias: ValueId,
    from: ValueId,
    to: ValueId,
}

impl Rule for FuseGemm {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-gemm"
    }

    fn summary(&self) -> &'static str {
        "Makes a Gemm of a MatMul of two matrices and the Add behind it."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn find(&self, model: &Model, sum: NodeId, shapes: &Shapes) -> Match<Plan> {
        let entry = model.node(sum);
        // Before operator set 7 operands did not broadcast by position.
        if !entry.is("Add") || model.opset_in_force() < 7 {
            return Match::No;
        }
        let (Some(a), Some(b), Some(from)) = (entry.input(0), entry.input(1), entry.only_output())
        else {
            return Match::No;
        };
        let plan = |to: ValueId, bias: ValueId| {
            let product = model.value(to).producer().filter(|&p| model.node(p).is("MatMul"))?;
            let same_graph = model.node(product).graph() == entry.graph();
            let fits = same_graph
                && to != bias
                && model.value(to).only_consumer().is_some()
                && model.can_substitute(from, to)
                // What is added must be known when the product is computed.
                && model.value(bias).producer().is_none()
                && matrices(model, shapes, product)
                && broadcasts(model, shapes, bias, product);
            fits.then_some(Plan { product, sum, bias, from, to })
        };
        plan(a, b).or_else(|| plan(b, a)).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        model.substitute(plan.from, plan.to);
        model.remove_node(plan.sum);
        model.set_op(plan.product, "Gemm");
        model.set_input(plan.product, 2, Some(plan.bias));
        format!("became a Gemm with {}", model.label(plan.product))
    }
}

/// Both operands are floating-point matrices.
fn matrices(model: &Model, shapes: &Shapes, product: NodeId) -> bool {
    let matrix = |slot: usize| {
        let Some(value) = model.node(product).input(slot) else { return false };
        let float = matches!(
            shapes.dtype(value),
            Some(DType::Float | DType::Double | DType::Float16 | DType::Bfloat16)
        );
        float && shapes.rank(value) == Some(2)
    };
    matrix(0) && matrix(1)
}

/// `bias` broadcasts to the product's `[M, N]`, and does not make it larger.
fn broadcasts(model: &Model, shapes: &Shapes, bias: ValueId, product: NodeId) -> bool {
    let Some(output) = model.node(product).only_output() else { return false };
    let (Some(bias), Some([rows, columns])) = (shapes.dims(bias), shapes.dims(output)) else {
        return false;
    };
    let fits =
        |own: &Term, whole: &Term| *own == Term::ONE || (own.is_determined() && own == whole);
    match bias {
        [] => true,
        [n] => fits(n, columns),
        [m, n] => fits(m, rows) && fits(n, columns),
        _ => false,
    }
}
