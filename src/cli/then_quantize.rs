//! Quantizes what `prune` made, with the defaults of `quantize`.

use clap::Parser;
use onnxpress::calibrate::{Calibration, Fit, Method, Source};
use onnxpress::compress;
use onnxpress::compress::{QuantizeOptions, Quantized, Tries};
use onnxpress::ir::Model;
use onnxpress::passes::{Context, RoundWeights, Target};
use onnxpress::pipeline::Check;
use onnxpress::{Error, ErrorKind, Result};

use super::accuracy::Accuracy;
use super::compare::Bounds;
use super::quantization::Quantization;
use super::quantize::CHECK_RUNS;

/// The options of `quantize`, as they are when only the target is given.
#[derive(Parser)]
struct Defaults {
    #[command(flatten)]
    quantization: Quantization,
    #[command(flatten)]
    accuracy: Accuracy,
}

/// What quantization needs beside a model.
pub struct ThenQuantize<'a> {
    pub target: Target,
    pub skip: Vec<String>,
    pub calibration: &'a Calibration<'a>,
    pub cx: Context<'a>,
}

impl ThenQuantize<'_> {
    /// The quantized model, and how it went.
    ///
    /// # Errors
    /// When the model cannot be run on the samples, or a pass fails.
    pub fn run(&self, model: Model) -> Result<Quantized> {
        let Defaults { quantization, accuracy } = self.defaults()?;
        let options = QuantizeOptions {
            quantization: quantization.options()?,
            rounding: RoundWeights::named(accuracy.rounding),
            correct_biases: accuracy.correct_biases(),
            skip: self.skip.clone(),
            ..QuantizeOptions::default()
        };
        let fit = Fit::new(Source::Samples(self.calibration), Method::default());
        let cx = Context { measure: Some(&fit), ..self.cx };
        let check = Check::on(self.calibration.engine, self.calibration.samples, CHECK_RUNS)?;
        // Bounds are of the result against the original: no layer in float makes up for what was cut.
        let bounds = Bounds { min_sqnr: None, max_drop: None };
        let tries = Tries {
            check: &check,
            real: true,
            samples: Some(self.calibration.samples),
            calibrators: &fit.others(),
            fall_back: accuracy.options(&bounds, false),
            widths: None,
            equalize: accuracy.equalize(),
            explain: false,
        };
        compress::quantized_on(model, &options, &cx, &tries)
    }

    fn defaults(&self) -> Result<Defaults> {
        let words = ["quantize", "--target", self.target.name()];
        Defaults::try_parse_from(words)
            .map_err(|error| Error::new(ErrorKind::Usage, error.to_string()))
    }
}
