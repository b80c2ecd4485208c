//! `compare`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use onnxpress::analysis::{Assume, Cost, Progress, Shapes};
use onnxpress::compress;
use onnxpress::compress::{Counted, QuantizeOptions};
use onnxpress::data::Samples;
use onnxpress::emit::Overwrite;
use onnxpress::exec::{Engine, Tract};
use onnxpress::ir::Model;
use onnxpress::passes::Context;
use onnxpress::pipeline::{self, When};
use onnxpress::read::Loaded;
use onnxpress::report::{
    ComparisonReport, Latency, LayersReport, Pair, Parallel, ProfileReport, SampleReport,
};
use onnxpress::validate::{self, LayerDrifts, compare_telling, timing};
use onnxpress::{Error, ErrorKind, Result};

use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, page, progress};

/// Arguments of `compare`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress compare model.onnx model.int8.onnx --data test.npz --labels y --scale 1/255
  onnxpress compare model.onnx model.int8.onnx --data val/ --preprocess imagenet --max-drop 1%
  onnxpress compare model.onnx model.int8.onnx --data val/ --preprocess imagenet --worst 10
  onnxpress compare model.onnx model.int8.onnx --data random:16 --min-sqnr 30 --layers
  onnxpress compare model.onnx model.int8.onnx --data test.npz --latency --profile --engine ort
  onnxpress compare model.onnx other.onnx --map images=input_1 --map scores=Identity:0 --data test.npz

{EXIT_STATUS}"))]
pub struct Compare {
    /// The original model.
    original: PathBuf,
    /// The model that is to replace it.
    candidate: PathBuf,
    /// What an input or output of the original is called in the candidate; may be given several times.
    #[arg(long, value_name = "OLD=NEW", value_parser = renamed)]
    map: Vec<(String, String)>,
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
    /// Show the N samples that differ most.
    #[arg(long, value_name = "N", num_args = 0..=1, default_missing_value = "10", requires = "data")]
    worst: Option<usize>,
    /// Compare the values inside that both models have, by name, on a few samples: which differ, and
    /// where it begins.
    #[arg(long, requires = "data")]
    layers: bool,
    /// Measure the time of one run, too, one at a time and on all threads at once, and the memory.
    #[arg(long, requires = "data")]
    latency: bool,
    /// Measure which operators take the time, in both models.
    #[arg(long, requires = "data")]
    profile: bool,
    #[command(flatten)]
    page: page::ReportFile,
    /// Replace OUT.html when it exists.
    #[arg(long)]
    force: bool,
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

/// `x=input_1`.
fn renamed(text: &str) -> Result<(String, String), String> {
    let names = text.split_once('=').filter(|(old, new)| !old.is_empty() && !new.is_empty());
    let (old, new) = names.ok_or_else(|| format!("`{text}`; expected OLD=NEW, e.g. x=input_1"))?;
    Ok((old.trim().to_owned(), new.trim().to_owned()))
}

/// `1%` or `0.01`.
pub fn share(text: &str) -> Result<f64, String> {
    let (number, unit) = match text.strip_suffix('%') {
        Some(number) => (number, 100.0),
        None => (text, 1.0),
    };
    match number.trim().parse::<f64>() {
        Ok(number) if (0.0..=unit).contains(&number) => Ok(number / unit),
        Ok(number) if number > 1.0 && unit == 1.0 => {
            Err(format!("`{text}` is more than the whole; for {text} percent write {text}%"))
        }
        _ => Err(format!("`{text}`; expected a share such as 1% or 0.01")),
    }
}

impl Bounds {
    /// Refuses, before any work is done, a bound on accuracy for samples whose classes are not known.
    pub fn check(&self, samples: &Samples) -> Result<()> {
        if self.max_drop.is_some() && samples.labels().is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop needs samples with labels").help(
                "name their array with --labels, or put images into a folder for each class",
            ));
        }
        Ok(())
    }
}

/// Refuses labels that are no class of the model, before any work is done.
pub fn check_labels<'a>(model: &Model, samples: impl Iterator<Item = &'a Samples>) -> Result<()> {
    let mut samples = samples;
    samples.try_for_each(|samples| validate::check_labels(model, samples, None))
}

