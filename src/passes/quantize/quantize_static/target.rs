//! What runtimes want quantized, as data.

use serde::{Deserialize, Serialize};

use crate::ir::ops::{LINEAR, WITH_CHANNELS};
use crate::passes::quantize::quantize_static::Format;
use crate::tensor::DType;

/// The runtime that the result is made for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    /// ONNX Runtime on processors: what has an integer kernel, and what stands between such kernels.
    #[default]
    Ort,
    /// TensorRT: symmetric int8, inputs of layers only, biases in float.
    TensorRt,
    /// OpenVINO: inputs of layers, biases in float.
    OpenVino,
    /// Qualcomm's neural processors (QNN): every operator on integers.
    Qnn,
    /// tract: reads scales and zero points that are constants, of 8 bits.
    Tract,
    /// Operators of which the ONNX standard itself has an integer form.
    Portable,
}

/// Whose operators on integers a runtime reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum IntegerOperators {
    /// Those of ONNX.
    Onnx,
    /// Those of ONNX and of `com.microsoft`.
    Microsoft,
}

/// What a target wants. Operators are of the default domain.
pub(super) struct Rules {
    pub target: Target,
    /// Name on the command line.
    pub name: &'static str,
    pub activations: Format,
    pub weights: Format,
    /// Products that read integers.
    pub products: &'static [&'static str],
    /// Those of them that write nothing but integers, so that their output is quantized always.
    pub closed: &'static [&'static str],
    /// Activations that go into the Gemm of floats in front of them before integers are looked for: such a Gemm, or
    /// MatMul and Add, is computed with integers only when what follows the activation is quantized, too.
    pub fused: &'static [&'static str],
    /// Operators whose weights are stored as integers, while the arithmetic stays float.
    pub stored: &'static [&'static str],
    /// Integers of `stored` operators become floats by Cast and Mul, which the runtime computes once,
    /// when it loads the model; a DequantizeLinear it would compute in every run.
    pub unpacks_at_load: bool,
    /// Products that take a scale for each output channel.
    pub channels: &'static [&'static str],
    /// Operators that compute with integers when they stand between operators that do.
    pub chained: &'static [&'static str],
    /// `chained` operators are quantized wherever they stand.
    pub everywhere: bool,
    /// Operators that move integers.
    pub moving: &'static [&'static str],
    /// Biases are int32 behind a DequantizeLinear; otherwise they stay float.
    pub bias: bool,
    /// Of an addition that is fused into the Conv before it, the other summand is quantized.
    pub residual: bool,
    /// Layers that are faster on integers than on floats when ranges are taken in each run.
    pub dynamic: &'static [&'static str],
    /// The operators on integers that it reads; nothing for those that want QuantizeLinear and
    /// DequantizeLinear.
    pub qoperator: Option<IntegerOperators>,
    /// 8-bit floats that it reads as weights.
    pub float8_weights: &'static [DType],
    /// 8-bit floats that it reads as activations.
    pub float8_activations: &'static [DType],
    /// The type that single layers may have for activations, beside weights of 8 bits, where others have 8 bits.
    pub wide_activations: Option<DType>,
}

impl Target {
    /// All targets.
    pub const ALL: [Self; 6] =
        [Self::Ort, Self::TensorRt, Self::OpenVino, Self::Qnn, Self::Tract, Self::Portable];

