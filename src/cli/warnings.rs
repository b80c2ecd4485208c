//! What commands that write a model warn of.

use std::path::Path;

use onnxpress::ir::Model;
use onnxpress::passes::{FoldQuantize, Pass, QuantizeStatic, QuantizeWeights, fitting};
use onnxpress::pipeline::{Outcome, Step};
use onnxpress::report::{Pair, bytes};
use onnxpress::{Error, ErrorKind, Result};

/// The passes that were taken back.
pub fn taken_back(steps: &[Step]) -> impl Iterator<Item = String> {
    steps.iter().filter_map(|step| match &step.outcome {
        Some(Outcome::Broken(reason)) => {
            Some(format!("pass {} was taken back: {reason}", step.name))
        }
        _ => None,
    })
}

/// The patterns of an option that fit no node of the original, nor of the result: most likely a slip of the pen.
pub fn unfitted(option: &str, patterns: &[String], models: [&Model; 2]) -> Vec<String> {
    let fits = |pattern: &String| {
        models.iter().any(|model| {
            let mut nodes = model.all_nodes().into_iter();
            nodes.any(|node| fitting(model, node, std::slice::from_ref(pattern)).is_some())
        })
    };
    let unfitted = patterns.iter().filter(|pattern| !fits(pattern));
    unfitted
        .map(|pattern| {
            format!("`{option} {pattern}` fits no node; `onnxpress inspect --layers` names them")
        })
        .collect()
}

/// That the file became larger.
pub fn grew(sizes: &Pair<u64>) -> Option<String> {
    (sizes.candidate > sizes.original).then(|| {
        let (from, to) = (bytes(sizes.original), bytes(sizes.candidate));
        format!("the file grew from {from} to {to}")
    })
}

/// That nothing was quantized, and why.
pub fn nothing_quantized(steps: &[Step]) -> Option<String> {
    let quantized = steps.iter().any(|step| {
        (is_quantizing(step) || step.name == FoldQuantize.name())
            && step.report.changed()
            && !matches!(step.outcome, Some(Outcome::Broken(_)))
    });
    if quantized {
        return None;
    }
    let refusals = steps.iter().filter(|step| is_quantizing(step));
    let reason = refusals.flat_map(|s| &s.report.refused).next();
    let tried = steps.iter().any(is_quantizing);
    Some(match reason {
        Some(note) => format!("nothing was quantized: {}: {}", note.place, note.text),
        None if tried => "nothing was quantized: the model has no layers in float".to_owned(),
        None => "nothing was quantized: the pass was left out".to_owned(),
    })
}

/// The pass that makes integers.
fn is_quantizing(step: &Step) -> bool {
    step.name == QuantizeStatic::default().name() || step.name == QuantizeWeights::default().name()
}

/// Reasons that an error names.
const REASONS: usize = 3;

/// Whoever asks for nothing but smaller weights is not served by a copy.
pub fn did_anything(steps: &[Step], model: &Path) -> Result<()> {
    let own: Vec<&Step> = steps.iter().filter(|step| is_quantizing(step)).collect();
    let folded = steps.iter().filter(|step| step.name == FoldQuantize.name());
    if own.is_empty() || own.iter().copied().chain(folded).any(|s| !s.report.done.is_empty()) {
        return Ok(());
    }
    // What was declined for the model as a whole may be why there are no constants.
    let others = steps.iter().filter(|step| !is_quantizing(step));
    let before = others.flat_map(|step| &step.report.refused);
    let before = before.filter(|note| note.place == "model");
    let own = own.iter().flat_map(|step| &step.report.refused);
    let reasons = own.chain(before).take(REASONS);
    let reasons: Vec<String> =
        reasons.map(|note| format!("{}: {}", note.place, note.text)).collect();
    let reasons = match &reasons[..] {
        [] => "it has no layer with constant weights".to_owned(),
        reasons => reasons.join("; "),
    };
    let text = format!("no weight becomes smaller, so nothing is written: {reasons}");
    Err(Error::new(ErrorKind::Unsupported, text).in_file(model))
}
