//! `quantize`.

use std::path::PathBuf;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use onnxpress::analysis::Measure;
use onnxpress::calibrate::{Calibration, Calibrator, Fit, Method, Source, Statistics};
use onnxpress::compress;
use onnxpress::compress::{
    Equalizing, FallBackOptions, QuantizeOptions, Quantized, QuantizedLayer, Tries,
};
use onnxpress::data::Samples;
use onnxpress::exec::Engine;
use onnxpress::ir::Model;
use onnxpress::passes::{
    Context, ConvertNbits, Growth, Note, Pass, QuantizeStatic, RoundWeights, quantize_interface,
};
use onnxpress::pipeline::{self, Check, Step};
use onnxpress::report::{
    AssignmentReport, CalibratedReport, ChoiceReport, CompressionReport, EqualizedReport,
    FallBackReport, IntegerPort, MethodsReport, POOR_DB, QuantizedLayerReport, StepReport, decibel,
    percent,
};
use onnxpress::{Error, ErrorKind, Result, read, report, validate};

use super::accuracy::Accuracy;
use super::compare::{Bounds, check_labels, execute, latency, sizes, warn_random};
use super::figures::{Figures, Need};
use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::quantization::Quantization;
use super::undone::nothing_quantized;
use super::warnings::{grew, lost_parts, taken_back};
use super::widths::WidthArgs;
use super::{EXIT_STATUS, Ended, Talk, Work, deployed, engine, io, page, progress, statistics};

/// Arguments of `quantize`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress quantize model.onnx --data calib.npz -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --scale 1/255 --mean 0.5 --std 0.5 \\
      --test test.npz --labels y --max-drop 1% -o model.int8.onnx
  onnxpress quantize model.onnx --data photos/ --samples 200 --preprocess imagenet \\
      -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --calibrator mse --explain -o model.int8.onnx
  onnxpress quantize model.onnx --stats model.stats --data test.npz -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --target tensorrt -o model.trt.onnx
  onnxpress quantize model.onnx --data calib.npz --weights int4 --granularity block:32 \\
      --activations uint16 -o model.int4.onnx

{EXIT_STATUS}"))]
pub struct Quantize {
    /// Model to quantize.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    #[command(flatten)]
    page: page::ReportFile,
    /// Calibration samples: x.npz, x.npy, a folder of png or jpeg images (flat, or one sub-folder
    /// for each class), ONNX test data (test_data_set_*/input_*.pb), or random:N. A few hundred real
    /// inputs are enough.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Ranges from a file that `onnxpress calibrate` wrote; --data then only checks the result.
    #[arg(long, value_name = "STATS")]
    stats: Option<PathBuf>,
    /// What becomes integers: weights and activations, with ranges from calibration samples (static);
    /// both, with ranges that each run takes from what layers read (dynamic); or weights alone
    /// (weights). The last two need no samples and take advice from them.
    #[arg(long, value_enum, default_value_t = Mode::Static)]
    mode: Mode,
    /// How ranges are made from what was measured: `auto` takes for each activation the one with
    /// the least expected error on samples held out.
    #[arg(long, value_name = "NAME", value_parser = calibrator(), default_value_t)]
    calibrator: Calibrator,
    /// The share of the elements, in percent, that the percentile keeps.
    #[arg(long, value_name = "P", value_parser = percentile, default_value_t = Method::default().percentile)]
    percentile: f64,
    /// Show for each layer the range of its input, by which calibrator, the share that it clips, the
    /// signal-to-noise ratio of the outputs when it alone is quantized and that of its own output with
    /// what the layers before it bring, and what was done for its accuracy; and for each activation what
    /// was seen and what is expected.
    #[arg(long)]
    explain: bool,
    #[command(flatten)]
    fix: FixArgs,
    #[command(flatten)]
    quantization: Quantization,
    #[command(flatten)]
    widths: WidthArgs,
    /// Leave out a pass.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Make initializers constants that callers may now override.
    #[arg(long)]
    freeze_initializers: bool,
    /// Compare original and result on these samples, too.
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    /// Array of the samples with the class of each; it is no input. Images in class folders need no
    /// name.
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    #[command(flatten)]
    bounds: Bounds,
    #[command(flatten)]
    accuracy: Accuracy,
    /// Measure the time of one run of both models in the engine; other runtimes differ.
    #[arg(long)]
    latency: bool,
    /// Show every edit, and every refusal with its reason.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    preprocessing: io::Preprocessing,
    #[command(flatten)]
    fold: FoldLimits,
    #[command(flatten)]
    engine: engine::EngineArgs,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    talk: Talk,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Mode {
    Static,
    Dynamic,
    Weights,
}

impl Mode {
    fn name(self) -> &'static str {
        match self {
            Self::Static => "static",
            Self::Dynamic => "dynamic",
            Self::Weights => "weights",
        }
    }

