//! `quantize`.

mod job;
mod options;
mod scheme;
mod then;
mod widths;

pub use options::{Accuracy, Mode, QuantizeOptions};
pub use scheme::{Scheme, WeightType};
pub(super) use then::ThenQuantize;
pub use widths::{Kind, Mixed, MixedAim};

use crate::analysis::Measure;
use crate::calibrate::{Fit, Source};
use crate::compress::{self, Tries};
use crate::error::{Error, ErrorKind, Result};
use crate::read::Loaded;
use crate::report::{self, ChoiceReport, CompressionReport};
use crate::validate;
use crate::verbs::bounds::check_labels;
use crate::verbs::compare::{execute, sizes};
use crate::verbs::figures::{Figures, Need};
use crate::verbs::quantize::job::Job;
use crate::verbs::{Data, Outcome};

/// Why nothing is compared without samples.
const NO_SAMPLES: &str =
    "no samples were given; exact and rounding passes were executed on seeded noise";

/// The model with integers in place of floats, as far as that keeps its outputs. [`Mode::Static`] needs samples, or
/// statistics.
///
/// # Errors
/// When options contradict each other, samples do not fit the model, a pass fails, or ONNX Runtime does not run what
/// was made for it. A bound that is missed is no error: [`Outcome::missed`] names it.
pub fn quantize(
    original: &Loaded,
    options: &QuantizeOptions,
    data: &Data<'_>,
) -> Result<Outcome<CompressionReport>> {
    options.check(data.test.is_some(), data.statistics.is_some())?;
    data.test.map_or(Ok(()), |test| options.bounds.check(test))?;
    let passes = options.passes()?;
    check_labels(&original.model, data.all())?;
    let measures = options.mode.measures();
    let host = &data.host;
    let calibration = data.samples.map(|samples| host.calibration(samples));
    let source = match (data.statistics, &calibration) {
        (Some(statistics), _) => {
            statistics.check(&original.model)?;
            Some(Source::Statistics(statistics))
        }
        (None, Some(calibration)) => Some(Source::Samples(calibration)),
        (None, None) if !measures => None,
        (None, None) => {
            return Err(Error::new(ErrorKind::Usage, "--data or --calibration is needed"));
        }
    };
    let fit = source.map(|source| options.fit(source));
    let others = fit.as_ref().filter(|_| measures).map(Fit::others).unwrap_or_default();
    let measure = fit.as_ref().map(|fit| fit as &dyn Measure);
    let cx = host.context(measure);
    // Other samples than those that statistics were made with.
    let figures = match data.statistics {
        Some(_) => Figures::As(report::Source::Test),
        None => Figures::of(data.samples, &original.model, Need::Ranges)?,
    };
    let real = data.samples.or(data.test);
    let widths = options.mixed.as_ref().map(|mixed| mixed.widths(&options.scheme, original));
    let widths = widths.transpose()?;
    let job = Job { original, options, passes, widths, data };
    let check = job.check(real)?;
    let tries = job.tries(&check, data.samples, &others);
    let tries = Tries { real: real.is_some(), explain: options.explain, ..tries };
    let made = compress::quantized_on(original.model.clone(), &job.passes, &cx, &tries)?;
    let result = job.written(&made.finished.model, real)?;
    let at = compress::counted_at(&original.model, real);
    let mut drift = sizes(original, &result.judged, result.bytes(), &at);
    match data.samples {
        Some(samples) => job.compare(&figures, &mut drift, &result.judged, samples, cx)?,
        None => drift.not_validated = Some(NO_SAMPLES.to_owned()),
    }
    let taken = made.calibrated;
    let taken = taken.and_then(|taken| others.iter().find(|fit| fit.calibrator() == taken.by));
    let choices = taken.or(fit.as_ref()).map(Fit::choices).unwrap_or_default();
    let choices = choices.iter().map(ChoiceReport::new).collect();
    let undone = job.undone(&made, &result);
    let obstacle = fit.as_ref().and_then(Fit::obstacle);
    let mut report = job.report(&made, &result, (choices, obstacle), drift);
    if let Some(samples) = data.test {
        let mut figures = sizes(original, &result.judged, result.bytes(), &at);
        let all = validate::Options { top: vec![1], ..Default::default() };
        let models = [&original.model, &result.judged];
        execute(host.engine, &mut figures, models, samples, &all, host.progress)?;
        figures.source(report::Source::Test);
        report.test = Some(figures);
    }
    let judged = report.test.as_mut().unwrap_or(&mut report.drift);
    options.bounds.judge(judged);
    let mut missed = judged.missed.clone();
    missed.extend(undone.iter().cloned());
    report.drift.miss(undone);
    Ok(Outcome { model: result.model, encoded: result.encoded, report, missed })
}
