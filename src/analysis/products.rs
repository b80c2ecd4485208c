//! Multiply-accumulates of one layer, and which of its inputs are weights.

use crate::analysis::Shapes;
use crate::analysis::shapes::Einsum;
use crate::ir::{Node, ValueId};

/// What makes the multiply-accumulates of a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Products {
    /// Each output element reads one filter of the weights in this slot.
    Conv(usize),
    /// Each input element is spread over one filter of the weights in slot 1.
    ConvTranspose,
    /// Matrix product of these slots.
    MatMul(usize, usize),
    /// As `MatMul`, for the two matrices of Gemm.
    Gemm(usize, usize),
    /// MatMulNBits: attributes `K` and `N`.
    Packed,
    /// By equation.
    Einsum,
    /// Each step multiplies all weights in slots 1 and 2.
    Recurrent,
}

/// A layer kind: its products, and the slots that hold weights and biases.
pub(super) struct Kind {
    pub products: Products,
    pub weights: &'static [usize],
}

/// What kind of layer a node is; nothing for operators whose multiply-accumulates are not counted.
pub(super) fn kind(node: &Node) -> Option<Kind> {
    use Products::{Conv, ConvTranspose, Einsum, Gemm, MatMul, Packed, Recurrent};
    let standard = |products, weights| Some(Kind { products, weights });
    match (node.is_standard(), node.op()) {
        (true, "Conv") => standard(Conv(1), &[1, 2]),
        (true, "ConvInteger") => standard(Conv(1), &[1]),
        (true, "ConvTranspose") => standard(ConvTranspose, &[1, 2]),
        (_, "QLinearConv") => standard(Conv(3), &[3, 8]),
        (true, "Gemm") => standard(Gemm(0, 1), &[0, 1, 2]),
        (true, "MatMul" | "MatMulInteger") => standard(MatMul(0, 1), &[0, 1]),
        (true, "QLinearMatMul") => standard(MatMul(0, 3), &[0, 3]),
        (true, "Einsum") => standard(Einsum, &[0, 1, 2, 3]),
        (true, "LSTM" | "GRU" | "RNN") => standard(Recurrent, &[1, 2, 3, 7]),
        _ if node.domain() != "com.microsoft" => None,
        (_, "FusedConv") => standard(Conv(1), &[1, 2]),
        (_, "FusedGemm") => standard(Gemm(0, 1), &[0, 1, 2]),
        (_, "QGemm") => standard(Gemm(0, 3), &[0, 3, 6]),
        (_, "FusedMatMul" | "MatMulIntegerToFloat") => standard(MatMul(0, 1), &[0, 1]),
        (_, "DynamicQuantizeMatMul") => standard(MatMul(0, 1), &[0, 1, 4]),
        (_, "MatMulNBits") => standard(Packed, &[1]),
        (_, "DynamicQuantizeLSTM") => standard(Recurrent, &[1, 2, 3, 7]),
        _ => None,
    }
}

/// Whether a node is a layer: an operator whose multiply-accumulates are counted.
pub fn is_layer(node: &Node) -> bool {
    kind(node).is_some()
}

/// Multiply-accumulates of `node`; nothing when an extent they depend on is unknown or they do not
/// fit 64 bits.
pub(super) fn macs(node: &Node, products: Products, shapes: &Shapes) -> Option<u64> {
    let dims = |slot: usize| shapes.fixed_dims(node.input(slot)?);
    let output = || shapes.elements(node.output(0)?);
    let flag = |name: &str| node.attr_int(name).unwrap_or(0) != 0;
    let total = match products {
        Products::Conv(w) => count(dims(w)?.get(1..)?)?.checked_mul(output()?)?,
        Products::ConvTranspose => count(dims(1)?.get(1..)?)?.checked_mul(count(&dims(0)?)?)?,
        Products::MatMul(a, b) => {
            let swapped = flag("transA");
            let depth = depth(shapes, node.input(a)?, if swapped { 2 } else { 1 }).or_else(|| {
                let (b, rank) = (node.input(b)?, shapes.rank(node.input(b)?)?);
                depth(shapes, b, if rank == 1 || flag("transB") { 1 } else { 2 })
            });
            depth?.checked_mul(output()?)?
        }
        Products::Gemm(a, b) => {
            let of_a = || depth(shapes, node.input(a)?, if flag("transA") { 2 } else { 1 });
            let of_b = || depth(shapes, node.input(b)?, if flag("transB") { 1 } else { 2 });
            of_a().or_else(of_b)?.checked_mul(output()?)?
        }
        Products::Packed => usize::try_from(node.attr_int("K")?).ok()?.checked_mul(output()?)?,
        Products::Einsum => {
            let inputs = node.inputs().iter().map(|input| shapes.dims((*input)?));
            let inputs: Vec<_> = inputs.collect::<Option<_>>()?;
            Einsum::of(node.attr_str("equation")?, &inputs)?.products()?
        }
        Products::Recurrent => {
            // Length and batch: both axes before the last, in either layout.
            let x = dims(0)?;
            let steps = count(x.get(..2)?)?;
            steps.checked_mul(count(&dims(1)?)?.checked_add(count(&dims(2)?)?)?)?
        }
    };
    u64::try_from(total).ok()
}

/// The extent that a product sums over: an axis of an operand, counted from the last one.
fn depth(shapes: &Shapes, value: ValueId, from_end: usize) -> Option<usize> {
    let dims = shapes.dims(value)?;
    dims[dims.len().checked_sub(from_end.min(dims.len()).max(1))?].extent()
}

fn count(dims: &[usize]) -> Option<usize> {
    crate::tensor::element_count(dims)
}
