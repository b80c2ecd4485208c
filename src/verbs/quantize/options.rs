//! Options of `quantize`.

use serde::{Deserialize, Serialize};

use crate::calibrate::{Calibrator, Fit, Method, Source};
use crate::compress::{Equalizing, FallBackOptions, QuantizePasses, Rank, Tries, Wanted};
use crate::data::Samples;
use crate::error::{Error, ErrorKind, Result};
use crate::passes::{ConvertNbits, Growth, Pass, QuantizeStatic, RoundWeights, Rounding};
use crate::pipeline::Check;
use crate::verbs::Bounds;
use crate::verbs::quantize::scheme::Scheme;
use crate::verbs::quantize::widths::Mixed;

/// What becomes integers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Mode {
    /// Weights and activations, with ranges from calibration samples.
    #[default]
    Static,
    /// Both, with ranges that each run takes from what layers read.
    Dynamic,
    /// Weights alone.
    Weights,
}

impl Mode {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Weights => "weights",
        }
    }

    /// It needs ranges that are measured before.
    pub fn measures(self) -> bool {
        matches!(self, Self::Static)
    }
}

/// What may be done for accuracy.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Accuracy {
    /// So many layers that harm the outputs most when they alone are quantized stay in float.
    pub keep_worst: usize,
    /// Layers that bring much of the error and have little of the work compute with floats, up to this share of the
    /// multiply-accumulates.
    pub spare: f64,
    /// How integers of weights are chosen.
    pub rounding: Rounding,
    /// The mean error of quantized weights is taken from the biases where that helps.
    pub correct_biases: bool,
    /// When channels are equalized.
    pub equalize: Equalizing,
    /// Layers are ranked by what quantizing each alone does to the outputs.
    pub sensitivity: bool,
}

impl Default for Accuracy {
    fn default() -> Self {
        Self {
            keep_worst: 0,
            spare: 0.04,
            rounding: Rounding::default(),
            correct_biases: true,
            equalize: Equalizing::default(),
            sensitivity: false,
        }
    }
}

/// Options of [`quantize`](crate::quantize()).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct QuantizeOptions {
    /// What becomes integers.
    pub mode: Mode,
    /// Types, and what has them.
    pub scheme: Scheme,
    /// How ranges are made from what was measured.
    pub calibrator: Calibrator,
    /// The share of the elements, in percent, that [`Calibrator::Percentile`] keeps.
    pub percentile: f64,
    /// What may be done for accuracy.
    pub accuracy: Accuracy,
    /// Widths of weights that layers may differ in, where weights alone are stored.
    pub mixed: Option<Mixed>,
    /// Where all layers have less than 8 bits: the smallest get 8, as long as that adds at most this share to what all
    /// weights take.
    pub widen: f64,
    /// What the result is asked to keep; layers fall back until it does.
    pub bounds: Bounds,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// How much folding constants may add.
    pub fold: Growth,
    /// The report says what was measured and chosen for each layer.
    pub explain: bool,
    /// One run of both models is timed.
    pub latency: bool,
}

impl Default for QuantizeOptions {
    fn default() -> Self {
        Self {
            mode: Mode::default(),
            scheme: Scheme::default(),
            calibrator: Calibrator::default(),
            percentile: Method::default().percentile,
            accuracy: Accuracy::default(),
            mixed: None,
            widen: QuantizePasses::default().widen,
            bounds: Bounds::default(),
            skip: Vec::new(),
            freeze_initializers: false,
            fold: Growth::default(),
            explain: false,
            latency: false,
        }
    }
}

impl QuantizeOptions {
    /// Refuses what contradicts itself or what will be there, whatever the model is: test samples, and statistics.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self, test: bool, statistics: bool) -> Result<()> {
        let usage = |text: String| Err(Error::new(ErrorKind::Usage, text));
        if self.bounds.max_drop.is_some() && !test {
            return usage("--max-drop needs --test with labels".to_owned());
        }
        if !self.mode.measures() && statistics {
            let mode = self.mode.name();
            return usage(format!("--mode {mode} needs no ranges; leave out --calibration"));
        }
        if self.mixed.is_some() && self.mode != Mode::Weights {
            let text = "--average-bits, --size and --assignment need --mode weights";
            return usage(text.to_owned());
        }
        self.passes().map(drop)
    }

    /// What results are tried on: real samples, and nothing is explained.
    pub(super) fn tries<'t>(
        &self,
        check: &'t Check<'t>,
        samples: Option<&'t Samples>,
        calibrators: &'t [Fit<'t>],
    ) -> Tries<'t> {
        Tries {
            check,
            real: true,
            samples,
            calibrators,
            fall_back: self.fall_back(),
            equalize: self.accuracy.equalize,
            widths: None,
            explain: false,
        }
    }

    /// What ranges are made from.
    pub(super) fn fit<'a>(&self, source: Source<'a>) -> Fit<'a> {
        let Self { calibrator, percentile, explain, .. } = *self;
        let fit = Fit::new(source, Method { calibrator, percentile, explain });
        if self.accuracy.correct_biases { fit.with_means() } else { fit }
    }

    /// Which layers fall back: the bounds are met so, the worst first. Where all compute with floats, none is spared.
    fn fall_back(&self) -> FallBackOptions {
        let Accuracy { keep_worst, spare, sensitivity, .. } = self.accuracy;
        FallBackOptions {
            worst: keep_worst,
            wanted: Wanted { sqnr_db: self.bounds.min_sqnr, drop: self.bounds.max_drop },
            spare: match self.mode {
                Mode::Static | Mode::Dynamic => spare,
                Mode::Weights => 0.0,
            },
            rank: match (sensitivity, self.explain) {
                (true, _) => Rank::Always,
                (false, true) => Rank::Affordable,
                (false, false) => Rank::Needed,
            },
        }
    }

    /// The passes that do it.
    ///
    /// # Errors
    /// When options contradict each other.
    pub(crate) fn passes(&self) -> Result<QuantizePasses> {
        let nbits = self.mode == Mode::Weights
            && self.scheme.reads_nbits()
            && !self.skip.iter().any(|name| name == ConvertNbits::default().name());
        Ok(QuantizePasses {
            quantization: match self.mode {
                Mode::Static => self.scheme.options()?,
                Mode::Dynamic => self.scheme.of_dynamic()?,
                Mode::Weights => {
                    QuantizeStatic { packed_tables: nbits, ..self.scheme.of_weights()? }
                }
            },
            storage: self.scheme.storage(),
            assigned: None,
            widen: self.widen,
            rounding: RoundWeights::named(self.accuracy.rounding),
            correct_biases: self.accuracy.correct_biases,
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold,
            dynamic: self.mode == Mode::Dynamic,
            nbits,
            qoperator: self.scheme.qoperator()?,
        })
    }
}
