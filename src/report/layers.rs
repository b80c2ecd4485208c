//! What quantization did to each layer.

use std::fmt;

use serde::Serialize;

use crate::compress::{FallBack, FallBackLayers, QuantizedLayer};
use crate::pipeline::Step;
use crate::report::ChoiceReport;
use crate::report::calibration::span;
use crate::report::text::{decibel, finite_decibel, percent};

/// One layer.
#[derive(Debug, Clone, Serialize)]
pub struct QuantizedLayerReport {
    /// Node name, or that of its first output.
    pub name: String,
    /// Operator.
    pub op: String,
    /// The range of its input; `null` when it computes with floats.
    pub input: Option<ChoiceReport>,
    /// Signal-to-noise ratio of the outputs of the model when only this layer is quantized, in
    /// decibel; `null` when that was not tried. 300 stands for no error.
    pub alone_db: Option<f64>,
    /// Signal-to-noise ratio of the output of the layer, with what all layers before it bring;
    /// `null` when it was not seen.
    pub accumulated_db: Option<f64>,
    /// What was done for its accuracy.
    pub methods: Vec<String>,
}

impl QuantizedLayerReport {
    /// The report of a layer; `choices` are the ranges of all activations.
    pub fn new(
        layer: &QuantizedLayer,
        accumulated_db: Option<f64>,
        fall_back: &FallBack,
        choices: &[ChoiceReport],
        steps: &[Step],
    ) -> Self {
        let choice = |input: &String| choices.iter().find(|choice| choice.value == *input);
        let ranked = fall_back.ranking.iter().find(|ranked| ranked.layer == layer.name);
        let FallBackLayers { stored, wide, .. } = &fall_back.layers;
        let kinds = [(stored, "computes with floats"), (wide, "16-bit activations")];
        let kinds = kinds.into_iter().filter(|(names, _)| names.contains(&layer.name));
        let methods = kinds.map(|(_, what)| what);
        let equalized = steps.iter().filter(|step| step.name == "equalize-channels");
        let mut equalized = equalized.flat_map(|step| &step.report.done);
        let equalized = equalized.any(|note| note.place == layer.place);
        let notes = steps.iter().flat_map(|step| &step.report.layers);
        let notes = notes.filter(|note| note.place == layer.place).map(|note| note.method);
        let methods = methods.chain(equalized.then_some("equalize-channels")).chain(notes);
        Self {
            name: layer.name.clone(),
            op: layer.op.clone(),
            input: layer.inputs.iter().find_map(choice).cloned(),
            alone_db: ranked.map(|ranked| finite_decibel(ranked.sqnr_db)),
            accumulated_db: accumulated_db.map(finite_decibel),
            methods: methods.map(str::to_owned).collect(),
        }
    }
}

/// The rows of a table, with a heading.
pub(super) fn write(f: &mut fmt::Formatter<'_>, layers: &[QuantizedLayerReport]) -> fmt::Result {
    let columns = ["range of the input", "calibrator", "clipped", "alone", "here"];
    let [range, by, clipped, alone, here] = columns;
    writeln!(f, "layers\n    {range:<24}{by:<14}{clipped:>9}{alone:>10}{here:>10}")?;
    let ratio = |db: Option<f64>| db.map_or("-".to_owned(), decibel);
    for layer in layers {
        let input = layer.input.as_ref();
        let range = input.map_or("-".to_owned(), |input| span(input.from, input.to));
        let by = input.map_or("-", |input| input.calibrator);
        let clipped = input.and_then(|input| input.clipped_share).map_or("-".to_owned(), percent);
        let (alone, here) = (ratio(layer.alone_db), ratio(layer.accumulated_db));
        write!(f, "  {} `{}`", layer.op, layer.name)?;
        match layer.methods.is_empty() {
            true => writeln!(f)?,
            false => writeln!(f, ": {}", layer.methods.join(", "))?,
        }
        writeln!(f, "    {range:<24}{by:<14}{clipped:>9}{alone:>10}{here:>10}")?;
    }
    Ok(())
}
