//! Which constants an engine may compute. Nobody checks a constant later: what computed it also runs the model before
//! and after. `tests/peers/check_constants.py` compares every operator of the table with ONNX Runtime, on the node
//! tests of ONNX and on numbers that are hard to compute with.

use crate::ir::Node;
use crate::tensor::{DType, Tensor};

/// Operators that were found to be computed rightly, of finite numbers.
const OPERATORS: &[&str] = &[
    // Of each element.
    "Abs Acos Acosh Add Asin Asinh Atan Atanh Ceil Celu Clip Cos Cosh Div Elu Erf Exp Floor Gelu",
    "HardSigmoid HardSwish LeakyRelu Log Max Mean Min Mish Mod Mul Neg PRelu Pow Reciprocal Relu Round",
    "Selu Shrink Sigmoid Sign Sin Sinh Softplus Softsign Sqrt Sub Sum Tan Tanh ThresholdedRelu",
    // Yes and no.
    "And BitwiseAnd BitwiseNot BitwiseOr BitwiseXor Equal Greater GreaterOrEqual Less LessOrEqual Not Or",
    "Where Xor",
    // Along axes.
    "ArgMax ArgMin CumSum LogSoftmax ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean",
    "ReduceMin ReduceProd ReduceSum ReduceSumSquare Softmax TopK",
    // Products, and what is pooled or normalized.
    "AveragePool BatchNormalization Conv ConvTranspose Einsum Gemm GlobalAveragePool GlobalMaxPool",
    "GroupNormalization InstanceNormalization LayerNormalization LpNormalization MatMul MaxPool",
    "MeanVarianceNormalization RMSNormalization",
    // Elements in other places.
    "Cast CastLike Compress Concat ConstantOfShape DepthToSpace Expand EyeLike Flatten Gather",
    "GatherElements GatherND Identity NonZero OneHot Pad Range Reshape Resize Scatter ScatterElements",
    "ScatterND Shape Size Slice SpaceToDepth Split Squeeze Tile Transpose Trilu Unsqueeze",
    // Of numbers alone.
    "BlackmanWindow HammingWindow HannWindow",
];

/// Reductions that are computed of integers, too.
const OF_INTEGERS: &[&str] =
    &["ReduceMax", "ReduceMin", "ReduceProd", "ReduceSum", "ReduceSumSquare"];

/// Whether a node of constants is computed.
#[derive(Debug, PartialEq)]
pub(super) enum Trust {
    /// By the engine.
    Yes,
    /// By dropping fractions: a cast of floats, all in the range of these integers.
    Cast(DType),
    /// Why it is not.
    No(String),
}

/// Whether the result of `node` on these inputs is the same everywhere, as far as can be told before.
pub(super) fn trust(node: &Node, inputs: &[Option<Tensor>]) -> Trust {
    let op = node.op();
    let no = |reason: &str| Trust::No(reason.to_owned());
    if !node.is_standard()
        || !OPERATORS.iter().flat_map(|line| line.split(' ')).any(|known| known == op)
    {
        return Trust::No(format!(
            "{op} of constants is not computed: engines were not found to agree"
        ));
    }
    let tensors = || inputs.iter().flatten();
    if !tensors().all(is_finite) {
        return no("one of its inputs has a NaN or an infinity; engines differ in those");
    }
    let first = tensors().next().map(Tensor::dtype);
    let floats = first.is_some_and(DType::is_float);
    match op {
        "Cast" | "CastLike" if floats => cast(node, inputs).unwrap_or(Trust::Yes),
        "Pow" if tensors().any(|tensor| Some(tensor.dtype()) != first || !floats) => {
            no("powers of integers, or of two types, are not computed")
        }
        _ if op.starts_with("Reduce") && !floats && !OF_INTEGERS.contains(&op) => {
            no("this reduction is not computed of integers")
        }
        _ => Trust::Yes,
    }
}

/// What comes of a cast of floats; `None` when it is none to integers.
fn cast(node: &Node, inputs: &[Option<Tensor>]) -> Option<Trust> {
    let to = match node.attr_int("to") {
        Some(to) => DType::from_onnx(i32::try_from(to).ok()?)?,
        None => inputs.get(1)?.as_ref()?.dtype(),
    };
    let (low, high) = to.integer_range()?;
    let numbers = inputs.first()?.as_ref()?.to_f64().ok()?;
    // Bounds in double precision are those of the type, but for the highest of 64 bits, which is rounded up.
    let within = |x: f64| x.trunc() >= low as f64 && x.trunc() < high as f64 + 1.0;
    Some(if numbers.into_iter().all(within) {
        Trust::Cast(to)
    } else {
        Trust::No(format!(
            "a number is out of the range of {to}; engines differ in what it becomes"
        ))
    })
}

/// Whether a tensor holds no NaN and no infinity.
pub(super) fn is_finite(tensor: &Tensor) -> bool {
    !tensor.dtype().is_float() || tensor.to_f64().is_ok_and(|x| x.iter().all(|x| x.is_finite()))
}

/// The inputs in double precision; `None` when they have no floats.
pub(super) fn widened(inputs: &[Option<Tensor>]) -> Option<Vec<Option<Tensor>>> {
    let narrow = |dtype: DType| dtype.is_float() && dtype != DType::Double;
    inputs.iter().flatten().any(|tensor| narrow(tensor.dtype())).then_some(())?;
    let wide = inputs.iter().map(|input| match input {
        Some(tensor) if narrow(tensor.dtype()) => doubles(tensor).map(Some),
        other => Some(other.clone()),
    });
    wide.collect()
}

fn doubles(tensor: &Tensor) -> Option<Tensor> {
    let numbers = tensor.to_f64().ok()?;
    let bytes: Vec<u8> = numbers.into_iter().flat_map(f64::to_le_bytes).collect();
    Tensor::new(DType::Double, tensor.dims().to_vec(), bytes.into()).ok()
}

/// Whether `found` is what double precision gave, but for the rounding of its own type.
pub(super) fn confirms(wide: &Tensor, found: &Tensor) -> bool {
    if found.dims() != wide.dims() {
        return false;
    }
    if !found.dtype().is_float() {
        return found.dtype() == wide.dtype() && found.bytes() == wide.bytes();
    }
    let (Ok(found_numbers), Ok(wide)) = (found.to_f64(), wide.to_f64()) else { return false };
    let step = match found.dtype() {
        DType::Double => f64::EPSILON,
        DType::Float => f64::from(f32::EPSILON),
        DType::Float16 => 1.0 / 1024.0,
        // Seven bits of bfloat16.
        _ => 1.0 / 128.0,
    };
    let largest = wide.iter().fold(0.0f64, |most, x| most.max(x.abs()));
    found_numbers
        .iter()
        .zip(&wide)
        .all(|(x, w)| (x - w).abs() <= step * (OF_ITSELF * w.abs() + OF_THE_LARGEST * largest))
}

/// Steps of the type by which a result may differ for its own size, after a function that is approximated.
const OF_ITSELF: f64 = 16.0;

/// Steps for the size of the largest result: sums cancel.
const OF_THE_LARGEST: f64 = 4.0;
