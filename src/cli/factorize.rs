//! `factorize`.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use onnxpress::analysis::Measure;
use onnxpress::calibrate::Calibration;
use onnxpress::data::Samples;
use onnxpress::ir::Model;
use onnxpress::passes::{Aim, Amount, Context, Factorize as Pass, Growth, Layers, Method};
use onnxpress::pipeline::{self, FactorizeOptions, When};
use onnxpress::report::{BudgetReport, FactorizationReport, SplitReport};
use onnxpress::{Error, ErrorKind, Result, report, validate};

use super::budget::{amount, countable, kept};
use super::compare::{Bounds, check_labels, sizes, warn_random};
use super::factorizing::{Factorizing, Outcome};
use super::figures::{Figures, Need};
use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::prune::NO_SAMPLES;
use super::pruning;
use super::undone::{no_layers, nothing_split};
use super::warnings::{grew, taken_back, unfitted};
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
    /// Split only nodes whose names fit the pattern, and let the budget count these alone; `*` stands for
    /// any text. A node without a name goes by its first output.
    #[arg(long, value_name = "NODE-PATTERN")]
    only: Vec<String>,
    /// Split only these operators, and let the budget count these alone.
    #[arg(long, value_name = "OP,…", value_delimiter = ',')]
    ops: Vec<String>,
    /// Leave nodes as they are whose names fit the pattern; the budget counts them.
    #[arg(long, value_name = "NODE-PATTERN")]
    keep: Vec<String>,
    /// Split tables of embeddings, too: parameters go, and multiply-accumulates come.
    #[arg(long)]
    embeddings: bool,
    /// Leave out a pass.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Make initializers constants that callers may now override.
    #[arg(long)]
    freeze_initializers: bool,
    /// Samples: x.npz, x.npy, a folder of images, ONNX test data, or random:N. Layers are fitted to what
    /// they do on them, and original and result are compared.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Array of the samples with the class of each; it is no input.
    #[arg(long, value_name = "NAME", requires = "data")]
    labels: Option<String>,
    #[command(flatten)]
    bounds: Bounds,
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

