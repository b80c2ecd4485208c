//! `distill`.

use serde::{Deserialize, Serialize};

use crate::compress;
use crate::distill::{self, Options};
use crate::error::{Error, ErrorKind, Result};
use crate::read::Loaded;
use crate::report::DistillationReport;
use crate::validate;
use crate::verbs::bounds::check_labels;
use crate::verbs::compare::{execute, sizes};
use crate::verbs::warnings::{grew, unfitted};
use crate::verbs::{Bounds, Data, Outcome};

/// Options of [`distill()`].
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct DistillOptions {
    /// How the student learns.
    pub learning: Options,
    /// Bounds that the result is asked to keep beside the teacher.
    pub bounds: Bounds,
}

/// What was asked for and missed.
const UNCHANGED: &str = "nothing better than the student was found on the samples held out";

/// The student with constants that make it compute what the teacher computes, as far as samples tell. They may have
/// labels.
///
/// # Errors
/// As [`distill::distill`], and without samples. A bound that is missed is no error, nor is it when nothing better than the
/// student was found: [`Outcome::missed`] says so.
pub fn distill(
    student: &Loaded,
    teacher: &Loaded,
    options: &DistillOptions,
    data: &Data<'_>,
) -> Result<Outcome<DistillationReport>> {
    let samples = data.samples;
    let samples = samples.ok_or_else(|| Error::new(ErrorKind::Usage, "samples are needed"))?;
    let judged = data.test.unwrap_or(samples);
    options.bounds.check(judged)?;
    check_labels(&student.model, data.all())?;
    let host = &data.host;
    let lessons = distill::Data { engine: host.engine, samples, progress: host.progress };
    let learning = &options.learning;
    let distilled = distill::distill(&student.model, &teacher.model, learning, &lessons)?;
    let encoded = (host.encode)(&distilled.model, student.external)?;
    let at = compress::counted_at(&teacher.model, Some(samples));
    let mut drift = sizes(teacher, &distilled.model, encoded.len() as u64, &at);
    let models = [&teacher.model, &distilled.model];
    let top1 = validate::Options { top: vec![1], ..Default::default() };
    execute(host.engine, &mut drift, models, judged, &top1, host.progress)?;
    options.bounds.judge(&mut drift);
    drift.miss((!distilled.improved).then(|| UNCHANGED.to_owned()));
    let missed = drift.missed.clone();
    let mut report = DistillationReport::new(&distilled, drift);
    for (option, patterns) in [("--train", &learning.train), ("--freeze", &learning.freeze)] {
        report.warnings.extend(unfitted(option, patterns, [&student.model; 2]));
    }
    report.warnings.extend(grew(&report.drift.size_bytes));
    Ok(Outcome { model: distilled.model, encoded, report, missed })
}
