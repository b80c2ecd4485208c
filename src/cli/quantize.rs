//! `quantize`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use onnxpress::Result;
use onnxpress::calibrate::{Calibrator, Method, Statistics};
use onnxpress::ir::Model;
use onnxpress::passes::Growth;
use onnxpress::verbs::{Data, Host, Mode, QuantizeOptions, check_labels};

use super::accuracy::Accuracy;
use super::compare::{BoundArgs, warn_random};
use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::quantization::{Named, Quantization};
use super::widths::WidthArgs;
use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, page, progress, statistics};

/// Arguments of `quantize`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress quantize model.onnx --data calib.npz -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --scale 1/255 --mean 0.5 --std 0.5 \\
      --test test.npz --labels y --max-drop 1% -o model.int8.onnx
  onnxpress quantize model.onnx --data photos/ --samples 200 --preprocess imagenet \\
      -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --calibrator mse --explain -o model.int8.onnx
  onnxpress quantize model.onnx --calibration model.stats --data test.npz -o model.int8.onnx
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
    #[arg(long = "calibration", alias = "stats", value_name = "STATS")]
    stats: Option<PathBuf>,
    /// static: activation ranges are measured on calibration samples. dynamic: they are computed at run
    /// time. weights: only weights are quantized. dynamic and weights work without --data and use it if
    /// given.
    #[arg(long, value_enum, default_value = "static")]
    mode: Named<Mode>,
    /// How activation ranges are chosen from calibration statistics; auto takes for each activation the one
    /// with the least expected error on held-out samples.
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
    /// Treat initializers that are also graph inputs as constants.
    #[arg(long)]
    freeze_initializers: bool,
    /// Compare original and result on these samples, too.
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    /// Array with the class labels; not fed to the model. Images in class folders need no name.
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    #[command(flatten)]
    bounds: BoundArgs,
    #[command(flatten)]
    accuracy: Accuracy,
    /// Measure the time of one run of both models in the engine; other runtimes differ.
    #[arg(long = "measure-latency", alias = "latency")]
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

impl Quantize {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        self.refuse()?;
        let options = self.options()?;
        options.check(self.test.is_some(), self.stats.is_some())?;
        let mut original = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut original.model)?;
        let labels = self.labels.as_deref();
        let opened = |data| self.preprocessing.open_unlabelled(data, labels, &original);
        let samples = self.data.as_deref().map(opened).transpose()?;
        let statistics = self.statistics(&original.model)?;
        let test = self.test.as_ref();
        let test = test.map(|test| self.preprocessing.open(test, labels, &original)).transpose()?;
        test.as_ref().map(|test| options.bounds.check(test)).transpose()?;
        check_labels(&original.model, test.iter().chain(&samples))?;
        io::say_fed(samples.iter().chain(&test), &self.talk.words)?;
        let engine = self.engine.start(original.byte_size, samples.as_ref().or(test.as_ref()))?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let data = Data {
            samples: samples.as_ref(),
            test: test.as_ref(),
            statistics: statistics.as_ref(),
            seed: self.preprocessing.seed,
            host: Host {
                engine: &engine,
                progress: &progress,
                deployed: Some(&|| self.engine.deploying()),
                encode: &|model, external| self.output.encode(model, external),
            },
        };
        let mut outcome = onnxpress::quantize(&original, &options, &data)?;
        let report = &mut outcome.report;
        (report.input, report.output) = self.output.named(&self.model);
        (report.verbose, report.explain) = (self.verbose, self.explain);
        report.methods.iter_mut().for_each(|methods| methods.verbose = self.explain);
        io::deliver(&self.output, &self.page, &self.talk, ("quantize", &outcome), || {
            warn_random(self.data.as_deref());
        })
    }

    /// Refuses what cannot be done, before any file is read.
    fn refuse(&self) -> Result<()> {
        self.output.check(&self.model, self.talk.json)?;
        let files = [&*self.model, &*self.output.output];
        self.page.check(&files, self.output.overwrite())?;
        check_names(&self.skip)
    }

    /// The statistics, when they are of this model.
    fn statistics(&self, model: &Model) -> Result<Option<Statistics>> {
        let Some(path) = &self.stats else { return Ok(None) };
        let statistics = statistics::load(path)?;
        statistics.check(model).map_err(|error| error.in_file(path))?;
        Ok(Some(statistics))
    }

    pub(super) fn options(&self) -> Result<QuantizeOptions> {
        Ok(QuantizeOptions {
            mode: self.mode.0,
            scheme: self.quantization.scheme(),
            calibrator: self.calibrator,
            percentile: self.percentile,
            accuracy: self.accuracy.options(),
            mixed: self.widths.mixed()?,
            widen: self.widths.widen,
            bounds: self.bounds.bounds(),
            skip: self.skip.clone(),
            freeze_initializers: self.freeze_initializers,
            fold: self.fold.options(Growth::default()),
            // A page shows it.
            explain: self.explain || self.page.is_wanted(),
            latency: self.latency,
        })
    }
}
