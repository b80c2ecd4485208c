//! Labels that cannot be right are found before the work.

use crate::analysis::{Assume, Shapes};
use crate::data::Samples;
use crate::error::{Error, Result, err};
use crate::ir::Model;

/// Refuses labels that are no class of `model`, as far as its shapes tell how many classes there are; [`compare`]
/// checks them again. `output` names the output with the scores.
///
/// # Errors
/// When a label is none of the classes.
///
/// [`compare`]: super::compare()
pub fn check_labels(model: &Model, samples: &Samples, output: Option<&str>) -> Result<()> {
    let Some(labels) = samples.labels() else { return Ok(()) };
    let Some(classes) = classes(model, samples.batch(), output) else { return Ok(()) };
    let wrong = labels.iter().enumerate().find(|&(_, &label)| !is_class(label, classes));
    wrong.map_or(Ok(()), |(sample, &label)| Err(no_class(sample, label, classes)))
}

pub(super) fn is_class(label: i64, classes: usize) -> bool {
    usize::try_from(label).is_ok_and(|label| label < classes)
}

/// The error for a label that is none of the classes.
pub(super) fn no_class(sample: usize, label: i64, classes: usize) -> Error {
    err!(Data, "label {label} of sample {sample} is not one of {classes} classes")
        .help("name the right output with --scores, or the right array with --labels")
}

/// How many classes the scores are of, when that is the same in every run.
fn classes(model: &Model, batch: usize, output: Option<&str>) -> Option<usize> {
    let shapes = Shapes::infer(model, &Assume::one_sample());
    for found in model.graph(model.main()).outputs() {
        let value = found.value;
        if output.is_some_and(|name| name != model.value(value).name()) {
            continue;
        }
        if output.is_none() && !shapes.dtype(value)?.is_float() {
            continue;
        }
        let dims = shapes.fixed_dims(value)?;
        let elements: usize = dims.iter().product();
        let rows = if dims.first() == Some(&batch) { batch.max(1) } else { 1 };
        let classes = elements / rows;
        if output.is_some() || classes >= 2 {
            return Some(classes);
        }
    }
    None
}