    /// It needs ranges that are measured before.
    fn measures(self) -> bool {
        matches!(self, Self::Static)
    }
}

/// The names of all calibrators.
fn calibrator() -> impl TypedValueParser<Value = Calibrator> {
    let names = Calibrator::ALL.iter().map(|calibrator| calibrator.name());
    PossibleValuesParser::new(names).try_map(|name| name.parse())
}

fn percentile(text: &str) -> Result<f64, String> {
    match text.trim_end_matches('%').parse() {
        Ok(percent) if percent > 50.0 && percent <= 100.0 => Ok(percent),
        _ => Err(format!("`{text}`; expected more than 50, and at most 100 percent")),
    }
}

/// Runs of the calibration samples with which each pass is checked.
pub const CHECK_RUNS: usize = 4;
/// Fewest and most runs of the calibration samples on which the result is compared with the original.
const DRIFT_RUNS: (usize, usize) = (8, 128);
/// Multiply-accumulates of these runs: about 0.2 s on two cores.
const DRIFT_WORK: u64 = 2_500_000_000;
/// Why nothing is compared without samples.
const NO_SAMPLES: &str =
    "no samples were given; exact and rounding passes were executed on seeded noise";

impl Quantize {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        if self.bounds.max_drop.is_some() && self.test.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop needs --test with labels"));
        }
        self.output.check(&self.model, self.talk.json)?;
        let files = [&*self.model, &*self.output.output];
        self.page.check(&files, self.output.overwrite())?;
        check_names(&self.skip)?;
        let measures = self.mode.measures();
        if !measures && self.stats.is_some() {
            let text = format!("--mode {} needs no ranges; leave out --stats", self.mode.name());
            return Err(Error::new(ErrorKind::Usage, text));
        }
        if self.widths.is_mixed() && !matches!(self.mode, Mode::Weights) {
            let text = "--average-bits, --size and --assignment need --mode weights";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        let options = self.options()?;
        let mut original = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut original.model)?;
        let labels = self.labels.as_deref();
        let opened = |data| self.preprocessing.open_unlabelled(data, labels, &original.model);
        let samples = self.data.as_deref().map(opened).transpose()?;
        let statistics = self.statistics(&original.model)?;
        let test = self.test.as_ref();
        let test =
            test.map(|test| self.preprocessing.open(test, labels, &original.model)).transpose()?;
        test.as_ref().map(|test| self.bounds.check(test)).transpose()?;
        check_labels(&original.model, test.iter().chain(&samples))?;
        io::say_fed(samples.iter().chain(&test), &self.talk.words)?;
        let engine = self.engine.start(original.byte_size, samples.as_ref().or(test.as_ref()))?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let calibration = samples.as_ref().map(|samples| Calibration {
            engine: &engine,
            samples,
            progress: &progress,
        });
        let source = match (&statistics, &calibration) {
            (Some(statistics), _) => Some(Source::Statistics(statistics)),
            (None, Some(calibration)) => Some(Source::Samples(calibration)),
            (None, None) if !measures => None,
            (None, None) => {
                return Err(Error::new(ErrorKind::Usage, "--data or --stats is needed"));
            }
        };
        let fit = source.map(|source| self.fit(source));
        let others = fit.as_ref().filter(|_| measures).map(Fit::others).unwrap_or_default();
        let measure = fit.as_ref().map(|fit| fit as &dyn Measure);
        let cx = Context {
            evaluate: Some(&engine),
            measure,
            progress: Some(&progress),
            ..Context::default()
        };
        // Other samples than those that statistics were made with.
        let figures = match &statistics {
            Some(_) => Figures::As(report::Source::Test),
            None => Figures::of(samples.as_ref(), &original.model, Need::Ranges)?,
        };
        let real = samples.as_ref().or(test.as_ref());
        let check = self.check(&engine, real, &original.model)?;
        let model = original.model.clone();
        let widths = self.widths.widths(&self.quantization, &original)?;
        let tries = Tries {
            check: &check,
            real: real.is_some(),
            samples: samples.as_ref(),
            calibrators: &others,
            fall_back: self.fall_back(),
            // Statistics are of the model as it was.
            equalize: match &self.stats {
                Some(_) => Equalizing::Off,
                None => self.accuracy.equalize(),
            },
            widths: widths.as_ref(),
            explain: self.explains(),
        };
        let Quantized { mut finished, fall_back, assigned, gain, calibrated, equalized, layers } =
            compress::quantized_on(model, &options, &cx, &tries)?;
        let mut encoded = self.output.encode(&finished.model, original.external)?;
        // What is judged is what was written: the encoded result, read again.
        let judged = samples.is_some() || test.is_some();
        let result = match &encoded.data {
            None if judged => read::bytes(encoded.model.to_bytes())?.model,
            _ => std::mem::take(&mut finished.model),
        };
        let (mut interface, mut refused) = (Vec::new(), Vec::new());
        if self.quantization.is_for_onnxruntime() {
            let models = [&original.model, &result];
            deployed::check(&self.engine, models, encoded.len() as u64, real)?;
        }
        if self.quantization.quantize_io {
            // Only callers notice: the integers are those that the judged model computes with.
            let mut model = result.clone();
            let (ports, report) = quantize_interface(&mut model);
            interface.extend(ports.into_iter().map(IntegerPort::from));
            let stays = |note: &Note| format!("{} stays as it is: it {}", note.place, note.text);
            refused.extend(report.refused.iter().map(stays));
            encoded = self.output.encode(&model, original.external)?;
        }
        let at = compress::counted_at(&original.model, samples.as_ref().or(test.as_ref()));
        let mut drift = sizes(&original, &result, encoded.len() as u64, &at);
        match &samples {
            Some(samples) => {
                let runs = Some(drift_runs(drift.macs.original));
                let part = validate::Options { runs, ..Default::default() };
                let again = |samples: &Samples| -> Result<Model> {
                    let calibration = Calibration { engine: &engine, samples, progress: &() };
                    let fit = self.fit(Source::Samples(&calibration));
                    let others = if measures { fit.others() } else { Vec::new() };
                    let cx = Context { measure: Some(&fit), progress: None, ..cx };
                    let check = self.check(&engine, Some(samples), &original.model)?;
                    let tries = Tries {
                        check: &check,
                        samples: Some(samples),
                        calibrators: &others,
                        fall_back: self.fall_back(),
                        explain: false,
                        real: true,
                        equalize: tries.equalize,
                        widths: widths.as_ref(),
                    };
                    let model = original.model.clone();
                    Ok(compress::quantized_on(model, &options, &cx, &tries)?.finished.model)
                };
                let models = [&original.model, &result];
                figures.execute(
                    &engine,
                    &mut drift,
                    models,
                    (samples, &part),
                    &progress,
                    &again,
                )?;
                if self.latency && drift.not_validated.is_none() {
                    let models = [&original.model, &result];
                    drift.latency_ms = Some(latency(&engine, models, samples)?);
                }
            }
            None => drift.not_validated = Some(NO_SAMPLES.to_owned()),
        }
        let taken =
            calibrated.and_then(|taken| others.iter().find(|fit| fit.calibrator() == taken.by));
        let choices = taken.or(fit.as_ref()).map(Fit::choices).unwrap_or_default();
        let choices: Vec<_> = choices.iter().map(ChoiceReport::new).collect();
        let layer = |(layer, here): &(QuantizedLayer, Option<f64>)| {
            QuantizedLayerReport::new(layer, *here, &fall_back, &choices, &finished.steps)
        };
        let layers = self.explains().then(|| layers.iter().map(layer).collect());
        let mut warnings = warnings(&finished.steps, &drift);
        let mut missed = nothing_quantized(&finished.steps);
        let large = self.widths.exceeded(&original, encoded.len());
        if large || assigned.as_ref().is_some_and(|assigned| !assigned.reached) {
            let (share, bytes) =
                (encoded.len() as f64 / original.byte_size.max(1) as f64, encoded.len());
            missed.push(format!(
                "weights do not become as small as asked for: the file has {bytes} bytes, {} of the \
                 original; --widths may name narrower ones",
                percent(share)
            ));
        }
        if self.quantization.quantize_io && interface.is_empty() {
            missed.push("no input or output became an integer".to_owned());
        }
        warnings.extend(refused);
        warnings.extend(self.quantization.unfitted([&original.model, &result]));
        warnings.extend(
            fall_back.failed.iter().map(|error| {
                format!("layers were not tried one by one on held-out samples: {error}")
            }),
        );
        let mut report = CompressionReport {
            input: self.model.display().to_string(),
            output: self.output.output.display().to_string(),
            passes: finished.steps.iter().map(StepReport::new).collect(),
            fall_back: FallBackReport::new(&fall_back)
                .map(|report| FallBackReport { verbose: self.accuracy.sensitivity, ..report }),
            assignment: assigned.as_ref().map(AssignmentReport::new),
            layers,
            calibrated: calibrated.map(CalibratedReport::new),
            equalized: equalized.map(EqualizedReport::new),
            methods: MethodsReport::new(&finished.steps, gain)
                .map(|report| MethodsReport { verbose: self.explain, ..report }),
            calibration: self.explains().then_some(choices),
            warnings,
            interface,
            drift,
            test: None,
            verbose: self.verbose,
            explain: self.explain,
        };
        if let Some(samples) = &test {
            let mut figures = sizes(&original, &result, encoded.len() as u64, &at);
            let all = validate::Options { top: vec![1], ..Default::default() };
            execute(&engine, &mut figures, [&original.model, &result], samples, &all, &progress)?;
            figures.source(report::Source::Test);
            report.test = Some(figures);
        }
        let judged = report.test.as_mut().unwrap_or(&mut report.drift);
        judged.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        let met = judged.passed;
        report.drift.miss(missed);
        let passed = met && report.drift.passed;
        self.output.save(&encoded)?;
        self.page.write("quantize", &report, self.output.overwrite())?;
        if self.talk.json {
            io::print(&io::report_json("quantize", &report)?)?;
        } else {
            warn_random(self.data.as_deref());
            io::show(&report)?;
        }
        Ok(if passed { Ended::Done } else { Ended::Missed })
    }
}

