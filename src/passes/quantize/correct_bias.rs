//! `correct-bias`: see `docs/passes/correct-bias.md`.

use crate::analysis::VectorMoments;
use crate::error::Result;
use crate::ir::Model;
use crate::math::Moments;
use crate::passes::stored::{ChangedLayer, StoredLayer, in_chunks};
use crate::passes::{Context, LayerNote, Pass, Promise, Report};

/// Takes the mean of what rounding weights adds to each output channel from the bias of the layer.
#[derive(Debug, Clone, Copy, Default)]
pub struct CorrectBias;

/// Of the squared shift of the outputs, what must be gone on held-out samples: less is chance.
const WORTH: f64 = 0.9;

impl Pass for CorrectBias {
    fn name(&self) -> &'static str {
        "correct-bias"
    }

    fn summary(&self) -> &'static str {
        "Takes the mean error of quantized weights from the bias of their layer."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn mends(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let (Some(reference), Some(measure)) = (cx.reference, cx.measure) else {
            return Ok(report);
        };
        // One at a time: the numbers of all would take several times what the model does.
        let layers = ChangedLayer::all(model, reference);
        in_chunks(&layers, (reference, measure), false, &mut report, |chunk, report| {
            for &(&ChangedLayer { node, .. }, ref moments) in chunk {
                match StoredLayer::of(model, reference, node, u32::MAX) {
                    Ok(Some(layer)) => correct(model, &layer, moments, report),
                    Ok(None) => {}
                    Err(reason) => report.refuse(model.label(node), reason),
                }
            }
        })?;
        Ok(report)
    }
}

fn correct(model: &mut Model, layer: &StoredLayer, moments: &VectorMoments, report: &mut Report) {
    let (bias, before) = match &layer.bias {
        Ok(found) => found,
        Err(reason) => return report.refuse(model.label(layer.node), reason),
    };
    let change = layer.change();
    let shift = |moments: &[Moments]| {
        layer.product(&change, &moments.iter().map(Moments::mean).collect::<Vec<_>>())
    };
    let (fitted, held_out) = (shift(&moments.fitting), shift(&moments.held_out));
    let corrected: Vec<f64> = before.iter().zip(&fitted).map(|(b, shift)| b - shift).collect();
    // What the bias that is there leaves, and what the new one would.
    let left = |values: &[f64]| -> f64 {
        let errors =
            values.iter().zip(before).zip(&held_out).map(|((b, was), shift)| b - was + shift);
        errors.map(|error| error * error).sum::<f64>() / values.len().max(1) as f64
    };
    let errors = (left(&bias.values), left(&corrected));
    let place = model.label(layer.node);
    if !bias.fits(&corrected) {
        return report.refuse(place, "the corrected bias does not fit its integers");
    }
    if errors.1 >= WORTH * errors.0 {
        return report
            .refuse(place, "stays as it is: its mean error is no smaller on held-out samples");
    }
    if bias.replace(model, &corrected, None) {
        let removed = 100.0 * (1.0 - errors.1 / errors.0);
        report.did(&place, format!("{removed:.0} % less mean error on held-out samples"));
        report.layers.push(LayerNote { place, method: "correct-bias", errors, signal: 0.0 });
    }
}
