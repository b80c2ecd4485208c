//! Which constants of a student are trained, and what of them must stay.

use std::collections::BTreeMap;

use crate::analysis::constant;
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Share of zeros from which on those of a weight are taken for cut on purpose.
const SPARSE: f64 = 0.01;
/// Larger numbers stand for "never", as in masks of attention.
const LARGEST: f32 = 1e4;

/// What a constant is to the optimizer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// Numbers like any others.
    Weight,
    /// Integers of a grid.
    Integers,
    /// What integers are multiplied with: it keeps its sign.
    Scale,
}

/// The constants that are trained.
pub fn trainable(model: &Model, wanted: &dyn Fn(NodeId) -> bool) -> BTreeMap<ValueId, Role> {
    let mut found = BTreeMap::new();
    // Biases of integer kernels are counted in the product of two scales, which must stay what it is.
    let tied = model.nodes_of(model.main()).any(|(_, node)| {
        let integers = node.input(0).and_then(|input| constant(model, input));
        node.is("DequantizeLinear") && integers.is_some_and(|t| t.dtype() == DType::Int32)
    });
    for (id, node) in model.nodes_of(model.main()) {
        if !wanted(id) && !is_integer_form(model, node) {
            continue;
        }
        for (slot, input) in node.inputs().iter().enumerate() {
            let Some(input) = *input else { continue };
            if is_integers(model, node, slot) && reaches(model, node, wanted) {
                found.entry(input).or_insert(Role::Integers);
            } else if is_scale(model, node, slot) {
                if !tied && is_weight(model, input) && reaches(model, node, wanted) {
                    found.entry(input).or_insert(Role::Scale);
                }
            } else if wanted(id) && is_weight_slot(node, slot) && is_weight(model, input) {
                found.entry(input).or_insert(Role::Weight);
            }
        }
    }
    found
}

/// Most nodes between integers and the layer that reads them.
const REACH: usize = 6;

/// Whether a layer that is wanted reads what a node makes of integers.
fn reaches(model: &Model, node: &Node, wanted: &dyn Fn(NodeId) -> bool) -> bool {
    fn go(model: &Model, node: &Node, wanted: &dyn Fn(NodeId) -> bool, left: usize) -> bool {
        let outputs = node.outputs().iter().flatten();
        outputs.flat_map(|&output| model.value(output).consumers()).any(|(next, slot)| {
            let entry = model.node(next);
            let layer =
                matches!(entry.op(), "Conv" | "ConvTranspose" | "Gemm" | "MatMul" | "Gather");
            match layer {
                true => wanted(next) && is_weight_slot(entry, slot),
                false => left > 0 && go(model, entry, wanted, left - 1),
            }
        })
    }
    go(model, node, wanted, REACH)
}

/// A node that makes floats of integers that are constants.
fn is_integer_form(model: &Model, node: &Node) -> bool {
    (0..node.inputs().len())
        .any(|slot| is_integers(model, node, slot) || is_scale(model, node, slot))
}

/// Integers of few bits that a node makes floats of.
fn is_integers(model: &Model, node: &Node, slot: usize) -> bool {
    if slot != 0 || !(node.is("DequantizeLinear") || node.is("Cast")) {
        return false;
    }
    let to_float = node.attr_int("to").is_none_or(|to| to == i64::from(DType::Float.to_onnx()));
    let tensor = node.input(0).and_then(|input| constant(model, input));
    to_float
        && tensor
            .is_some_and(|t| t.dtype().is_integer() && t.dtype().bits() <= 8 && t.dims().len() > 1)
}

/// What integers are multiplied with.
fn is_scale(model: &Model, node: &Node, slot: usize) -> bool {
    if node.is("DequantizeLinear") {
        return slot == 1 && is_integers(model, node, 0);
    }
    let other = match slot {
        0 | 1 => node.input(1 - slot),
        _ => None,
    };
    let producer = other.and_then(|other| model.value(other).producer());
    let Some(mut producer) = producer.map(|producer| model.node(producer)) else { return false };
    if producer.is("Sub")
        && let Some(before) = producer.input(0).and_then(|input| model.value(input).producer())
    {
        producer = model.node(before);
    }
    node.is("Mul") && producer.is("Cast") && is_integers(model, producer, 0)
}

/// Inputs of operators that hold what training found.
fn is_weight_slot(node: &Node, slot: usize) -> bool {
    match node.op() {
        "Conv" | "ConvTranspose" => slot == 1 || slot == 2,
        "Gemm" => slot < 3,
        "LSTM" | "GRU" => (1..4).contains(&slot),
        "MatMul" | "Add" | "Mul" | "Sub" | "Div" => slot < 2,
        "BatchNormalization"
        | "LayerNormalization"
        | "InstanceNormalization"
        | "GroupNormalization"
        | "RMSNormalization"
        | "SimplifiedLayerNormalization" => slot == 1 || slot == 2,
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" => slot >= 2,
        "BiasGelu" | "FastGelu" | "PRelu" => slot == 1,
        "MatMulNBits" => slot == 5,
        "Gather" => slot == 0,
        _ => false,
    }
}

/// A constant of floats that may be moved: not a single number, nothing infinite or huge.
fn is_weight(model: &Model, value: ValueId) -> bool {
    let Some(tensor) = constant(model, value) else { return false };
    let float =
        matches!(tensor.dtype(), DType::Float | DType::Float16 | DType::Bfloat16 | DType::Double);
    if !float || tensor.len() < 2 {
        return false;
    }
    let numbers = tensor.to_f32().unwrap_or_default();
    numbers.iter().all(|x| x.abs() <= LARGEST) && numbers.iter().any(|&x| x != numbers[0])
        || tensor.dims().len() == 1 && numbers.iter().all(|x| x.abs() <= LARGEST)
}

/// Share of zeros from which on integers of few and of more bits are cut: those that are not have fewer.
const SPARSE_INTEGERS: [(usize, f64); 2] = [(3, 0.9), (8, 0.5)];

/// Which elements of a weight stay 0: all zeros of a matrix that has more than a few, and others, too.
pub fn zeros(tensor: &Tensor, numbers: &[f32]) -> Option<Vec<bool>> {
    let count = numbers.iter().filter(|&&x| x == 0.0).count();
    let share = count as f64 / numbers.len().max(1) as f64;
    let integers = SPARSE_INTEGERS.iter().find(|(bits, _)| tensor.dtype().bits() <= *bits);
    let least = match integers {
        Some(&(_, least)) if tensor.dtype().is_integer() => least,
        _ => SPARSE,
    };
    let sparse = tensor.dims().len() >= 2 && share >= least && count < numbers.len();
    sparse.then(|| numbers.iter().map(|&x| x == 0.0).collect())
}
