//! `prune`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use onnxpress::compress::Repair;
use onnxpress::passes::{Growth, Importance, Target};
use onnxpress::verbs::{Data, Host, PruneOptions, check_labels};
use onnxpress::{Error, ErrorKind, Result};

use super::budget::BudgetArgs;
use super::compare::{BoundArgs, warn_random};
use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::quantization::Named;
use super::sparsity::SparsityArgs;
use super::{EXIT_STATUS, Ended, Talk, Work, engine, io, page, progress};

/// Arguments of `prune`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress prune model.onnx --ratio 75% -o model.small.onnx
  onnxpress prune model.onnx --macs 50% --data test.npz --labels y --max-drop 2% \\
      --steps 8 -o model.small.onnx
  onnxpress prune model.onnx --macs 75% --data calib.npz --quantize -o model.int8.onnx
  onnxpress prune model.onnx --size 300K --importance l2 --channel-multiple 16 --exclude '/head/*' \\
      -o model.small.onnx
  onnxpress inspect model.onnx --prunable

{EXIT_STATUS}"))]
pub struct Prune {
    /// Model to prune.
    model: PathBuf,
    #[command(flatten)]
    output: io::Output,
    #[command(flatten)]
    page: page::ReportFile,
    #[command(flatten)]
    budget: BudgetArgs,
    #[command(flatten)]
    sparsity: SparsityArgs,
    #[command(flatten)]
    fix: FixArgs,
    /// How channels are ranked. obs: second-order removal cost; wanda: |w| x input norm; activation: input
    /// norm (these need --data); l1, l2, elastic-net, bn-scale, fpgm, lamp: by weights; random. By default
    /// obs, or l1 without --data.
    #[arg(long, value_name = "NAME", value_parser = importance())]
    importance: Option<Importance>,
    /// What is left makes up for what was cut: fit weights and biases of layers, in order, to what they
    /// gave before (lsq), read a similar channel that stays instead (merge, which needs no samples), or
    /// not (off). By default lsq, or off without --data.
    #[arg(long, value_name = "HOW")]
    repair: Option<HowToRepair>,
    /// Channels that stay are a multiple of N; heads are not rounded.
    #[arg(long = "channel-multiple", alias = "multiple", value_name = "N", default_value_t = 8)]
    multiple: usize,
    /// Least number of channels that stay in a group.
    #[arg(long = "min-channels", alias = "minimum", value_name = "N", default_value_t = 1)]
    minimum: usize,
    /// Never prune nodes matching PATTERN: a glob on node names, or op:TYPE. A node without a name goes by
    /// its first output.
    #[arg(long = "exclude", alias = "keep", value_name = "NODE-PATTERN")]
    keep: Vec<String>,
    /// Also prune dimensions that LayerNorm/RMSNorm normalizes over (changes their statistics).
    #[arg(long)]
    through_norms: bool,
    /// Of attention heads, cut some dimensions of all instead of whole heads.
    #[arg(long)]
    head_dimensions: bool,
    /// Zero the pruned channels instead of removing them; shapes stay.
    #[arg(long, conflicts_with_all = ["steps", "latency"])]
    mask: bool,
    /// Then quantize what is left, for TARGET or `ort`, as `quantize` does by default. The report also says
    /// how good the model was before that. For other options, run `quantize` on the result.
    #[arg(long, value_name = "TARGET", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "ort", requires = "data")]
    quantize: Option<Named<Target>>,
    /// Leave out a pass.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Treat initializers that are also graph inputs as constants.
    #[arg(long)]
    freeze_initializers: bool,
    /// Choose, fit, and compare original and result on these samples: x.npz, x.npy, a folder of images,
    /// ONNX test data, or random:N.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Held-out samples: used for judging only, after each of --steps, too; --max-drop and --min-sqnr apply
    /// to them.
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    /// Array with the class labels; not fed to the model. Images in class folders need no name.
    #[arg(long, value_name = "NAME")]
    labels: Option<String>,
    #[command(flatten)]
    bounds: BoundArgs,
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

/// How a cut model is repaired.
#[derive(Debug, Clone, Copy, PartialEq, Eq, clap::ValueEnum)]
enum HowToRepair {
    Lsq,
    Merge,
    Off,
}

/// The names of all kinds of importance.
fn importance() -> impl TypedValueParser<Value = Importance> {
    let names = Importance::ALL.iter().map(|importance| importance.name());
    PossibleValuesParser::new(names).map(|name| {
        let named = Importance::ALL.iter().find(|importance| importance.name() == name);
        named.copied().unwrap_or_default()
    })
}

impl Prune {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        self.refuse()?;
        let mut original = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut original.model)?;
        let labels = self.labels.as_deref();
        let open = |data: &PathBuf| self.preprocessing.open(data, labels, &original);
        let test = self.test.as_ref().map(open).transpose()?;
        let samples = self.data.as_ref().map(|data| match &test {
            // The labels are those of the test; the samples may have some, too.
            Some(_) => self.preprocessing.open_unlabelled(data, labels, &original),
            None => open(data),
        });
        let samples = samples.transpose()?;
        let judging = test.as_ref().or(samples.as_ref());
        judging.map(|samples| self.bounds.bounds().check(samples)).transpose()?;
        check_labels(&original.model, judging.into_iter())?;
        io::say_fed(samples.iter().chain(&test), &self.talk.words)?;
        let engine = self.engine.start(original.byte_size, judging)?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let data = Data {
            samples: samples.as_ref(),
            test: test.as_ref(),
            seed: self.preprocessing.seed,
            host: Host {
                engine: &engine,
                progress: &progress,
                deployed: Some(&|| self.engine.deploying()),
                encode: &|model, external| self.output.encode(model, external),
            },
            ..Data::default()
        };
        let mut outcome = onnxpress::prune(&original, &self.options(), &data)?;
        let report = &mut outcome.report;
        (report.input, report.output) = self.output.named(&self.model);
        report.verbose = self.verbose;
        io::deliver(&self.output, &self.page, &self.talk, ("prune", &outcome), || {
            warn_random(self.test.as_deref().or(self.data.as_deref()));
        })
    }

    /// Refuses what cannot be done, before any file is read.
    fn refuse(&self) -> Result<()> {
        let judging = self.test.is_some() || self.data.is_some();
        if self.labels.is_some() && !judging {
            return Err(Error::new(ErrorKind::Usage, "--labels needs --data or --test"));
        }
        self.options().check(self.data.is_some(), self.test.is_some())?;
        self.output.check(&self.model, self.talk.json)?;
        let files = [&*self.model, &*self.output.output];
        self.page.check(&files, self.output.overwrite())?;
        check_names(&self.skip)
    }

    pub(super) fn options(&self) -> PruneOptions {
        PruneOptions {
            remaining: self.budget.remaining(),
            spreading: self.budget.allocation.map(|Named(spreading)| spreading),
            floor: self.budget.floor,
            steps: self.budget.steps,
            sparsity: self.sparsity.sparsity(),
            importance: self.importance,
            repair: self.repair.map(|repair| match repair {
                HowToRepair::Lsq => Repair::LeastSquares,
                HowToRepair::Merge => Repair::Merge,
                HowToRepair::Off => Repair::Off,
            }),
            multiple: self.multiple,
            minimum: self.minimum,
            keep: self.keep.clone(),
            through_norms: self.through_norms,
            head_dimensions: self.head_dimensions,
            mask: self.mask,
            quantize: self.quantize.map(|Named(target)| target),
            bounds: self.bounds.bounds(),
            skip: self.skip.clone(),
            freeze_initializers: self.freeze_initializers,
            fold: self.fold.options(Growth::default()),
        }
    }
}
