//! What becomes integers, and of which type.

use clap::{Args, ValueEnum};
use onnxpress::ir::Model;
use onnxpress::passes::{
    ConvertQoperator, Existing, Format, Granularity, QuantizeStatic, Storage, Target, Width,
};
use onnxpress::tensor::DType;
use onnxpress::{Error, ErrorKind, Result};

use super::warnings::unfitted;

const HEADING: &str = "Quantization";
/// Weights of few bits that share a scale, where nothing else is asked for: what runtimes have kernels for.
const USUAL_BLOCK: usize = 32;

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
    weights: Option<Weights>,
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
    /// Keep nodes in float whose names fit the pattern; `*` stands for any text. A node without a
    /// name goes by its first output.
    #[arg(long, help_heading = HEADING, value_name = "NODE-PATTERN")]
    keep: Vec<String>,
    /// Give nodes 16-bit activations whose names fit the pattern, for targets that have them in single
    /// layers (qnn): their inputs and outputs are converted where others have 8 bits.
    #[arg(long, help_heading = HEADING, value_name = "NODE-PATTERN")]
    wide_activations: Vec<String>,
    /// What becomes of a model that is quantized already: keep it, complete it, or strip it and start
    /// over.
    #[arg(long, help_heading = HEADING, value_enum, default_value_t = Present::Keep)]
    existing: Present,
    /// Make float inputs and outputs of the model integers; scales and zero points are reported.
    #[arg(long, help_heading = HEADING)]
    pub quantize_io: bool,
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

/// A target by its name.
#[derive(Debug, Clone, Copy)]
pub struct Named<T>(pub T);

