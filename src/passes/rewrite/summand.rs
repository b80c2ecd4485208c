//! What stands behind a product that has no bias of its own: an Add.

use crate::analysis::constant;
use crate::ir::ops::Gemm;
use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::tensor::Tensor;

/// What is added behind a product.
pub(in crate::passes) enum Summand {
    Value(ValueId),
    /// Another tensor in the place of a constant.
    Constant(ValueId, Tensor),
    /// A value times a factor.
    Scaled(ValueId, f32),
}

impl Summand {
    /// `beta · C` of a Gemm; nothing when it has no `C`.
    pub fn of_gemm(model: &Model, gemm: &Gemm) -> Option<Self> {
        gemm.c.map(|c| match constant(model, c) {
            _ if gemm.beta == 1.0 => Self::Value(c),
            Some(tensor) => {
                let numbers = tensor.to_f32().unwrap_or_default();
                let numbers: Vec<f32> = numbers.iter().map(|x| x * gemm.beta).collect();
                let scaled = Tensor::from_f32_as(tensor.dtype(), tensor.dims(), &numbers);
                scaled.map_or(Self::Scaled(c, gemm.beta), |scaled| Self::Constant(c, scaled))
            }
            None => Self::Scaled(c, gemm.beta),
        })
    }

    /// The value to be added in front of `reader`, which reads the bias now.
    pub fn value(self, model: &mut Model, reader: NodeId) -> ValueId {
        match self {
            Self::Value(value) => value,
            Self::Constant(old, tensor) => replaced(model, old, reader, tensor),
            Self::Scaled(value, factor) => {
                let graph = model.node(reader).graph();
                let name = format!("{}_scaled", model.value(value).name());
                let factor = Tensor::from_f32(&[], &[factor]);
                let factor = model.add_initializer(model.main(), "factor", factor);
                let node = NewNode::new("Mul", &[value, factor], &name);
                let node = NewNode { name: String::new(), ..node };
                let node = model.add_node(graph, At::Before(reader), node);
                model.node(node).only_output().unwrap_or(value)
            }
        }
    }
}

/// A constant in the place of the one that `reader` reads; the same value when nobody else reads it.
fn replaced(model: &mut Model, old: ValueId, reader: NodeId, tensor: Tensor) -> ValueId {
    let entry = model.value(old);
    let alone = entry.only_consumer().is_some_and(|(node, _)| node == reader);
    if alone && entry.initializer().is_some() {
        model.set_tensor(old, tensor);
        return old;
    }
    let name = entry.name().to_owned();
    model.add_initializer(model.main(), &name, tensor)
}
