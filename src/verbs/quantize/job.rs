//! One run of `quantize`: what it tries, writes, compares and says.

use crate::calibrate::{Calibration, Fit, Source};
use crate::compress::{self, Equalizing, QuantizePasses, Quantized, Tries, Widths};
use crate::data::Samples;
use crate::emit::Encoded;
use crate::error::{Error, Result};
use crate::ir::Model;
use crate::passes::{Context, quantize_interface};
use crate::pipeline::{Check, Step};
use crate::read::{self, Loaded};
use crate::report::{
    AssignmentReport, CalibratedReport, ChoiceReport, ComparisonReport, CompressionReport,
    EqualizedReport, FallBackReport, IntegerPort, MethodsReport, POOR_DB, QuantizedLayerReport,
    StepReport, decibel, percent,
};
use crate::validate;
use crate::verbs::compare::latency;
use crate::verbs::figures::Figures;
use crate::verbs::quantize::QuantizeOptions;
use crate::verbs::undone::{no_layers, nothing_quantized};
use crate::verbs::warnings::{grew, lost_parts, taken_back};
use crate::verbs::{CHECK_RUNS, Data, check_deployed};

/// Fewest and most runs of the calibration samples on which the result is compared with the original.
const DRIFT_RUNS: (usize, usize) = (8, 128);
/// Multiply-accumulates of these runs: about 0.2 s on two cores.
const DRIFT_WORK: u64 = 2_500_000_000;

/// What a run works with.
pub(super) struct Job<'a> {
    pub original: &'a Loaded,
    pub options: &'a QuantizeOptions,
    pub passes: QuantizePasses,
    pub widths: Option<Widths>,
    pub data: &'a Data<'a>,
}

/// A result as it is written.
pub(super) struct Written {
    pub model: Model,
    pub encoded: Encoded,
    /// The model that is compared: inputs and outputs are those of the original.
    pub judged: Model,
    /// Inputs and outputs that became integers.
    interface: Vec<IntegerPort>,
    /// Why others did not.
    stays: Vec<String>,
}

impl Written {
    pub fn bytes(&self) -> u64 {
        self.encoded.len() as u64
    }
}

