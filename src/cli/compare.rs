//! `compare`.

use std::path::{Path, PathBuf};

use clap::Args;
use onnxpress::data;
use onnxpress::emit::Overwrite;
use onnxpress::verbs::{Bounds, CompareOptions, Data, Host};
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
    bounds: BoundArgs,
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
pub struct BoundArgs {
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

impl BoundArgs {
    /// The bounds.
    pub fn bounds(&self) -> Bounds {
        Bounds { min_sqnr: self.min_sqnr, max_drop: self.max_drop }
    }
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
        let candidate = io::load(&self.candidate, &self.talk.words)?;
        let open =
            |data: &PathBuf| self.preprocessing.open(data, self.labels.as_deref(), &original);
        let samples = self.data.as_ref().map(open).transpose()?;
        io::say_fed(&samples, &self.talk.words)?;
        let bytes = original.byte_size.max(candidate.byte_size);
        let engine = samples.as_ref().map(|samples| self.engine.start(bytes, Some(samples)));
        let engine = engine.transpose()?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let mut host = Host { progress: &progress, ..Host::default() };
        if let Some(engine) = &engine {
            host.engine = engine;
        }
        let data = Data { samples: samples.as_ref(), host, ..Data::default() };
        let report = onnxpress::compare(&original, &candidate, &self.options(), &data)?;
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

impl Compare {
    pub(super) fn options(&self) -> CompareOptions {
        CompareOptions {
            map: self.map.clone(),
            top: self.top.clone(),
            scores: self.scores.clone(),
            bounds: self.bounds.bounds(),
            worst: self.worst.unwrap_or_default(),
            layers: self.layers,
            latency: self.latency,
            profile: self.profile,
        }
    }
}

/// Seeded noise is no test: say so in capital letters.
pub fn warn_random(data: Option<&Path>) {
    if data.is_some_and(data::is_random) {
        eprintln!("THE SAMPLES ARE RANDOM: the figures below say nothing about real inputs");
    }
}
