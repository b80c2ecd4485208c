//! What may be done for accuracy.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use onnxpress::compress::Equalizing;
use onnxpress::passes::Rounding;
use onnxpress::verbs;

use super::compare::share;

/// Options about layers that fall back.
#[derive(Debug, Clone, Args)]
pub struct Accuracy {
    /// Keep the N layers in float that harm the outputs most when they alone are quantized, on
    /// held-out calibration samples; where the target has them, with 16-bit activations instead.
    #[arg(long, value_name = "N", default_value_t = 0)]
    keep_worst: usize,
    /// Compute with floats in layers that bring much of the error and have little of the work, up to
    /// this share of the multiply-accumulates; 0 spares none. Their weights are stored as integers
    /// all the same. Where the target has them, 16-bit activations take the place of floats. Not tried where running the model for each layer would take long.
    #[arg(long, value_name = "SHARE", default_value = "4%", value_parser = share)]
    spare: f64,
    /// How integers of weights are chosen. All but `nearest` look at what the layers read, and are kept
    /// where they help on samples held out; `auto` takes for each layer the best, for weights of at most
    /// 4 bits.
    #[arg(long, value_name = "NAME", value_parser = rounding(), default_value_t)]
    rounding: Rounding,
    /// Whether the mean error of quantized weights is taken from the biases: `auto` does it where it
    /// helps on samples held out.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Correction::Auto)]
    bias_correction: Correction,
    /// Whether channels are divided where a layer makes them and multiplied where layers read them, so
    /// that one grid suits them: `auto` tries it where the outputs keep less than 30 dB, and for weights
    /// alone of at most 4 bits (AWQ), and keeps it where it helps on samples held out.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Equalization::Auto)]
    equalize: Equalization,
    /// Rank the layers by what quantizing each alone does to the outputs.
    #[arg(long)]
    sensitivity: bool,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Equalization {
    Auto,
    Always,
    Off,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Correction {
    Auto,
    Off,
}

/// The names of all ways of rounding.
fn rounding() -> impl TypedValueParser<Value = Rounding> {
    let names = Rounding::ALL.iter().map(|method| method.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

impl Accuracy {
    /// The options.
    pub fn options(&self) -> verbs::Accuracy {
        verbs::Accuracy {
            keep_worst: self.keep_worst,
            spare: self.spare,
            rounding: self.rounding,
            correct_biases: matches!(self.bias_correction, Correction::Auto),
            equalize: match self.equalize {
                Equalization::Auto => Equalizing::Auto,
                Equalization::Always => Equalizing::Always,
                Equalization::Off => Equalizing::Off,
            },
            sensitivity: self.sensitivity,
        }
    }
}
