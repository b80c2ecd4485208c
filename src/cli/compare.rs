//! `compare`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use onnxpress::analysis::{Assume, Cost, Shapes};
use onnxpress::data::Samples;
use onnxpress::exec::{Engine, Runner};
use onnxpress::ir::Model;
use onnxpress::read::Loaded;
use onnxpress::report::{ComparisonReport, Latency, Pair};
use onnxpress::validate::{self, compare};
use onnxpress::{Error, ErrorKind, Result};

use super::{EXIT_STATUS, Ended, Talk, Work, engine, io};

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress compare model.onnx model.int8.onnx --data test.npz --labels y --scale 1/255
  onnxpress compare model.onnx model.int8.onnx --data val/ --preprocess imagenet --max-drop 1%
  onnxpress compare model.onnx model.int8.onnx --data random:16 --min-sqnr 30

{EXIT_STATUS}"))]
pub struct Compare {
    /// The original model.
    original: PathBuf,
    /// The model that is to replace it.
    candidate: PathBuf,
    /// Samples: x.npz, x.npy, a folder of png or jpeg images (flat, or one sub-folder for each
    /// class), ONNX test data (test_data_set_*/input_*.pb), or random:N. Without samples only sizes
    /// are compared.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Array of DATA with the class of each sample. Images in class folders need no name: their
    /// classes are the numbers that the folders are named by, or else the positions of the folders
    /// when sorted by name.
    #[arg(long, value_name = "NAME", requires = "data")]
    labels: Option<String>,
    /// Count a hit when the label is among the first K classes.
    #[arg(long, value_name = "K,…", value_delimiter = ',', default_value = "1")]
    top: Vec<usize>,
    /// The output with the class scores; by default the first one that can be.
    #[arg(long, value_name = "NAME")]
    scores: Option<String>,
    #[command(flatten)]
    bounds: Bounds,
    /// Measure the time of one run, too.
    #[arg(long, requires = "data")]
    latency: bool,
    #[command(flatten)]
    preprocessing: io::Preprocessing,
    #[command(flatten)]
    engine: engine::EngineArgs,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    talk: Talk,
}

/// Bounds that the result is asked to keep.
#[derive(Debug, Clone, Copy, Args)]
pub struct Bounds {
    /// Least signal-to-noise ratio of every output, in decibel.
    #[arg(long, value_name = "DB", allow_hyphen_values = true, value_parser = decibel)]
    pub min_sqnr: Option<f64>,
    /// Largest fall of top-1 accuracy, e.g. 1% or 0.01.
    #[arg(long, value_name = "SHARE", value_parser = share)]
    pub max_drop: Option<f64>,
}

/// A finite number of decibel.
fn decibel(text: &str) -> Result<f64, String> {
    let number = text.trim().trim_end_matches("dB").trim_end().parse::<f64>();
    number.ok().filter(|x| x.is_finite()).ok_or_else(|| format!("`{text}`; expected a number"))
}

/// `1%` or `0.01`.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if (0.0..=unit).contains(&number) => Ok(number / unit),
        _ => Err(format!("`{text}`; expected a share such as 1% or 0.01")),
    }
}

impl Compare {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        if self.bounds.max_drop.is_some() && self.data.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop needs --data and --labels"));
        }
        if self.bounds.min_sqnr.is_some() && self.data.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--min-sqnr needs --data"));
        }
        let original = io::load(&self.original, &self.talk.words)?;
        let candidate = io::load(&self.candidate, &self.talk.words)?;
        let mut report = sizes(&original, &candidate.model, candidate.byte_size);
        if let Some(data) = &self.data {
            let samples = self.preprocessing.open(data, self.labels.as_deref(), &original.model)?;
            if self.bounds.max_drop.is_some() && samples.labels().is_none() {
                return Err(Error::new(ErrorKind::Usage, "--max-drop needs --labels")
                    .help("name the array with the class of each sample"));
            }
            let mut top = self.top.clone();
            if self.bounds.max_drop.is_some() && !top.contains(&1) {
                top.push(1);
            }
            let options = validate::Options { top, output: self.scores.clone(), runs: None };
            let engine = self.engine.start()?;
            execute(&engine, &mut report, &original.model, &candidate.model, &samples, &options)?;
            if self.latency && report.not_validated.is_none() {
                let models = [&original.model, &candidate.model];
                report.latency_ms = Some(latency(&engine, models, &samples)?);
            }
        }
        report.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        if self.talk.json {
            io::print(&io::json(&report)?)?;
        } else {
            warn_random(self.data.as_deref());
            io::print(&report.to_string())?;
        }
        Ok(if report.passed { Ended::Done } else { Ended::BoundMissed })
    }
}

/// Sizes of both models, without execution.
pub fn sizes(original: &Loaded, candidate: &Model, candidate_bytes: u64) -> ComparisonReport {
    let cost = |model: &Model| Cost::of(model, &Shapes::infer(model, &Assume::one_sample()));
    let (a, b) = (cost(&original.model), cost(candidate));
    ComparisonReport {
        samples: 0,
        random: false,
        outputs: Vec::new(),
        accuracy: BTreeMap::new(),
        size_bytes: Pair { original: original.byte_size, candidate: candidate_bytes },
        parameters: Pair { original: a.parameters, candidate: b.parameters },
        macs: Pair { original: a.macs, candidate: b.macs },
        latency_ms: None,
        not_validated: None,
        missed: Vec::new(),
        passed: true,
    }
}

/// Runs both models on the samples; a model that the engine cannot run is "not validated".
pub fn execute(
    engine: &dyn Engine,
    report: &mut ComparisonReport,
    original: &Model,
    candidate: &Model,
    samples: &Samples,
    options: &validate::Options,
) -> Result<()> {
    report.random = samples.is_random();
    match compare(engine, original, candidate, samples, options) {
        Ok(comparison) => report.measured(&comparison),
        Err(error) if error.kind == ErrorKind::Engine => {
            report.not_validated = Some(error.to_string());
        }
        Err(error) => return Err(error),
    }
    Ok(())
}

/// Seeded noise is no test: say so in capital letters.
pub fn warn_random(data: Option<&Path>) {
    if data.is_some_and(|data| data.to_string_lossy().starts_with("random:")) {
        eprintln!("THE SAMPLES ARE RANDOM: the figures below say nothing about real inputs");
    }
}

/// Runs of each model that are timed; the median is taken.
const TIMED_RUNS: usize = 21;

/// Median times of one run of two models, taken in turn.
pub fn latency(engine: &dyn Engine, models: [&Model; 2], samples: &Samples) -> Result<Latency> {
    let inputs = samples.run(0)?.inputs;
    let plain = engine.as_written();
    let engine = plain.as_deref().unwrap_or(engine);
    let runners = models.map(|model| Runner::new(engine, model, Vec::new()));
    let mut times = [Vec::new(), Vec::new()];
    // In turn, so that a drifting clock speed meets both; the first round prepares the sessions.
    for round in 0..=TIMED_RUNS {
        for (runner, times) in runners.iter().zip(&mut times) {
            let time = runner.run(&inputs)?.time;
            if round > 0 {
                times.push(time.as_secs_f64() * 1e3);
            }
        }
    }
    let [original, candidate] = times.map(|mut times| {
        times.sort_by(f64::total_cmp);
        times[TIMED_RUNS / 2]
    });
    let engine = engine.name().to_owned();
    Ok(Latency { original, candidate, ratio: candidate / original, engine })
}