impl Compare {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        if self.bounds.max_drop.is_some() && self.data.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop needs --data with labels"));
        }
        if self.bounds.min_sqnr.is_some() && self.data.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--min-sqnr needs --data"));
        }
        let overwrite = if self.force { Overwrite::Replace } else { Overwrite::Never };
        self.page.check(&[&self.original, &self.candidate], overwrite)?;
        let original = io::load(&self.original, &self.talk.words)?;
        let mut candidate = io::load(&self.candidate, &self.talk.words)?;
        let open =
            |data: &PathBuf| self.preprocessing.open(data, self.labels.as_deref(), &original.model);
        let samples = self.data.as_ref().map(open).transpose()?;
        if !self.map.is_empty() || samples.is_some() {
            candidate.model = pipeline::aligned(&original.model, &candidate.model, &self.map)?;
        }
        if let Some(samples) = &samples {
            pipeline::check_fed(&original.model, &candidate.model, &samples.dims())?;
        }
        // Either model may leave more open than the other.
        let open = [&original.model, &candidate.model]
            .map(|model| compress::counted_at(model, samples.as_ref()));
        let at = open.into_iter().max_by_key(|at| at.inputs.len()).unwrap_or_default();
        let mut report = sizes(&original, &candidate.model, candidate.byte_size, &at);
        report.verbose = true;
        if let Some(samples) = samples {
            self.bounds.check(&samples)?;
            validate::check_labels(&original.model, &samples, self.scores.as_deref())?;
            io::say_fed(Some(&samples), &self.talk.words)?;
            let mut top = self.top.clone();
            if self.bounds.max_drop.is_some() && !top.contains(&1) {
                top.push(1);
            }
            let options = validate::Options {
                top,
                output: self.scores.clone(),
                runs: None,
                worst: self.worst.unwrap_or_default(),
            };
            let engine =
                self.engine.start(original.byte_size.max(candidate.byte_size), Some(&samples))?;
            let models = [&original.model, &candidate.model];
            let progress = progress::Bar::new(self.talk.words.quiet);
            execute(&engine, &mut report, models, &samples, &options, &progress)?;
            if self.layers && report.not_validated.is_none() {
                let found = layers(&engine, models[0], models[1], &samples)?;
                let numbers = report.outputs.iter().filter(|output| output.agreement.is_none());
                let lowest = numbers.map(|output| output.sqnr_db);
                let lowest = lowest.fold(f64::INFINITY, f64::min);
                report.layers = Some(LayersReport::new(&found, lowest));
            }
            if self.latency && report.not_validated.is_none() {
                report.latency_ms = Some(both_latencies(&engine, models, &samples)?);
            }
            if self.profile && report.not_validated.is_none() {
                let inputs = samples.run(0)?.inputs;
                let profiles = validate::profile(&engine, models, &inputs)?;
                report.profile = Some(ProfileReport::new(&profiles, engine.name()));
            }
        }
        report.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        if let (true, Some(reason)) = (report.passed, &report.not_validated) {
            report.miss([format!("the models were not compared: {reason}")]);
        }
        self.page.write("compare", &report, overwrite)?;
        if self.talk.json {
            io::print(&io::report_json("compare", &report)?)?;
        } else {
            warn_random(self.data.as_deref());
            io::show(&report)?;
        }
        Ok(if report.passed { Ended::Done } else { Ended::Missed })
    }
}

/// Sizes of both models, without execution; work is counted with inputs as `at` says.
pub fn sizes(
    original: &Loaded,
    candidate: &Model,
    candidate_bytes: u64,
    at: &Assume,
) -> ComparisonReport {
    let cost = |model: &Model| Cost::of(model, &Shapes::infer(model, at));
    let (a, b) = (cost(&original.model), cost(candidate));
    let counted = [(&original.model, &a), (candidate, &b)].into_iter();
    let mut uncounted = counted.filter_map(|(model, cost)| Counted::of(model, at, cost).in_words());
    ComparisonReport {
        samples: 0,
        random: false,
        inputs: Vec::new(),
        warnings: Vec::new(),
        figures: None,
        outputs: Vec::new(),
        accuracy: BTreeMap::new(),
        size_bytes: Pair { original: original.byte_size, candidate: candidate_bytes },
        parameters: Pair { original: a.parameters, candidate: b.parameters },
        macs: Pair { original: a.macs, candidate: b.macs },
        macs_at: at.inputs.clone(),
        macs_uncounted: uncounted.next(),
        latency_ms: None,
        profile: None,
        worst: Vec::new(),
        layers: None,
        not_validated: None,
        missed: Vec::new(),
        passed: true,
        verbose: false,
    }
}

/// What to do when the built-in engine does not run a model.
const OTHER_ENGINE: &str = " (`--engine ort` may run it)";

/// Runs both models on the samples; a model that the engine cannot run is "not validated".
pub fn execute(
    engine: &dyn Engine,
    report: &mut ComparisonReport,
    models: [&Model; 2],
    samples: &Samples,
    options: &validate::Options,
    progress: &dyn Progress,
) -> Result<()> {
    report.random = samples.is_random();
    report.fed(samples.fed()?);
    match compare_telling(engine, models, samples, options, progress) {
        Ok(comparison) => {
            report.measured(&comparison);
            report.worst = SampleReport::all(&comparison, samples);
        }
        Err(error) if error.kind == ErrorKind::Engine => {
            let hint = if engine.name() == Tract.name() { OTHER_ENGINE } else { "" };
            report.not_validated = Some(format!("{error}{hint}"));
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

/// Median times of one run of two models, one at a time.
pub fn latency(engine: &dyn Engine, models: [&Model; 2], samples: &Samples) -> Result<Latency> {
    let inputs = samples.run(0)?.inputs;
    let plain = engine.as_written();
    let engine = plain.as_deref().unwrap_or(engine);
    Ok(Latency::new(timing::one_at_a_time(engine, models, &inputs)?, engine.name()))
}

/// The same, and as many runs at a time as there are threads.
fn both_latencies(engine: &dyn Engine, models: [&Model; 2], samples: &Samples) -> Result<Latency> {
    let mut latency = latency(engine, models, samples)?;
    let threads = rayon::current_num_threads();
    if threads > 1 {
        let inputs = samples.run(0)?.inputs;
        let plain = engine.as_written();
        let engine = plain.as_deref().unwrap_or(engine);
        let timings = timing::side_by_side(engine, models, &inputs, threads)?;
        latency.parallel = Some(Parallel::new(timings, threads));
    }
    Ok(latency)
}

/// Runs on which values inside are compared.
const LAYER_RUNS: usize = 8;

/// The values inside both models. Passes that fold one layer into another change what a name stands
/// for, so the original is also looked at as these passes leave it.
fn layers<E: Engine>(
    engine: &E,
    original: &Model,
    candidate: &Model,
    samples: &Samples,
) -> Result<LayerDrifts> {
    let cx = Context { evaluate: Some(engine), ..Context::default() };
    let passes = compress::prepare(&QuantizeOptions::default());
    let prepared = pipeline::settle(original.clone(), &passes, &cx, None, When::AtEnd)?.model;
    validate::layers(engine, &[original, &prepared], candidate, samples, LAYER_RUNS)
}
