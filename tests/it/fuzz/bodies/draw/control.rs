//! Branches, and parts that are quantized already.

use onnxpress::ir::{NewNode, TensorType};
use onnxpress::tensor::{DType, Tensor};

use super::builder::{Builder, Value};
use super::{layers, pointwise};

/// `If` whose branches read values of the graph around them.
pub fn branch(builder: &mut Builder<'_, '_>) -> Option<Value> {
    // Branches in branches show nothing new and cost time.
    if builder.graph != builder.model.main() {
        return None;
    }
    let x = builder.pick_float(0..=4)?;
    let condition = condition(builder, &x)?;
    let bodies = ["then", "else"].map(|name| body(builder, name, &x));
    let [Some(then), Some(otherwise)] = bodies else { return None };
    let node = NewNode::new("If", &[condition.id], "if");
    let node = node.attr("then_branch", then).attr("else_branch", otherwise);
    builder.node(node, &x, x.dims.clone())
}

/// A constant, or something that depends on the input.
fn condition(builder: &mut Builder<'_, '_>, x: &Value) -> Option<Value> {
    if builder.choices.chance(3) {
        let known = Tensor::new(DType::Bool, vec![], vec![1].into());
        return Some(builder.tensor(known.expect("one byte")));
    }
    let plain = Value { batched: false, ..x.clone() };
    let sum = NewNode::new("ReduceMax", &[x.id], "largest").attr("keepdims", 0i64);
    let sum = builder.node(sum, &plain, vec![])?;
    let bound = builder.constant(x.dtype, &[], 0.1, 0.2);
    let node = NewNode::new("Greater", &[sum.id, bound.id], "condition");
    builder.typed(node, &plain, DType::Bool, vec![])
}

/// A body that gives a value of the type and extents of `x`.
fn body(builder: &mut Builder<'_, '_>, name: &str, x: &Value) -> Option<onnxpress::ir::GraphId> {
    let graph = builder.model.add_graph(name, None);
    let around = std::mem::replace(&mut builder.graph, graph);
    let (values, constants) = (builder.values.len(), builder.shared());
    let mut result = builder.node(NewNode::new("Identity", &[x.id], "inner"), x, x.dims.clone());
    for _ in 0..builder.choices.below(3) {
        let made = match builder.choices.below(3) {
            0 => pointwise::unary(builder),
            1 => pointwise::with_constant(builder),
            _ => layers::conv(builder),
        };
        builder.values.extend(made);
    }
    let like =
        |value: &Value| (value.dtype, &value.dims, value.batched) == (x.dtype, &x.dims, x.batched);
    // The newest value that fits, if it was made here.
    if let Some(made) = builder.values[values..].iter().rev().find(|value| like(value)) {
        result = Some(made.clone());
    }
    builder.forget(values, constants);
    builder.graph = around;
    let declared = builder.choices.chance(2).then(|| TensorType::of(x.dtype));
    let declared = declared.or_else(|| Some(TensorType::of(x.dtype)));
    builder.model.add_output(graph, result?.id, declared);
    Some(graph)
}

/// QuantizeLinear and DequantizeLinear, as a model that is partly quantized has them.
pub fn requantize(builder: &mut Builder<'_, '_>) -> Option<Value> {
    if builder.opset < 10 {
        return None;
    }
    let x = builder.pick(|value| value.dtype == DType::Float)?;
    let (scale, zero) = layers::grid(builder);
    let inputs = [x.id, scale.id, zero.id];
    let node = NewNode::new("QuantizeLinear", &inputs, "quantized");
    let quantized = builder.typed(node, &x, zero.dtype, x.dims.clone())?;
    let node = NewNode::new("DequantizeLinear", &[quantized.id, scale.id, zero.id], "real");
    builder.typed(node, &quantized, DType::Float, x.dims.clone())
}
