//! What commands that write a model warn of.

use crate::ir::Model;
use crate::passes::fitting;
use crate::pipeline::{Outcome, Step};
use crate::report::{ComparisonReport, POOR_DB, Pair, bytes};

/// The passes that were taken back.
pub(super) fn taken_back(steps: &[Step]) -> impl Iterator<Item = String> {
    steps.iter().filter_map(|step| match &step.outcome {
        Some(Outcome::Broken(reason)) => {
            Some(format!("pass {} was taken back: {reason}", step.name))
        }
        _ => None,
    })
}

/// The patterns of an option that fit no node of the original, nor of the result: most likely a slip of the pen.
pub(super) fn unfitted(option: &str, patterns: &[String], models: [&Model; 2]) -> Vec<String> {
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
pub(super) fn grew(sizes: &Pair<u64>) -> Option<String> {
    (sizes.candidate > sizes.original).then(|| {
        let (from, to) = (bytes(sizes.original), bytes(sizes.candidate));
        format!("the file grew from {from} to {to}")
    })
}

/// Parts of outputs that are lost while the whole is well.
pub(super) fn lost_parts(drift: &ComparisonReport) -> impl Iterator<Item = String> {
    let outputs = drift.outputs.iter().filter(|output| !output.slices.is_empty());
    outputs.map(|output| {
        let parts: Vec<String> = output.slices.iter().take(LOST).map(ToString::to_string).collect();
        let more = match output.slices.len() - parts.len() {
            0 => String::new(),
            more => format!(", and {more} more"),
        };
        let (name, parts) = (&output.name, parts.join("; "));
        format!("parts of output `{name}` are lost, though the whole keeps more than {POOR_DB} dB: {parts}{more}")
    })
}

/// Parts that a warning names.
const LOST: usize = 3;
