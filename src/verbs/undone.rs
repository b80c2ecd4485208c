//! What was asked for and not done, and why: the result is written, and the exit status tells.

use crate::analysis::{constant_floats, is_layer};
use crate::ir::{Model, Node};
use crate::passes::{FoldQuantize, Note, Pass, QuantizeDynamic, QuantizeStatic, QuantizeWeights};
use crate::pipeline::{Outcome, Step};

/// Reasons that are told.
const REASONS: usize = 6;
/// Places that are named for one reason.
const PLACES: usize = 3;

/// What to do when execution showed that a pass breaks the model.
const TAKEN_BACK: &str = "the model is as it was before that pass; `--engine ort` executes it elsewhere, \
                          `--keep` spares nodes";

/// That a model has nothing that could become smaller, which is no failure; `what` says what was not done.
pub(super) fn no_layers(model: &Model, what: &str) -> Option<String> {
    let nodes = model.all_nodes();
    // Calls of functions are not looked into.
    let calls = |op: &str, domain: &str| {
        model.functions().iter().any(|function| function.name == op && function.domain == domain)
    };
    let table = |node: &Node| {
        let read = node.input(0).filter(|_| node.is("Gather"));
        read.is_some_and(|read| constant_floats(model, read).is_some())
    };
    let mut nodes = nodes.into_iter().map(|id| model.node(id));
    let any = nodes.any(|node| is_layer(node) || calls(node.op(), node.domain()) || table(node));
    (!any).then(|| format!("{what}: the model has no layer that multiplies, and no table"))
}

/// That nothing was quantized, and why: one line for each reason.
pub(super) fn nothing_quantized(steps: &[Step]) -> Vec<String> {
    let own: Vec<&Step> = steps.iter().filter(|step| is_quantizing(step)).collect();
    // Weights of models that were trained with quantization become integers there.
    let folded = steps.iter().filter(|step| step.name == FoldQuantize.name());
    if own.iter().copied().chain(folded).any(|s| s.report.changed() && broken(s).is_none()) {
        return Vec::new();
    }
    let what = "nothing was quantized";
    if own.is_empty() {
        return vec![format!("{what}: the pass was left out")];
    }
    let taken_back = taken_back(what, &own);
    if !taken_back.is_empty() {
        return taken_back;
    }
    // What was declined for the model as a whole may be why there are no constants.
    let others = steps.iter().filter(|step| !is_quantizing(step));
    let model = others.flat_map(|step| &step.report.refused).filter(|note| note.place == "model");
    let refused = own.iter().flat_map(|step| &step.report.refused).chain(model);
    match by_reason(refused) {
        reasons if reasons.is_empty() => {
            vec![format!("{what}: the model has no layer with constant weights in float")]
        }
        reasons => reasons.into_iter().map(|reason| format!("{what}: {reason}")).collect(),
    }
}

/// That nothing was cut, or no weight became zero, and why.
pub(super) fn nothing_pruned(steps: &[Step], what: &str) -> Vec<String> {
    let own: Vec<&Step> = steps.iter().filter(|step| step.name.starts_with("prune-")).collect();
    let taken_back = taken_back(what, &own);
    if !taken_back.is_empty() {
        return taken_back;
    }
    if own.is_empty() {
        return vec![format!("{what}: the pass was left out")];
    }
    let reasons = by_reason(own.iter().flat_map(|step| &step.report.refused));
    reasons.into_iter().map(|reason| format!("{what}: {reason}")).collect()
}

/// That no layer was split, and why.
pub(super) fn nothing_split(steps: &[Step]) -> Vec<String> {
    let what = "no layer was split";
    let own: Vec<&Step> = steps.iter().filter(|step| step.name == "factorize").collect();
    if own.is_empty() {
        return vec![format!("{what}: the pass was left out")];
    }
    let taken_back = taken_back(what, &own);
    if !taken_back.is_empty() {
        return taken_back;
    }
    match by_reason(own.iter().flat_map(|step| &step.report.refused)) {
        reasons if reasons.is_empty() => {
            vec![format!("{what}: the model has no layer that can be")]
        }
        reasons => reasons.into_iter().map(|reason| format!("{what}: {reason}")).collect(),
    }
}

