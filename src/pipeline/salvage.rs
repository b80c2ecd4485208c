//! Keeps of a pass that broke its promise the edits that did not.

use crate::error::{Error, Result};
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Report};
use crate::pipeline::Outcome;
use crate::pipeline::witness::Witness;

/// Executions that looking for the edits to blame may take.
const MOST_TRIES: usize = 24;

/// What is left of a pass.
pub(super) struct Saved {
    /// With the edits that keep the promise.
    pub model: Model,
    /// These edits, and those that were left out, as refused.
    pub report: Report,
    /// Smallest signal-to-noise ratio of the outputs, in decibel.
    pub ratio: f64,
}

/// Runs `pass` on parts of `places`, halved until they keep the promise or hold one node. Nothing when no edit
/// can be kept, or the pass does not heed where it is asked to look.
///
/// # Errors
/// When the pass fails, or leaves an invalid model (a bug in onnxpress).
pub(super) fn salvage(
    pass: &dyn Pass,
    cx: &Context<'_>,
    witness: &mut Witness<'_>,
    before: &Model,
    places: &[NodeId],
    reason: &str,
) -> Result<Option<Saved>> {
    let on = |model: &Model, near: &[NodeId]| {
        let mut edited = model.clone();
        let cx = Context { near: Some(near), ..*cx };
        let report = pass.run(&mut edited, &cx)?;
        if report.changed() {
            let place = format_args!("after pass {}", pass.name());
            edited.verify().map_err(|violations| Error::from(violations).at(place))?;
        }
        Ok::<_, Error>((edited, report))
    };
    if places.len() < 2 || on(before, &[])?.1.changed() {
        return Ok(None);
    }
    let mut saved =
        Saved { model: before.clone(), report: Report::default(), ratio: f64::INFINITY };
    let (first, second) = places.split_at(places.len() / 2);
    let mut pending = vec![second, first];
    let mut tries = 0;
    while let Some(places) = pending.pop() {
        let (edited, report) = on(&saved.model, places)?;
        if !report.changed() {
            continue;
        }
        let kept = if tries < MOST_TRIES {
            tries += 1;
            match witness.judge(pass.promise(), &saved.model, &edited) {
                Outcome::Kept(ratio) => Some(ratio),
                _ => None,
            }
        } else {
            None
        };
        match (kept, places.len()) {
            (Some(ratio), _) => {
                saved.ratio = saved.ratio.min(ratio);
                saved.model = edited;
                saved.report.extend(report);
            }
            (None, 2..) if tries < MOST_TRIES => {
                let (first, second) = places.split_at(places.len() / 2);
                pending.extend([second, first]);
            }
            (None, _) => {
                for edit in report.done {
                    saved.report.refuse(edit.place, format!("taken back: {reason}"));
                }
            }
        }
    }
    if !saved.report.changed() {
        return Ok(None);
    }
    let lost = saved.report.refused.iter().filter(|note| note.text.starts_with("taken back"));
    let (lost, all) = (lost.count(), saved.report.done.len());
    saved.report.warnings.push(format!(
        "pass {}: {lost} of its {} edits were taken back: {reason}",
        pass.name(),
        lost + all
    ));
    Ok(Some(saved))
}
