//! `prune`.

mod options;
mod sparsity;
mod to_budget;

pub use options::{PruneOptions, Spreading};
pub use sparsity::Sparsity;

use crate::analysis::Measure;
use crate::calibrate::Calibration;
use crate::compress::{self, Pruned};
use crate::data::Samples;
use crate::error::{ErrorKind, Result};
use crate::ir::Model;
use crate::passes::{Context, Resource, Target};
use crate::pipeline;
use crate::read::Loaded;
use crate::report::{
    BudgetReport, ComparisonReport, GroupShare, PruningReport, PruningStep, Source, SparsityReport,
    StorageReport,
};
use crate::validate;
use crate::verbs::bounds::check_labels;
use crate::verbs::budget::{Remaining, countable, missed};
use crate::verbs::compare::sizes;
use crate::verbs::figures::{Figures, Need};
use crate::verbs::prune::sparsity::worth;
use crate::verbs::prune::to_budget::{Found, Pruning};
use crate::verbs::quantize::ThenQuantize;
use crate::verbs::undone::{no_layers, nothing_pruned, nothing_quantized};
use crate::verbs::warnings::{grew, taken_back, unfitted};
use crate::verbs::{Data, Outcome, check_deployed};

/// Why nothing is compared without samples.
pub(super) const NO_SAMPLES: &str = "no samples were given (--data)";

/// The model without the channels, hidden units and heads that matter least, repaired as far as samples tell how; or
/// with zeros among its weights.
///
/// # Errors
/// When options contradict each other, samples do not fit the model, work cannot be counted that a budget asks for, or a
/// pass fails. A bound or budget that is missed is no error: [`Outcome::missed`] names it.
pub fn prune(
    original: &Loaded,
    options: &PruneOptions,
    data: &Data<'_>,
) -> Result<Outcome<PruningReport>> {
    options.check(data.samples.is_some(), data.test.is_some())?;
    let judged = data.judging();
    judged.map_or(Ok(()), |samples| options.bounds.check(samples))?;
    check_labels(&original.model, judged.into_iter())?;
    let host = &data.host;
    let need = if options.steps.is_some() { Need::Judging } else { Need::Fitting };
    let figures = match data.test {
        Some(_) => Figures::As(Source::Test),
        None => Figures::of(data.samples, &original.model, need)?,
    };
    let fit = figures.fit(data.samples);
    let calibration = fit.map(|samples| host.calibration(samples));
    let measure = calibration.as_ref().map(|calibration| calibration as &dyn Measure);
    let cx = host.context(measure);
    let check = host.check(fit, &original.model, data.seed)?;
    let mut passes = options.passes(data.samples.is_some(), data.seed);
    passes.pruning.at = compress::counted_at(&original.model, data.samples);
    let uncounted = match options.remaining.counts_work() {
        true => countable(&original.model, &passes.pruning.at)?,
        false => None,
    };
    let mut pruning = Pruning {
        options,
        remaining: options.remaining,
        passes,
        host: *host,
        cx,
        check: check.as_ref(),
        samples: fit,
        judged: data.test.or(figures.judged(data.samples)),
        original,
        zeros: options.sparsity.as_ref().map(|sparsity| sparsity.pass(&options.keep)),
    };
    let mut unmeasured = None;
    let found = match pruning.run() {
        // What the engine does not run is cut as without samples.
        Err(error) if error.kind == ErrorKind::Engine && fit.is_some() && !options.measures() => {
            let at = std::mem::take(&mut pruning.passes.pruning.at);
            pruning.passes = options.passes(false, data.seed);
            pruning.passes.pruning.at = at;
            (pruning.cx.measure, pruning.samples) = (None, None);
            unmeasured = Some(format!(
                "nothing could be measured, so channels were chosen by their weights alone: {error}; \
                 `--engine ort` may run the model"
            ));
            pruning.run()
        }
        found => found,
    };
    let Found { spread, trail, mut budget, missed: mut undone } = found?;
    let mut pruned = spread.pruned;
    let mut unquantized = None;
    if let (Some(target), Some(calibration)) = (options.quantize, &calibration) {
        unquantized = Some(pruning.judge(&pruned.finished.model)?);
        let then = ThenQuantize { target, skip: options.skip.clone(), calibration, cx };
        let quantized = then.run(std::mem::take(&mut pruned.finished.model))?;
        pruned.finished.model = quantized.finished.model;
        pruned.finished.steps.extend(quantized.finished.steps);
        if no_layers(&original.model, "").is_none() {
            undone.extend(nothing_quantized(&pruned.finished.steps));
        }
    }
    let model = &pruned.finished.model;
    let stored = options.sparsity.as_ref().and_then(|sparsity| sparsity.stored(model));
    let result = stored.as_ref().map_or(model, |(model, _)| model);
    let encoded = (host.encode)(result, original.external)?;
    let bytes = encoded.len() as u64;
    if options.quantize == Some(Target::Ort) {
        check_deployed(|| host.runtime(), [&original.model, result], bytes, judged)?;
    }
    let mut drift = sizes(original, model, bytes, &pruning.passes.pruning.at);
    match judged {
        Some(judged) => {
            let all = validate::Options { top: vec![1], ..Default::default() };
            let left = drift.macs.candidate;
            let again = |samples: &Samples| pruning.again(samples, data.seed, left);
            let models = [&original.model, result];
            let (engine, progress) = (host.engine, host.progress);
            figures.execute(engine, &mut drift, models, (judged, &all), progress, &again)?;
        }
        None => drift.not_validated = Some(NO_SAMPLES.to_owned()),
    }
    if let Some(of_file) = options.remaining.of_file(original.byte_size, bytes) {
        if of_file.left > of_file.most {
            let binds = spread.fitted.as_ref().map(|fit| fit.binds(Resource::WeightBytes));
            undone.push(missed(&of_file, binds.as_deref()));
        }
        budget = Some(of_file);
    }
    let nothing = no_layers(&original.model, "nothing was cut");
    if nothing.is_none() {
        undone.splice(0..0, nothing_done(options, &pruned, budget.as_ref()));
    }
    options.bounds.judge(&mut drift);
    drift.miss(undone);
    let missed = drift.missed.clone();
    let sparsity = match options.sparsity {
        Some(_) => {
            let before = (host.encode)(&original.model, original.external)?;
            let models = [&original.model, model];
            let storage = stored.as_ref().map(|(_, storage)| StorageReport::from(storage.clone()));
            Some(SparsityReport { storage, ..worth(models, [&before, &encoded]) })
        }
        None => None,
    };
    let mut warnings = warned(&pruned, &drift);
    warnings.extend(uncounted.into_iter().chain(unmeasured));
    warnings.extend(nothing);
    warnings.extend(unfitted("--exclude", &options.keep, [&original.model, model]));
    let report = PruningReport {
        warnings,
        groups: spread.groups.iter().map(GroupShare::from).collect(),
        sparsity,
        budget,
        unquantized,
        steps: trail.into_iter().map(|drift| PruningStep { drift }).collect(),
        ..PruningReport::new(String::new(), String::new(), &pruned, drift)
    };
    let model = result.clone();
    Ok(Outcome { model, encoded, report, missed })
}

