//! What becomes integers, and of which type.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::{Error, ErrorKind, Result};
use crate::ir::Model;
use crate::passes::{
    ConvertQoperator, Existing, Format, Granularity, QuantizeStatic, Storage, Target, Width,
};
use crate::tensor::DType;
use crate::verbs::warnings::unfitted;

/// Weights of few bits that share a scale, where nothing else is asked for: what runtimes have kernels for.
const USUAL_BLOCK: usize = 32;

/// Types, and what has them. What is not given is as the target likes it.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Scheme {
    /// The runtime that the result is made for: which operators are quantized, and the usual types.
    pub target: Target,
    /// What weights are stored as.
    pub weights: Option<WeightType>,
    /// The type of activations, of 8 or 16 bits.
    pub activations: Option<DType>,
    /// Weights have their zero point in the middle, or wherever it serves best.
    pub symmetric_weights: Option<bool>,
    /// The same of activations.
    pub symmetric_activations: Option<bool>,
    /// All scales are powers of two.
    pub power_of_two: bool,
    /// How many weights share a scale; by default those of an output channel, and 32 of less than 8 bits where weights
    /// alone are stored.
    pub granularity: Option<Granularity>,
    /// Layers that are quantized, all when empty: patterns on node names, or behind `op:` on operators.
    pub include: Vec<String>,
    /// Nodes that stay in float: patterns on node names, `*` stands for any text.
    pub keep: Vec<String>,
    /// Nodes with activations of 16 bits, likewise, for targets that have them in single layers.
    pub wide_activations: Vec<String>,
    /// What becomes of quantization that is in the model already.
    pub existing: Existing,
    /// Inputs and outputs of the model become integers, too.
    pub quantize_io: bool,
    /// Operators on integers are written instead of QuantizeLinear and DequantizeLinear around float ones.
    pub qoperator: bool,
}

/// What weights are stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum WeightType {
    /// Integers, or floats of 8 bits.
    Numbers(DType),
    /// Something else, where weights alone are stored.
    Other(Storage),
}

impl FromStr for WeightType {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match (weight_type(text), text.parse::<Storage>()) {
            (Ok(dtype), _) => Ok(Self::Numbers(dtype)),
            (_, Ok(storage)) => Ok(Self::Other(storage)),
            (Err(numbers), Err(_)) => Err(format!(
                "{numbers}, float16, bfloat16, codebook:N with N from 2 to 256, ternary or binary"
            )),
        }
    }
}

impl TryFrom<String> for WeightType {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

impl From<WeightType> for String {
    fn from(weights: WeightType) -> Self {
        weights.to_string()
    }
}

impl fmt::Display for WeightType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Numbers(dtype) => dtype.fmt(f),
            Self::Other(storage) => storage.fmt(f),
        }
    }
}

/// A type that weights can have.
///
/// # Errors
/// Which names there are.
fn weight_type(text: &str) -> Result<DType, String> {
    let dtype = DType::from_name(text).filter(|dtype| Format::TYPES.contains(dtype));
    dtype.ok_or_else(|| format!("expected one of {}", Format::TYPES.map(DType::name).join(", ")))
}

impl Scheme {
    /// See [`unfitted`].
    pub(super) fn unfitted(&self, models: [&Model; 2]) -> Vec<String> {
        let mut found = unfitted("--exclude", &self.keep, models);
        found.extend(unfitted("--include", &self.include, models));
        found.extend(unfitted("--wide-activations", &self.wide_activations, models));
        found
    }

    /// The pass that writes operators on integers, when it is wanted.
    ///
    /// # Errors
    /// When the target does not read them.
    pub(super) fn qoperator(&self) -> Result<Option<ConvertQoperator>> {
        let target = self.target;
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
    pub(super) fn of_dynamic(&self) -> Result<QuantizeStatic> {
        let usage = |text: String| Err(Error::new(ErrorKind::Usage, text));
        self.only_weights("--mode dynamic takes the ranges of activations in each run")?;
        let target = self.target;
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
    pub(super) fn is_for_onnxruntime(&self) -> bool {
        self.target == Target::Ort
    }

    /// Whether the target has operators on packed integers of few bits.
    pub(super) fn reads_nbits(&self) -> bool {
        self.target.reads_nbits()
    }

    /// The pass that stores weights only, with these options.
    ///
    /// # Errors
    /// When they are about more than weights.
    pub(super) fn of_weights(&self) -> Result<QuantizeStatic> {
        self.only_weights("--mode weights leaves activations in float")?;
        let integers = self.storage() == Storage::Integers;
        let of_integers = [
            (self.symmetric_weights == Some(true), "--symmetric-weights"),
            (self.symmetric_weights == Some(false), "--asymmetric-weights"),
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
            (self.symmetric_activations == Some(true), "--symmetric-activations"),
            (self.symmetric_activations == Some(false), "--asymmetric-activations"),
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
    pub(super) fn width(&self, weights: WeightType) -> Result<Width> {
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
    pub(super) fn storage(&self) -> Storage {
        match self.weights {
            Some(WeightType::Other(storage)) => storage,
            Some(WeightType::Numbers(_)) | None => Storage::Integers,
        }
    }

    /// The pass with these options.
    ///
    /// # Errors
    /// When they contradict each other.
    pub(super) fn options(&self) -> Result<QuantizeStatic> {
        if let Some(WeightType::Other(storage)) = self.weights {
            let text = format!("--weights {storage} stores weights alone; add --mode weights");
            return Err(Error::new(ErrorKind::Usage, text));
        }
        self.numbers()
    }

    fn numbers(&self) -> Result<QuantizeStatic> {
        let weights = match self.weights {
            Some(WeightType::Numbers(dtype)) => Some(dtype),
            Some(WeightType::Other(_)) | None => None,
        };
        let usual = QuantizeStatic { target: self.target, ..QuantizeStatic::default() };
        let format = |usual: Format, dtype: Option<DType>, symmetric: Option<bool>| {
            Some(Format {
                dtype: dtype.unwrap_or(usual.dtype),
                symmetric: symmetric.unwrap_or(usual.symmetric),
                power_of_two: self.power_of_two,
            })
        };
        if self.quantize_io && self.activations.is_some_and(|d| d.bits() > 8 || d.is_float()) {
            let text =
                "--quantize-io makes inputs and outputs 8-bit integers; leave out --activations";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let options = QuantizeStatic {
            activations: format(usual.activations(), self.activations, self.symmetric_activations),
            weights: format(usual.weights(), weights, self.symmetric_weights),
            granularity: self.granularity.unwrap_or_default(),
            include: self.include.clone(),
            keep: self.keep.clone(),
            wide: self.wide_activations.clone(),
            existing: self.existing,
            interface: self.quantize_io,
            ..usual
        };
        options.check_wide()?;
        Ok(options)
    }
}
