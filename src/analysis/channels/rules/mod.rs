//! Which rule relates the inputs and outputs of which operator.
//!
//! A rule names the axes that carry channels; all others are frozen (`Site::finish`). One that returns
//! nothing found the node in a form that it does not know.

mod attention;
mod convolution;
mod elementwise;
mod index;
mod layout;
mod matrix;
mod mix;
mod normalize;
mod recurrent;

use crate::analysis::channels::reason::Reason;
use crate::analysis::channels::site::{Port, Site};

/// Declares what belongs together; nothing when the rule does not fit the node.
type Rule = fn(&mut Site<'_>) -> Option<()>;

/// Applies the rule for the operator of a node. Without one, all that the node touches is frozen.
pub(super) fn apply(site: &mut Site<'_>) {
    let node = site.node;
    let known = site.model.function_of(node).is_none();
    match rule(node.domain(), node.op()).filter(|_| known) {
        Some(rule) => {
            if rule(site).is_none() {
                freeze_all(site, &Reason::Declined(site.op()));
            }
        }
        None => freeze_all(site, &Reason::Operator(site.op())),
    }
}

/// Freezes all inputs and outputs; bodies read more, which `boundary` freezes.
fn freeze_all(site: &mut Site<'_>, reason: &Reason) {
    for port in site.ports().collect::<Vec<_>>() {
        for axis in 0..site.rank(port).unwrap_or(0) {
            site.freeze((port, axis), reason.clone());
        }
    }
}

#[rustfmt::skip]
fn rule(domain: &str, op: &str) -> Option<Rule> {
    Some(match (domain, op) {
        ("" | "ai.onnx", op) => standard(op)?,
        ("com.microsoft", "Attention") => attention::packed,
        ("com.microsoft", "GroupQueryAttention") => attention::grouped,
        ("com.microsoft", "MultiHeadAttention") => attention::multi_head,
        ("com.microsoft", "BiasGelu" | "FastGelu" | "Gelu" | "QuickGelu") => elementwise::all,
        ("com.microsoft", "FusedConv") => convolution::conv,
        ("com.microsoft", "FusedGemm") => matrix::gemm,
        ("com.microsoft", "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization") => normalize::skip,
        ("com.microsoft", "QuantizeLinear" | "DequantizeLinear") => elementwise::quantize,
        _ => return None,
    })
}

#[rustfmt::skip]
fn standard(op: &str) -> Option<Rule> {
    Some(match op {
        "Abs" | "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BitwiseNot" | "Cast"
        | "CastLike" | "Ceil" | "Celu" | "Clip" | "Cos" | "Cosh" | "Elu" | "Erf" | "Exp" | "Floor"
        | "Gelu" | "HardSigmoid" | "HardSwish" | "Identity" | "IsInf" | "IsNaN" | "LeakyRelu"
        | "Log" | "Mish" | "Neg" | "Not" | "Reciprocal" | "Relu" | "Round" | "Selu" | "Shrink"
        | "Sigmoid" | "Sign" | "Sin" | "Sinh" | "Softplus" | "Softsign" | "Sqrt" | "Swish" | "Tan"
        | "Tanh" | "ThresholdedRelu"
        | "Add" | "And" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div" | "Equal"
        | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" | "Max" | "Mean" | "Min" | "Mod"
        | "Mul" | "Or" | "PRelu" | "Pow" | "Sub" | "Sum" | "Where" | "Xor" | "Dropout" =>
            elementwise::all,
        "DequantizeLinear" | "QuantizeLinear" => elementwise::quantize,

        "Conv" => convolution::conv,
        "ConvTranspose" => convolution::transposed,
        "AveragePool" | "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" | "LpPool"
        | "MaxPool" => convolution::pool,
        "Resize" | "Upsample" => convolution::resize,

        "Gemm" => matrix::gemm,
        "MatMul" => matrix::matmul,
        "Einsum" => matrix::einsum,
        "Attention" => attention::standard,
        "GRU" | "LSTM" | "RNN" => recurrent::recurrent,

        "BatchNormalization" => normalize::batch,
        "GroupNormalization" => normalize::group,
        "InstanceNormalization" => normalize::instance,
        "LayerNormalization" | "RMSNormalization" | "SimplifiedLayerNormalization" => normalize::layer,
        "LRN" => normalize::local_response,

        "Flatten" | "Squeeze" | "Unsqueeze" => layout::form,
        "Reshape" => layout::reshape,
        "Transpose" => layout::transpose,
        "Expand" => layout::expand,
        "Concat" => layout::concat,
        "Split" => layout::split,
        "DepthToSpace" => layout::depth_to_space,
        "SpaceToDepth" => layout::space_to_depth,
        "Pad" => layout::pad,
        "Tile" => layout::tile,

        "Gather" => index::gather,
        "Slice" => index::slice,
        "Shape" => index::shape,
        "Constant" => index::constant,
        "ConstantOfShape" => index::constant_of_shape,

        "Hardmax" | "LogSoftmax" | "Softmax" => mix::softmax,
        "LpNormalization" => mix::along_axis,
        "ArgMax" | "ArgMin" => mix::arg_reduce,
        "CumSum" | "CumProd" => mix::cumulate,
        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean"
        | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => mix::reduce,
        "TopK" => mix::along_axis,
        _ => return None,
    })
}

/// The first input.
const X: Port = Port::In(0);
/// The first output.
const Y: Port = Port::Out(0);
