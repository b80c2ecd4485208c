//! What becomes integers, and of which type.

use clap::{Args, ValueEnum};
use onnxpress::passes::{Existing, Format, Granularity, Target};
use onnxpress::tensor::DType;
use onnxpress::verbs::{Mode, Scheme, WeightType};

const HEADING: &str = "Quantization";

/// Options of quantization.
#[derive(Debug, Clone, Args)]
pub struct Quantization {
    /// The runtime that the result is made for: which operators are quantized, and the usual types.
    #[arg(long, help_heading = HEADING, value_enum, default_value = "ort")]
    target: Named<Target>,
    /// What weights are stored as: int8, uint8, int16, uint16, int4, uint4, int2, uint2, float8e4m3fn
    /// or float8e5m2; with `--mode weights` also float16, bfloat16, codebook:N (indices into a table of N
    /// numbers, 2 to 256), ternary or binary (signs times a scale) [default: the target's].
    #[arg(long, help_heading = HEADING, value_name = "TYPE", value_parser = weights)]
    weights: Option<WeightType>,
    /// What activations are: uint8, int8, uint16, int16, float8e4m3fn or float8e5m2 [default: the
    /// target's].
    #[arg(long, help_heading = HEADING, value_name = "TYPE", value_parser = activation_type)]
    activations: Option<DType>,
    /// Weights have their zero point in the middle (usual).
    #[arg(long, help_heading = HEADING, conflicts_with = "asymmetric_weights")]
    symmetric_weights: bool,
    /// Weights have a zero point wherever it serves best.
    #[arg(long, help_heading = HEADING)]
    asymmetric_weights: bool,
    /// Activations have their zero point in the middle.
    #[arg(long, help_heading = HEADING, conflicts_with = "asymmetric_activations")]
    symmetric_activations: bool,
    /// Activations have a zero point wherever it serves best.
    #[arg(long, help_heading = HEADING)]
    asymmetric_activations: bool,
    /// All scales are powers of two.
    #[arg(long, help_heading = HEADING)]
    power_of_two: bool,
    /// How many weights share a scale: all of a tensor, an output channel, or N neighbours along the
    /// input channels (block:N) [default: channel, and block:32 for `--mode weights` of less than 8
    /// bits].
    #[arg(long, help_heading = HEADING, value_parser = granularity,
          value_name = "tensor|channel|block:N")]
    granularity: Option<Granularity>,
    /// Quantize only layers matching PATTERN: a glob on node names, or op:TYPE for an operator, e.g. op:Conv.
    #[arg(long, help_heading = HEADING, value_name = "PATTERN")]
    include: Vec<String>,
    /// Keep nodes matching PATTERN in float: a glob on node names, or op:TYPE. A node without a name goes by
    /// its first output.
    #[arg(long = "exclude", alias = "keep", help_heading = HEADING, value_name = "PATTERN")]
    keep: Vec<String>,
    /// Give nodes 16-bit activations whose names fit the pattern, for targets that have them in single
    /// layers (qnn): their inputs and outputs are converted where others have 8 bits.
    #[arg(long, help_heading = HEADING, value_name = "NODE-PATTERN")]
    wide_activations: Vec<String>,
    /// What becomes of a model that is quantized already: keep it, complete it, or strip it and start
    /// over.
    #[arg(long = "quantized-input", alias = "existing", help_heading = HEADING, value_enum, default_value_t = Present::Keep)]
    existing: Present,
    /// Make float inputs and outputs of the model integers; scales and zero points are reported.
    #[arg(long, help_heading = HEADING)]
    quantize_io: bool,
    /// Write operators on integers (QLinearConv, QLinearMatMul, ...) instead of QuantizeLinear and
    /// DequantizeLinear around float ones, for targets ort, tract and portable.
    #[arg(long, help_heading = HEADING)]
    qoperator: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Present {
    Keep,
    Complete,
    Strip,
}

impl ValueEnum for Named<Mode> {
    fn value_variants<'a>() -> &'a [Self] {
        &[Named(Mode::Static), Named(Mode::Dynamic), Named(Mode::Weights)]
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

/// Something by its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<T>(pub T);

impl ValueEnum for Named<Target> {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Named<Target>; Target::ALL.len()] = {
            let mut all = [Named(Target::ALL[0]); Target::ALL.len()];
            let mut i = 0;
            while i < all.len() {
                all[i] = Named(Target::ALL[i]);
                i += 1;
            }
            all
        };
        &ALL
    }

    fn to_possible_value(&self) -> Option<clap::builder::PossibleValue> {
        Some(clap::builder::PossibleValue::new(self.0.name()))
    }
}

/// What `--weights` takes.
pub fn weights(text: &str) -> std::result::Result<WeightType, String> {
    text.parse()
}

fn activation_type(text: &str) -> std::result::Result<DType, String> {
    let dtype = DType::from_name(text).filter(|dtype| Format::TYPES.contains(dtype));
    let dtype = dtype.filter(|dtype| dtype.bits() >= 8);
    dtype.ok_or_else(|| "expected a type of 8 or 16 bits".to_owned())
}

fn granularity(text: &str) -> std::result::Result<Granularity, String> {
    match text {
        "tensor" => return Ok(Granularity::Tensor),
        "channel" => return Ok(Granularity::Channel),
        _ => {}
    }
    let size = text.strip_prefix("block:").and_then(|size| size.parse().ok());
    let size = size.filter(|&size: &usize| size > 0);
    size.map(Granularity::Block).ok_or_else(|| "expected tensor, channel or block:N".to_owned())
}

impl Quantization {
    /// The types, and what has them.
    pub fn scheme(&self) -> Scheme {
        let one_of = |symmetric: bool, asymmetric: bool| match (symmetric, asymmetric) {
            (true, _) => Some(true),
            (false, true) => Some(false),
            (false, false) => None,
        };
        Scheme {
            target: self.target.0,
            weights: self.weights,
            activations: self.activations,
            symmetric_weights: one_of(self.symmetric_weights, self.asymmetric_weights),
            symmetric_activations: one_of(self.symmetric_activations, self.asymmetric_activations),
            power_of_two: self.power_of_two,
            granularity: self.granularity,
            include: self.include.clone(),
            keep: self.keep.clone(),
            wide_activations: self.wide_activations.clone(),
            existing: match self.existing {
                Present::Keep => Existing::Keep,
                Present::Complete => Existing::Complete,
                Present::Strip => Existing::Strip,
            },
            quantize_io: self.quantize_io,
            qoperator: self.qoperator,
        }
    }
}