/// What binds when a budget is missed.
const RANKS: &str = "no more can be saved within the ranks that make layers smaller (--multiple)";
impl AimArgs {
    /// The same, where work that was found to take so long stands for a time.
    fn timed(&self, macs: u64) -> Self {
        match self.latency {
            Some(_) => Self { latency: None, macs: Some(Amount::Number(macs)), ..self.clone() },
            None => self.clone(),
        }
    }
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
        let bounded = self.bounds.max_drop.is_some() || self.bounds.min_sqnr.is_some();
        if bounded && self.data.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop and --min-sqnr need --data"));
        }
        let measured = self.method.is_some_and(|method| method != Method::Svd);
        if (measured || self.refit == Some(Refit::Lsq)) && self.data.is_none() {
            let text = "whitened, pca and --refit lsq need --data";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        self.output.check(&self.model, self.talk.json)?;
        let files = [&*self.model, &*self.output.output];
        self.page.check(&files, self.output.overwrite())?;
        check_names(&self.skip)?;
        let mut original = io::load(&self.model, &self.talk.words)?;
        self.fix.apply(&mut original.model)?;
        let labels = self.labels.as_deref();
        let open = |data: &PathBuf| self.preprocessing.open(data, labels, &original.model);
        let samples = self.data.as_ref().map(open).transpose()?;
        samples.as_ref().map(|samples| self.bounds.check(samples)).transpose()?;
        check_labels(&original.model, samples.iter())?;
        io::say_fed(&samples, &self.talk.words)?;
        let engine = self.engine.start(original.byte_size, samples.as_ref())?;
        let progress = progress::Bar::new(self.talk.words.quiet);
        let figures = Figures::of(samples.as_ref(), &original.model, Need::Fitting)?;
        let fit = figures.fit(samples.as_ref());
        let calibration =
            fit.map(|samples| Calibration { engine: &engine, samples, progress: &progress });
        let measure = calibration.as_ref().map(|calibration| calibration as &dyn Measure);
        let cx = Context {
            evaluate: Some(&engine),
            measure,
            progress: Some(&progress),
            ..Context::default()
        };
        let check = engine::check(&engine, fit, &original.model, self.preprocessing.seed)?;
        let mut options = self.options(samples.is_some())?;
        let at = pipeline::counted_at(&original.model, samples.as_ref());
        options.factorize.at = at.clone();
        let mut warnings = Vec::new();
        if self.aim.macs.is_some() || self.aim.latency.is_some() {
            warnings.extend(countable(&original.model, &at)?);
        }
        let passes = pipeline::prepare_factorize(&options);
        let model = original.model.clone();
        let prepared = pipeline::settle(model, &passes, &cx, check.as_ref(), When::AtEnd)?;
        let job = |options: FactorizeOptions, measured: bool| Factorizing {
            args: &self.aim,
            options,
            engine: &engine,
            cx: Context { measure: cx.measure.filter(|_| measured), ..cx },
            samples: fit.filter(|_| measured),
            original: &original,
            prepared: &prepared.model,
            output: &self.output,
        };
        let asked = measured || self.refit == Some(Refit::Lsq);
        let outcome = match job(options, true).run() {
            // What the engine does not run is split as without samples.
            Err(error) if error.kind == ErrorKind::Engine && fit.is_some() && !asked => {
                let mut options = self.options(false)?;
                options.factorize.at = at.clone();
                warnings.push(format!(
                    "nothing could be measured, so layers were split by their weights alone: {error}; \
                     `--engine ort` may run the model"
                ));
                job(options, false).run()
            }
            outcome => outcome,
        };
        let Outcome { mut factorized, mut budget, mut missed } = outcome?;
        factorized.finished.steps.splice(0..0, prepared.steps);
        let result = &factorized.finished.model;
        let encoded = self.output.encode(result, original.external)?;
        let bytes = encoded.len() as u64;
        let mut drift = sizes(&original, result, bytes, &at);
        match &samples {
            Some(samples) => {
                let all = validate::Options { top: vec![1], ..Default::default() };
                let left = drift.macs.candidate;
                let again = |samples: &Samples| -> Result<Model> {
                    let calibration = Calibration { engine: &engine, samples, progress: &() };
                    let job = Factorizing {
                        args: &self.aim.timed(left),
                        options: self.options(true)?,
                        engine: &engine,
                        cx: Context { measure: Some(&calibration), progress: None, ..cx },
                        samples: Some(samples),
                        original: &original,
                        prepared: &prepared.model,
                        output: &self.output,
                    };
                    Ok(job.run()?.factorized.finished.model)
                };
                let models = [&original.model, result];
                figures.execute(&engine, &mut drift, models, (samples, &all), &progress, &again)?;
            }
            None => drift.not_validated = Some(NO_SAMPLES.to_owned()),
        }
        drift.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        if let Some(most) = self.aim.size {
            let (original, counts) = (original.byte_size, "bytes of the file".to_owned());
            budget = Some(BudgetReport { counts, original, most: most.of(original), left: bytes });
        }
        let short = budget.as_ref().filter(|budget| budget.left > budget.most);
        missed.extend(short.map(|budget| pruning::missed(budget, Some(RANKS))));
        let within = budget.is_some() && short.is_none();
        let none = factorized.layers.iter().all(|layer| layer.chosen.is_none());
        match no_layers(&original.model, "no layer was split") {
            Some(nothing) => warnings.push(nothing),
            None if none && !within => missed.extend(nothing_split(&factorized.finished.steps)),
            None => {}
        }
        drift.miss(missed);
        let passed = drift.passed;
        warnings.extend(taken_back(&factorized.finished.steps));
        let own = factorized.finished.steps.iter().flat_map(|step| &step.report.warnings);
        warnings.extend(own.cloned());
        for (option, patterns) in [("--keep", &self.keep), ("--only", &self.only)] {
            warnings.extend(unfitted(option, patterns, [&original.model, result]));
        }
        warnings.extend(grew(&drift.size_bytes));
        let input = self.model.display().to_string();
        let output = self.output.output.display().to_string();
        let report = FactorizationReport {
            warnings,
            budget,
            verbose: self.verbose,
            ..FactorizationReport::new(input, output, &factorized, drift)
        };
        self.output.save(&encoded)?;
        self.page.write("factorize", &report, self.output.overwrite())?;
        if self.talk.json {
            io::print(&io::report_json("factorize", &report)?)?;
        } else {
            warn_random(self.data.as_deref());
            io::show(&report)?;
        }
        Ok(if passed { Ended::Done } else { Ended::Missed })
    }

    fn options(&self, samples: bool) -> Result<FactorizeOptions> {
        let aim = match (&self.aim.ranks, self.aim.energy) {
            (Some(file), _) => Aim::Ranks(read_ranks(file)?),
            (None, Some(energy)) => Aim::Energy(energy),
            // A budget is put in when the model is known.
            (None, None) => Aim::Energy(1.0),
        };
        let default = if samples { Method::Whitened } else { Method::Svd };
        let refit = self.refit.unwrap_or(if samples { Refit::Lsq } else { Refit::Off });
        Ok(FactorizeOptions {
            factorize: Pass {
                method: self.method.unwrap_or(default),
                aim,
                multiple: self.multiple,
                layers: Layers {
                    only: self.only.clone(),
                    ops: self.ops.clone(),
                    keep: self.keep.clone(),
                    embeddings: self.embeddings,
                },
                ..Pass::default()
            },
            refit: refit == Refit::Lsq,
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold.options(Growth::default()),
        })
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
