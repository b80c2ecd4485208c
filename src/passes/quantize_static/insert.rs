//! Edits the model as planned.

use std::collections::HashMap;

use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::Report;
use crate::passes::quantize_static::plan::{Plan, PlannedNode, Weight};
use crate::passes::quantize_static::{table, weights};
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
    let mut done: HashMap<Key, Vec<f32>> = HashMap::new();
    for planned in &plan.nodes {
        let Some(weight) = &planned.weight else { continue };
        let scales = done
            .entry(key(weight))
            .or_insert_with(|| insert.weight(weight, &users[&key(weight)], &grids));
        insert.bias(planned, scales, &grids);
    }
    for (value, grid) in &plan.activations {
        insert.activation(*value, *grid, report);
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
    /// Scales and zero points already stored: equal ones are stored once.
    constants: HashMap<Tensor, ValueId>,
}

impl Insert<'_> {
    /// The weight as integers behind a DequantizeLinear; returns the scales.
    fn weight(
        &mut self,
        weight: &Weight,
        users: &[&PlannedNode],
        grids: &HashMap<ValueId, Grid>,
    ) -> Vec<f32> {
        let biases: Vec<(Vec<f32>, f32)> = users
            .iter()
            .filter_map(|user| {
                let bias = user.bias.as_ref()?.tensor.to_f32().ok()?;
                Some((bias, input_scale(user, grids)?))
            })
            .collect();
        let borrowed: Vec<(&[f32], f32)> = biases.iter().map(|(b, s)| (&b[..], *s)).collect();
        let scales = weights::scales(&weight.elements, weight.axis, &borrowed);
        let integers = weights::integers(&weight.elements, weight.axis, &scales);
        let dims: Vec<usize> = weight.axis.map(|_| scales.len()).into_iter().collect();
        let mut parameters = vec![self.constant("scale", Tensor::from_f32(&dims, &scales))];
        if users.iter().any(|user| !self.model.node(user.node).is("Conv")) {
            // A zero point that is left out is 0. onnxruntime has integer kernels for Gemm and
            // MatMul only when it is written out.
            let zeros = Tensor::from_i8(&dims, &vec![0; scales.len()]);
            parameters.push(self.constant("zero_point", zeros));
        }
        let readers: Vec<(NodeId, usize)> =
            users.iter().filter_map(|u| Some((u.node, u.weight.as_ref()?.slot))).collect();
        self.stored(weight.value, &readers, integers, &parameters, weight.axis);
        scales
    }

    fn bias(&mut self, planned: &PlannedNode, weight: &[f32], grids: &HashMap<ValueId, Grid>) {
        let Some(bias) = &planned.bias else { return };
        let (Some(input), Ok(elements)) = (input_scale(planned, grids), bias.tensor.to_f32())
        else {
            return;
        };
        let (integers, scales) = weights::bias(&elements, input, weight);
        // Like the weight, the bias has one scale or one for each channel.
        let axis = planned.weight.as_ref().and_then(|weight| weight.axis).map(|_| 0);
        let dims: Vec<usize> = axis.map(|_| scales.len()).into_iter().collect();
        let scale = self.constant(
            "scale",
            Tensor::from_f32(&dims, &scales[..dims.first().copied().unwrap_or(1)]),
        );
        self.stored(bias.value, &[(planned.node, bias.slot)], integers, &[scale], axis);
    }

    /// Lets `readers` read integers behind a DequantizeLinear instead of the constant `value`. When
    /// nobody else reads it, the integers take its place and keep its name.
    fn stored(
        &mut self,
        value: ValueId,
        readers: &[(NodeId, usize)],
        integers: Tensor,
        parameters: &[ValueId],
        axis: Option<usize>,
    ) {
        let graph = self.model.main();
        let name = self.model.value(value).name().to_owned();
        for &(node, slot) in readers {
            self.model.set_input(node, slot, None);
        }
        let entry = self.model.value(value);
        let stored = if entry.uses().is_empty() && entry.initializer().is_some() {
            self.model.set_tensor(value, integers);
            value
        } else {
            self.model.add_initializer(graph, &format!("{name}_q"), integers)
        };
        let mut inputs = vec![stored];
        inputs.extend(parameters);
        let mut node = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        if let Some(axis) = axis {
            node = node.attr("axis", axis as i64);
        }
        // Readers are in execution order.
        let at = readers.first().map_or(At::Start, |&(node, _)| At::Before(node));
        let node = self.model.add_node(graph, at, node);
        let output = self.output(node);
        for &(node, slot) in readers {
            self.model.set_input(node, slot, Some(output));
        }
    }

    /// QuantizeLinear and DequantizeLinear behind a value; all its readers read the latter.
    fn activation(&mut self, value: ValueId, grid: Grid, report: &mut Report) {
        let graph = self.model.main();
        let name = self.model.value(value).name().to_owned();
        let scale = self.constant("scale", Tensor::from_f32(&[], &[grid.scale]));
        let zero = self.constant("zero_point", Tensor::from_u8(&[], &[grid.zero_point as u8]));
        let at = self.model.value(value).producer().map_or(At::Start, At::After);
        let quantize = unnamed("QuantizeLinear", &[value, scale, zero], "quantized");
        let quantize = self.model.add_node(graph, at, quantize);
        let inputs = [self.output(quantize), scale, zero];
        let dequantize = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        let dequantize = self.model.add_node(graph, At::After(quantize), dequantize);
        let dequantized = self.output(dequantize);
        // Names as the user knows them: graph outputs hand theirs over below.
        let producer = self.model.value(value).producer().map(|node| self.model.label(node));
        self.model.replace_uses_where(value, dequantized, |node, _| node != quantize);
        if self.model.value(value).is_output() && self.model.value(value).producer().is_some() {
            self.model.hand_over_outputs(value, dequantized);
        }
        self.skip_clipping(quantize, grid, producer, report);
    }

    /// Removes Relu and Clip right before a QuantizeLinear whose saturation cuts off the same: then
    /// every input gives the same integer without them.
    fn skip_clipping(
        &mut self,
        quantize: NodeId,
        grid: Grid,
        mut label: Option<String>,
        report: &mut Report,
    ) {
        while let Some(value) = self.model.node(quantize).input(0)
            && self.model.value(value).only_consumer().is_some()
            && let Some(producer) = self.model.value(value).producer()
            && let Some((min, max)) = table::clipped_to(self.model, producer)
            && (grid.quantize(min), grid.quantize(max)) == (grid.low, grid.high)
        {
            let place = label.take().unwrap_or_else(|| self.model.label(producer));
            let input = self.model.node(producer).input(0);
            self.model.set_input(quantize, 0, input);
            self.model.remove_node(producer);
            report.did(place, "removed: quantization cuts off the same");
        }
    }

    /// An initializer named after its role; equal scales and zero points are stored once.
    fn constant(&mut self, role: &str, tensor: Tensor) -> ValueId {
        if let Some(&value) = self.constants.get(&tensor) {
            return value;
        }
        let value = self.model.add_initializer(self.model.main(), role, tensor.clone());
        self.constants.insert(tensor, value);
        value
    }

    fn output(&self, node: NodeId) -> ValueId {
        self.model.node(node).only_output().expect("made with one output")
    }
}

/// A node without a name: what it makes has one, and names cost bytes in every file.
fn unnamed(op: &str, inputs: &[ValueId], output: &str) -> NewNode {
    NewNode { name: String::new(), ..NewNode::new(op, inputs, output) }
}

/// The scale of the activation a node multiplies its weight with.
fn input_scale(planned: &PlannedNode, grids: &HashMap<ValueId, Grid>) -> Option<f32> {
    planned.activations.first().and_then(|value| grids.get(value)).map(|grid| grid.scale)
}