impl Pruning<'_> {
    /// The same with other samples, to be judged on what they leave out. Where a time was asked for, the work stands for
    /// it that was found to take so long.
    fn again(&self, samples: &Samples, seed: u64, work: u64) -> Result<Model> {
        let calibration = Calibration { engine: self.host.engine, samples, progress: &() };
        let cx = Context { measure: Some(&calibration), progress: None, ..self.cx };
        let mut passes = self.options.passes(true, seed);
        passes.pruning.at = self.passes.pruning.at.clone();
        let again = Pruning {
            options: self.options,
            remaining: self.remaining.timed(work),
            passes,
            host: self.host,
            cx,
            check: self.check,
            samples: Some(samples),
            judged: None,
            original: self.original,
            zeros: self.zeros.clone(),
        };
        let model = again.run()?.spread.pruned.finished.model;
        let Some(target) = self.options.quantize else { return Ok(model) };
        let skip = self.options.skip.clone();
        let then = ThenQuantize { target, skip, calibration: &calibration, cx };
        Ok(then.run(model)?.finished.model)
    }
}

/// That nothing was cut or set to zero that should have been, and why.
fn nothing_done(
    options: &PruneOptions,
    pruned: &Pruned,
    budget: Option<&BudgetReport>,
) -> Vec<String> {
    if let Some(pipeline::Outcome::Broken(reason)) = &pruned.cut {
        return vec![format!(
            "nothing was cut: the cut was taken back (a bug in onnxpress): {reason}"
        )];
    }
    let steps = &pruned.finished.steps;
    let mut own = steps.iter().filter(|step| step.name.starts_with("prune-"));
    let zeros = options.sparsity.is_some();
    // Whoever keeps all channels asks for those that give nothing; a model may be small enough as it is.
    let all = matches!(options.remaining, Remaining::Channels(ratio) if ratio >= 1.0);
    let asked = (zeros || !all) && budget.is_none_or(|budget| budget.left > budget.most);
    if !asked || own.any(|step| step.report.changed()) {
        return Vec::new();
    }
    let what = if zeros { "no weight became zero" } else { "nothing was cut" };
    match nothing_pruned(steps, what) {
        reasons if reasons.is_empty() && budget.is_some() => Vec::new(),
        reasons if reasons.is_empty() && zeros => vec![format!("{what}: -v says why")],
        reasons if reasons.is_empty() => vec![format!("{what}: `inspect --prunable` says why")],
        reasons => reasons,
    }
}

/// What the user must not overlook.
fn warned(pruned: &Pruned, drift: &ComparisonReport) -> Vec<String> {
    let mut warnings: Vec<String> = taken_back(&pruned.finished.steps).collect();
    let own = pruned.finished.steps.iter().flat_map(|step| &step.report.warnings);
    warnings.extend(own.cloned());
    warnings.extend(grew(&drift.size_bytes));
    warnings
}
