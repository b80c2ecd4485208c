//! Which rule infers which operator.

use crate::analysis::shapes::call::Call;
use crate::analysis::shapes::fact::Fact;
use crate::analysis::shapes::{
    attention, create, elementwise, index, learning, matrix, normalize, reduce, reshape, resize,
    sequence, slicing, window,
};

/// How the outputs of an operator follow from its inputs.
#[derive(Clone, Copy)]
pub(super) enum Rule {
    /// One output; further ones are unknown.
    One(fn(&Call<'_>) -> Fact),
    /// Facts in the order of the outputs.
    Many(fn(&Call<'_>) -> Vec<Fact>),
}

use Rule::{Many, One};

/// The rule for an operator; nothing for one that is not known.
pub(super) fn rule(domain: &str, op: &str) -> Option<Rule> {
    match domain {
        "" | "ai.onnx" | "ai.onnx.preview" => standard(op),
        "com.microsoft" => microsoft(op),
        "ai.onnx.ml" => machine_learning(op),
        _ => None,
    }
}

#[rustfmt::skip]
fn standard(op: &str) -> Option<Rule> {
    Some(match op {
        "Identity" => One(elementwise::identity),
        "Abs" | "Ceil" | "Floor" | "Neg" | "Not" | "Reciprocal" | "Round" | "Sign" | "Sqrt" =>
            One(elementwise::unary),
        "Acos" | "Acosh" | "Asin" | "Asinh" | "Atan" | "Atanh" | "BitwiseNot" | "Celu" | "Clip"
        | "Cos" | "Cosh" | "CumProd" | "CumSum" | "Elu" | "Erf" | "Exp" | "Gelu"
        | "GroupNormalization" | "HardSigmoid" | "HardSwish" | "Hardmax" | "InstanceNormalization"
        | "LRN" | "LeakyRelu" | "Log" | "LogSoftmax" | "LpNormalization"
        | "MeanVarianceNormalization" | "Mish" | "PRelu" | "Relu" | "ReverseSequence"
        | "RotaryEmbedding" | "Scatter" | "ScatterElements" | "ScatterND" | "Selu" | "Shrink"
        | "Sigmoid" | "Sin" | "Sinh" | "Softmax" | "Softplus" | "Softsign" | "Swish" | "Tan"
        | "Tanh" | "TensorScatter" | "ThresholdedRelu" | "Trilu" => One(elementwise::same),
        "Add" | "And" | "BitShift" | "BitwiseAnd" | "BitwiseOr" | "BitwiseXor" | "Div" | "Max"
        | "Mean" | "Min" | "Mod" | "Mul" | "Or" | "Pow" | "StringConcat" | "Sub" | "Sum" | "SwiGLU"
        | "Xor" => One(elementwise::arithmetic),
        "Equal" | "Greater" | "GreaterOrEqual" | "Less" | "LessOrEqual" =>
            One(elementwise::compare),
        "IsInf" | "IsNaN" | "RegexFullMatch" => One(elementwise::test),
        "Bernoulli" | "EyeLike" | "RandomNormalLike" | "RandomUniformLike" =>
            One(elementwise::like),
        "Where" => One(elementwise::select),
        "Cast" => One(elementwise::cast),
        "CastLike" => One(elementwise::cast_like),
        "BitCast" => One(elementwise::bit_cast),

        "Conv" | "DeformConv" => One(window::conv),
        "Col2Im" => One(window::col2im),
        "ConvInteger" => One(window::conv_integer),
        "ConvTranspose" => One(window::conv_transpose),
        "QLinearConv" => One(window::qlinear_conv),
        "AveragePool" | "LpPool" => One(window::pool),
        "MaxPool" => Many(window::max_pool),
        "GlobalAveragePool" | "GlobalLpPool" | "GlobalMaxPool" => One(window::global_pool),
        "MaxUnpool" => One(window::max_unpool),
        "MaxRoiPool" | "RoiAlign" => One(window::roi),

        "MatMul" => One(matrix::matmul),
        "MatMulInteger" => One(matrix::matmul_integer),
        "QLinearMatMul" => One(matrix::qlinear_matmul),
        "Gemm" => One(matrix::gemm),
        "Einsum" => One(matrix::einsum),
        "Det" => One(matrix::determinant),

        "Attention" => Many(attention::attention),
        "CausalConvWithState" => Many(attention::causal_conv),
        "FlexAttention" => One(attention::flex_attention),
        "LinearAttention" => Many(attention::linear_attention),

        "Reshape" => One(reshape::reshape),
        "Flatten" => One(reshape::flatten),
        "Squeeze" => One(reshape::squeeze),
        "Unsqueeze" => One(reshape::unsqueeze),
        "Transpose" => One(reshape::transpose),
        "Expand" => One(reshape::expand),
        "Tile" => One(reshape::tile),
        "DepthToSpace" => One(reshape::depth_to_space),
        "SpaceToDepth" => One(reshape::space_to_depth),

        "Concat" => One(slicing::concat),
        "Split" => Many(slicing::split),
        "Slice" => One(slicing::slice),
        "Pad" => One(slicing::pad),
        "CenterCropPad" => One(slicing::center_crop_pad),
        "Resize" => One(resize::resize),
        "Upsample" => One(resize::upsample),

        "Gather" => One(index::gather),
        "GatherElements" => One(index::gather_elements),
        "GatherND" => One(index::gather_nd),
        "OneHot" => One(index::one_hot),
        "TopK" => Many(index::top_k),
        "NonZero" => One(index::non_zero),
        "NonMaxSuppression" => One(index::non_max_suppression),
        "Compress" => One(index::compress),
        "Unique" => Many(index::unique),

        "ReduceL1" | "ReduceL2" | "ReduceLogSum" | "ReduceLogSumExp" | "ReduceMax" | "ReduceMean"
        | "ReduceMin" | "ReduceProd" | "ReduceSum" | "ReduceSumSquare" => One(reduce::reduce),
        "ArgMax" | "ArgMin" => One(reduce::arg_reduce),

        "Constant" => One(create::constant_node),
        "ConstantOfShape" => One(create::constant_of_shape),
        "Shape" => One(create::shape),
        "Size" => One(create::size),
        "SequenceLength" => One(create::sequence_length),
        "OptionalHasElement" => One(create::has_element),
        "Range" => One(create::range),
        "RandomNormal" | "RandomUniform" => One(create::random),
        "Multinomial" => One(create::multinomial),
        "BlackmanWindow" | "HammingWindow" | "HannWindow" => One(create::window),
        "AffineGrid" => One(create::affine_grid),
        "GridSample" => One(create::grid_sample),

        "GRU" | "LSTM" | "RNN" => Many(sequence::recurrent),
        "DFT" => One(sequence::dft),
        "STFT" => One(sequence::stft),

        "BatchNormalization" => Many(normalize::batch_norm),
        "LayerNormalization" => Many(normalize::layer_norm),
        "RMSNormalization" | "SimplifiedLayerNormalization" => Many(normalize::first_only),
        "Dropout" => Many(normalize::dropout),
        "QuantizeLinear" => One(normalize::quantize),
        "DequantizeLinear" => One(normalize::dequantize),
        "DynamicQuantizeLinear" => Many(normalize::dynamic_quantize),

        "NegativeLogLikelihoodLoss" | "SoftmaxCrossEntropyLoss" => Many(learning::loss),
        "ImageDecoder" => One(learning::image_decoder),
        "MelWeightMatrix" => One(learning::mel_weights),
        "StringNormalizer" => One(learning::string_normalizer),
        "StringSplit" => Many(learning::string_split),
        "TfIdfVectorizer" => One(learning::tf_idf),
        _ => return None,
    })
}

/// The contributed operators that onnxruntime writes when it quantizes and optimizes.
#[rustfmt::skip]
fn microsoft(op: &str) -> Option<Rule> {
    Some(match op {
        "BiasAdd" | "BiasGelu" | "FastGelu" | "Gelu" | "GroupNorm" | "MoE" | "QLinearLeakyRelu"
        | "QLinearSigmoid" | "QLinearSoftmax" | "QuickGelu" | "RotaryEmbedding" =>
            One(elementwise::same),
        "Attention" => Many(attention::fused_attention),
        "GroupQueryAttention" => Many(attention::group_query),
        "MultiHeadAttention" => Many(attention::multi_head),
        "EmbedLayerNormalization" => Many(attention::embedding),
        "SkipLayerNormalization" | "SkipSimplifiedLayerNormalization" =>
            Many(attention::skip_norm),
        "NhwcConv" => One(window::nhwc_conv),
        "QLinearReduceMean" => One(reduce::reduce),
        "QLinearWhere" => One(normalize::qlinear_where),
        "GemmFastGelu" => One(matrix::matmul),
        "FusedConv" => One(window::conv),
        "QLinearConv" => One(window::qlinear_conv),
        "QLinearAveragePool" => One(window::qlinear_pool),
        "QLinearGlobalAveragePool" => One(window::global_pool),
        "DynamicQuantizeMatMul" | "MatMulIntegerToFloat" => One(matrix::matmul_to_float),
        "FusedGemm" => One(matrix::gemm),
        "FusedMatMul" | "TransposeMatMul" => One(matrix::fused_matmul),
        "MatMulBnb4" | "MatMulNBits" => One(matrix::matmul_nbits),
        "QGemm" => One(matrix::qgemm),
        "DynamicQuantizeLSTM" => Many(sequence::recurrent),
        "QLinearConcat" => One(slicing::qlinear_concat),
        "QLinearAdd" | "QLinearMul" => One(normalize::qlinear_binary),
        "SimplifiedLayerNormalization" => Many(normalize::first_only),
        "DequantizeLinear" => One(normalize::dequantize),
        "QuantizeLinear" => One(normalize::quantize),
        _ => return None,
    })
}

#[rustfmt::skip]
fn machine_learning(op: &str) -> Option<Rule> {
    Some(match op {
        "ArrayFeatureExtractor" => One(learning::array_features),
        "Binarizer" | "Imputer" => One(elementwise::same),
        "CategoryMapper" | "LabelEncoder" => One(learning::mapped),
        "FeatureVectorizer" => One(learning::feature_vectorizer),
        "LinearClassifier" | "SVMClassifier" | "TreeEnsembleClassifier" =>
            Many(learning::classifier),
        "LinearRegressor" | "SVMRegressor" | "TreeEnsemble" | "TreeEnsembleRegressor" =>
            One(learning::regressor),
        "Normalizer" | "Scaler" => One(learning::scaled),
        "OneHotEncoder" => One(learning::one_hot),
        _ => return None,
    })
}
