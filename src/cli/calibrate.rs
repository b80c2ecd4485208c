//! `calibrate` and `merge`.

use std::collections::HashSet;
use std::path::PathBuf;

use clap::Args;
use onnxpress::calibrate::{Shard, Statistics};
use onnxpress::passes::Growth;
use onnxpress::verbs::{self, Data, Host, QuantizeOptions};
use onnxpress::{Error, ErrorKind, Result};

use super::compare::warn_random;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::quantization::Quantization;
use super::{EXIT_STATUS, Ended, Words, Work, engine, io, progress, statistics};

/// Arguments of `calibrate`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress calibrate model.onnx --data calib.npz -o model.stats
  onnxpress quantize model.onnx --stats model.stats -o model.int8.onnx

  onnxpress calibrate model.onnx --data photos/ --preprocess imagenet --shard 1/2 -o 1.stats
  onnxpress calibrate model.onnx --data photos/ --preprocess imagenet --shard 2/2 -o 2.stats
  onnxpress merge 1.stats 2.stats -o model.stats

{EXIT_STATUS}"))]
pub struct Calibrate {
    /// Model to measure.
    model: PathBuf,
    #[command(flatten)]
    output: statistics::Output,
    /// Calibration samples, as for `quantize`.
    #[arg(long, value_name = "DATA")]
    data: PathBuf,
    /// Run only part I of N of the samples: each machine takes another part.
    #[arg(long, value_name = "I/N", value_parser = shard)]
    shard: Option<Shard>,
    /// Name of an array of the samples that is no input.
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    #[command(flatten)]
    quantization: Quantization,
    /// Leave out a pass; as for the `quantize` that follows.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Make initializers constants that callers may now override.
    #[arg(long)]
    freeze_initializers: bool,
    #[command(flatten)]
    preprocessing: io::Preprocessing,
    #[command(flatten)]
    fold: FoldLimits,
    #[command(flatten)]
    engine: engine::EngineArgs,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    words: Words,
}

fn shard(text: &str) -> Result<Shard, String> {
    let parts = text.split_once('/').and_then(|(i, n)| Some((i.parse().ok()?, n.parse().ok()?)));
    parts
        .and_then(|(number, of)| Shard::new(number, of))
        .ok_or_else(|| format!("`{text}`; expected a part such as 1/4"))
}

impl Calibrate {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        self.output.check()?;
        check_names(&self.skip)?;
        let original = io::load(&self.model, &self.words)?;
        let labels = self.labels.as_deref();
        let samples = self.preprocessing.open_unlabelled(&self.data, labels, &original)?;
        io::say_fed(Some(&samples), &self.words)?;
        let engine = self.engine.start(original.byte_size, Some(&samples))?;
        let progress = progress::Bar::new(self.words.quiet);
        let host = Host { engine: &engine, progress: &progress, ..Host::default() };
        let data = Data { host, ..Data::of(&samples) };
        let options = QuantizeOptions {
            scheme: self.quantization.scheme(),
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold.options(Growth::default()),
            ..QuantizeOptions::default()
        };
        let part = self.shard.unwrap_or_default();
        let statistics = verbs::collect(&original, &options, &data, part)?;
        self.output.save(&statistics)?;
        warn_random(Some(&self.data));
        io::show(&summary(&statistics))?;
        Ok(Ended::Done)
    }
}

/// Arguments of `merge`.
#[derive(Debug, Args)]
#[command(after_help = format!("Example:
  onnxpress merge 1.stats 2.stats 3.stats -o model.stats

The order of the files does not matter, and the result is that of a single run over all samples.

{EXIT_STATUS}"))]
pub struct Merge {
    /// Files that `onnxpress calibrate` or `onnxpress merge` wrote, of one model.
    #[arg(required = true, value_name = "STATS")]
    parts: Vec<PathBuf>,
    #[command(flatten)]
    output: statistics::Output,
}

impl Merge {
    pub fn run(self) -> Result<Ended> {
        self.output.check()?;
        let mut whole: Option<Statistics> = None;
        let mut samples = HashSet::new();
        for path in &self.parts {
            let part = statistics::load(path)?;
            let repeated = part.runs > 0 && !samples.insert(part.inputs);
            whole = Some(match whole {
                None => part,
                Some(whole) => whole.merge(part).map_err(|error| error.in_file(path))?,
            });
            if repeated {
                let message = "holds the same samples as a file before it";
                return Err(Error::new(ErrorKind::Data, message).in_file(path));
            }
        }
        if let Some(whole) = whole {
            self.output.save(&whole)?;
            io::show(&summary(&whole))?;
        }
        Ok(Ended::Done)
    }
}

fn summary(statistics: &Statistics) -> String {
    let Statistics { samples, values, .. } = statistics;
    format!("samples     {samples}\nvalues      {}\n", values.len())
}
