//! Bounds that a result is asked to keep.

use serde::{Deserialize, Serialize};

use crate::data::Samples;
use crate::error::{Error, ErrorKind, Result};
use crate::ir::Model;
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
