//! What is known about a value without running the model: its extents and its element type.

use std::collections::HashSet;

use crate::analysis::constant;
use crate::ir::{Model, Node, TensorType, ValueId, ValueType};
use crate::tensor::DType;

/// Operators of which all inputs and the first output have one element type.
const ONE_TYPE: &str = "Abs Acos Acosh Add Asin Asinh Atan Atanh AveragePool Ceil Celu Clip Concat \
    Conv ConvTranspose Cos Cosh DepthToSpace Det Div Elu Erf Exp Flatten Floor Gelu Gemm \
    GlobalAveragePool GlobalLpPool GlobalMaxPool GroupNormalization HardSigmoid HardSwish Hardmax \
    Identity InstanceNormalization LRN LayerNormalization LeakyRelu Log LogSoftmax LpNormalization \
    LpPool MatMul Max MaxPool Mean MeanVarianceNormalization Min Mish Mod Mul Neg PRelu Reciprocal \
    Relu Round Selu Shrink Sigmoid Sign Sin Sinh Softmax Softplus Softsign SpaceToDepth Sqrt Sub \
    Sum Tan Tanh ThresholdedRelu Transpose";

/// Operators of which the first input and the first output have one element type.
const TYPE_OF_FIRST: &str = "BatchNormalization Compress CumSum Dropout Expand Gather \
    GatherElements GatherND GridSample GRU LSTM Pad Pow ReduceL1 ReduceL2 ReduceLogSum \
    ReduceLogSumExp ReduceMax ReduceMean ReduceMin ReduceProd ReduceSum ReduceSumSquare Reshape \
    Resize ReverseSequence RNN RoiAlign Scatter ScatterElements ScatterND Slice Split Squeeze Tile \
    TopK Trilu Unsqueeze Upsample";

/// The extent of each axis, `None` where it is no number; `None` when not even the rank is known.
pub(super) fn dims(model: &Model, value: ValueId) -> Option<Vec<Option<usize>>> {
    if let Some(dims) = declared(model, value).find_map(|ty| ty.dims.as_ref()) {
        return Some(dims.iter().map(|dim| dim.fixed()).collect());
    }
    Some(constant(model, value)?.dims().iter().map(|&dim| Some(dim)).collect())
}

/// True when the value is known to have no elements.
pub(super) fn is_empty(model: &Model, value: ValueId) -> bool {
    dims(model, value).is_some_and(|dims| dims.contains(&Some(0)))
}

/// The element type: declared, of the tensor itself, or that of a value it must share it with.
pub(super) fn dtype(model: &Model, value: ValueId) -> Option<DType> {
    let mut pending = vec![value];
    let mut seen = HashSet::new();
    while let Some(value) = pending.pop() {
        if !seen.insert(value) {
            continue;
        }
        if let Some(ty) = declared(model, value).next() {
            return Some(ty.dtype);
        }
        if let Some(tensor) = constant(model, value) {
            return Some(tensor.dtype());
        }
        let Some(node) = model.value(value).producer().map(|id| model.node(id)) else { continue };
        if node.is("Cast") {
            let to = node.attr_int("to").and_then(|to| i32::try_from(to).ok());
            return to.and_then(DType::from_onnx);
        }
        pending.extend(alike(node, value));
    }
    None
}

/// The inputs that must have the element type of the output `value` of `node`.
fn alike(node: &Node, value: ValueId) -> Vec<ValueId> {
    let in_list = |list: &str| list.split_whitespace().any(|op| node.is(op));
    if node.is("Split") || (node.output(0) == Some(value) && in_list(TYPE_OF_FIRST)) {
        node.input(0).into_iter().collect()
    } else if node.output(0) == Some(value) && in_list(ONE_TYPE) {
        node.inputs().iter().flatten().copied().collect()
    } else {
        Vec::new()
    }
}

/// The types the model declares for a value: its own, and those of the graph outputs it is.
fn declared(model: &Model, value: ValueId) -> impl Iterator<Item = &TensorType> {
    let outputs = model.output_slots(value).filter_map(|(graph, slot)| {
        match &model.graph(graph).outputs()[slot].info.ty {
            Some(ValueType::Tensor(ty)) => Some(ty),
            _ => None,
        }
    });
    model.value(value).tensor_type().into_iter().chain(outputs)
}
