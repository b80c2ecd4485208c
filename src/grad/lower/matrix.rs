//! Products of matrices.

use crate::analysis::unpacked_matrix;
use crate::grad::Real;
use crate::grad::lower::tensor::Value;
use crate::grad::lower::{Known, Lower};
use crate::grad::op::binary::Function;
use crate::grad::op::matmul::MatMul;
use crate::grad::op::unary::Unary;
use crate::ir::ops::Gemm;
use crate::ir::{Node, NodeId};

/// MatMulNBits has its bias there.
const NBITS_BIAS: usize = 5;

impl<T: Real> Lower<'_, T> {
    pub fn matmul_node(&mut self, node: &Node) -> Known<Value> {
        let (a, b) = (self.input(node, 0)?, self.input(node, 1)?);
        self.matmul(&a, &b)
    }

    /// A product with integers that stay what they are, of ONNX Runtime.
    pub fn packed_product(&mut self, id: NodeId) -> Known<Value> {
        let matrix = unpacked_matrix(self.model, id).ok_or("its weights are no constants")?;
        let node = self.model.node(id);
        let (x, matrix) = (self.input(node, 0)?, self.constant_of(&matrix)?);
        let product = self.matmul(&x, &matrix)?;
        match self.optional(node, NBITS_BIAS)? {
            Some(bias) => self.binary(Function::Add, &product, &bias),
            None => Ok(product),
        }
    }

    /// The product as `MatMul` defines it: of the last two axes, with all others broadcast.
    pub fn matmul(&mut self, a: &Value, b: &Value) -> Known<Value> {
        let (mut a, mut b) = (self.plain(a), self.plain(b));
        if a.rank() == 0 || b.rank() == 0 {
            return Err("its operands have no axes".to_owned());
        }
        let (row, column) = (a.rank() == 1, b.rank() == 1);
        if row {
            a.dims.insert(0, 1);
        }
        if column {
            b.dims.push(1);
        }
        let [.., m, k] = a.dims[..] else { return Err("it has no matrices".to_owned()) };
        let [.., inner, n] = b.dims[..] else { return Err("it has no matrices".to_owned()) };
        if inner != k {
            return Err("its operands do not fit".to_owned());
        }
        let (left, right) = (&a.dims[..a.rank() - 2], &b.dims[..b.rank() - 2]);
        let (batch, mut pairs) = batches(left, right)?;
        let mut rows = m;
        // One matrix on the right: all rows are one matrix on the left.
        if right.iter().product::<usize>() == 1 {
            rows = m * left.iter().product::<usize>();
            pairs = vec![[0, 0]];
        }
        let mut dims = [batch, vec![m, n]].concat();
        let kernel = MatMul { extents: [rows, k, n], turned: [false; 2], pairs };
        let buffer = self.tape.step(kernel, &[a.buffer, b.buffer], dims.iter().product());
        if column {
            dims.pop();
        }
        if row {
            dims.remove(dims.len() - if column { 1 } else { 2 });
        }
        Ok(Value::plain(buffer, &dims, a.dtype))
    }

    pub fn gemm(&mut self, id: NodeId) -> Known<Value> {
        let gemm = Gemm::of(self.model, id).ok_or("it is not well-formed")?;
        let (a, b) = (self.get(gemm.a)?, self.get(gemm.b)?);
        let (a, b) = (self.plain(&a), self.plain(&b));
        let (&[a0, a1], &[b0, b1]) = (&a.dims[..], &b.dims[..]) else {
            return Err("its operands are no matrices".to_owned());
        };
        let (m, k) = if gemm.trans_a { (a1, a0) } else { (a0, a1) };
        let n = if gemm.trans_b { b0 } else { b1 };
        let pairs = vec![[0, 0]];
        let kernel = MatMul { extents: [m, k, n], turned: [gemm.trans_a, gemm.trans_b], pairs };
        let buffer = self.tape.step(kernel, &[a.buffer, b.buffer], m * n);
        let mut result = Value::plain(buffer, &[m, n], a.dtype);
        if gemm.alpha != 1.0 {
            result = self.unary(Unary::Scale(f64::from(gemm.alpha)), &result);
        }
        if let Some(bias) = gemm.c.filter(|_| gemm.beta != 0.0) {
            let mut bias = self.get(bias)?;
            if gemm.beta != 1.0 {
                bias = self.unary(Unary::Scale(f64::from(gemm.beta)), &bias);
            }
            result = self.binary(Function::Add, &result, &bias)?;
        }
        Ok(result)
    }
}

/// The broadcast of leading axes, and which matrices meet.
fn batches(left: &[usize], right: &[usize]) -> Known<(Vec<usize>, Vec<[usize; 2]>)> {
    let rank = left.len().max(right.len());
    let padded = |dims: &[usize]| [vec![1; rank - dims.len()], dims.to_vec()].concat();
    let (left, right) = (padded(left), padded(right));
    let mut batch = Vec::with_capacity(rank);
    for (&l, &r) in left.iter().zip(&right) {
        if l != r && l != 1 && r != 1 {
            return Err("its operands have different extents".to_owned());
        }
        batch.push(if l == 1 { r } else { l });
    }
    let pairs = (0..batch.iter().product()).map(|at: usize| {
        let index = |dims: &[usize]| {
            let (mut rest, mut place, mut stride) = (at, 0, 1);
            for axis in (0..rank).rev() {
                let i = rest % batch[axis];
                rest /= batch[axis];
                place += if dims[axis] == 1 { 0 } else { i * stride };
                stride *= dims[axis];
            }
            place
        };
        [index(&left), index(&right)]
    });
    let pairs = pairs.collect();
    Ok((batch, pairs))
}
