//! `prune`.

use std::path::PathBuf;

use clap::Args;
use clap::builder::{PossibleValuesParser, TypedValueParser};
use onnxpress::analysis::Measure;
use onnxpress::analysis::channels::Options;
use onnxpress::calibrate::Calibration;
use onnxpress::data::Samples;
use onnxpress::ir::Model;
use onnxpress::passes::{Context, Growth, Importance, PruneChannels, Resource, Target};
use onnxpress::pipeline::{self, PruneOptions, Pruned, Repair};
use onnxpress::report::{
    BudgetReport, GroupShare, PruningReport, PruningStep, Source, SparsityReport, StorageReport,
};
use onnxpress::{Error, ErrorKind, Result, validate};

use super::budget::{self, BudgetArgs};
use super::compare::{Bounds, check_labels, sizes, warn_random};
use super::figures::{Figures, Need};
use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::pruning::{self, Outcome, Pruning};
use super::quantization::Named;
use super::sparsity::{SparsityArgs, worth};
use super::then_quantize::ThenQuantize;
use super::undone::{no_layers, nothing_pruned, nothing_quantized};
use super::warnings::{grew, taken_back, unfitted};
use super::{EXIT_STATUS, Ended, Talk, Work, deployed, engine, io, page, progress};

/// Arguments of `prune`.
#[derive(Debug, Args)]
#[command(after_help = format!("Examples:
  onnxpress prune model.onnx --ratio 75% -o model.small.onnx
  onnxpress prune model.onnx --macs 50% --data test.npz --labels y --max-drop 2% \\
      --steps 8 -o model.small.onnx
  onnxpress prune model.onnx --macs 75% --data calib.npz --quantize -o model.int8.onnx
  onnxpress prune model.onnx --size 300K --importance l2 --multiple 16 --keep '/head/*' \\
      -o model.small.onnx
  onnxpress inspect model.onnx --channels

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
    /// Which ones matter. With --data: what taking a channel away costs the layers that read it when they
    /// are refitted (obs, the default), weights times what they read (wanda), what is read (activation). By
    /// the weights that go with a channel: l1 (the default without --data) or l2 norm, a mean of both, scales
    /// of BatchNormalization, distance to the others, squares beside all larger ones. Or random.
    #[arg(long, value_name = "NAME", value_parser = importance())]
    importance: Option<Importance>,
    /// What is left makes up for what was cut: fit weights and biases of layers, in order, to what they
    /// gave before (lsq), read a similar channel that stays instead (merge, which needs no samples), or
    /// not (off). By default lsq, or off without --data.
    #[arg(long, value_name = "HOW")]
    repair: Option<HowToRepair>,
    /// Channels that stay are a multiple of N; heads are not rounded.
    #[arg(long, value_name = "N", default_value_t = 8)]
    multiple: usize,
    /// Least number of channels that stay in a group.
    #[arg(long, value_name = "N", default_value_t = 1)]
    minimum: usize,
    /// Cut nothing that nodes read or make whose names fit the pattern; `*` stands for any text. A node
    /// without a name goes by its first output.
    #[arg(long, value_name = "NODE-PATTERN")]
    keep: Vec<String>,
    /// Cut what a layer normalisation takes its statistics over, too. They change then, so that the
    /// result is not that of weights set to zero.
    #[arg(long)]
    through_norms: bool,
    /// Of attention heads, cut some dimensions of all instead of whole heads.
    #[arg(long)]
    head_dimensions: bool,
    /// Set the weights to zero that read what would be cut, and cut nothing: the same outputs with the
    /// shapes of the original.
    #[arg(long, conflicts_with_all = ["steps", "latency"])]
    mask: bool,
    /// Then quantize what is left, for TARGET or `ort`, as `quantize` does by default. The report also says
    /// how good the model was before that. For other options, run `quantize` on the result.
    #[arg(long, value_name = "TARGET", value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "ort", requires = "data")]
    quantize: Option<Named<Target>>,
    /// Leave out a pass.
    #[arg(long, value_name = "PASS")]
    skip: Vec<String>,
    /// Make initializers constants that callers may now override.
    #[arg(long)]
    freeze_initializers: bool,
    /// Choose, fit, and compare original and result on these samples: x.npz, x.npy, a folder of images,
    /// ONNX test data, or random:N.
    #[arg(long, value_name = "DATA")]
    data: Option<PathBuf>,
    /// Compare original and result on these samples instead, after each of --steps, too: what nothing was
    /// chosen by or fitted to. Bounds are for them.
    #[arg(long, value_name = "DATA")]
    test: Option<PathBuf>,
    /// Array of --test, or else of --data, with the class of each sample; it is no input.
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

/// Why nothing is compared without samples.
pub const NO_SAMPLES: &str = "no samples were given (--data)";