/// How many runs are compared; `--test` compares all.
fn drift_runs(macs: u64) -> usize {
    let runs = usize::try_from(DRIFT_WORK / macs.max(1)).unwrap_or(usize::MAX);
    runs.clamp(DRIFT_RUNS.0, DRIFT_RUNS.1)
}

/// What the user must not overlook.
fn warnings(steps: &[Step], drift: &onnxpress::report::ComparisonReport) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for step in steps {
        warnings.extend(step.report.warnings.iter().cloned());
        warnings.extend(taken_back(std::slice::from_ref(step)));
    }
    let numbers = drift.outputs.iter().filter(|output| output.agreement.is_none());
    for output in numbers.filter(|output| output.sqnr_db < POOR_DB) {
        let found = decibel(output.sqnr_db);
        warnings
            .push(format!("output `{}` keeps only {found}: check it on real data", output.name));
    }
    warnings.extend(lost_parts(drift));
    warnings.extend(grew(&drift.size_bytes));
    warnings
}

impl Quantize {
    fn method(&self) -> Method {
        let Self { calibrator, percentile, .. } = *self;
        Method { calibrator, percentile, explain: self.explains() }
    }

    /// What ranges are made from.
    fn fit<'a>(&self, source: Source<'a>) -> Fit<'a> {
        let fit = Fit::new(source, self.method());
        if self.accuracy.correct_biases() { fit.with_means() } else { fit }
    }

    /// Whether ranges and layers are looked at: a page shows them.
    fn explains(&self) -> bool {
        self.explain || self.page.is_wanted()
    }

    /// The statistics, when they are of this model.
    fn statistics(&self, model: &Model) -> Result<Option<Statistics>> {
        let Some(path) = &self.stats else { return Ok(None) };
        let statistics = statistics::load(path)?;
        statistics.check(model).map_err(|error| error.in_file(path))?;
        Ok(Some(statistics))
    }

    /// What each pass is checked with: samples, or seeded noise when there are none.
    fn check<'a>(
        &self,
        engine: &'a dyn Engine,
        samples: Option<&Samples>,
        model: &Model,
    ) -> Result<Check<'a>> {
        if let Some(samples) = samples {
            return Check::on(engine, samples, CHECK_RUNS);
        }
        let inputs = pipeline::probes(model, self.preprocessing.seed);
        Ok(Check { engine, inputs, enough: CHECK_RUNS })
    }

    /// Which layers fall back. Where all compute with floats, none is spared.
    fn fall_back(&self) -> FallBackOptions {
        let options = self.accuracy.options(&self.bounds, self.explains());
        match self.mode {
            Mode::Static | Mode::Dynamic => options,
            Mode::Weights => FallBackOptions { spare: 0.0, ..options },
        }
    }

    fn options(&self) -> Result<QuantizeOptions> {
        let nbits = matches!(self.mode, Mode::Weights)
            && self.quantization.reads_nbits()
            && !self.skip.iter().any(|name| name == ConvertNbits::default().name());
        Ok(QuantizeOptions {
            quantization: match self.mode {
                Mode::Static => self.quantization.options()?,
                Mode::Dynamic => self.quantization.of_dynamic()?,
                Mode::Weights => {
                    QuantizeStatic { packed_tables: nbits, ..self.quantization.of_weights()? }
                }
            },
            storage: self.quantization.storage(),
            assigned: None,
            widen: self.widths.widen,
            rounding: RoundWeights::named(self.accuracy.rounding),
            correct_biases: self.accuracy.correct_biases(),
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold.options(Growth::default()),
            dynamic: matches!(self.mode, Mode::Dynamic),
            nbits,
            qoperator: self.quantization.qoperator()?,
        })
    }
}
