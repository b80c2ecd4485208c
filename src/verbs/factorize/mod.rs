//! `factorize`.

mod options;
mod to_budget;

pub use options::{FactorizeOptions, Goal};

use crate::analysis::Measure;
use crate::calibrate::Calibration;
use crate::compress;
use crate::data::Samples;
use crate::error::Result;
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
    options.check(data)?;
    let judged = data.judging();
    check_labels(&original.model, judged.into_iter())?;
    let host = &data.host;
    let figures = match data.test {
        Some(_) => Figures::As(Source::Test),
        None => Figures::of(data.samples, &original.model, Need::Fitting)?,
    };
    let fit = figures.fit(data.samples);
    let calibration =
        fit.map(|samples| Calibration { engine: host.engine, samples, progress: host.progress });
    let measure = calibration.as_ref().map(|calibration| calibration as &dyn Measure);
    let cx = Context {
        evaluate: Some(&host.engine),
        measure,
        progress: Some(host.progress),
        ..Context::default()
    };
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
    let job = Factorizing {
        remaining,
        passes: own,
        host: *host,
        cx,
        samples: fit,
        original,
        prepared: &prepared.model,
    };
    let Found { mut factorized, mut budget, missed: mut undone } = job.run()?;
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
    drift.judge(options.bounds.min_sqnr, options.bounds.max_drop);
    let of_file = remaining.and_then(|remaining| remaining.of_file(original.byte_size, bytes));
    budget = of_file.or(budget);
    let short = budget.as_ref().filter(|budget| budget.left > budget.most);
    undone.extend(short.map(|budget| missed(budget, Some(RANKS))));
    let within = budget.is_some() && short.is_none();
    let mut warnings: Vec<String> = uncounted.into_iter().collect();
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
    for (option, patterns) in [("--keep", &options.layers.keep), ("--only", &options.layers.only)] {
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
