//! Edits the model as found.

use std::collections::HashMap;

use crate::ir::{At, Attribute, Model, NewNode, ValueId};
use crate::passes::quantize::quantize_dynamic::layer::{Layer, Reordered, Weight};
use crate::passes::rewrite::shared_constants::SharedConstants;
use crate::tensor::{DType, Tensor};

/// What was made so far: what layers share is made once.
#[derive(Default)]
pub(super) struct Insert {
    /// Activations that have a DynamicQuantizeLinear.
    dynamic: HashMap<ValueId, Dynamic>,
    /// Integers by the stored ones that were in another order, or for the other side of a product.
    reordered: HashMap<(ValueId, bool), ValueId>,
    /// Scales and zero points.
    constants: SharedConstants,
}

/// The outputs of a DynamicQuantizeLinear.
#[derive(Clone, Copy)]
struct Dynamic {
    integers: ValueId,
    scale: ValueId,
    zero_point: ValueId,
}

impl Insert {
    /// Puts the product of integers in the place of a layer. The last node has its name and its output.
    pub fn layer(&mut self, model: &mut Model, layer: Layer) {
        let Some(output) = model.node(layer.node).output(0) else { return };
        let (at, graph) = (At::Before(layer.node), model.node(layer.node).graph());
        let name = model.value(output).name().to_owned();
        let Some(Dynamic { mut integers, scale, zero_point }) =
            self.dynamic(model, layer.activation, layer.dtype)
        else {
            return;
        };
        let step = |model: &mut Model, node: NewNode| {
            let node = model.add_node(graph, at, NewNode { name: String::new(), ..node });
            model.node(node).only_output().unwrap_or(output)
        };
        if layer.transposed {
            let node = NewNode::new("Transpose", &[integers], &format!("{name}_transposed"));
            integers = step(model, node.attr("perm", vec![1i64, 0]));
        }
        let weight = self.weight(model, &layer.weight);
        let (x, zero) = (Some(integers), Some(zero_point));
        let inputs = match layer.weight.left {
            true => vec![Some(weight.0), x, weight.1, zero],
            false => vec![x, Some(weight.0), zero, weight.1],
        };
        let attributes = layer.attributes;
        let product = NewNode::new(layer.op, &[], &format!("{name}_integers"));
        let given = inputs.len() - usize::from(inputs.last() == Some(&None));
        let inputs = inputs[..given].to_vec();
        let product = step(model, NewNode { inputs, attributes, ..product });
        let cast = NewNode::new("Cast", &[product], &format!("{name}_cast"));
        let cast = step(model, cast.attr("to", i64::from(DType::Float.to_onnx())));
        let of_weight = self.constant(model, "scale", layer.scale);
        let scales = [scale, of_weight];
        let scales = step(model, NewNode::new("Mul", &scales, &format!("{name}_scale")));
        let summand = layer.summand.map(|summand| summand.value(model, layer.node));
        if layer.dtype != DType::Float {
            let floats = NewNode::new("Mul", &[cast, scales], &format!("{name}_product"));
            let floats = step(model, floats);
            let to = i64::from(layer.dtype.to_onnx());
            let Some(summand) = summand else {
                let to = vec![Attribute::new("to", to)];
                return model.turn_into(layer.node, "", "Cast", &[Some(floats)], to);
            };
            let cast = NewNode::new("Cast", &[floats], &format!("{name}_floats")).attr("to", to);
            let inputs = [Some(step(model, cast)), Some(summand)];
            return model.turn_into(layer.node, "", "Add", &inputs, Vec::new());
        }
        match summand {
            None => model.turn_into(layer.node, "", "Mul", &[Some(cast), Some(scales)], Vec::new()),
            Some(summand) => {
                let floats = NewNode::new("Mul", &[cast, scales], &format!("{name}_product"));
                let inputs = [Some(step(model, floats)), Some(summand)];
                model.turn_into(layer.node, "", "Add", &inputs, Vec::new());
            }
        }
    }

    /// The integers of a value; where the value is made, so that they are made once.
    fn dynamic(&mut self, model: &mut Model, value: ValueId, dtype: DType) -> Option<Dynamic> {
        if let Some(&known) = self.dynamic.get(&value) {
            return Some(known);
        }
        let entry = model.value(value);
        let (graph, name) = (entry.graph(), entry.name().to_owned());
        let mut at = entry.producer().map_or(At::Start, At::After);
        let role = |role: &str| format!("{name}_{role}");
        let mut floats = value;
        if dtype != DType::Float {
            // DynamicQuantizeLinear reads `float`.
            let cast = NewNode::new("Cast", &[value], &role("float"));
            let cast = cast.attr("to", i64::from(DType::Float.to_onnx()));
            let cast = model.add_node(graph, at, NewNode { name: String::new(), ..cast });
            (floats, at) = (model.node(cast).only_output()?, At::After(cast));
        }
        let node = NewNode {
            op: "DynamicQuantizeLinear".to_owned(),
            inputs: vec![Some(floats)],
            outputs: vec![role("quantized"), role("scale"), role("zero_point")],
            ..NewNode::default()
        };
        let node = model.add_node(graph, at, node);
        let output = |slot: usize| model.node(node).output(slot);
        let made = Dynamic { integers: output(0)?, scale: output(1)?, zero_point: output(2)? };
        self.dynamic.insert(value, made);
        Some(made)
    }

    /// The integers of a weight, and their zero point.
    fn weight(&mut self, model: &mut Model, weight: &Weight) -> (ValueId, Option<ValueId>) {
        let zero = weight.zero_point.clone();
        let zero = zero.map(|zero| self.constant(model, "zero_point", zero));
        let Some(reordered) = &weight.reordered else { return (weight.integers, zero) };
        let key = (weight.integers, weight.left);
        let integers = *self.reordered.entry(key).or_insert_with(|| {
            let role = if weight.left { "raised" } else { "transposed" };
            let name = format!("{}_{role}", model.value(weight.integers).name());
            match reordered {
                Reordered::Stored(tensor) => {
                    model.add_initializer(model.main(), &name, tensor.clone())
                }
                Reordered::Computed => {
                    let node = NewNode::new("Transpose", &[weight.integers], &name);
                    let node = NewNode { name: String::new(), ..node };
                    let node = node.attr("perm", vec![1i64, 0]);
                    let node = model.add_node(model.main(), At::Start, node);
                    model.node(node).only_output().unwrap_or(weight.integers)
                }
            }
        });
        (integers, zero)
    }

    /// An initializer named after its role; equal ones are stored once.
    fn constant(&mut self, model: &mut Model, role: &str, tensor: Tensor) -> ValueId {
        self.constants.value(model, role, tensor)
    }
}
