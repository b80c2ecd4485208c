//! Edits the model as planned.

use std::collections::HashMap;

use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::Report;
use crate::passes::quantize_static::plan::{Plan, PlannedNode, Weight};
use crate::passes::quantize_static::weights;
use crate::tensor::Tensor;

pub(super) fn apply(model: &mut Model, plan: &Plan, report: &mut Report) {
    let grids: HashMap<ValueId, Grid> = plan.activations.iter().copied().collect();
    let mut insert = Insert { model, constants: HashMap::new() };
    let mut users: HashMap<Key, Vec<&PlannedNode>> = HashMap::new();
    for planned in &plan.nodes {
        if let Some(weight) = &planned.weight {
            users.entry(key(weight)).or_default().push(planned);
        }
    }
    let mut done: HashMap<Key, (ValueId, Vec<f32>)> = HashMap::new();
    for planned in &plan.nodes {
        let Some(weight) = &planned.weight else { continue };
        let (dequantized, scales) = done
            .entry(key(weight))
            .or_insert_with(|| insert.weight(planned, weight, &users[&key(weight)], &grids))
            .clone();
        insert.model.set_input(planned.node, weight.slot, Some(dequantized));
        insert.bias(planned, &scales, &grids);
    }
    for (value, grid) in &plan.activations {
        insert.activation(*value, *grid);
    }
    for planned in &plan.nodes {
        let what = match &planned.weight {
            Some(Weight { axis: Some(_), .. }) => "int8 weight for each channel, uint8 activations",
            Some(_) => "int8 weight, uint8 activations",
            None => "uint8 activations",
        };
        report.did(insert.model.label(planned.node), what);
    }
}

/// One weight on one axis is stored once, whoever uses it.
type Key = (ValueId, Option<usize>);

fn key(weight: &Weight) -> Key {
    (weight.value, weight.axis)
}

struct Insert<'a> {
    model: &'a mut Model,
    /// Scales and zero points already stored.
    constants: HashMap<(Vec<usize>, Vec<u8>, u8), ValueId>,
}

impl Insert<'_> {
    /// The weight as integers behind a DequantizeLinear; returns its output and the scales.
    fn weight(
        &mut self,
        planned: &PlannedNode,
        weight: &Weight,
        users: &[&PlannedNode],
        grids: &HashMap<ValueId, Grid>,
    ) -> (ValueId, Vec<f32>) {
        let biases: Vec<(Vec<f32>, f32)> = users
            .iter()
            .filter_map(|user| {
                let bias = user.bias.as_ref()?.tensor.to_f32().ok()?;
                Some((bias, input_scale(user, grids)?))
            })
            .collect();
        let borrowed: Vec<(&[f32], f32)> = biases.iter().map(|(b, s)| (&b[..], *s)).collect();
        let scales = weights::scales(&weight.tensor, weight.axis, &borrowed);
        let integers = weights::integers(&weight.tensor, weight.axis, &scales);
        let name = self.model.value(weight.value).name().to_owned();
        let zeros = vec![0i8; scales.len()];
        let dims: Vec<usize> = weight.axis.map(|_| scales.len()).into_iter().collect();
        let scale = self.constant(&format!("{name}_scale"), Tensor::from_f32(&dims, &scales));
        let zero = self.constant(&format!("{name}_zero_point"), Tensor::from_i8(&dims, &zeros));
        let dequantized = self.stored(planned.node, &name, integers, &[scale, zero], weight.axis);
        (dequantized, scales)
    }

    fn bias(&mut self, planned: &PlannedNode, weight: &[f32], grids: &HashMap<ValueId, Grid>) {
        let Some(bias) = &planned.bias else { return };
        let (Some(input), Ok(elements)) = (input_scale(planned, grids), bias.tensor.to_f32())
        else {
            return;
        };
        let (integers, scales) = weights::bias(&elements, input, weight);
        let name = self.model.value(bias.value).name().to_owned();
        let scale =
            self.constant(&format!("{name}_scale"), Tensor::from_f32(&[scales.len()], &scales));
        let zeros = vec![0; scales.len()];
        let zero =
            self.constant(&format!("{name}_zero_point"), Tensor::from_i32(&[zeros.len()], &zeros));
        let dequantized = self.stored(planned.node, &name, integers, &[scale, zero], Some(0));
        self.model.set_input(planned.node, bias.slot, Some(dequantized));
    }

    /// An initializer of integers behind a DequantizeLinear.
    fn stored(
        &mut self,
        user: NodeId,
        name: &str,
        integers: Tensor,
        parameters: &[ValueId],
        axis: Option<usize>,
    ) -> ValueId {
        let graph = self.model.main();
        let stored = self.model.add_initializer(graph, &format!("{name}_quantized"), integers);
        let mut inputs = vec![stored];
        inputs.extend(parameters);
        let mut node = NewNode::new("DequantizeLinear", &inputs, &format!("{name}_dequantized"));
        node.name.clear();
        if let Some(axis) = axis {
            node = node.attr("axis", axis as i64);
        }
        let node = self.model.add_node(graph, At::Before(user), node);
        self.output(node)
    }

    /// QuantizeLinear and DequantizeLinear behind a value; all its readers read the latter.
    fn activation(&mut self, value: ValueId, grid: Grid) {
        let graph = self.model.main();
        let name = self.model.value(value).name().to_owned();
        let scale = self.constant(&format!("{name}_scale"), Tensor::from_f32(&[], &[grid.scale]));
        let zero = Tensor::from_u8(&[], &[grid.zero_point as u8]);
        let zero = self.constant(&format!("{name}_zero_point"), zero);
        let at = self.model.value(value).producer().map_or(At::Start, At::After);
        let mut quantize =
            NewNode::new("QuantizeLinear", &[value, scale, zero], &format!("{name}_quantized"));
        quantize.name.clear();
        let quantize = self.model.add_node(graph, at, quantize);
        let quantized = self.output(quantize);
        let mut dequantize = NewNode::new(
            "DequantizeLinear",
            &[quantized, scale, zero],
            &format!("{name}_dequantized"),
        );
        dequantize.name.clear();
        let dequantize = self.model.add_node(graph, At::After(quantize), dequantize);
        let dequantized = self.output(dequantize);
        self.model.replace_uses_where(value, dequantized, |node, _| node != quantize);
        if self.model.value(value).is_output() && self.model.value(value).producer().is_some() {
            self.model.hand_over_outputs(value, dequantized);
        }
    }

    /// An initializer; equal scales and zero points are stored once.
    fn constant(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let key = (tensor.dims().to_vec(), tensor.bytes().to_vec(), tensor.dtype() as u8);
        if let Some(&value) = self.constants.get(&key) {
            return value;
        }
        let value = self.model.add_initializer(self.model.main(), name, tensor);
        self.constants.insert(key, value);
        value
    }

    fn output(&self, node: NodeId) -> ValueId {
        self.model.node(node).only_output().expect("made with one output")
    }
}

/// The scale of the activation a node multiplies its weight with.
fn input_scale(planned: &PlannedNode, grids: &HashMap<ValueId, Grid>) -> Option<f32> {
    planned.activations.first().and_then(|value| grids.get(value)).map(|grid| grid.scale)
}
