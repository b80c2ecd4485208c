//! `factorize`.

mod options;
mod to_budget;

pub use options::{FactorizeOptions, Goal};

use crate::analysis::Measure;
use crate::calibrate::Calibration;
use crate::compress::{self, FactorizePasses};
use crate::data::Samples;
use crate::error::{ErrorKind, Result};
use crate::ir::Model;
use crate::passes::Context;
use crate::pipeline::{self, When};
use crate::read::Loaded;
use crate::report::{FactorizationReport, Source};
use crate::validate;
use crate::verbs::bounds::check_labels;
use crate::verbs::budget::{Remaining, countable, missed};
use crate::verbs::compare::sizes;
use crate::verbs::factorize::to_budget::{Factorizing, Found};
use crate::verbs::figures::{Figures, Need};
use crate::verbs::prune::NO_SAMPLES;
use crate::verbs::undone::{no_layers, nothing_split};
use crate::verbs::warnings::{grew, taken_back, unfitted};
use crate::verbs::{Data, Outcome};

/// What binds when a budget is missed.
const RANKS: &str = "no more can be saved within the ranks that make layers smaller (--multiple)";

/// The model with layers as products of smaller ones, fitted to what they gave before as far as samples tell.
///
/// # Errors
/// When options contradict each other, samples do not fit the model, work cannot be counted that a budget asks for, or a
/// pass fails. A bound or budget that is missed is no error: [`Outcome::missed`] names it.
pub fn factorize(
    original: &Loaded,
    options: &FactorizeOptions,
    data: &Data<'_>,
) -> Result<Outcome<FactorizationReport>> {
    options.check(data.samples.is_some(), data.test.is_some())?;
    let judged = data.judging();
    judged.map_or(Ok(()), |samples| options.bounds.check(samples))?;
    check_labels(&original.model, judged.into_iter())?;
    let host = &data.host;
    let figures = match data.test {
        Some(_) => Figures::As(Source::Test),
        None => Figures::of(data.samples, &original.model, Need::Fitting)?,
    };
    let fit = figures.fit(data.samples);
    let calibration = fit.map(|samples| host.calibration(samples));
    let measure = calibration.as_ref().map(|calibration| calibration as &dyn Measure);
    let cx = host.context(measure);
    let check = host.check(fit, &original.model, data.seed)?;
    let at = compress::counted_at(&original.model, data.samples);
    let passes = |samples: bool| {
        let mut passes = options.passes(samples);
        passes.factorize.at = at.clone();
        passes
    };
    let remaining = options.remaining();
    let uncounted = match remaining.is_some_and(Remaining::counts_work) {
        true => countable(&original.model, &at)?,
        false => None,
    };
    let own = passes(data.samples.is_some());
    let before = compress::prepare_factorize(&own);
    let model = original.model.clone();
    let prepared = pipeline::settle(model, &before, &cx, check.as_ref(), When::AtEnd)?;
    let job = |passes: FactorizePasses, measured: bool| Factorizing {
        remaining,
        passes,
        host: *host,
        cx: Context { measure: cx.measure.filter(|_| measured), ..cx },
        samples: fit.filter(|_| measured),
        original,
        prepared: &prepared.model,
    };
    let mut unmeasured = None;
    let found = match job(own, true).run() {
        // What the engine does not run is split as without samples.
        Err(error) if error.kind == ErrorKind::Engine && fit.is_some() && !options.measures() => {
            unmeasured = Some(format!(
                "nothing could be measured, so layers were split by their weights alone: {error}; \
                 `--engine ort` may run the model"
            ));
            job(passes(false), false).run()
        }
        found => found,
    };
    let Found { mut factorized, mut budget, missed: mut undone } = found?;
    factorized.finished.steps.splice(0..0, prepared.steps);
    let result = &factorized.finished.model;
    let encoded = (host.encode)(result, original.external)?;
    let bytes = encoded.len() as u64;
    let mut drift = sizes(original, result, bytes, &at);
    match judged {
        Some(judged) => {
            let all = validate::Options { top: vec![1], ..Default::default() };
            let left = drift.macs.candidate;
            let again = |samples: &Samples| -> Result<Model> {
                let (engine, progress) = (host.engine, &());
                let calibration = Calibration { engine, samples, progress };
                let job = Factorizing {
                    remaining: remaining.map(|remaining| remaining.timed(left)),
                    passes: passes(true),
                    host: *host,
                    cx: Context { measure: Some(&calibration), progress: None, ..cx },
                    samples: Some(samples),
                    original,
                    prepared: &prepared.model,
                };
                Ok(job.run()?.factorized.finished.model)
            };
            let models = [&original.model, result];
            let (engine, progress) = (host.engine, host.progress);
            figures.execute(engine, &mut drift, models, (judged, &all), progress, &again)?;
        }
        None => drift.not_validated = Some(NO_SAMPLES.to_owned()),
    }
    options.bounds.judge(&mut drift);
    let of_file = remaining.and_then(|remaining| remaining.of_file(original.byte_size, bytes));
    budget = of_file.or(budget);
    let short = budget.as_ref().filter(|budget| budget.left > budget.most);
    undone.extend(short.map(|budget| missed(budget, Some(RANKS))));
    let within = budget.is_some() && short.is_none();
    let mut warnings: Vec<String> = uncounted.into_iter().chain(unmeasured).collect();
    let none = factorized.layers.iter().all(|layer| layer.chosen.is_none());
    match no_layers(&original.model, "no layer was split") {
        Some(nothing) => warnings.push(nothing),
        None if none && !within => undone.extend(nothing_split(&factorized.finished.steps)),
        None => {}
    }
    drift.miss(undone);
    let missed = drift.missed.clone();
    warnings.extend(taken_back(&factorized.finished.steps));
    let own = factorized.finished.steps.iter().flat_map(|step| &step.report.warnings);
    warnings.extend(own.cloned());
    for (option, patterns) in
        [("--exclude", &options.layers.keep), ("--only", &options.layers.only)]
    {
        warnings.extend(unfitted(option, patterns, [&original.model, result]));
    }
    warnings.extend(grew(&drift.size_bytes));
    let report = FactorizationReport {
        warnings,
        budget,
        ..FactorizationReport::new(String::new(), String::new(), &factorized, drift)
    };
    Ok(Outcome { model: factorized.finished.model, encoded, report, missed })
}
