//! `quantize`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onnxpress::calibrate::Calibration;
use onnxpress::passes::{Context, Growth, Note, quantize_interface};
use onnxpress::pipeline::{self, Check, Outcome, QuantizeOptions, Step};
use onnxpress::report::{CompressionReport, IntegerPort, StepReport, bytes, decibel};
use onnxpress::{Error, ErrorKind, Result, read, validate};

use super::compare::{Bounds, execute, sizes, warn_random};
use super::limits::FoldLimits;
use super::passes::check_names;
use super::quantization::Quantization;
use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, progress};

/// Arguments of `quantize`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress quantize model.onnx --data calib.npz -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --scale 1/255 --mean 0.5 --std 0.5 \\
      --test test.npz --labels y --max-drop 1% -o model.int8.onnx
  onnxpress quantize model.onnx --data photos/ --samples 200 --preprocess imagenet \\
      -o model.int8.onnx
  onnxpress quantize model.onnx --data calib.npz --target tensorrt -o model.trt.onnx
  onnxpress quantize model.onnx --data calib.npz --weights int4 --granularity block:32 \\
      --activations uint16 -o model.int4.onnx

{EXIT_STATUS}"))]
pub struct Quantize {
    /// Model to quantize.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    /// Calibration samples: x.npz, x.npy, a folder of png or jpeg images (flat, or one sub-folder
    /// for each class), ONNX test data (test_data_set_*/input_*.pb), or random:N. A few hundred real
    /// inputs are enough.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// How ranges are found: static ranges come from the calibration samples.
    #[arg(long, value_enum, default_value_t = Mode::Static)]
    mode: Mode,
    /// How ranges are measured.
    #[arg(long, value_enum, default_value_t = Calibrator::Minmax)]
    calibrator: Calibrator,
    #[command(flatten)]
    quantization: Quantization,
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
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Calibrator {
    Minmax,
}

/// Runs of the calibration samples with which each pass is checked.
const CHECK_RUNS: usize = 4;
/// Most runs of the calibration samples on which the result is compared with the original.
const DRIFT_RUNS: usize = 64;
/// Outputs below this signal-to-noise ratio in decibel get a warning: the error is a third of the
/// signal.
const POOR_DB: f64 = 10.0;

impl Quantize {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        if self.bounds.max_drop.is_some() && self.test.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop needs --test and --labels"));
        }
        self.output.check(&self.model)?;
        check_names(&self.skip)?;
        let options = self.options()?;
        let (Mode::Static, Calibrator::Minmax) = (self.mode, self.calibrator);
        let original = io::load(&self.model, &self.talk.words)?;
        let labels = self.labels.as_deref();
        let samples = self.preprocessing.open_unlabelled(&self.data, labels, &original.model)?;
        let test = self.test.as_ref();
        let test =
            test.map(|test| self.preprocessing.open(test, labels, &original.model)).transpose()?;
        let engine = self.engine.start()?;
        let progress = progress::Bar::new("calibrating", self.talk.words.quiet);
        let calibration = Calibration { engine: &engine, samples: &samples, progress: &progress };
        let cx =
            Context { evaluate: Some(&engine), measure: Some(&calibration), ..Context::default() };
        let check = Check::on(&engine, &samples, CHECK_RUNS)?;
        let passes = pipeline::quantize(&options);
        let mut finished = pipeline::run(original.model.clone(), &passes, &cx, Some(&check))?;
        let mut encoded = self.output.encode(&finished.model, original.external)?;
        // What is judged is what was written: the encoded result, read again.
        let result = match &encoded.data {
            None => read::bytes(encoded.model.to_bytes())?.model,
            Some(_) => std::mem::take(&mut finished.model),
        };
        let (mut interface, mut refused) = (Vec::new(), Vec::new());
        if self.quantization.quantize_io {
            // Only callers notice: the integers are those that the judged model computes with.
            let mut model = result.clone();
            let (ports, report) = quantize_interface(&mut model);
            interface.extend(ports.into_iter().map(IntegerPort::from));
            let stays = |note: &Note| format!("{} stays as it is: it {}", note.place, note.text);
            refused.extend(report.refused.iter().map(stays));
            encoded = self.output.encode(&model, original.external)?;
        }
        let mut drift = sizes(&original, &result, encoded.len() as u64);
        let part = validate::Options { runs: Some(DRIFT_RUNS), ..Default::default() };
        execute(&engine, &mut drift, &original.model, &result, &samples, &part)?;
        let mut report = CompressionReport {
            input: self.model.display().to_string(),
            output: self.output.output.display().to_string(),
            passes: finished.steps.iter().map(StepReport::new).collect(),
            warnings: warnings(&finished.steps, &drift).into_iter().chain(refused).collect(),
            interface,
            drift,
            test: None,
            verbose: self.verbose,
        };
        if let Some(samples) = &test {
            let mut figures = sizes(&original, &result, encoded.len() as u64);
            let all = validate::Options { top: vec![1], ..Default::default() };
            execute(&engine, &mut figures, &original.model, &result, samples, &all)?;
            report.test = Some(figures);
        }
        let judged = report.test.as_mut().unwrap_or(&mut report.drift);
        judged.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        let passed = judged.passed;
        self.output.save(&encoded)?;
        if self.talk.json {
            io::print(&io::json(&report)?)?;
        } else {
            warn_random(Some(&self.data));
            io::print(&report.to_string())?;
        }
        Ok(if passed { Ended::Done } else { Ended::BoundMissed })
    }
}

/// What the user must not overlook.
fn warnings(steps: &[Step], drift: &onnxpress::report::ComparisonReport) -> Vec<String> {
    let mut warnings: Vec<String> = Vec::new();
    for step in steps {
        warnings.extend(step.report.warnings.iter().cloned());
        if let Some(Outcome::Broken(reason)) = &step.outcome {
            warnings.push(format!("pass {} was taken back: {reason}", step.name));
        }
    }
    let quantized = steps.iter().any(|step| {
        step.name == "quantize-static"
            && step.report.changed()
            && !matches!(step.outcome, Some(Outcome::Broken(_)))
    });
    if !quantized {
        let refusals = steps.iter().filter(|s| s.name == "quantize-static");
        let reason = refusals.flat_map(|s| &s.report.refused).next();
        let tried = steps.iter().any(|step| step.name == "quantize-static");
        warnings.push(match reason {
            Some(note) => format!("nothing was quantized: {}: {}", note.place, note.text),
            None if tried => "nothing was quantized: the model has no layers in float".to_owned(),
            None => "nothing was quantized: pass quantize-static was left out".to_owned(),
        });
    }
    for output in drift.outputs.iter().filter(|output| output.sqnr_db < POOR_DB) {
        let found = decibel(output.sqnr_db);
        warnings
            .push(format!("output `{}` keeps only {found}: check it on real data", output.name));
    }
    if drift.size_bytes.candidate > drift.size_bytes.original {
        let (from, to) = (bytes(drift.size_bytes.original), bytes(drift.size_bytes.candidate));
        warnings.push(format!("the file grew from {from} to {to}"));
    }
    warnings
}

impl Quantize {
    fn options(&self) -> Result<QuantizeOptions> {
        Ok(QuantizeOptions {
            quantization: self.quantization.options()?,
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold.options(Growth::default()),
        })
    }
}
