//! `quantize-dynamic`: see `docs/passes/quantize-dynamic.md`.
//!
//! `layer` finds what a layer of stored integers becomes, `insert` edits; `recurrent` does both for LSTM.

mod insert;
mod layer;
mod recurrent;

use crate::analysis::{constant, turned};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::rewrite::pattern::fitting;
use crate::passes::stored::Unpacking;
use crate::passes::{Context, Pass, Promise, QuantizeStatic, Report};

use insert::Insert;
use layer::Layer;
use recurrent::{EXECUTED_IN_FLOAT, Lstm};

/// Lets layers whose weights are stored as integers compute with integers, on a range that each run takes
/// from what the layer reads.
#[derive(Debug, Clone, Default)]
pub struct QuantizeDynamic(QuantizeStatic);

impl QuantizeDynamic {
    /// As `options` say, of which the target and the nodes that stay in float matter.
    pub fn new(options: QuantizeStatic) -> Self {
        Self(options)
    }
}

/// Operators that may have stored weights.
const LAYERS: &[&str] = &["Conv", "ConvTranspose", "GRU", "Gemm", "LSTM", "MatMul", "RNN"];
/// The first operator set that has DynamicQuantizeLinear.
const FIRST_OPSET: i64 = 11;

impl Pass for QuantizeDynamic {
    fn name(&self) -> &'static str {
        "quantize-dynamic"
    }

    fn summary(&self) -> &'static str {
        "Lets layers with stored integers compute with integers, on ranges taken in each run."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let opset = model.opset_in_force();
        let mut insert = Insert::default();
        for id in model.all_nodes() {
            if !LAYERS.iter().any(|op| model.node(id).is(op)) || !is_new(model, id, cx) {
                continue;
            }
            let place = model.label(id);
            if opset < FIRST_OPSET {
                let text = format!("opset {opset} has no DynamicQuantizeLinear");
                report.refuse(place, text);
                continue;
            }
            match self.find(model, id) {
                Ok(Found::Layer(layer)) => {
                    report.did(place, layer.text());
                    insert.layer(model, layer);
                }
                Ok(Found::Lstm(lstm)) => {
                    report.did(place, lstm.text());
                    lstm.apply(model);
                    if report.warnings.is_empty() {
                        report.warnings.push(EXECUTED_IN_FLOAT.to_owned());
                    }
                }
                Err(reason) => report.refuse(place, format!("computes with floats: {reason}")),
            }
        }
        Ok(report)
    }
}

impl QuantizeDynamic {
    /// What becomes of a layer with stored weights.
    fn find(&self, model: &Model, id: NodeId) -> Result<Found, String> {
        let op = model.node(id).op();
        if model.is_kept(id) {
            return Err("the file's own data mentions it".into());
        }
        if let Some(pattern) = fitting(model, id, &self.0.stored) {
            return Err(format!("so `{pattern}` wants it"));
        }
        self.0.target.computes_dynamically(op)?;
        match op {
            "LSTM" => Lstm::find(model, id).map(Found::Lstm),
            _ => Layer::find(model, id).map(Found::Layer),
        }
    }
}

/// What a layer with stored weights becomes.
enum Found {
    Layer(Layer),
    Lstm(Lstm),
}

/// Whether a layer has weights that became stored integers, and reads nothing that has a grid already.
fn is_new(model: &Model, layer: NodeId, cx: &Context<'_>) -> bool {
    let stood = |node| cx.reference.is_some_and(|before| before.is_live(node));
    let mut stored = false;
    for &value in model.node(layer).inputs().iter().flatten() {
        let value = turned(model, value).map_or(value, |(_, before)| before);
        let Some(maker) = model.value(value).producer() else { continue };
        let unpacking = Unpacking::of(model, value);
        if unpacking.is_some_and(|unpacking| constant(model, unpacking.integers).is_some()) {
            stored = true;
            if stood(maker) {
                return false;
            }
        } else if model.node(maker).is("DequantizeLinear") {
            return false;
        }
    }
    stored
}
