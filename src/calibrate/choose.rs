//! Turns the statistics of a value into its range, and says why.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::analysis::{Asked, Range};
use crate::calibrate::ValueStatistics;
use crate::error::{Error, Result, err};
use crate::math::calibrate::{
    Form, GridError, Interval, clipped_share, distribution, entropy, least_squared_error,
    percentile, signal_power,
};
use crate::math::{Bin, Histogram};

/// How a range is made from what was seen. All stay within the smallest and the largest element.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Calibrator {
    /// Smallest and largest element.
    Minmax,
    /// Mean, over the runs, of smallest and largest element.
    MeanMinmax,
    /// All but a share of the elements.
    Percentile,
    /// The least divergence of what is on the grid from what was clipped.
    Entropy,
    /// The least expected squared error.
    Mse,
    /// Mean and standard deviation.
    Distribution,
    /// For each value the one with the least expected squared error on runs that it was not fitted to.
    #[default]
    Auto,
}

impl Calibrator {
    /// All, in the order of the documentation.
    pub const ALL: &[Self] = &[
        Self::Auto,
        Self::Minmax,
        Self::MeanMinmax,
        Self::Percentile,
        Self::Entropy,
        Self::Mse,
        Self::Distribution,
    ];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Minmax => "minmax",
            Self::MeanMinmax => "mean-minmax",
            Self::Percentile => "percentile",
            Self::Entropy => "entropy",
            Self::Mse => "mse",
            Self::Distribution => "distribution",
            Self::Auto => "auto",
        }
    }
}

impl fmt::Display for Calibrator {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Calibrator {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|calibrator| calibrator.name() == text);
        found.copied().ok_or_else(|| err!(Usage, "`{text}` is no calibrator"))
    }
}

/// How ranges are chosen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Method {
    /// The calibrator.
    pub calibrator: Calibrator,
    /// The share of the elements that [`Calibrator::Percentile`] keeps, in percent.
    pub percentile: f64,
    /// Count elements for the [`Choice`] even when the calibrator needs no counts.
    pub explain: bool,
}

impl Default for Method {
    fn default() -> Self {
        Self { calibrator: Calibrator::default(), percentile: 99.99, explain: false }
    }
}

impl Method {
    /// Elements must be counted.
    pub(super) fn counts(self) -> bool {
        let ends = matches!(self.calibrator, Calibrator::Minmax | Calibrator::MeanMinmax);
        self.explain || !ends
    }
}

/// The range that was chosen for a value, and why.
#[derive(Debug, Clone, PartialEq)]
pub struct Choice {
    /// [Path](crate::ir::Model::path_of) of the value.
    pub value: String,
    /// Smallest and largest element seen.
    pub seen: Range,
    /// The range chosen. Values that share a grid get the union of their ranges.
    pub range: Range,
    /// The calibrator that gave it.
    pub calibrator: Calibrator,
    /// The share of the elements outside the range, when elements were counted.
    pub clipped: Option<f64>,
    /// Signal-to-noise ratio of rounding and clipping in decibel, expected over all elements, when
    /// these were counted.
    pub sqnr_db: Option<f64>,
    /// How many elements are in each of 64 equal parts of what was seen, when they were counted.
    pub spread: Option<Vec<u64>>,
}

/// Parts in which the spread of elements is told: what a small picture shows.
const PARTS: usize = 64;

/// What `auto` tries after min-max, in this order: the least squared error first, since the others can
/// only beat it where it follows chance.
const CANDIDATES: [Calibrator; 5] = [
    Calibrator::Mse,
    Calibrator::Percentile,
    Calibrator::Entropy,
    Calibrator::Distribution,
    Calibrator::MeanMinmax,
];
/// `auto` changes its mind only for an expected error below this share of the least before: less than
/// a fifth of a decibel is chance, and does not pay for clipping what a runtime may meet.
const GAIN: f64 = 0.95;
/// `auto` keeps min-max for values of which fewer elements were seen: their tails are unknown.
const FEWEST: u64 = 4096;

/// The range of a value by a method.
pub(super) fn choose(name: &str, value: &ValueStatistics, asked: &Asked, method: Method) -> Choice {
    let form = Form { levels: asked.levels, symmetric: asked.symmetric };
    let all = value.all();
    let calibrator = match (&all, method.calibrator) {
        (Some(all), Calibrator::Auto) => best(value, all, form, method),
        (None, Calibrator::MeanMinmax) if value.is_finite() => Calibrator::MeanMinmax,
        (Some(_), calibrator) => calibrator,
        (None, _) => Calibrator::Minmax,
    };
    let (min, max) = match &all {
        Some(all) => fitted(calibrator, all, value, form, method),
        None => ends(calibrator, value),
    };
    let range = Range { min, max };
    let noise = all.as_ref().map(|all| error(all, form, (min, max)));
    let decibel = |signal: f64, noise: f64| match noise {
        0.0 => f64::INFINITY,
        noise => 10.0 * (signal / noise).log10(),
    };
    Choice {
        value: name.to_owned(),
        seen: value.range,
        range,
        calibrator,
        clipped: all.as_ref().map(|all| clipped_share(all, (min, max))),
        sqnr_db: all.as_ref().zip(noise).map(|(all, noise)| decibel(signal_power(all), noise)),
        spread: all.as_ref().filter(|_| method.explain).map(|all| all.coarse(PARTS)),
    }
}

/// The calibrator with the least expected squared error on the runs held out. Fitted to all runs, it
/// must beat min-max on these, too: the runs held out may lack what is rare and large.
fn best(value: &ValueStatistics, all: &Histogram, form: Form, method: Method) -> Calibrator {
    let (Some(fitting), Some(held_out)) = (&value.fitting, &value.held_out) else {
        return Calibrator::Minmax;
    };
    if fitting.total() < FEWEST {
        return Calibrator::Minmax;
    }
    let whole = ends(Calibrator::Minmax, value);
    let bins: Vec<Bin> = held_out.bins().collect();
    let unseen = |interval: Interval| GridError::new(form, interval).total(&bins);
    let fit = |calibrator, histogram| fitted(calibrator, histogram, value, form, method);
    let (mut least, mut best) = (unseen(whole), Calibrator::Minmax);
    let most = error(all, form, whole);
    for calibrator in CANDIDATES {
        let found = unseen(fit(calibrator, fitting));
        if found < least * GAIN && error(all, form, fit(calibrator, all)) < most {
            (least, best) = (found, calibrator);
        }
    }
    best
}

/// The interval that a calibrator fits to a histogram.
fn fitted(
    calibrator: Calibrator,
    histogram: &Histogram,
    value: &ValueStatistics,
    form: Form,
    method: Method,
) -> Interval {
    match calibrator {
        Calibrator::Percentile => percentile(histogram, form, method.percentile),
        Calibrator::Entropy => entropy(histogram, form),
        Calibrator::Mse => least_squared_error(histogram, form),
        Calibrator::Distribution => distribution(histogram, form),
        Calibrator::Minmax | Calibrator::MeanMinmax | Calibrator::Auto => ends(calibrator, value),
    }
}

/// The interval of a calibrator that needs no counts.
fn ends(calibrator: Calibrator, value: &ValueStatistics) -> Interval {
    let range = match calibrator {
        Calibrator::MeanMinmax => value.mean_range(),
        _ => value.range,
    };
    (range.min, range.max)
}

fn error(histogram: &Histogram, form: Form, interval: Interval) -> f64 {
    let bins: Vec<Bin> = histogram.bins().collect();
    GridError::new(form, interval).total(&bins)
}
