//! Bounds that a result is asked to keep.

use serde::{Deserialize, Serialize};

use crate::data::Samples;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Model;
use crate::report::{ComparisonReport, decibel, percent};
use crate::validate;

/// Bounds that a result is asked to keep.
#[derive(Debug, Clone, Copy, PartialEq, Default, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bounds {
    /// Least signal-to-noise ratio of every output, in decibel.
    pub min_sqnr: Option<f64>,
    /// Largest fall of top-1 accuracy, as a share of all samples.
    pub max_drop: Option<f64>,
}

impl Bounds {
    /// Whether anything is asked for.
    pub fn any(&self) -> bool {
        self.min_sqnr.is_some() || self.max_drop.is_some()
    }

    /// Refuses, before any work is done, a bound on accuracy for samples whose classes are not known.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self, samples: &Samples) -> Result<()> {
        if self.max_drop.is_some() && samples.labels().is_none() {
            return Err(Error::new(ErrorKind::Usage, "--max-drop needs samples with labels").help(
                "name their array with --labels, or put images into a folder for each class",
            ));
        }
        Ok(())
    }

    /// Records in `report` which of the bounds are missed, and what could not be checked.
    pub(super) fn judge(&self, report: &mut ComparisonReport) {
        let Self { min_sqnr, max_drop } = *self;
        let mut missed = Vec::new();
        if let (true, Some(reason)) = (self.any(), &report.not_validated) {
            missed.push(format!("the bounds could not be checked: {reason}"));
        }
        if let Some(bound) = min_sqnr {
            let numbers = || report.outputs.iter().filter(|output| output.is_measured());
            let unlike =
                report.outputs.iter().filter(|o| o.agreement.is_none() && !o.is_measured());
            for (name, unlike) in unlike.filter_map(|o| Some((&o.name, o.unlike_dims.as_ref()?))) {
                missed.push(format!("output `{name}`: {unlike}"));
            }
            if report.not_validated.is_none() && numbers().next().is_none() && missed.is_empty() {
                let text = "no output has numbers whose signal-to-noise ratio could be asked for";
                missed.push(text.to_owned());
            }
            for output in numbers().filter(|output| output.sqnr_db < bound) {
                let found = decibel(output.sqnr_db);
                missed.push(format!("output `{}`: {found}, asked for {bound} dB", output.name));
            }
        }
        if max_drop.is_some()
            && report.not_validated.is_none()
            && !report.accuracy.contains_key("top1")
        {
            missed.push("the fall of top-1 could not be checked: there are no labels".into());
        }
        if let (Some(bound), Some(top)) = (max_drop, report.accuracy.get("top1")) {
            if top.at_chance {
                let found = percent(top.original);
                missed.push(format!(
                    "top-1 of the original is {found}, at chance level: that it does not fall says nothing"
                ));
            }
            let drop = top.original - top.candidate;
            // Half a sample of slack for the representation of shares.
            if drop > bound + 0.5 / report.samples.max(1) as f64 * 1e-6 {
                let (drop, bound) = (percent(drop), percent(bound));
                missed.push(format!("top-1 falls by {drop}, allowed are {bound}"));
            }
        }
        report.miss(missed);
    }
}

/// Refuses labels that are no class of the model, before any work is done.
///
/// # Errors
/// Which one, and of which sample.
pub fn check_labels<'a>(
    model: &Model,
    mut samples: impl Iterator<Item = &'a Samples>,
) -> Result<()> {
    samples.try_for_each(|samples| validate::check_labels(model, samples, None))
}
