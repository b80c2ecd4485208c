//! Matrix products.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::einsum::Einsum;
use crate::analysis::shapes::fact::{Dims, Fact, broadcast};
use crate::analysis::shapes::term::Term;
use crate::tensor::DType;

/// The product of two shapes as `numpy.matmul` defines it.
fn product(a: &[Term], b: &[Term]) -> Option<Dims> {
    let (a_batch, a_rows) = match a {
        [] => return None,
        [_] => (&[][..], None),
        [batch @ .., m, _] => (batch, Some(m.clone())),
    };
    let (b_batch, b_columns) = match b {
        [] => return None,
        [_] => (&[][..], None),
        [batch @ .., _, n] => (batch, Some(n.clone())),
    };
    let mut dims = broadcast(a_batch, b_batch);
    dims.extend(a_rows);
    dims.extend(b_columns);
    Some(dims)
}

fn matmul_dims(call: &Call<'_>, a: usize, b: usize) -> Option<Dims> {
    product(call.dims(a)?, call.dims(b)?)
}

/// MatMul.
pub(super) fn matmul(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), matmul_dims(call, 0, 1))
}

/// MatMulInteger.
pub(super) fn matmul_integer(call: &Call<'_>) -> Fact {
    Fact::new(Some(DType::Int32), matmul_dims(call, 0, 1))
}

/// MatMulIntegerToFloat (type of the scale) and DynamicQuantizeMatMul (type of the input).
pub(super) fn matmul_to_float(call: &Call<'_>) -> Fact {
    let dtype = call.dtype(2).filter(|dtype| dtype.is_float());
    Fact::new(dtype.or(call.dtype(0)).filter(|dtype| dtype.is_float()), matmul_dims(call, 0, 1))
}

/// QLinearMatMul: `a, a_scale, a_zero, b, b_scale, b_zero, y_scale, y_zero`.
pub(super) fn qlinear_matmul(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(7).or(call.dtype(0)), matmul_dims(call, 0, 3))
}

/// FusedMatMul: MatMul with the last two axes of an operand swapped on demand.
pub(super) fn fused_matmul(call: &Call<'_>) -> Fact {
    let operand = |slot: usize, flag: &str| {
        let mut dims = call.shape(slot)?;
        let rank = dims.len();
        if call.flag(flag, false) && rank >= 2 {
            dims.swap(rank - 1, rank - 2);
        }
        Some(dims)
    };
    let batches = call.flag("transBatchA", false) || call.flag("transBatchB", false);
    let dims = operand(0, "transA").zip(operand(1, "transB")).filter(|_| !batches);
    Fact::new(call.dtype(0), dims.and_then(|(a, b)| product(&a, &b)))
}

fn gemm_dims(call: &Call<'_>, a: usize, b: usize) -> Option<Dims> {
    let side = |slot: usize, flag: &str, normal: usize| match call.dims(slot) {
        None => Some(Term::Unknown),
        Some(dims @ [_, _]) => {
            Some(dims[if call.flag(flag, false) { 1 - normal } else { normal }].clone())
        }
        Some(_) => None,
    };
    Some(vec![side(a, "transA", 0)?, side(b, "transB", 1)?])
}

/// Gemm and FusedGemm.
pub(super) fn gemm(call: &Call<'_>) -> Fact {
    Fact::new(call.dtype(0), gemm_dims(call, 0, 1))
}

/// QGemm: `a, a_scale, a_zero, b, b_scale, b_zero, c, y_scale, y_zero`; float without `y_scale`.
pub(super) fn qgemm(call: &Call<'_>) -> Fact {
    let dtype = if call.has(7) { call.dtype(8).or(call.dtype(0)) } else { Some(DType::Float) };
    Fact::new(dtype, gemm_dims(call, 0, 3))
}

/// MatMulNBits: a float matrix times packed weights `[N, K]`.
pub(super) fn matmul_nbits(call: &Call<'_>) -> Fact {
    let dims = call.shape(0).and_then(|mut dims| {
        *dims.last_mut()? = call.size("N");
        Some(dims)
    });
    Fact::new(call.dtype(0), dims)
}

/// Einsum.
pub(super) fn einsum(call: &Call<'_>) -> Fact {
    let operands: Option<Vec<&[Term]>> =
        (0..call.node.inputs().len()).map(|slot| call.dims(slot)).collect();
    let dims = operands.and_then(|operands| Einsum::of(call.text("equation", ""), &operands));
    Fact::new(call.dtype(0), dims.map(|einsum| einsum.output))
}

/// Det: a matrix becomes a number.
pub(super) fn determinant(call: &Call<'_>) -> Fact {
    let dims = call.dims(0).and_then(|x| Some(x[..x.len().checked_sub(2)?].to_vec()));
    Fact::new(call.dtype(0), dims)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_follow_numpy() {
        let dims = |dims: &[usize]| dims.iter().copied().map(Term::from).collect::<Dims>();
        let shape = |a: &[usize], b: &[usize]| product(&dims(a), &dims(b));
        assert_eq!(shape(&[2, 3, 4], &[4, 5]), Some(dims(&[2, 3, 5])));
        assert_eq!(shape(&[7, 1, 3, 4], &[6, 4, 5]), Some(dims(&[7, 6, 3, 5])));
        assert_eq!(shape(&[4], &[2, 4, 5]), Some(dims(&[2, 5])));
        assert_eq!(shape(&[2, 3, 4], &[4]), Some(dims(&[2, 3])));
        assert_eq!(shape(&[4], &[4]), Some(vec![]));
        assert_eq!(shape(&[], &[4]), None);
    }
}
