//! `simplify`.

use std::path::PathBuf;

use clap::{Args, ValueEnum};
use onnxpress::data::Samples;
use onnxpress::exec::Engine;
use onnxpress::ir::{Model, ValueId};
use onnxpress::passes::{Context, fitting};
use onnxpress::pipeline::{self, Check, Finished, Outcome, SIMPLIFY_GROWTH, SimplifyOptions, When};
use onnxpress::report::{Pair, SimplificationReport};
use onnxpress::{Error, ErrorKind, Result};

use super::fixing::FixArgs;
use super::limits::FoldLimits;
use super::passes::check_names;
use super::undone::nothing_simplified;
use super::warnings::{grew, taken_back, unfitted};
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
        let mut warnings = Vec::new();
        let labels = self.labels.as_deref();
        let opened = |data| self.preprocessing.open_unlabelled(data, labels, &original.model);
        let samples = self.data.as_deref().map(opened).transpose()?;
        let check = self.check(&engine, samples.as_ref(), &original.model)?;
        let passes = pipeline::simplify(&SimplifyOptions {
            freeze_initializers: self.freeze_initializers,
            inline_functions: self.inline_functions,
            opset: self.opset,
            fold: self.fold.options(SIMPLIFY_GROWTH),
            microsoft: self.target == Target::Ort,
            skip: self.skip.clone(),
            only: self.only.clone(),
        });
        let cx = Context { evaluate: Some(&engine), ..Context::default() };
        let when = if self.bisect { When::EachPass } else { When::AtEnd };
        let mut model = original.model.clone();
        let kept = pin(&mut model, &self.keep);
        let mut finished = pipeline::settle(model, &passes, &cx, check.as_ref(), when)?;
        kept.into_iter().for_each(|value| finished.model.unpin(value));
        self.raised(&finished)?;
        let encoded = self.output.encode(&finished.model, original.external)?;
        if self.check == 0 {
            warnings.push("not executed: --check 0".to_owned());
        } else if (finished.executed == 0 || finished.looked_at_nothing())
            && finished.promise().is_some()
            && !finished.unedited
        {
            warnings.push(format!("not executed: {}", why_not(&finished)));
        }
        // What passes warn of was not said here so far, but for edits that were taken back.
        let notes = finished.steps.iter().flat_map(|step| &step.report.warnings);
        warnings.extend(notes.filter(|note| note.contains("taken back")).cloned());
        // With --bisect, the report names the first one, and the lines of the passes the others.
        if !self.bisect {
            warnings.extend(taken_back(&finished.steps));
        }
        let sizes = Pair { original: original.byte_size, candidate: encoded.len() as u64 };
        warnings.extend(grew(&sizes));
        warnings.extend(unfitted("--keep", &self.keep, [&original.model, &finished.model]));
        let missed = nothing_simplified(&finished.steps);
        let passed = missed.is_empty();
        let report = SimplificationReport {
            input: self.model.display().to_string(),
            output: self.output.output.display().to_string(),
            size_bytes: sizes,
            warnings,
            missed,
            passed,
            verbose: self.verbose,
            seeded: samples.is_none(),
            ..SimplificationReport::new(&original.model, &finished)
        };
        self.output.save(&encoded)?;
        self.page.write("simplify", &report, self.output.overwrite())?;
        if self.talk.json {
            io::print(&io::report_json("simplify", &report)?)?;
        } else {
            io::show(&report)?;
        }
        Ok(if passed { Ended::Done } else { Ended::Missed })
    }

    /// An operator set that was asked for and is not there is an error.
    fn raised(&self, finished: &Finished) -> Result<()> {
        let found = finished.model.opset().unwrap_or(0);
        let Some(wanted) = self.opset.filter(|&wanted| found != wanted) else { return Ok(()) };
        let text = format!("the model stays at opset {found}, asked for is {wanted}");
        let step = finished.steps.iter().find(|step| step.name == "convert-opset");
        let reason = step.and_then(|step| step.report.refused.first());
        let error = Error::new(ErrorKind::Unsupported, text);
        Err(match reason {
            Some(note) => error.at(note.place.clone()).help(note.text.clone()),
            None => error,
        })
    }

    /// What the original and the result are executed on.
    fn check<'a>(
        &self,
        engine: &'a dyn Engine,
        samples: Option<&Samples>,
        model: &Model,
    ) -> Result<Option<Check<'a>>> {
        if self.check == 0 {
            return Ok(None);
        }
        if let Some(samples) = samples {
            return Check::on(engine, samples, self.check).map(Some);
        }
        let inputs = pipeline::probes(model, self.preprocessing.seed);
        Ok(Some(Check { engine, inputs, enough: self.check }))
    }
}

/// Why nothing was executed.
fn why_not(finished: &Finished) -> String {
    let steps = finished.steps.iter().filter_map(|step| match &step.outcome {
        Some(Outcome::NotExecuted(reason)) => Some(reason.clone()),
        _ => None,
    });
    let parts = finished.parts.iter().map(|(reason, _)| reason.clone());
    parts.chain(steps).next().unwrap_or_else(|| "see the passes".to_owned())
}

/// Pins what the kept nodes read and make, so that no pass can touch them.
fn pin(model: &mut Model, keep: &[String]) -> Vec<ValueId> {
    let mut pinned = Vec::new();
    for node in model.all_nodes() {
        if fitting(model, node, keep).is_some() {
            let entry = model.node(node);
            pinned.extend(entry.inputs().iter().chain(entry.outputs()).flatten());
        }
    }
    pinned.iter().for_each(|&value| model.pin(value));
    pinned
}
