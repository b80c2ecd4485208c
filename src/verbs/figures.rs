//! Figures of a result come from samples that it was not fitted to, or it is said that they do not.

use crate::analysis::{Assume, Cost, Progress, Shapes};
use crate::compress::{Parted, folds, kept_aside};
use crate::data::Samples;
use crate::error::Result;
use crate::exec::Engine;
use crate::ir::Model;
use crate::report::{ComparisonReport, Source};
use crate::validate::{Comparison, Options, compare_telling};
use crate::verbs::compare::execute;

/// What figures are taken from.
pub(super) enum Figures {
    /// Other samples, or the same where there are none.
    As(Source),
    /// Some samples, which nothing is fitted to.
    Aside(Box<Parted>),
    /// Models that are made in the same way of some of the samples, each judged on the others.
    Folds(Vec<Parted>),
}

/// How much of its samples a verb can do without.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Need {
    /// Weights are fitted: of many samples some are kept aside, and few tell much less about others.
    Fitting,
    /// The same, and models on the way are judged, too: some are kept aside in any case.
    Judging,
    /// Ranges are measured: only very few say less about others than about themselves.
    Ranges,
}

/// Samples from which on some can be spared.
const MANY: usize = 256;
/// Of these, one of so many is kept aside, but no fewer than `LEAST` and no more than `MOST`.
const SPARED: usize = 8;
const LEAST: usize = 64;
const MOST: usize = 1024;
/// Samples from which on ranges change little.
const ENOUGH: usize = 64;
/// Parts of samples of which each is judged by what is made of the others.
const PARTS: usize = 4;
/// Parameters, and multiply-accumulates of one run, up to which making a model several times takes seconds.
const SMALL: (u64, u64) = (2_000_000, 200_000_000);

impl Figures {
    /// For a verb that makes something of `model` and `samples`.
    pub fn of(samples: Option<&Samples>, model: &Model, need: Need) -> Result<Self> {
        let fitted = match need {
            Need::Ranges => Self::As(Source::Calibration),
            _ => Self::As(Source::Fitted),
        };
        let Some(samples) = samples.filter(|samples| !samples.is_random()) else {
            return Ok(fitted);
        };
        let count = samples.len();
        let aside = |spared: usize| -> Result<Self> {
            Ok(kept_aside(samples, spared)?
                .map_or(Self::As(Source::Fitted), |parted| Self::Aside(Box::new(parted))))
        };
        match need {
            Need::Fitting if count >= MANY => return aside((count / SPARED).clamp(LEAST, MOST)),
            Need::Judging => {
                let least = LEAST.min(count / PARTS).max(1);
                return aside((count / SPARED).clamp(least, MOST));
            }
            Need::Ranges if count >= ENOUGH => return Ok(fitted),
            _ => {}
        }
        let cost = Cost::of(model, &Shapes::infer(model, &Assume::one_sample()));
        let small = cost.parameters <= SMALL.0 && cost.macs <= SMALL.1;
        let used = match (small, count < ENOUGH) {
            (true, true) => PARTS,
            (true, false) => PARTS / 2,
            (false, _) => 1,
        };
        let parts = folds(samples, PARTS, used)?;
        Ok(if parts.is_empty() { fitted } else { Self::Folds(parts) })
    }

    /// What the result is made with.
    pub fn fit<'a>(&'a self, all: Option<&'a Samples>) -> Option<&'a Samples> {
        match self {
            Self::Aside(parted) => Some(&parted.fit),
            Self::As(_) | Self::Folds(_) => all,
        }
    }

    /// What models on the way are judged on.
    pub fn judged<'a>(&'a self, all: Option<&'a Samples>) -> Option<&'a Samples> {
        match self {
            Self::Aside(parted) => Some(&parted.judged),
            Self::As(_) | Self::Folds(_) => all,
        }
    }

    /// Fills in the figures of a result that was made with `all` samples; `again` makes another one with others.
    pub fn execute(
        &self,
        engine: &dyn Engine,
        report: &mut ComparisonReport,
        [original, result]: [&Model; 2],
        (all, options): (&Samples, &Options),
        progress: &dyn Progress,
        again: &dyn Fn(&Samples) -> Result<Model>,
    ) -> Result<()> {
        let models = [original, result];
        match self {
            Self::As(source) => {
                execute(engine, report, models, all, options, progress)?;
                report.source(*source);
            }
            Self::Aside(parted) => {
                let judged = &parted.judged;
                execute(engine, report, models, judged, options, progress)?;
                report.source(Source::HeldOut);
                report.fed(all.fed()?);
                report.note_chance();
            }
            Self::Folds(parts) => {
                let whole = Options { runs: None, ..options.clone() };
                let one = |Parted { fit, judged }: &Parted| -> Result<Comparison> {
                    compare_telling(engine, [original, &again(fit)?], judged, &whole, progress)
                };
                let found: Result<Vec<Comparison>> = parts.iter().map(one).collect();
                let found = found.map(|found| found.into_iter().reduce(Comparison::merge));
                match found {
                    Ok(Some(comparison)) => {
                        report.fed(all.fed()?);
                        report.measured(&comparison);
                        report.source(Source::Folds);
                    }
                    // What cannot be made of fewer samples is judged by what it is.
                    Ok(None) | Err(_) => {
                        execute(engine, report, models, all, options, progress)?;
                        report.source(Source::Fitted);
                    }
                }
            }
        }
        Ok(())
    }
}
