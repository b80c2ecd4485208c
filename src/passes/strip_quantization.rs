//! `strip-quantization`: see `docs/passes/strip-quantization.md`.

use crate::analysis::{constant, dequantized};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::{Context, Pass, Promise, Report};

/// Makes a float model of a QDQ model: pairs of QuantizeLinear and DequantizeLinear go, weights that
/// are stored as integers become floats.
#[derive(Debug, Clone, Copy, Default)]
pub struct StripQuantization;

impl Pass for StripQuantization {
    fn name(&self) -> &'static str {
        "strip-quantization"
    }

    fn summary(&self) -> &'static str {
        "Removes QuantizeLinear/DequantizeLinear pairs and turns stored integers back into floats."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, _cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        for node in model.all_nodes() {
            if !model.is_live(node) {
                continue;
            }
            if model.node(node).is("DequantizeLinear") {
                let place = model.label(node);
                match strip(model, node) {
                    Ok(text) => report.did(place, text),
                    Err(reason) => report.refuse(place, reason),
                }
            } else if computes_with_integers(model, node) {
                report.refuse(model.label(node), "computes with integers and stays as it is");
            }
        }
        Ok(report)
    }
}

/// Operators that were made by quantization, but are no pairs.
fn computes_with_integers(model: &Model, node: NodeId) -> bool {
    let node = model.node(node);
    let op = node.op();
    op.starts_with("QLinear")
        || op == "QGemm"
        || ["ConvInteger", "MatMulInteger", "DynamicQuantizeLinear"].iter().any(|op| node.is(op))
}

/// Replaces what a DequantizeLinear gives by the floats it stands for.
fn strip(model: &mut Model, dequantize: NodeId) -> Result<&'static str, String> {
    if model.is_kept(dequantize) {
        return Err("the file's own data mentions it".into());
    }
    if let Some(floats) = dequantized(model, dequantize) {
        model.fold_node(dequantize, vec![Some(floats)]);
        return Ok("stored integers became floats");
    }
    let (Some(output), Some(integers)) =
        (model.node(dequantize).only_output(), model.node(dequantize).input(0))
    else {
        return Err("has no input or no output".into());
    };
    let quantize =
        model.value(integers).producer().filter(|&node| model.node(node).is("QuantizeLinear"));
    let Some(quantize) = quantize else {
        return Err("its integers do not come out of a QuantizeLinear".into());
    };
    if !same_grid(model, quantize, dequantize) {
        return Err("its scale or zero point is not that of the QuantizeLinear".into());
    }
    let Some(floats) = model.node(quantize).input(0) else {
        return Err("has no input or no output".into());
    };
    if !model.substitute(output, floats) {
        return Err("its output must keep its name".into());
    }
    model.remove_node(dequantize);
    if model.value(integers).uses().is_empty() {
        model.remove_node(quantize);
    }
    Ok("removed with its QuantizeLinear")
}

/// Both have equal scales and zero points on the same axis.
fn same_grid(model: &Model, quantize: NodeId, dequantize: NodeId) -> bool {
    let (a, b) = (model.node(quantize), model.node(dequantize));
    let same = |slot: usize| match (a.input(slot), b.input(slot)) {
        (Some(x), Some(y)) => {
            x == y || constant(model, x).is_some() && constant(model, x) == constant(model, y)
        }
        (x, y) => x.is_none() && y.is_none(),
    };
    same(1) && same(2) && a.attr_int("axis").unwrap_or(1) == b.attr_int("axis").unwrap_or(1)
}