impl ValueEnum for Named<Target> {
    fn value_variants<'a>() -> &'a [Self] {
        const ALL: [Named<Target>; 6] = {
            let mut all = [Named(Target::Ort); 6];
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

/// What weights are stored as.
#[derive(Debug, Clone, Copy)]
pub enum Weights {
    Numbers(DType),
    Other(Storage),
}

/// What `--weights` takes.
pub fn weights(text: &str) -> std::result::Result<Weights, String> {
    match (weight_type(text), text.parse::<Storage>()) {
        (Ok(dtype), _) => Ok(Weights::Numbers(dtype)),
        (_, Ok(storage)) => Ok(Weights::Other(storage)),
        (Err(numbers), Err(_)) => Err(format!(
            "{numbers}, float16, bfloat16, codebook:N with N from 2 to 256, ternary or binary"
        )),
    }
}

fn weight_type(text: &str) -> std::result::Result<DType, String> {
    let dtype = DType::from_name(text).filter(|dtype| Format::TYPES.contains(dtype));
    dtype.ok_or_else(|| format!("expected one of {}", Format::TYPES.map(DType::name).join(", ")))
}

fn activation_type(text: &str) -> std::result::Result<DType, String> {
    let dtype = weight_type(text).ok().filter(|dtype| dtype.bits() >= 8);
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
    /// See [`unfitted`].
    pub fn unfitted(&self, models: [&Model; 2]) -> Vec<String> {
        let mut found = unfitted("--keep", &self.keep, models);
        found.extend(unfitted("--wide-activations", &self.wide_activations, models));
        found
    }

    /// The pass that writes operators on integers, when it is wanted.
    ///
    /// # Errors
    /// When the target does not read them.
    pub fn qoperator(&self) -> Result<Option<ConvertQoperator>> {
        let Named(target) = self.target;
        match ConvertQoperator::of(target) {
            _ if !self.qoperator => Ok(None),
            Some(pass) => Ok(Some(pass)),
            None => {
                let text = format!(
                    "{} reads QuantizeLinear and DequantizeLinear, no operators on integers; leave \
                     out --qoperator",
                    target.name()
                );
                Err(Error::new(ErrorKind::Usage, text))
            }
        }
    }

    /// The options of weights that compute with what each run gives.
    ///
    /// # Errors
    /// When they are about more than weights, or no operator on integers reads such weights.
    pub fn of_dynamic(&self) -> Result<QuantizeStatic> {
        let usage = |text: String| Err(Error::new(ErrorKind::Usage, text));
        self.only_weights("--mode dynamic takes the ranges of activations in each run")?;
        let Named(target) = self.target;
        if !target.is_dynamic() {
            return usage(format!(
                "target {} computes nothing faster with ranges that each run takes; take --mode \
                 weights, or target ort or portable",
                target.name()
            ));
        }
        if matches!(self.granularity, Some(Granularity::Block(_))) {
            return usage(
                "products of integers have one scale for each channel; leave out \
                          --granularity block:N, or take --mode weights"
                    .to_owned(),
            );
        }
        let options = self.options()?;
        let dtype = options.weights().dtype;
        if ![DType::Int8, DType::Uint8].contains(&dtype) {
            return usage(format!(
                "--mode dynamic multiplies weights of int8 or uint8, not {dtype}; \
                                  --mode weights stores others"
            ));
        }
        Ok(QuantizeStatic { weights_only: true, ..options })
    }

    /// Whether the result is made for ONNX Runtime on processors.
    pub fn is_for_onnxruntime(&self) -> bool {
        self.target.0 == Target::Ort
    }

    /// Whether the target has operators on packed integers of few bits.
    pub fn reads_nbits(&self) -> bool {
        self.target.0.reads_nbits()
    }

    /// The pass that stores weights only, with these options.
    ///
    /// # Errors
    /// When they are about more than weights.
    pub fn of_weights(&self) -> Result<QuantizeStatic> {
        self.only_weights("--mode weights leaves activations in float")?;
        let integers = self.storage() == Storage::Integers;
        let of_integers = [
            (self.symmetric_weights, "--symmetric-weights"),
            (self.asymmetric_weights, "--asymmetric-weights"),
            (self.power_of_two, "--power-of-two"),
        ];
        if let (Storage::Half(_), Some(_)) = (self.storage(), self.granularity) {
            let text =
                format!("--weights {} has no scales; leave out --granularity", self.storage());
            return Err(Error::new(ErrorKind::Usage, text));
        }
        if let Some((_, option)) = of_integers.iter().find(|(given, _)| *given && !integers) {
            let text = format!("--weights {} has no such grid; leave out {option}", self.storage());
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let options = self.numbers()?;
        let usual = match (self.storage(), options.weights().dtype.bits()) {
            (Storage::Codebook(_), _) => Granularity::Tensor,
            (Storage::Integers, ..8) => Granularity::Block(USUAL_BLOCK),
            _ => Granularity::Channel,
        };
        let granularity = self.granularity.unwrap_or(usual);
        Ok(QuantizeStatic { weights_only: true, granularity, ..options })
    }

    /// No option about activations is given; `why` says which mode has none.
    fn only_weights(&self, why: &str) -> Result<()> {
        let beyond = [
            (self.activations.is_some(), "--activations"),
            (self.symmetric_activations, "--symmetric-activations"),
            (self.asymmetric_activations, "--asymmetric-activations"),
            (!self.wide_activations.is_empty(), "--wide-activations"),
            (self.quantize_io, "--quantize-io"),
            (self.qoperator, "--qoperator"),
        ];
        if let Some((_, option)) = beyond.iter().find(|(given, _)| *given) {
            let text = format!("{why}; leave out {option}");
            return Err(Error::new(ErrorKind::Usage, text));
        }
        Ok(())
    }

    /// One of several ways to store weights, instead of `--weights`.
    ///
    /// # Errors
    /// As [`Self::of_weights`].
    pub fn width(&self, weights: Weights) -> Result<Width> {
        if self.weights.is_some() {
            let text = "--weights is for all layers; --widths says what layers may differ in";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let other = Self { weights: Some(weights), ..self.clone() };
        let options = other.of_weights()?;
        let (format, granularity) = (options.weights(), options.granularity);
        Ok(Width { storage: other.storage(), format, granularity })
    }

    /// What weights are stored as where they alone are quantized.
    pub fn storage(&self) -> Storage {
        match self.weights {
            Some(Weights::Other(storage)) => storage,
            Some(Weights::Numbers(_)) | None => Storage::Integers,
        }
    }

    /// The pass with these options.
    ///
    /// # Errors
    /// When they contradict each other.
    pub fn options(&self) -> Result<QuantizeStatic> {
        if let Some(Weights::Other(storage)) = self.weights {
            let text = format!("--weights {storage} stores weights alone; add --mode weights");
            return Err(Error::new(ErrorKind::Usage, text));
        }
        self.numbers()
    }

    fn numbers(&self) -> Result<QuantizeStatic> {
        let weights = match self.weights {
            Some(Weights::Numbers(dtype)) => Some(dtype),
            Some(Weights::Other(_)) | None => None,
        };
        let usual = QuantizeStatic { target: self.target.0, ..QuantizeStatic::default() };
        let format = |usual: Format, dtype: Option<DType>, symmetric: bool, asymmetric: bool| {
            Some(Format {
                dtype: dtype.unwrap_or(usual.dtype),
                symmetric: symmetric || usual.symmetric && !asymmetric,
                power_of_two: self.power_of_two,
            })
        };
        if self.quantize_io && self.activations.is_some_and(|d| d.bits() > 8 || d.is_float()) {
            let text =
                "--quantize-io makes inputs and outputs 8-bit integers; leave out --activations";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let (symmetric, asymmetric) = (self.symmetric_activations, self.asymmetric_activations);
        let options = QuantizeStatic {
            activations: format(usual.activations(), self.activations, symmetric, asymmetric),
            weights: format(
                usual.weights(),
                weights,
                self.symmetric_weights,
                self.asymmetric_weights,
            ),
            granularity: self.granularity.unwrap_or_default(),
            keep: self.keep.clone(),
            wide: self.wide_activations.clone(),
            existing: match self.existing {
                Present::Keep => Existing::Keep,
                Present::Complete => Existing::Complete,
                Present::Strip => Existing::Strip,
            },
            interface: self.quantize_io,
            ..usual
        };
        options.check_wide()?;
        Ok(options)
    }
}
