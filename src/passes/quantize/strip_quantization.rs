//! `strip-quantization`: see `docs/passes/strip-quantization.md`.

use crate::analysis::{constant, dequantized, unpacked_matrix, unpacked_table};
use crate::error::Result;
use crate::ir::{At, Attribute, Model, NewNode, NodeId, ValueId};
use crate::passes::{Context, Pass, Promise, Report};
use crate::tensor::Tensor;

/// The operator set since which the bounds of Clip are inputs.
const CLIP_BOUNDS_ARE_INPUTS: i64 = 11;

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
            } else if let Some(matrix) = unpacked_matrix(model, node) {
                report.did(model.label(node), "became a product with floats");
                multiply_floats(model, node, matrix);
            } else if let Some(table) = unpacked_table(model, node) {
                report.did(model.label(node), "became a Gather of floats");
                gather_floats(model, node, table);
            } else if computes_with_integers(model, node) {
                report.refuse(model.label(node), "computes with integers and stays as it is");
            }
        }
        Ok(report)
    }
}

/// Where MatMulNBits has its bias.
const NBITS_BIAS: usize = 5;

/// Makes a MatMul of a MatMulNBits whose matrix is known, and an Add of its bias.
fn multiply_floats(model: &mut Model, node: NodeId, matrix: Tensor) {
    let entry = model.node(node);
    let (x, packed, bias) = (entry.input(0), entry.input(1), entry.input(NBITS_BIAS));
    let name = packed.map(|packed| model.value(packed).name().to_owned()).unwrap_or_default();
    let read = model.reads(node);
    let matrix = model.add_initializer(model.main(), &format!("{name}_unpacked"), matrix);
    let inputs = [x, Some(matrix)];
    match bias {
        None => model.turn_into(node, "", "MatMul", &inputs, Vec::new()),
        Some(bias) => {
            let graph = model.node(node).graph();
            let product = NewNode::new("MatMul", &[], "product");
            let product = NewNode { inputs: inputs.to_vec(), name: String::new(), ..product };
            let product = model.add_node(graph, At::Before(node), product);
            let product = model.node(product).only_output();
            model.turn_into(node, "", "Add", &[product, Some(bias)], Vec::new());
        }
    }
    sweep(model, &read);
}

/// Makes a Gather of a GatherBlockQuantized whose table is known.
fn gather_floats(model: &mut Model, node: NodeId, table: Tensor) {
    let entry = model.node(node);
    let axis = Attribute::new("axis", entry.attr_int("gather_axis").unwrap_or(0));
    let (packed, indices) = (entry.input(0), entry.input(1));
    let name = packed.map(|packed| model.value(packed).name().to_owned()).unwrap_or_default();
    let read = model.reads(node);
    let table = model.add_initializer(model.main(), &format!("{name}_unpacked"), table);
    model.turn_into(node, "", "Gather", &[Some(table), indices], vec![axis]);
    sweep(model, &read);
}

/// Takes constants away that nobody reads any more.
fn sweep(model: &mut Model, values: &[ValueId]) {
    for &value in values {
        if model.value(value).uses().is_empty() {
            model.remove_initializer(value);
        }
    }
}

/// Operators that were made by quantization, but are no pairs.
fn computes_with_integers(model: &Model, node: NodeId) -> bool {
    let node = model.node(node);
    let op = node.op();
    op.starts_with("QLinear")
        || [
            "DynamicQuantizeLSTM",
            "DynamicQuantizeMatMul",
            "GatherBlockQuantized",
            "MatMulNBits",
            "QGemm",
        ]
        .contains(&op)
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
    if let Some(largest) = cuts_off(model, quantize, floats) {
        let clipped = clip(model, dequantize, floats, largest);
        model.substitute(output, clipped);
        remove(model, quantize, dequantize, integers);
        return Ok("became a Clip: quantization had cut off what a Relu or Clip would");
    }
    if !model.substitute(output, floats) {
        return Err("its output must keep its name".into());
    }
    remove(model, quantize, dequantize, integers);
    Ok("removed with its QuantizeLinear")
}

fn remove(model: &mut Model, quantize: NodeId, dequantize: NodeId, integers: ValueId) {
    model.remove_node(dequantize);
    if model.value(integers).uses().is_empty() {
        model.remove_node(quantize);
    }
}

/// Operators behind which quantizers leave out a Relu or Clip, because the grid begins at 0.
const SIGNED: &[&str] =
    &["Add", "BatchNormalization", "Conv", "ConvTranspose", "Gemm", "MatMul", "Mul"];

/// The largest number of a grid that begins at 0 behind an operator whose results may be negative.
fn cuts_off(model: &Model, quantize: NodeId, floats: ValueId) -> Option<f32> {
    let producer = model.node(model.value(floats).producer()?);
    if !SIGNED.iter().any(|op| producer.is(op)) {
        return None;
    }
    let parameter = |slot: usize| {
        let tensor = constant(model, model.node(quantize).input(slot)?)?;
        (tensor.len() == 1).then_some(tensor)
    };
    let (scale, zero) = (parameter(1)?, parameter(2)?);
    let (low, high) = zero.dtype().integer_range()?;
    let zero = i128::from(*zero.to_i64().ok()?.first()?);
    let scale = *scale.to_f32().ok()?.first()?;
    (zero == low).then_some((high - zero) as f32 * scale)
}

/// `Clip(floats, 0, largest)` in front of a node.
fn clip(model: &mut Model, before: NodeId, floats: ValueId, largest: f32) -> ValueId {
    let graph = model.node(before).graph();
    let node = if model.opset_in_force() < CLIP_BOUNDS_ARE_INPUTS {
        let node = NewNode::new("Clip", &[floats], "clipped");
        node.attr("min", 0.0f32).attr("max", largest)
    } else {
        let mut bound = |x: f32| model.add_initializer(graph, "bound", Tensor::from_f32(&[], &[x]));
        let bounds = [floats, bound(0.0), bound(largest)];
        NewNode::new("Clip", &bounds, "clipped")
    };
    let node = model.add_node(graph, At::Before(before), node);
    model.node(node).only_output().unwrap_or(floats)
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