impl Prune {
    pub fn run(self) -> Result<Ended> {
        self.work.start()?;
        let bounded = self.bounds.max_drop.is_some() || self.bounds.min_sqnr.is_some();
        let judging = self.test.as_ref().or(self.data.as_ref());
        if bounded && judging.is_none() {
            let text = "--max-drop and --min-sqnr need --data or --test";
            return Err(Error::new(ErrorKind::Usage, text));
        }
        if self.labels.is_some() && judging.is_none() {
            return Err(Error::new(ErrorKind::Usage, "--labels needs --data or --test"));
        }
        let measuring = self.importance.is_some_and(Importance::needs_samples)
            || self.repair == Some(HowToRepair::Lsq);
        if measuring && self.data.is_none() {
            let text = "obs, wanda, activation and --repair lsq need --data";
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
        let test = self.test.as_ref().map(open).transpose()?;
        let samples = self.data.as_ref().map(|data| match &test {
            // The labels are those of the test; the samples may have some, too.
            Some(_) => self.preprocessing.open_unlabelled(data, labels, &original.model),
            None => open(data),
        });
        let samples = samples.transpose()?;
        let mut more = Vec::new();
        let judged = test.as_ref().or(samples.as_ref());
        let need = if self.budget.steps.is_some() { Need::Judging } else { Need::Fitting };
        let figures = match &test {
            Some(_) => Figures::As(Source::Test),
            None => Figures::of(samples.as_ref(), &original.model, need)?,
        };
        let fit = figures.fit(samples.as_ref());
        judged.map(|samples| self.bounds.check(samples)).transpose()?;
        check_labels(&original.model, judged.into_iter())?;
        io::say_fed(samples.iter().chain(&test), &self.talk.words)?;
        let engine = self.engine.start(original.byte_size, judged)?;
        let progress = progress::Bar::new(self.talk.words.quiet);
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
        let mut options = self.options(samples.is_some());
        options.pruning.at = pipeline::counted_at(&original.model, samples.as_ref());
        if self.budget.macs.is_some() || self.budget.latency.is_some() {
            more.extend(budget::countable(&original.model, &options.pruning.at)?);
        }
        let mut pruning = Pruning {
            args: &self.budget,
            bounds: self.bounds,
            options,
            engine: &engine,
            cx,
            check: check.as_ref(),
            samples: fit,
            judged: test.as_ref().or(figures.judged(samples.as_ref())),
            original: &original,
            output: &self.output,
            zeros: self.sparsity.pass(&self.keep),
        };
        let outcome = match pruning.run() {
            // What the engine does not run is cut as without samples.
            Err(error) if error.kind == ErrorKind::Engine && fit.is_some() && !measuring => {
                let at = std::mem::take(&mut pruning.options.pruning.at);
                pruning.options = self.options(false);
                pruning.options.pruning.at = at;
                (pruning.cx.measure, pruning.samples) = (None, None);
                more.push(format!(
                    "nothing could be measured, so channels were chosen by their weights alone: {error}; \
                     `--engine ort` may run the model"
                ));
                pruning.run()
            }
            outcome => outcome,
        };
        let Outcome { spread, trail, warnings, mut budget, mut missed } = outcome?;
        more.extend(warnings);
        let mut pruned = spread.pruned;
        let mut unquantized = None;
        if let (Some(Named(target)), Some(calibration)) = (self.quantize, &calibration) {
            unquantized = Some(pruning.judge(&pruned.finished.model)?);
            let skip = self.skip.clone();
            let then = ThenQuantize { target, skip, calibration, cx };
            let quantized = then.run(std::mem::take(&mut pruned.finished.model))?;
            pruned.finished.model = quantized.finished.model;
            pruned.finished.steps.extend(quantized.finished.steps);
            if no_layers(&original.model, "").is_none() {
                missed.extend(nothing_quantized(&pruned.finished.steps));
            }
        }
        let stored = self.sparsity.stored(&pruned.finished.model);
        let result = stored.as_ref().map_or(&pruned.finished.model, |(model, _)| model);
        let encoded = self.output.encode(result, original.external)?;
        let bytes = encoded.len() as u64;
        if let Some(Named(Target::Ort)) = self.quantize {
            deployed::check(self.engine.deploying(), [&original.model, result], bytes, judged)?;
        }
        let mut drift =
            sizes(&original, &pruned.finished.model, bytes, &pruning.options.pruning.at);
        match judged {
            Some(judged) => {
                let all = validate::Options { top: vec![1], ..Default::default() };
                let left = drift.macs.candidate;
                let again = |samples: &Samples| -> Result<Model> {
                    let calibration = Calibration { engine: &engine, samples, progress: &() };
                    let cx = Context { measure: Some(&calibration), progress: None, ..cx };
                    let again = Pruning {
                        args: &self.budget.timed(left),
                        options: self.options(true),
                        cx,
                        samples: Some(samples),
                        judged: None,
                        zeros: self.sparsity.pass(&self.keep),
                        bounds: self.bounds,
                        engine: &engine,
                        check: check.as_ref(),
                        original: &original,
                        output: &self.output,
                    };
                    let model = again.run()?.spread.pruned.finished.model;
                    let Some(Named(target)) = self.quantize else { return Ok(model) };
                    let skip = self.skip.clone();
                    let then = ThenQuantize { target, skip, calibration: &calibration, cx };
                    Ok(then.run(model)?.finished.model)
                };
                let models = [&original.model, result];
                figures.execute(&engine, &mut drift, models, (judged, &all), &progress, &again)?;
            }
            None => drift.not_validated = Some(NO_SAMPLES.to_owned()),
        }
        if let Some(most) = self.budget.size {
            let (original, counts) = (original.byte_size, "bytes of the file".to_owned());
            let of_file = BudgetReport { counts, original, most: most.of(original), left: bytes };
            if of_file.left > of_file.most {
                let binds = spread.fitted.as_ref().map(|fit| fit.binds(Resource::WeightBytes));
                missed.push(pruning::missed(&of_file, binds.as_deref()));
            }
            budget = Some(of_file);
        }
        match no_layers(&original.model, "nothing was cut") {
            Some(nothing) => more.push(nothing),
            None => drop(missed.splice(0..0, self.undone(&pruned, budget.as_ref()))),
        }
        drift.judge(self.bounds.min_sqnr, self.bounds.max_drop);
        drift.miss(missed);
        let passed = drift.passed;
        let sparsity = match self.sparsity.unstructured {
            Some(_) => {
                let before = self.output.encode(&original.model, original.external)?;
                let models = [&original.model, &pruned.finished.model];
                let storage = stored.map(|(_, storage)| StorageReport::from(storage));
                Some(SparsityReport { storage, ..worth(models, [&before, &encoded]) })
            }
            None => None,
        };
        let mut said = warned(&pruned, &drift);
        said.extend(more);
        said.extend(unfitted("--keep", &self.keep, [&original.model, &pruned.finished.model]));
        let input = self.model.display().to_string();
        let output = self.output.output.display().to_string();
        let report = PruningReport {
            warnings: said,
            verbose: self.verbose,
            groups: spread.groups.iter().map(GroupShare::from).collect(),
            sparsity,
            budget,
            unquantized,
            steps: trail.into_iter().map(|drift| PruningStep { drift }).collect(),
            ..PruningReport::new(input, output, &pruned, drift)
        };
        self.output.save(&encoded)?;
        self.page.write("prune", &report, self.output.overwrite())?;
        if self.talk.json {
            io::print(&io::report_json("prune", &report)?)?;
        } else {
            warn_random(judging.map(PathBuf::as_path));
            io::show(&report)?;
        }
        Ok(if passed { Ended::Done } else { Ended::Missed })
    }

    /// That nothing was cut or set to zero that should have been, and why.
    fn undone(&self, pruned: &Pruned, budget: Option<&BudgetReport>) -> Vec<String> {
        if let Some(pipeline::Outcome::Broken(reason)) = &pruned.cut {
            return vec![format!(
                "nothing was cut: the cut was taken back (a bug in onnxpress): {reason}"
            )];
        }
        let steps = &pruned.finished.steps;
        let mut own = steps.iter().filter(|step| step.name.starts_with("prune-"));
        // Whoever keeps all channels asks for those that give nothing; a model may be small enough as it is.
        let asked = self.budget.ratio.is_none_or(|ratio| ratio < 1.0)
            && budget.is_none_or(|budget| budget.left > budget.most);
        if !asked || own.any(|step| step.report.changed()) {
            return Vec::new();
        }
        let zeros = self.sparsity.unstructured.is_some();
        let what = if zeros { "no weight became zero" } else { "nothing was cut" };
        match nothing_pruned(steps, what) {
            reasons if reasons.is_empty() && budget.is_some() => Vec::new(),
            reasons if reasons.is_empty() && zeros => vec![format!("{what}: -v says why")],
            reasons if reasons.is_empty() => vec![format!("{what}: `inspect --channels` says why")],
            reasons => reasons,
        }
    }

    fn options(&self, samples: bool) -> PruneOptions {
        let (importance, how) = match samples {
            true => (Importance::Obs, HowToRepair::Lsq),
            false => (Importance::L1, HowToRepair::Off),
        };
        let repair = match self.repair.unwrap_or(how) {
            HowToRepair::Lsq if !self.mask => Repair::LeastSquares,
            HowToRepair::Merge => Repair::Merge,
            _ => Repair::Off,
        };
        PruneOptions {
            pruning: PruneChannels {
                ratio: self.budget.ratio.unwrap_or(1.0),
                budget: None,
                allocation: self.budget.allocation(samples),
                floor: self.budget.floor,
                importance: self.importance.unwrap_or(importance),
                multiple: self.multiple,
                minimum: self.minimum,
                keep: self.keep.clone(),
                seed: self.preprocessing.seed,
                channels: Options { normalized: self.through_norms, heads: !self.head_dimensions },
                mask: self.mask,
                ..PruneChannels::default()
            },
            repair,
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold.options(Growth::default()),
        }
    }
}

/// What the user must not overlook.
fn warned(pruned: &Pruned, drift: &onnxpress::report::ComparisonReport) -> Vec<String> {
    let mut warnings: Vec<String> = taken_back(&pruned.finished.steps).collect();
    let own = pruned.finished.steps.iter().flat_map(|step| &step.report.warnings);
    warnings.extend(own.cloned());
    warnings.extend(grew(&drift.size_bytes));
    warnings
}
