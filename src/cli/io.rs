//! Arguments that several commands share: models, samples, results.

use std::path::{Path, PathBuf};

use clap::Args;
use onnxpress::data::{
    Channels, InputSpec, Layout, Limits, Options, Preprocess, Preset, Resize, Samples, Size,
    parse_number, parse_numbers,
};
use onnxpress::emit::{self, Overwrite};
use onnxpress::ir::{Def, Dim, Model};
use onnxpress::read::{self, Loaded};
use onnxpress::{Error, ErrorKind, Result};

use super::Common;

/// Where the result goes.
#[derive(Debug, Args)]
pub struct Output {
    /// File to write; written beside it first and then renamed, never torn.
    #[arg(short, long, value_name = "OUT")]
    pub output: PathBuf,
    /// Replace OUT when it exists.
    #[arg(long)]
    pub force: bool,
}

/// How samples become inputs.
#[derive(Debug, Args)]
pub struct Preprocessing {
    /// Use only the first N samples; of images in class folders, as many of each class as possible.
    #[arg(long, value_name = "N")]
    pub samples: Option<usize>,
    /// A recipe by name: `imagenet` (--resize 256 --crop 224 --scale 1/255 --mean 0.485,0.456,0.406
    /// --std 0.229,0.224,0.225), `tf` (--scale 1/127.5 --mean 1) or `unit` (--scale 1/255). Options
    /// beside it replace its parts; --resize or --crop replaces both of them.
    #[arg(long, value_name = "NAME")]
    pub preprocess: Option<Preset>,
    /// Scale images: the shorter side to N pixels, or both sides to HxW (height x width).
    #[arg(long, value_name = "N|HxW")]
    pub resize: Option<Resize>,
    /// Cut this size out of the middle of images, after --resize.
    #[arg(long, value_name = "N|HxW")]
    pub crop: Option<Size>,
    /// Multiply every value, e.g. 1/255.
    #[arg(long, value_name = "X", value_parser = parse_number)]
    pub scale: Option<f64>,
    /// Subtract after scaling: one number, or one for each channel, e.g. 0.485,0.456,0.406.
    #[arg(long, value_name = "X,…", value_parser = parse_numbers, allow_hyphen_values = true)]
    pub mean: Option<Numbers>,
    /// Divide after that: one number, or one for each channel.
    #[arg(long, value_name = "X,…", value_parser = parse_numbers)]
    pub std: Option<Numbers>,
    /// Layout of the samples in the file: nchw or nhwc. Images have none; for them it is the layout
    /// that the model takes, needed only if its extents leave that open.
    #[arg(long, value_name = "LAYOUT")]
    pub layout: Option<Layout>,
    /// Order of the colours that the model wants, for RGB samples: rgb or bgr.
    #[arg(long, value_name = "ORDER", default_value = "rgb")]
    pub channels: Channels,
    /// Most bytes of arrays that one file may put into memory [default: 1 GiB; of a deflated array
    /// above 64 MiB at most 100 times what it takes in the file]. Arrays above 64 MiB that are not
    /// compressed stay in the file and do not count.
    #[arg(long, value_name = "N")]
    pub max_data_bytes: Option<u64>,
    /// Seed of `random:N`.
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub seed: u64,
}

/// One number for each channel; the alias keeps clap from taking a list of arguments.
pub type Numbers = Vec<f64>;

impl Preprocessing {
    /// Opens samples that may or may not hold the array of labels.
    pub fn open_unlabelled(
        &self,
        data: &Path,
        labels: Option<&str>,
        model: &Model,
    ) -> Result<Samples> {
        let labelled = labels.and_then(|labels| self.open(data, Some(labels), model).ok());
        labelled.map_or_else(|| self.open(data, None, model), Ok)
    }

    /// Opens samples for the inputs of `model`.
    pub fn open(&self, data: &Path, labels: Option<&str>, model: &Model) -> Result<Samples> {
        let limits = match self.max_data_bytes {
            Some(array_bytes) => Limits { array_bytes, expansion: u64::MAX, ..Limits::default() },
            None => Limits::default(),
        };
        let options = Options {
            labels: labels.map(ToOwned::to_owned),
            samples: self.samples,
            preprocess: Preprocess {
                preset: self.preprocess,
                scale: self.scale,
                mean: self.mean.clone().unwrap_or_default(),
                std: self.std.clone().unwrap_or_default(),
                layout: self.layout,
                channels: self.channels,
                resize: self.resize,
                crop: self.crop,
            },
            limits,
            seed: self.seed,
            ..Options::default()
        };
        Samples::open(data, &inputs(model)?, &options)
    }
}

/// The inputs that callers must give.
fn inputs(model: &Model) -> Result<Vec<InputSpec>> {
    let mut specs = Vec::new();
    for &input in model.graph(model.main()).inputs() {
        let value = model.value(input);
        if matches!(value.def(), Def::Input { default: Some(_) }) {
            continue;
        }
        let ty = value.tensor_type().ok_or_else(|| {
            Error::new(ErrorKind::Unsupported, "is not a tensor of a known type")
                .at(format_args!("input `{}`", value.name()))
        })?;
        let dims = ty.dims.as_ref().map(|dims| dims.iter().map(Dim::fixed).collect());
        specs.push(InputSpec { name: value.name().to_owned(), dtype: ty.dtype, dims });
    }
    Ok(specs)
}

/// A report as JSON.
pub fn json(report: &impl serde::Serialize) -> Result<String> {
    serde_json::to_string_pretty(report)
        .map_err(|error| Error::new(ErrorKind::Engine, format!("no JSON: {error}")))
}

/// Reads a model and prints what the reader noticed.
pub fn load(path: &Path, common: &Common) -> Result<Loaded> {
    let options = read::Options { drop_unknown: common.drop_unknown };
    let loaded = read::file(path, options)?;
    if !common.quiet {
        for note in &loaded.notes {
            eprintln!("note: {}: {note}", path.display());
        }
    }
    Ok(loaded)
}

impl Output {
    /// Refuses an output that exists, before any work is done.
    pub fn check(&self, input: &Path) -> Result<()> {
        let same = |a: &Path, b: &Path| match (a.canonicalize(), b.canonicalize()) {
            (Ok(a), Ok(b)) => a == b,
            _ => false,
        };
        if same(&self.output, input) {
            return Err(Error::new(ErrorKind::Usage, "is the input; it is never overwritten")
                .in_file(&self.output)
                .help("choose another name with -o"));
        }
        if self.output.symlink_metadata().is_ok() && !self.force {
            return Err(Error::new(ErrorKind::Usage, "the file exists already")
                .in_file(&self.output)
                .help("choose another name, or replace it with --force"));
        }
        Ok(())
    }

    /// Writes the result.
    pub fn save(&self, bytes: &[u8]) -> Result<()> {
        let overwrite = if self.force { Overwrite::Replace } else { Overwrite::Never };
        emit::save(&self.output, bytes, overwrite)
    }
}
