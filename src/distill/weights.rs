//! Which constants of a student are trained, and what of them must stay.

use std::collections::BTreeMap;

use crate::analysis::constant;
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Share of zeros from which on those of a weight are taken for cut on purpose.
const SPARSE: f64 = 0.01;
/// Larger numbers stand for "never", as in masks of attention.
const LARGEST: f32 = 1e4;

/// The constants that are trained, with the node that made each one a weight.
pub fn trainable(
    model: &Model,
    wanted: &dyn Fn(NodeId) -> bool,
) -> BTreeMap<ValueId, NodeId> {
    let mut found = BTreeMap::new();
    for (id, node) in model.nodes_of(model.main()) {
        if !wanted(id) {
            continue;
        }
        for (slot, input) in node.inputs().iter().enumerate() {
            let Some(input) = *input else { continue };
            if is_weight_slot(node, slot) && is_weight(model, input) {
                found.entry(input).or_insert(id);
            }
        }
    }
    found
}

/// Inputs of operators that hold what training found.
fn is_weight_slot(node: &Node, slot: usize) -> bool {
    match node.op() {
        "Conv" | "ConvTranspose" => slot == 1 || slot == 2,
        "Gemm" => slot < 3,
        "MatMul" | "Add" | "Mul" | "Sub" | "Div" => slot < 2,
        "BatchNormalization"
        | "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "RMSNormalization"
        | "SimplifiedLayerNormalization" => slot == 1 || slot == 2,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => slot >= 2,
        "BiasGelu" | "FastGelu" | "PRelu" => slot == 1,
        "Gather" => slot == 0,
        _ => false,
    }
}

/// A constant of floats that may be moved: not a single number, nothing infinite or huge.
fn is_weight(model: &Model, value: ValueId) -> bool {
    let Some(tensor) = constant(model, value) else { return false };
    let float = matches!(
        tensor.dtype(),
        DType::Float | DType::Float16 | DType::Bfloat16 | DType::Double
    );
    if !float || tensor.len() < 2 {
        return false;
    }
    let numbers = tensor.to_f32().unwrap_or_default();
    numbers.iter().all(|x| x.abs() <= LARGEST) && numbers.iter().any(|&x| x != numbers[0])
        || tensor.dims().len() == 1 && numbers.iter().all(|x| x.abs() <= LARGEST)
}

/// Which elements of a weight stay 0: all zeros of a matrix that has more than a few, and others, too.
pub fn zeros(tensor: &Tensor, numbers: &[f32]) -> Option<Vec<bool>> {
    let count = numbers.iter().filter(|&&x| x == 0.0).count();
    let share = count as f64 / numbers.len().max(1) as f64;
    let sparse = tensor.dims().len() >= 2 && share >= SPARSE && count < numbers.len();
    sparse.then(|| numbers.iter().map(|&x| x == 0.0).collect())
}
