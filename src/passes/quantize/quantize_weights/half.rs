//! Weights as floats of 16 bits.

use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::passes::rewrite::pattern::fitting;
use crate::passes::{QuantizeStatic, Report};
use crate::tensor::{DType, Tensor};

/// Fewest elements of a constant that is stored in half of its bytes: a node takes about as many as 30
/// elements save.
const SMALLEST: usize = 64;

/// Stores constants as `dtype` behind a Cast, whatever reads them.
pub(super) fn apply(
    model: &mut Model,
    dtype: DType,
    options: &QuantizeStatic,
    report: &mut Report,
) {
    let large = model.values().filter(|(_, value)| {
        let tensor = value.initializer();
        tensor.is_some_and(|t| t.dtype() == DType::Float && t.len() >= SMALLEST)
    });
    let large: Vec<ValueId> = large.map(|(id, _)| id).collect();
    for value in large {
        let place = format!("weight `{}`", model.value(value).name());
        match halved(model, value, dtype, options) {
            Ok(Some((tensor, readers))) => {
                store(model, value, tensor, &readers);
                report.did(place, format!("{dtype}; computes with floats"));
            }
            Ok(None) => {}
            Err(reason) => report.refuse(place, reason),
        }
    }
}

/// Nodes and slots.
type Readers = Vec<(NodeId, usize)>;

/// The numbers in their new type, and who reads them; nothing where they are parameters of quantization.
fn halved(
    model: &Model,
    value: ValueId,
    dtype: DType,
    options: &QuantizeStatic,
) -> Result<Option<(Tensor, Readers)>, String> {
    let entry = model.value(value);
    let readers: Readers = entry.consumers().collect();
    let is = |op: &str| readers.iter().any(|&(node, _)| model.node(node).is(op));
    if readers.is_empty() || is("QuantizeLinear") || is("DequantizeLinear") {
        return Ok(None);
    }
    if !readers.iter().all(|&(node, _)| options.looks_at(model, node)) {
        return Ok(None);
    }
    if readers.len() != entry.uses().len() {
        return Err("stays in float: it is an output, or named in carried data".into());
    }
    if let Some(pattern) = readers.iter().find_map(|&(node, _)| fitting(model, node, &options.keep))
    {
        return Err(format!("kept in float by `{pattern}`"));
    }
    let odd = |error: crate::Error| error.to_string();
    let Some(tensor) = entry.initializer() else { return Ok(None) };
    let floats = tensor.to_f32().map_err(odd)?;
    let halves = Tensor::from_f32_as(dtype, tensor.dims(), &floats).map_err(odd)?;
    let stored = halves.to_f32().map_err(odd)?;
    let beyond = floats.iter().zip(&stored).find(|(x, y)| x.is_finite() && !y.is_finite());
    match beyond {
        Some((x, _)) => Err(format!("stays in float: it holds {x}, which is beyond {dtype}")),
        None => Ok(Some((halves, readers))),
    }
}

fn store(model: &mut Model, value: ValueId, tensor: Tensor, readers: &[(NodeId, usize)]) {
    let graph = model.value(value).graph();
    let name = format!("{}_cast", model.value(value).name());
    for &(node, slot) in readers {
        model.set_input(node, slot, None);
    }
    model.set_tensor(value, tensor);
    let cast = NewNode { name: String::new(), ..NewNode::new("Cast", &[value], &name) };
    let cast = cast.attr("to", i64::from(DType::Float.to_onnx()));
    let cast = model.add_node(graph, At::Start, cast);
    let floats = model.node(cast).only_output();
    for &(node, slot) in readers {
        model.set_input(node, slot, floats);
    }
}
