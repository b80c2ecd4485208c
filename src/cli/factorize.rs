//! `factorize`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use onnxpress::passes::{Amount, Growth, Layers, Method};
use onnxpress::report::SplitReport;
use onnxpress::verbs::{Data, FactorizeOptions, Goal, Host, Remaining, check_labels};
use onnxpress::{Result, report};

use super::budget::{amount, kept};
use super::compare::{BoundArgs, warn_random};
use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, page, progress};

/// Arguments of `factorize`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress factorize model.onnx --macs 60% --data calib.npz -o model.small.onnx
  onnxpress factorize model.onnx --params 67% --ops MatMul,Gemm --data calib.npz --labels y \\
      --max-drop 1% -o model.small.onnx
  onnxpress factorize model.onnx --energy 0.99 -o model.small.onnx
  onnxpress factorize model.onnx --size 50% --data calib.npz --json -o a.onnx > a.json
  onnxpress factorize model.onnx --ranks a.json --method svd --refit off -o b.onnx

{EXIT_STATUS}"))]
pub struct Factorize {
    /// Model to factorize.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    #[command(flatten)]
    page: page::ReportFile,
    #[command(flatten)]
    aim: AimArgs,
    #[command(flatten)]
    fix: FixArgs,
    /// What counts as near: what a layer gives on samples (whitened, the default with --data), the same
    /// about its mean (pca), or the weights themselves (svd).
    #[arg(long, value_name = "HOW", value_parser = method())]
    method: Option<Method>,
    /// Fit the last part of each layer, and all layers behind it, in order, to what layers gave before
    /// (lsq, the default with --data), or not (off).
    #[arg(long, value_name = "HOW")]
    refit: Option<Refit>,
    /// Ranks are multiples of N.
    #[arg(long, value_name = "N", default_value_t = 4, value_parser = multiple)]
    multiple: usize,
    /// Split only nodes matching PATTERN, and let the budget count these alone: a glob on node names, or
    /// op:TYPE.
    #[arg(long = "include", alias = "only", value_name = "NODE-PATTERN")]
    only: Vec<String>,
    /// Split only these operators, and let the budget count these alone.
    #[arg(long, value_name = "OP,…", value_delimiter = ',')]
    ops: Vec<String>,
    /// Leave nodes matching PATTERN as they are (the budget counts them): a glob on node names, or op:TYPE.
    #[arg(long = "exclude", alias = "keep", value_name = "NODE-PATTERN")]
    keep: Vec<String>,
    /// Split tables of embeddings, too: parameters go, and multiply-accumulates come.
    #[arg(long)]
    embeddings: bool,
    /// Leave out a pass.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Treat initializers that are also graph inputs as constants.
    #[arg(long)]
    freeze_initializers: bool,
    /// Samples: x.npz, x.npy, a folder of images, ONNX test data, or random:N. Layers are fitted to what
    /// they do on them, and original and result are compared.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Array with the class labels; not fed to the model. Images in class folders need no name.
    #[arg(long, value_name = "NAME", requires = "data")]
    labels: Option<String>,
    #[command(flatten)]
    bounds: BoundArgs,
    /// Show every edit, every refusal with its reason, and each layer.
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

/// How far; exactly one of these.
#[derive(Debug, Clone, Args)]
#[group(required = true, multiple = false)]
pub struct AimArgs {
    /// Multiply-accumulates that stay at most: a share of the original's, or a number such as 120M.
    #[arg(long, value_name = "SHARE|N", value_parser = amount, allow_negative_numbers = true)]
    pub macs: Option<Amount>,
    /// Parameters that stay at most: a share, or a number such as 1.5M.
    #[arg(long, value_name = "SHARE|N", value_parser = amount, allow_negative_numbers = true)]
    pub params: Option<Amount>,
    /// Size of the file at most: a share, or a number of bytes such as 800K.
    #[arg(long, value_name = "SHARE|BYTES", value_parser = amount, allow_negative_numbers = true)]
    pub size: Option<Amount>,
    /// Share of what each layer gives that stays at least: with --data of its squares on the samples, else
    /// of those of the weights.
    #[arg(long, value_name = "SHARE", value_parser = kept, allow_negative_numbers = true)]
    pub energy: Option<f64>,
    /// Share of the time of one run at most, measured in this engine on a few results; it needs --data.
    #[arg(long, value_name = "SHARE", value_parser = kept, allow_negative_numbers = true, requires = "data")]
    pub latency: Option<f64>,
    /// The ranks of a report (--json), or its `ranks` alone.
    #[arg(long, value_name = "FILE.json")]
    pub ranks: Option<PathBuf>,
}

/// Whether layers are refitted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum Refit {
    Lsq,
    Off,
}