    /// Name on the command line.
    pub fn name(self) -> &'static str {
        self.rules().name
    }

    /// The operators on integers that it reads; nothing when it wants QuantizeLinear and DequantizeLinear.
    pub fn integer_operators(self) -> Option<IntegerOperators> {
        self.rules().qoperator
    }

    /// Whether it has operators of com.microsoft on packed integers of few bits.
    pub fn reads_nbits(self) -> bool {
        self == Self::Ort
    }

    /// Whether there is anything that it computes on ranges that each run takes.
    pub fn is_dynamic(self) -> bool {
        !self.rules().dynamic.is_empty()
    }

    /// Nothing when layers of this operator are to compute on ranges that each run takes.
    ///
    /// # Errors
    /// Why not.
    pub(in crate::passes) fn computes_dynamically(self, op: &str) -> Result<(), String> {
        let rules = self.rules();
        match rules.dynamic.contains(&op) {
            true => Ok(()),
            false if LAYERS.contains(&op) => {
                Err(format!("target {} computes {op} faster with these", rules.name))
            }
            false => Err(format!("target {} has no {op} on integers", rules.name)),
        }
    }

    pub(super) fn rules(self) -> &'static Rules {
        RULES.iter().find(|rules| rules.target == self).unwrap_or(&RULES[0])
    }
}

/// Asymmetric uint8, which the kernels of processors take.
const UINT8: Format = Format::asymmetric(DType::Uint8);
/// Symmetric int8.
const INT8: Format = Format::symmetric(DType::Int8);

/// Both formats of the OCP specification.
const FLOAT8: &[DType] = &[DType::Float8E4M3FN, DType::Float8E5M2];

const LAYERS: &[&str] = &["Conv", "Gemm", "MatMul"];
/// Its ConvInteger takes seven times as long as a Conv of floats, and longer with groups.
const DYNAMIC_ORT: &[&str] = &["Gemm", "LSTM", "MatMul"];
/// What ONNX Runtime fuses into a Gemm.
const FUSED_ORT: &[&str] = &[
    "Elu",
    "HardSigmoid",
    "LeakyRelu",
    "Relu",
    "Selu",
    "Sigmoid",
    "Softplus",
    "Softsign",
    "Tanh",
    "ThresholdedRelu",
];
const RECURRENT: &[&str] = &["GRU", "Gather", "LSTM", "RNN"];
/// Layers without integer kernel still give a smaller file.
const STORED: &[&str] = &["ConvTranspose", "GRU", "Gather", "LSTM", "RNN"];
/// What only changes places, in every runtime that has it for 8-bit integers.
const MOVES: &[&str] = &[
    "Concat",
    "DepthToSpace",
    "Expand",
    "Flatten",
    "Gather",
    "GatherElements",
    "Identity",
    "MaxPool",
    "ReduceMax",
    "Reshape",
    "Resize",
    "Slice",
    "Split",
    "Squeeze",
    "Tile",
    "Transpose",
    "Unsqueeze",
];

