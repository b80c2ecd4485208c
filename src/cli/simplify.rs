//! `simplify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onnxpress::Result;
use onnxpress::compress::SIMPLIFY_GROWTH;
use onnxpress::verbs::{Data, Host, SimplifyOptions};

use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, page};

/// Arguments of `simplify`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress simplify model.onnx -o simple.onnx
  onnxpress simplify model.onnx --fix-dim batch=1 --fix-dim seq=128 -o simple.onnx
  onnxpress simplify model.onnx --skip fuse-batch-norm --keep '/head/*' -v -o simple.onnx

{EXIT_STATUS}"))]
pub struct Simplify {
    /// Model to simplify.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    #[command(flatten)]
    page: page::ReportFile,
    #[command(flatten)]
    fix: FixArgs,
    /// Leave nodes as they are whose names fit the pattern; `*` stands for any text. A node without a
    /// name goes by its first output.
    #[arg(long, value_name = "NODE-PATTERN")]
    keep: Vec<String>,
    /// Leave out a pass.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Run only this pass; may be given several times.
    #[arg(long, value_name = "PASS", conflicts_with = "skip")]
    only: Vec<String>,
    /// Replace calls of model-local functions by the nodes of the functions.
    #[arg(long)]
    inline_functions: bool,
    /// Raise the default operator set to N (13 to 25) first: later ones have more operators to fuse
    /// into.
    #[arg(long, value_name = "N")]
    opset: Option<i64>,
    /// Where the model is to run: `ort` allows operators of com.microsoft.
    #[arg(long, value_enum, default_value_t = Target::Portable)]
    target: Target,
    /// Make initializers constants that callers may now override.
    #[arg(long)]
    freeze_initializers: bool,
    /// Execute original and result on up to N seeded inputs, of several extents where axes are
    /// free, or on N runs of the samples; 0 executes nothing.
    #[arg(long, value_name = "N", default_value_t = 2)]
    check: usize,
    /// Samples to execute them on instead: x.npz, x.npy, a folder of png or jpeg images, ONNX test data
    /// (test_data_set_*/input_*.pb), or random:N. What is done depends on them only where a pass breaks its
    /// promise.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Array of DATA that is no input.
    #[arg(long, value_name = "NAME", requires = "data")]
    labels: Option<String>,
    #[command(flatten)]
    preprocessing: io::Preprocessing,
    /// Execute after every pass that changed something, and name the first that breaks its promise.
    #[arg(long)]
    bisect: bool,
    /// Show every edit, and every refusal with its reason.
    #[arg(short, long)]
    verbose: bool,
    #[command(flatten)]
    fold: FoldLimits,
    #[command(flatten)]
    engine: engine::EngineArgs,
    #[command(flatten)]
    work: Work,
    #[command(flatten)]
    talk: Talk,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum Target {
    Portable,
    Ort,
}

impl Simplify {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        self.output.check(&self.model, self.talk.json)?;
        let files = [&*self.model, &*self.output.output];
        self.page.check(&files, self.output.overwrite())?;
        check_names(self.skip.iter().chain(&self.only))?;
        let mut original = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut original.model)?;
        let engine = self.engine.start_briefly()?;
        let labels = self.labels.as_deref();
        let opened = |data| self.preprocessing.open_unlabelled(data, labels, &original);
        let samples = self.data.as_deref().map(opened).transpose()?;
        let data = Data {
            samples: samples.as_ref(),
            seed: self.preprocessing.seed,
            host: Host {
                engine: &engine,
                encode: &|model, external| self.output.encode(model, external),
                ..Host::default()
            },
            ..Data::default()
        };
        let mut outcome = onnxpress::simplify(&original, &self.options(), &data)?;
        let report = &mut outcome.report;
        (report.input, report.output) = self.output.named(&self.model);
        report.verbose = self.verbose;
        io::deliver(&self.output, &self.page, &self.talk, ("simplify", &outcome), || {})
    }

    pub(super) fn options(&self) -> SimplifyOptions {
        SimplifyOptions {
            keep: self.keep.clone(),
            skip: self.skip.clone(),
            only: self.only.clone(),
            inline_functions: self.inline_functions,
            opset: self.opset,
            microsoft: self.target == Target::Ort,
            freeze_initializers: self.freeze_initializers,
            check: self.check,
            bisect: self.bisect,
            fold: self.fold.options(SIMPLIFY_GROWTH),
        }
    }
}