/// The names of all methods.
fn method() -> impl TypedValueParser<Value = Method> {
    let names = Method::ALL.iter().map(|method| method.name());
    PossibleValuesParser::new(names).map(|name| {
        Method::ALL.iter().copied().find(|method| method.name() == name).unwrap_or_default()
    })
}

fn multiple(text: &str) -> Result<usize, String> {
    let number = text.parse().ok().filter(|&n: &usize| n > 0);
    number.ok_or_else(|| format!("`{text}`; expected a number from 1"))
}

impl Factorize {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        self.refuse()?;
        let options = self.options()?;
        options.check(self.data.is_some(), false)?;
        let mut original = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut original.model)?;
        let labels = self.labels.as_deref();
        let open = |data: &PathBuf| self.preprocessing.open(data, labels, &original);
        let samples = self.data.as_ref().map(open).transpose()?;
        samples.as_ref().map(|samples| options.bounds.check(samples)).transpose()?;
        check_labels(&original.model, samples.iter())?;
        io::say_fed(&samples, &self.talk.words)?;
        let engine = self.engine.start(original.byte_size, samples.as_ref())?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let data = Data {
            samples: samples.as_ref(),
            seed: self.preprocessing.seed,
            host: Host {
                engine: &engine,
                progress: &progress,
                deployed: Some(&|| self.engine.deploying()),
                encode: &|model, external| self.output.encode(model, external),
            },
            ..Data::default()
        };
        let mut outcome = onnxpress::factorize(&original, &options, &data)?;
        let report = &mut outcome.report;
        (report.input, report.output) = self.output.named(&self.model);
        report.verbose = self.verbose;
        io::deliver(&self.output, &self.page, &self.talk, ("factorize", &outcome), || {
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

    pub(super) fn options(&self) -> Result<FactorizeOptions> {
        Ok(FactorizeOptions {
            goal: self.aim.goal()?,
            method: self.method,
            refit: self.refit.map(|refit| refit == Refit::Lsq),
            multiple: self.multiple,
            layers: Layers {
                only: self.only.clone(),
                ops: self.ops.clone(),
                keep: self.keep.clone(),
                embeddings: self.embeddings,
            },
            bounds: self.bounds.bounds(),
            skip: self.skip.clone(),
            freeze_initializers: self.freeze_initializers,
            fold: self.fold.options(Growth::default()),
        })
    }
}

impl AimArgs {
    /// The one that was given.
    fn goal(&self) -> Result<Goal> {
        if let Some(file) = &self.ranks {
            return Ok(Goal::Ranks(read_ranks(file)?));
        }
        let given = [
            self.macs.map(Remaining::Macs),
            self.params.map(Remaining::Parameters),
            self.size.map(Remaining::Size),
            self.latency.map(Remaining::Latency),
        ];
        let remaining = given.into_iter().flatten().next().map(Goal::Remaining);
        // One of them is there.
        Ok(remaining.unwrap_or(Goal::Energy(self.energy.unwrap_or(1.0))))
    }
}

/// The ranks in a file: those of a report, or alone.
fn read_ranks(path: &Path) -> Result<onnxpress::passes::Ranks> {
    let given: BTreeMap<String, SplitReport> = io::part_of_report(path, &["ranks"], "ranks")?;
    report::ranks(&given).map_err(|name| {
        let text =
            format!("`{name}`: expected a form and its ranks, from 1, as the report gives them");
        io::in_report(path, text)
    })
}
