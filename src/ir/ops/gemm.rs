//! Gemm.

use crate::ir::{Model, NodeId, ValueId};

/// `Y = alpha · op(A) · op(B) + beta · C`.
#[derive(Debug, Clone, PartialEq)]
pub struct Gemm {
    /// Left matrix `[M, K]`, or `[K, M]` when `trans_a`.
    pub a: ValueId,
    /// Right matrix `[K, N]`, or `[N, K]` when `trans_b`.
    pub b: ValueId,
    /// Bias, broadcast to `[M, N]`.
    pub c: Option<ValueId>,
    /// Output `[M, N]`.
    pub y: ValueId,
    /// Factor of the product; 1 by default.
    pub alpha: f32,
    /// Factor of the bias; 1 by default.
    pub beta: f32,
    /// The left matrix is transposed.
    pub trans_a: bool,
    /// The right matrix is transposed.
    pub trans_b: bool,
}

impl Gemm {
    /// The view, when `node` is a well-formed Gemm.
    pub fn of(model: &Model, node: NodeId) -> Option<Self> {
        let n = model.node(node);
        if !n.is("Gemm") {
            return None;
        }
        Some(Self {
            a: n.input(0)?,
            b: n.input(1)?,
            c: n.input(2),
            y: n.only_output()?,
            alpha: n.attr_float("alpha").unwrap_or(1.0),
            beta: n.attr_float("beta").unwrap_or(1.0),
            trans_a: n.attr_int("transA").unwrap_or(0) != 0,
            trans_b: n.attr_int("transB").unwrap_or(0) != 0,
        })
    }

    /// The axis of `b` that counts the output columns.
    pub fn output_axis(&self) -> usize {
        usize::from(!self.trans_b)
    }
}
