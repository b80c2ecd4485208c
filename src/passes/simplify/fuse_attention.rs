//! `fuse-attention`: see `docs/passes/fuse-attention.md`.

use crate::analysis::Shapes;
use crate::ir::{At, AttrValue, Attribute, Model, NewNode, NodeId, ValueId};
use crate::passes::rewrite::look::Look;
use crate::passes::{Match, Promise, Rule};
use crate::tensor::DType;

/// Makes an Attention of `softmax(scale · Q·Kᵀ + mask) · V`, where the operator set has it (23).
#[derive(Debug, Clone, Copy, Default)]
pub struct FuseAttention;

/// The last product and the parts of the attention, each `[N, heads, length, depth]`.
pub struct Plan {
    node: NodeId,
    q: ValueId,
    /// What Kᵀ is made of, with the order that makes K of it.
    k: (ValueId, Vec<i64>),
    v: ValueId,
    mask: Option<ValueId>,
    scale: f32,
}

const SINCE: i64 = 23;

impl Rule for FuseAttention {
    type Plan = Plan;

    fn name(&self) -> &'static str {
        "fuse-attention"
    }

    fn summary(&self) -> &'static str {
        "Makes an Attention of its decomposed form."
    }

    fn promise(&self) -> Promise {
        Promise::Rounding
    }

    fn reach(&self) -> usize {
        /// Transpose, MatMul, Mul, Add, Softmax, MatMul.
        const LONGEST: usize = 6;
        LONGEST
    }

    fn find(&self, model: &Model, node: NodeId, shapes: &Shapes) -> Match<Plan> {
        if model.opset_in_force() < SINCE {
            return Match::No;
        }
        plan(model, node, shapes).map_or(Match::No, Match::Yes)
    }

    fn apply(&self, model: &mut Model, plan: Plan) -> String {
        let (graph, name) =
            (model.node(plan.node).graph(), model.node(plan.node).name().to_owned());
        let (source, perm) = plan.k;
        let transpose = NewNode::new("Transpose", &[source], &format!("{name}_key"));
        let transpose = transpose.attr("perm", AttrValue::Ints(perm));
        let key = model.add_node(graph, At::Before(plan.node), transpose);
        let inputs = [Some(plan.q), model.node(key).output(0), Some(plan.v), plan.mask];
        let count = if plan.mask.is_some() { 4 } else { 3 };
        let scale = Attribute::new("scale", AttrValue::Float(plan.scale));
        model.turn_into(plan.node, "", "Attention", &inputs[..count], vec![scale]);
        "became Attention with the nodes before it".into()
    }
}

fn plan(model: &Model, node: NodeId, shapes: &Shapes) -> Option<Plan> {
    let look = Look::new(model, shapes);
    let [weights, v] = look.operands(model.node(node).only_output()?, "MatMul")?;
    let softmax = look.made_by(weights, "Softmax")?;
    let scores = softmax.input(0)?;
    if !matches!(softmax.attr_int("axis").unwrap_or(-1), -1 | 3) || shapes.rank(v) != Some(4) {
        return None;
    }
    let (scores, mask) = match look.operands(scores, "Add") {
        Some([a, b]) => {
            let (a, b) = if product_of(&look, a) { (a, b) } else { (b, a) };
            (a, Some(b))
        }
        None => (scores, None),
    };
    let product = look.product(scores);
    let &[product_value] = &product.others[..] else { return None };
    let [q, key] = look.operands(product_value, "MatMul")?;
    let (q, q_scale) = scaled(&look, q)?;
    let (key, k_scale) = scaled(&look, key)?;
    let transpose = look.made_by(key, "Transpose")?;
    let perm = transpose.attr_ints("perm").filter(|perm| perm.len() == 4)?;
    let source = transpose.input(0)?;
    let heads = |value: ValueId| shapes.dims(value)?.get(1)?.known();
    let float =
        matches!(shapes.dtype(q)?, DType::Float | DType::Float16 | DType::Bfloat16 | DType::Double);
    let same_heads = heads(q).is_some() && heads(q) == heads(key) && heads(q) == heads(v);
    let rank4 = [q, key, source].iter().all(|&value| shapes.rank(value) == Some(4));
    let mask_fits = mask.is_none_or(|mask| {
        shapes.dtype(mask) == shapes.dtype(q)
            && shapes.rank(mask).is_some_and(|rank| (2..=4).contains(&rank))
    });
    if !float || !same_heads || !rank4 || !mask_fits || !look.is_closed(node) {
        return None;
    }
    let perm = vec![perm[0], perm[1], perm[3], perm[2]];
    let scale = product.scalar * q_scale * k_scale;
    (scale > 0.0).then_some(Plan { node, q, k: (source, perm), v, mask, scale: scale as f32 })
}

/// Whether `value` is a product of matrices, perhaps scaled.
fn product_of(look: &Look<'_>, value: ValueId) -> bool {
    let look = Look::new(look.model, look.shapes);
    matches!(look.product(value).others[..], [inner] if look.operands(inner, "MatMul").is_some())
}

/// `value` without constant factors.
fn scaled(look: &Look<'_>, value: ValueId) -> Option<(ValueId, f64)> {
    let product = look.product(value);
    match product.others[..] {
        [inner] => Some((inner, product.scalar)),
        _ => None,
    }
}