/// That nothing was simplified although something could be: all that was done was taken back.
pub(super) fn nothing_simplified(steps: &[Step]) -> Vec<String> {
    let kept = |step: &Step| step.report.changed() && broken(step).is_none();
    match steps.iter().any(kept) {
        true => Vec::new(),
        false => taken_back("nothing was simplified", &steps.iter().collect::<Vec<_>>()),
    }
}

/// The passes among `steps` that were taken back, each with the reason.
fn taken_back(what: &str, steps: &[&Step]) -> Vec<String> {
    let broken = steps.iter().filter_map(|step| Some((step.name, broken(step)?)));
    broken
        .map(|(name, reason)| format!("{what}: pass {name} was taken back: {reason}; {TAKEN_BACK}"))
        .collect()
}

fn broken(step: &Step) -> Option<&str> {
    match &step.outcome {
        Some(Outcome::Broken(reason)) => Some(reason),
        _ => None,
    }
}

/// A pass that makes integers, or other small numbers, of weights.
fn is_quantizing(step: &Step) -> bool {
    let names = [
        QuantizeStatic::default().name(),
        QuantizeWeights::default().name(),
        QuantizeDynamic::default().name(),
    ];
    names.contains(&step.name)
}

/// Notes summarized by what they say: the most frequent reason first.
pub(super) fn by_reason<'a>(notes: impl Iterator<Item = &'a Note>) -> Vec<String> {
    let mut reasons: Vec<(String, Vec<&Note>)> = Vec::new();
    for note in notes {
        let kind = without_names(&note.text);
        match reasons.iter_mut().find(|(known, _)| *known == kind) {
            Some((_, notes)) if notes.iter().any(|known| known.place == note.place) => {}
            Some((_, notes)) => notes.push(note),
            None => reasons.push((kind, vec![note])),
        }
    }
    reasons.sort_by_key(|(_, notes)| std::cmp::Reverse(notes.len()));
    let more = reasons.len().saturating_sub(REASONS);
    let mut lines: Vec<String> = reasons.iter().take(REASONS).map(in_words).collect();
    if more > 0 {
        lines.push(format!("{more} more reasons; -v tells all"));
    }
    lines
}

/// A reason, and where it holds.
fn in_words((kind, notes): &(String, Vec<&Note>)) -> String {
    if let [note] = notes[..] {
        return format!("{}: {}", note.place, note.text);
    }
    let same = notes.iter().all(|note| note.text == notes[0].text);
    let text = if same { &notes[0].text } else { kind };
    let names: Vec<&str> = notes.iter().take(PLACES).map(|note| name(&note.place)).collect();
    let more = if notes.len() > PLACES { ", …" } else { "" };
    let nodes = notes.iter().all(|note| note.place.starts_with("node "));
    let what = if nodes { "layers" } else { "places" };
    format!("{} {what}: {text} ({}{more})", notes.len(), names.join(", "))
}

/// A reason in which names are left out.
fn without_names(text: &str) -> String {
    let parts = text.split('`').enumerate();
    parts.map(|(i, part)| if i % 2 == 1 { "…" } else { part }).collect()
}

/// The name in a place: ``node `conv1` (Conv)``.
fn name(place: &str) -> &str {
    place.split('`').nth(1).unwrap_or(place)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reasons_are_told_once_the_most_frequent_first() {
        let note = |place: &str, text: &str| Note { place: place.into(), text: text.into() };
        let notes = [
            note("node `a` (Conv)", "its weights are shared"),
            note("node `b` (Conv)", "too small"),
            note("node `c` (Conv)", "its weights are shared"),
            note("node `d` (Conv)", "its weights are shared"),
            note("node `e` (Gemm)", "its weights are shared"),
            note("node `e` (Gemm)", "its weights are shared"),
            note("node `f` (Gemm)", "weight `v` is float16"),
            note("node `g` (Gemm)", "weight `w` is float16"),
        ];
        assert_eq!(
            by_reason(notes.iter()),
            [
                "4 layers: its weights are shared (a, c, d, …)",
                "2 layers: weight … is float16 (f, g)",
                "node `b` (Conv): too small"
            ]
        );
    }
}
