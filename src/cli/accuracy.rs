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
    /// Leave the N most sensitive layers in float, ranked on held-out calibration samples; where the target
    /// has them, 16-bit activations are used instead.
    #[arg(long = "float-worst", alias = "keep-worst", value_name = "N", default_value_t = 0)]
    keep_worst: usize,
    /// Keep error-dominant, cheap layers in float, up to this share of MACs; 0 keeps none. Their weights
    /// are quantized all the same, and 16-bit activations are used instead where the target has them.
    /// Skipped where running the model for each layer would take long.
    #[arg(long = "float-share", alias = "spare", value_name = "SHARE", default_value = "4%", value_parser = share)]
    spare: f64,
    /// How integers of weights are chosen. All but `nearest` look at what the layers read, and are kept
    /// where they help on samples held out; `auto` takes for each layer the best, for weights of at most
    /// 4 bits.
    #[arg(long, value_name = "NAME", value_parser = rounding(), default_value_t)]
    rounding: Rounding,
    /// Correct biases for the mean error of weight quantization; auto does it where it helps on held-out
    /// samples.
    #[arg(long, value_name = "WHEN", value_enum, default_value_t = Correction::Auto)]
    bias_correction: Correction,
    /// Cross-layer equalization: move scale between producer and consumer so that one scale fits all
    /// channels. auto tries it where outputs are below 30 dB SQNR, and for weights of at most 4 bits (AWQ),
    /// and keeps it where it helps on held-out samples.
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