const RULES: &[Rules] = &[
    Rules {
        target: Target::Ort,
        name: "ort",
        activations: UINT8,
        weights: INT8,
        products: LAYERS,
        closed: &["Conv"],
        fused: FUSED_ORT,
        stored: STORED,
        unpacks_at_load: true,
        channels: WITH_CHANNELS,
        // The QLinear operators of com.microsoft.
        chained: &[
            "Add",
            "AveragePool",
            "Clip",
            "GlobalAveragePool",
            "LeakyRelu",
            "Mul",
            "Relu",
            "Sigmoid",
            "Softmax",
            "Where",
        ],
        everywhere: false,
        moving: MOVES,
        bias: true,
        residual: false,
        dynamic: DYNAMIC_ORT,
        qoperator: Some(IntegerOperators::Microsoft),
        float8_weights: FLOAT8,
        // Its optimizer makes QLinearConv of them, which has no kernel for 8-bit floats.
        float8_activations: &[],
        // It would compute with floats there, and round them.
        wide_activations: None,
    },
    Rules {
        target: Target::TensorRt,
        name: "tensorrt",
        activations: INT8,
        weights: INT8,
        products: LINEAR,
        closed: &[],
        fused: &[],
        stored: RECURRENT,
        unpacks_at_load: false,
        channels: WITH_CHANNELS,
        chained: &["AveragePool", "Clip", "GlobalAveragePool", "Relu"],
        everywhere: false,
        moving: MOVES,
        bias: false,
        residual: true,
        dynamic: &[],
        qoperator: None,
        float8_weights: &[DType::Float8E4M3FN],
        float8_activations: &[DType::Float8E4M3FN],
        wide_activations: None,
    },
    Rules {
        target: Target::OpenVino,
        name: "openvino",
        activations: UINT8,
        weights: INT8,
        products: LINEAR,
        closed: &[],
        fused: &[],
        stored: RECURRENT,
        unpacks_at_load: false,
        channels: WITH_CHANNELS,
        chained: &["Add", "AveragePool", "Clip", "GlobalAveragePool", "Mul", "Relu"],
        everywhere: false,
        moving: MOVES,
        bias: false,
        residual: false,
        dynamic: &[],
        qoperator: None,
        float8_weights: FLOAT8,
        float8_activations: FLOAT8,
        wide_activations: None,
    },
    Rules {
        target: Target::Qnn,
        name: "qnn",
        activations: UINT8,
        weights: INT8,
        products: &[
            "BatchNormalization",
            "Conv",
            "ConvTranspose",
            "Gemm",
            "InstanceNormalization",
            "LayerNormalization",
            "MatMul",
        ],
        closed: &[
            "BatchNormalization",
            "Conv",
            "ConvTranspose",
            "Gemm",
            "InstanceNormalization",
            "LayerNormalization",
            "MatMul",
        ],
        fused: &[],
        stored: RECURRENT,
        unpacks_at_load: false,
        channels: &["Conv", "ConvTranspose"],
        chained: &[
            "Add",
            "AveragePool",
            "Clip",
            "Div",
            "Gelu",
            "GlobalAveragePool",
            "HardSigmoid",
            "HardSwish",
            "LeakyRelu",
            "Mul",
            "PRelu",
            "ReduceMean",
            "Relu",
            "Sigmoid",
            "Softmax",
            "Sub",
            "Tanh",
            "Where",
        ],
        everywhere: true,
        moving: &[
            "Concat",
            "DepthToSpace",
            "Expand",
            "Flatten",
            "Gather",
            "GatherElements",
            "Identity",
            "MaxPool",
            "Pad",
            "ReduceMax",
            "Reshape",
            "Resize",
            "Slice",
            "SpaceToDepth",
            "Split",
            "Squeeze",
            "Tile",
            "TopK",
            "Transpose",
            "Unsqueeze",
        ],
        bias: true,
        residual: false,
        dynamic: &[],
        qoperator: None,
        float8_weights: &[],
        float8_activations: &[],
        wide_activations: Some(DType::Uint16),
    },
    Rules {
        target: Target::Tract,
        name: "tract",
        activations: UINT8,
        weights: INT8,
        products: LAYERS,
        closed: &["Conv"],
        fused: &[],
        stored: STORED,
        unpacks_at_load: false,
        channels: WITH_CHANNELS,
        chained: &[],
        everywhere: false,
        moving: &[],
        bias: true,
        residual: false,
        // Its products of integers take twice as long as those of floats.
        dynamic: &[],
        qoperator: Some(IntegerOperators::Onnx),
        float8_weights: &[],
        float8_activations: &[],
        wide_activations: None,
    },
    Rules {
        target: Target::Portable,
        name: "portable",
        activations: UINT8,
        weights: INT8,
        products: LAYERS,
        closed: &["Conv"],
        fused: FUSED_ORT,
        stored: STORED,
        unpacks_at_load: false,
        channels: WITH_CHANNELS,
        chained: &[],
        everywhere: false,
        moving: MOVES,
        bias: true,
        residual: false,
        dynamic: LAYERS,
        qoperator: Some(IntegerOperators::Onnx),
        float8_weights: FLOAT8,
        float8_activations: FLOAT8,
        // The operators on integers of the standard read 8 bits.
        wide_activations: None,
    },
];
