//! Which operators the default domain has, and since when.

use crate::ir::schema;

/// Operators by the version that introduced them; 7 stands for all versions up to 7.
const INTRODUCED: &[(i64, &str)] = &[
    (
        7,
        "Abs Acos Add And ArgMax ArgMin Asin Atan AveragePool BatchNormalization Cast Ceil Clip \
         Concat Constant Conv ConvTranspose Cos DepthToSpace Div Dropout Elu Equal Exp Flatten \
         Floor GRU Gather Gemm GlobalAveragePool GlobalLpPool GlobalMaxPool Greater HardSigmoid \
         Hardmax Identity If InstanceNormalization LRN LSTM LeakyRelu Less Log LogSoftmax Loop \
         LpNormalization LpPool MatMul Max MaxPool MaxRoiPool Mean Min Mul Multinomial Neg Not Or \
         PRelu Pad Pow RNN RandomNormal RandomNormalLike RandomUniform RandomUniformLike \
         Reciprocal ReduceL1 ReduceL2 ReduceLogSum ReduceLogSumExp ReduceMax ReduceMean ReduceMin \
         ReduceProd ReduceSum ReduceSumSquare Relu Reshape Selu Shape Sigmoid Sin Size Slice \
         Softmax Softplus Softsign SpaceToDepth Split Sqrt Squeeze Sub Sum Tan Tanh Tile TopK \
         Transpose Unsqueeze Upsample Xor",
    ),
    (8, "Expand Scan"),
    (
        9,
        "Acosh Asinh Atanh Compress ConstantOfShape Cosh Erf EyeLike IsNaN MaxUnpool \
         MeanVarianceNormalization NonZero OneHot Scatter Shrink Sign Sinh TfIdfVectorizer Where",
    ),
    (
        10,
        "ConvInteger DequantizeLinear IsInf MatMulInteger Mod NonMaxSuppression QLinearConv \
         QLinearMatMul QuantizeLinear Resize ReverseSequence RoiAlign StringNormalizer \
         ThresholdedRelu",
    ),
    (
        11,
        "BitShift ConcatFromSequence CumSum Det DynamicQuantizeLinear GatherElements GatherND \
         Range Round ScatterElements ScatterND SequenceAt SequenceConstruct SequenceEmpty \
         SequenceErase SequenceInsert SequenceLength SplitToSequence Unique",
    ),
    (
        12,
        "Celu Einsum GreaterOrEqual LessOrEqual NegativeLogLikelihoodLoss SoftmaxCrossEntropyLoss",
    ),
    (14, "HardSwish Trilu"),
    (15, "Bernoulli CastLike Optional OptionalGetElement OptionalHasElement"),
    (16, "GridSample"),
    (
        17,
        "BlackmanWindow DFT HammingWindow HannWindow LayerNormalization MelWeightMatrix STFT \
         SequenceMap",
    ),
    (18, "BitwiseAnd BitwiseNot BitwiseOr BitwiseXor CenterCropPad Col2Im GroupNormalization Mish"),
    (19, "DeformConv"),
    (20, "AffineGrid Gelu ImageDecoder RegexFullMatch StringConcat StringSplit"),
    (23, "Attention RMSNormalization RotaryEmbedding"),
    (24, "Swish TensorScatter"),
];

/// Refuses an operator that operator set `from` does not define: what it means there is decided by
/// a runtime's extension, and whether a later version means the same cannot be known. What ONNX Runtime has at
/// every version is known to mean the same.
pub(super) fn check(op: &str, from: i64) -> Result<(), String> {
    if schema::is_early("", op) {
        return Ok(());
    }
    let since = INTRODUCED.iter().find(|(_, ops)| ops.split_whitespace().any(|name| name == op));
    match since {
        None => Err("is not an operator of the default domain up to version 24".into()),
        Some(&(since, _)) if since > from => Err(format!(
            "is an operator since version {since} only, but the model imports version {from}"
        )),
        Some(_) => Ok(()),
    }
}
