//! Quantizes what another verb made, with the defaults of `quantize`.

use crate::calibrate::{Calibration, Fit, Method, Source};
use crate::compress::{self, Quantized};
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Target};
use crate::pipeline::Check;
use crate::verbs::CHECK_RUNS;
use crate::verbs::quantize::{QuantizeOptions, Scheme};

/// What quantization needs beside a model.
pub(in crate::verbs) struct ThenQuantize<'a> {
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
        // Bounds are of the result against the original: no layer in float makes up for what was cut.
        let options = QuantizeOptions {
            scheme: Scheme { target: self.target, ..Scheme::default() },
            skip: self.skip.clone(),
            ..QuantizeOptions::default()
        };
        let fit = Fit::new(Source::Samples(self.calibration), Method::default());
        let cx = Context { measure: Some(&fit), ..self.cx };
        let check = Check::on(self.calibration.engine, self.calibration.samples, CHECK_RUNS)?;
        let others = fit.others();
        let tries = options.tries(&check, Some(self.calibration.samples), &others);
        compress::quantized_on(model, &options.passes()?, &cx, &tries)
    }
}