impl Job<'_> {
    /// What each pass is checked with: samples, or seeded noise when there are none.
    pub fn check(&self, samples: Option<&Samples>) -> Result<Check<'_>> {
        let Data { host, seed, .. } = self.data;
        host.probing(samples, &self.original.model, *seed, CHECK_RUNS)
    }

    /// What the result is tried on: by default real samples, and nothing is explained.
    pub fn tries<'t>(
        &'t self,
        check: &'t Check<'t>,
        samples: Option<&'t Samples>,
        calibrators: &'t [Fit<'t>],
    ) -> Tries<'t> {
        let tries = self.options.tries(check, samples, calibrators);
        let tries = Tries { widths: self.widths.as_ref(), ..tries };
        match self.data.statistics {
            // They are of the model as it was.
            Some(_) => Tries { equalize: Equalizing::Off, ..tries },
            None => tries,
        }
    }

    /// Encodes the result; what is judged is what was written, read again.
    ///
    /// # Errors
    /// When the result is invalid, or ONNX Runtime does not run it although it was made for that.
    pub fn written(&self, made: &Model, real: Option<&Samples>) -> Result<Written> {
        let (host, external) = (&self.data.host, self.original.external);
        let mut encoded = (host.encode)(made, external)?;
        let compared = self.data.samples.is_some() || self.data.test.is_some();
        let judged = match &encoded.data {
            None if compared => read::bytes(encoded.model.to_bytes())?.model,
            _ => made.clone(),
        };
        if self.options.scheme.is_for_onnxruntime() {
            let models = [&self.original.model, &judged];
            check_deployed(|| host.runtime(), models, encoded.len() as u64, real)?;
        }
        let (mut model, mut interface, mut stays) = (judged.clone(), Vec::new(), Vec::new());
        if self.options.scheme.quantize_io {
            // Only callers notice: the integers are those that the judged model computes with.
            let (ports, report) = quantize_interface(&mut model);
            interface.extend(ports.into_iter().map(IntegerPort::from));
            let refused = report.refused.iter();
            stays.extend(
                refused.map(|note| format!("{} stays as it is: it {}", note.place, note.text)),
            );
            encoded = (host.encode)(&model, external)?;
        }
        Ok(Written { model, encoded, judged, interface, stays })
    }

    /// Compares original and result on the samples, or on parts of them that the result was not made with.
    pub fn compare(
        &self,
        figures: &Figures,
        drift: &mut ComparisonReport,
        result: &Model,
        samples: &Samples,
        cx: Context<'_>,
    ) -> Result<()> {
        let (engine, progress) = (self.data.host.engine, self.data.host.progress);
        let runs = Some(drift_runs(drift.macs.original));
        let part = validate::Options { runs, ..Default::default() };
        let again = |samples: &Samples| -> Result<Model> {
            let calibration = Calibration { engine, samples, progress: &() };
            let fit = self.options.fit(Source::Samples(&calibration));
            let others = if self.options.mode.measures() { fit.others() } else { Vec::new() };
            let cx = Context { measure: Some(&fit), progress: None, ..cx };
            let check = self.check(Some(samples))?;
            let tries = self.tries(&check, Some(samples), &others);
            let model = self.original.model.clone();
            Ok(compress::quantized_on(model, &self.passes, &cx, &tries)?.finished.model)
        };
        let models = [&self.original.model, result];
        figures.execute(engine, drift, models, (samples, &part), progress, &again)?;
        if self.options.latency && drift.not_validated.is_none() {
            drift.latency_ms = Some(latency(engine, models, samples)?);
        }
        Ok(())
    }

    /// What was asked for and not done, and why.
    pub fn undone(&self, made: &Quantized, written: &Written) -> Vec<String> {
        let mut missed = match no_layers(&self.original.model, "") {
            Some(_) => Vec::new(),
            None => nothing_quantized(&made.finished.steps),
        };
        let bytes = written.encoded.len();
        let mixed = self.options.mixed.as_ref();
        let large = mixed.is_some_and(|mixed| mixed.exceeded(self.original, bytes));
        if large || made.assigned.as_ref().is_some_and(|assigned| !assigned.reached) {
            let share = percent(bytes as f64 / self.original.byte_size.max(1) as f64);
            missed.push(format!(
                "weights do not become as small as asked for: the file has {bytes} bytes, {share} of the \
                 original; --widths may name narrower ones",
            ));
        }
        if self.options.scheme.quantize_io && written.interface.is_empty() {
            missed.push("no input or output became an integer".to_owned());
        }
        missed
    }

    /// What is said about all of it.
    pub fn report(
        &self,
        made: &Quantized,
        written: &Written,
        (choices, obstacle): (Vec<ChoiceReport>, Option<Error>),
        drift: ComparisonReport,
    ) -> CompressionReport {
        let Quantized { finished, fall_back, layers, .. } = made;
        let explain = self.options.explain;
        let layers = layers.iter().map(|(layer, here)| {
            QuantizedLayerReport::new(layer, *here, fall_back, &choices, &finished.steps)
        });
        let layers = explain.then(|| layers.collect());
        let mut warnings = warnings(&finished.steps, &drift);
        warnings.extend(no_layers(&self.original.model, "nothing was quantized"));
        warnings.extend(obstacle.map(|error| {
            format!(
                "no activation could be measured, so layers compute with floats and weights alone are \
                 stored: {error}; `--engine ort` may run the model"
            )
        }));
        warnings.extend(written.stays.iter().cloned());
        let models = [&self.original.model, &written.judged];
        warnings.extend(self.options.scheme.unfitted(models));
        warnings.extend(
            fall_back.failed.iter().map(|error| {
                format!("layers were not tried one by one on held-out samples: {error}")
            }),
        );
        let sensitivity = self.options.accuracy.sensitivity;
        CompressionReport {
            input: String::new(),
            output: String::new(),
            passes: finished.steps.iter().map(StepReport::new).collect(),
            fall_back: FallBackReport::new(fall_back)
                .map(|report| FallBackReport { verbose: sensitivity, ..report }),
            assignment: made.assigned.as_ref().map(AssignmentReport::new),
            layers,
            calibrated: made.calibrated.map(CalibratedReport::new),
            equalized: made.equalized.map(EqualizedReport::new),
            methods: MethodsReport::new(&finished.steps, made.gain)
                .map(|report| MethodsReport { verbose: explain, ..report }),
            calibration: explain.then_some(choices),
            warnings,
            interface: written.interface.clone(),
            drift,
            test: None,
            verbose: false,
            explain,
        }
    }
}

/// How many runs are compared; a test compares all.
fn drift_runs(macs: u64) -> usize {
    let runs = usize::try_from(DRIFT_WORK / macs.max(1)).unwrap_or(usize::MAX);
    runs.clamp(DRIFT_RUNS.0, DRIFT_RUNS.1)
}

/// What the user must not overlook.
fn warnings(steps: &[Step], drift: &ComparisonReport) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for step in steps {
        warnings.extend(step.report.warnings.iter().cloned());
        warnings.extend(taken_back(std::slice::from_ref(step)));
    }
    let numbers = drift.outputs.iter().filter(|output| output.is_measured());
    for output in numbers.filter(|output| output.sqnr_db < POOR_DB) {
        let found = decibel(output.sqnr_db);
        warnings
            .push(format!("output `{}` keeps only {found}: check it on real data", output.name));
    }
    warnings.extend(lost_parts(drift));
    warnings.extend(grew(&drift.size_bytes));
    warnings
}
