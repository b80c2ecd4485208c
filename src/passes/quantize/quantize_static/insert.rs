//! Edits the model as planned: weights, biases, tables and constant operands.

use std::collections::{HashMap, HashSet};

use rayon::prelude::*;

use crate::ir::{At, GraphId, Model, NewNode, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::Report;
use crate::passes::quantize::quantize_static::forms::{Made, cast, scale_dtype};
use crate::passes::quantize::quantize_static::grids::Activation;
use crate::passes::quantize::quantize_static::plan::{Operand, Plan, PlannedNode, Weight};
use crate::passes::quantize::quantize_static::rows::Rows;
use crate::passes::quantize::quantize_static::weights::Integers;
use crate::passes::quantize::quantize_static::{Format, QuantizeStatic, weights};
use crate::passes::rewrite::shared_constants::SharedConstants;
use crate::passes::stored::Share;
use crate::tensor::{DType, Tensor};

pub(super) fn apply(model: &mut Model, plan: &Plan, options: &QuantizeStatic, report: &mut Report) {
    let read: Read<'_> = plan.activations.iter().map(|read| (read.value, read)).collect();
    let constants = SharedConstants::default();
    let weights = options.weights();
    let unpacks_at_load = options.target.rules().unpacks_at_load;
    let products = plan.nodes.iter().filter(|planned| planned.kernel);
    let ends = |planned: &PlannedNode| [planned.node, planned.last()];
    let kernels = products.flat_map(ends).chain(plan.inner.iter().copied()).collect();
    let mut insert = Insert { model, weights, unpacks_at_load, kernels, constants };
    let mut users: HashMap<Key, Users<'_>> = HashMap::new();
    for planned in &plan.nodes {
        for weight in &planned.weights {
            users.entry(key(weight)).or_default().push((planned, weight));
        }
    }
    // What takes long comes first, and on all cores.
    let of_users = |(&key, users): (&Key, &Users<'_>)| (key, integers(users, weights, &read));
    let mut made: HashMap<Key, Integers> = users.par_iter().map(of_users).collect();
    let mut done: HashMap<Key, Vec<Grid>> = HashMap::new();
    for planned in &plan.nodes {
        for weight in &planned.weights {
            if let Some(integers) = made.remove(&key(weight)) {
                let grids = insert.weight(weight, &users[&key(weight)], integers);
                done.insert(key(weight), grids);
            }
            if let Some(stored) = done.get(&key(weight)) {
                insert.bias(planned, weight, stored, &read);
            }
        }
    }
    let rows = insert.tables(&plan.lookups, &read);
    for operand in &plan.operands {
        insert.operand(operand);
    }
    for activation in &plan.activations {
        match rows.get(&activation.value) {
            // The table holds integers of this grid.
            Some(Rows::Integers(_)) => {}
            Some(&Rows::Floats(floats)) => insert.activation(floats, activation, report),
            None => insert.activation(activation.value, activation, report),
        }
    }
    insert.behind_moves();
    let reads = |node: NodeId| plan.formats.get(&node).map(|format| format.dtype);
    let texts = plan.nodes.iter().map(|planned| (planned.node, text(planned, reads(planned.node))));
    let tables = plan.lookups.iter().map(|lookup| {
        let rows = insert.model.node(lookup.node).output(0).and_then(|value| rows.get(&value));
        let text = match rows {
            Some(Rows::Integers(dtype)) => {
                format!("{dtype} table, on the grid on which its rows are read")
            }
            _ => lookup.text(),
        };
        (lookup.node, text)
    });
    let tables: Vec<_> = tables.collect();
    let inner =
        plan.inner.iter().filter_map(|&node| Some((node, format!("reads {}", reads(node)?))));
    for (node, text) in texts.chain(tables).chain(inner) {
        if insert.model.is_live(node) {
            report.did(insert.model.label(node), text);
        }
    }
    if options.interface && plan.nodes.is_empty() && report.done.is_empty() && !read.is_empty() {
        report.did("model", "inputs and outputs are quantized");
    }
}

/// The activations by value.
pub(super) type Read<'a> = HashMap<ValueId, &'a Activation>;

/// What the report says of a node with weights.
fn text(planned: &PlannedNode, reads: Option<DType>) -> String {
    let weights = Some(planned.text.clone()).filter(|text| !text.is_empty());
    let reads = reads.map(|dtype| format!("{dtype} activations"));
    weights.into_iter().chain(reads).collect::<Vec<_>>().join(", ")
}

/// One weight, divided in one way, is stored once, whoever uses it.
pub(super) type Key = (ValueId, Share);

pub(super) fn key(weight: &Weight) -> Key {
    (weight.value, weight.share)
}

/// A node and the slot in which it reads a value.
pub(super) type Reader = (NodeId, usize);

/// The nodes that read a weight as one.
pub(super) type Users<'a> = Vec<(&'a PlannedNode, &'a Weight)>;

/// The integers of a weight, on scales that leave room for the biases of those that read it.
fn integers(users: &Users<'_>, format: Format, read: &Read<'_>) -> Integers {
    let biases: Vec<(Vec<f32>, f32)> = users
        .iter()
        .filter_map(|(user, _)| {
            let bias = user.bias.as_ref()?.tensor.to_f32().ok()?;
            Some((bias, input_scale(user, read)?))
        })
        .collect();
    let borrowed: Vec<(&[f32], f32)> = biases.iter().map(|(b, s)| (&b[..], *s)).collect();
    let (_, weight) = users[0];
    let elements = weight.elements();
    let (dims, share, scales) = (&weight.dims, weight.share, scale_dtype(weight));
    let made = weights::integers(&elements, (dims, share), format, scales, &borrowed);
    weight.tensor.release();
    made
}

pub(super) struct Insert<'a> {
    pub model: &'a mut Model,
    weights: Format,
    /// See [`Rules`](super::target::Rules).
    unpacks_at_load: bool,
    /// Nodes that compute with integers, and find them behind a DequantizeLinear in their own graph alone.
    kernels: HashSet<NodeId>,
    /// Scales and zero points already stored: equal ones are stored once.
    constants: SharedConstants,
}

impl Insert<'_> {
    /// The weight as integers behind a DequantizeLinear; returns the grids.
    fn weight(&mut self, weight: &Weight, users: &Users<'_>, integers: Integers) -> Vec<Grid> {
        let (dims, share) = (&weight.dims, weight.share);
        // A zero point that is left out is 0. onnxruntime has integer kernels for Gemm and MatMul
        // only when it is written out.
        let dtype = self.weights.dtype;
        let needless = |user: &PlannedNode| match user.kernel {
            true => dtype == DType::Int8 && self.model.node(user.node).is("Conv"),
            false => !dtype.is_float(),
        };
        let (behind, before): (Users<'_>, Users<'_>) = users
            .iter()
            .copied()
            .partition(|(user, weight)| user.kernel && weight.turned.is_some());
        let mut readers: Vec<Reader> = Vec::new();
        for (user, weight) in before {
            let reader = weight.reader(user.node);
            if !readers.contains(&reader) {
                readers.push(reader);
            }
        }
        let unpacks = self.unpacks_at_load && !matches!(share, Share::Block { .. });
        let (dequantized, unpacked): (Vec<Reader>, Vec<Reader>) =
            readers.iter().partition(|(node, _)| !unpacks || self.kernels.contains(node));
        let Integers { tensor, grids, .. } = integers;
        let spare = grids.iter().all(|grid| grid.zero_point == 0)
            && users.iter().all(|(user, _)| unpacks && !user.kernel || needless(user));
        let format = self.weights;
        let turned = self.untied(&behind);
        let any = !dequantized.is_empty() || !turned.is_empty();
        let dtype = scale_dtype(weight);
        let parameters = any.then(|| self.parameters(share, dims, (&grids, dtype), format, spare));
        let (stored, name) = self.replaced(weight.value, &readers, tensor);
        if !unpacked.is_empty() {
            self.unpacked(weight, (stored, &name), &unpacked, &grids);
        }
        let Some(parameters) = parameters else { return grids };
        if !dequantized.is_empty() {
            let made = Made { share, from: dtype, to: weight.dtype };
            self.dequantized((stored, &name), &dequantized, &parameters, made);
        }
        if !turned.is_empty() {
            let made = Made { share: share.turned(), from: dtype, to: weight.dtype };
            let (stored, parameters) = self.turned((stored, &name), &parameters, share);
            self.dequantized((stored, &name), &turned, &parameters, made);
        }
        grids
    }

    fn bias(&mut self, planned: &PlannedNode, weight: &Weight, stored: &[Grid], read: &Read<'_>) {
        let Some(bias) = &planned.bias else { return };
        let (Some(input), Ok(elements)) = (input_scale(planned, read), bias.tensor.to_f32()) else {
            return;
        };
        let (integers, scales) = weights::bias(&elements, input, stored);
        // Like the weight, the bias has one scale or one for each channel.
        let share = weight.share.axis().map_or(Share::Tensor, |_| Share::Axis(0));
        let dims = share.dims(&[scales.len()]);
        let count: usize = dims.iter().product();
        let scale = self.constant("scale", Tensor::from_f32(&dims, &scales[..count]));
        let reader = (bias.node, bias.slot);
        self.stored(bias.value, reader, integers, &[scale], Made::floats(share));
    }

    /// A constant operand of a node without weights: on a grid of its own.
    fn operand(&mut self, operand: &Operand) {
        let (dims, format) = (&operand.dims, operand.format);
        let parts = (&dims[..], Share::Tensor);
        let found = weights::integers(&operand.elements, parts, format, DType::Float, &[]);
        let scale = self.constant("scale", Tensor::from_f32(&[], &[found.grids[0].scale]));
        let zero = format.zeros(&[], &[found.grids[0].zero_point]);
        let zero = self.constant("zero_point", zero);
        let reader = (operand.node, operand.slot);
        let made = Made::floats(Share::Tensor);
        self.stored(operand.value, reader, found.tensor, &[scale, zero], made);
    }

    /// Scales, and zero points unless they may be left out.
    pub fn parameters(
        &mut self,
        share: Share,
        dims: &[usize],
        (grids, dtype): (&[Grid], DType),
        format: Format,
        spare: bool,
    ) -> Vec<ValueId> {
        let dims = share.dims(dims);
        let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
        let stored = Tensor::from_f32_as(dtype, &dims, &scales);
        let stored = stored.unwrap_or_else(|_| Tensor::from_f32(&dims, &scales));
        let mut parameters = vec![self.constant("scale", stored)];
        if !spare {
            let zeros: Vec<i32> = grids.iter().map(|grid| grid.zero_point).collect();
            let zeros = format.zeros(&dims, &zeros);
            parameters.push(self.constant("zero_point", zeros));
        }
        parameters
    }

    /// Takes the constant `value` from its readers and stores integers, whose name is returned, too.
    /// When nobody else reads it, the integers take its place and keep its name, unless floats are made of
    /// them outside of its body.
    pub fn replaced(
        &mut self,
        value: ValueId,
        readers: &[Reader],
        integers: Tensor,
    ) -> (ValueId, String) {
        let main = self.model.main();
        let name = self.model.value(value).name().to_owned();
        for &(node, slot) in readers {
            self.model.set_input(node, slot, None);
        }
        let entry = self.model.value(value);
        let inside = readers.iter().all(|(node, _)| self.kernels.contains(node));
        let own = entry.uses().is_empty() && (inside || entry.graph() == main);
        let stored = if own && entry.initializer().is_some() {
            self.model.set_tensor(value, integers);
            value
        } else {
            self.model.add_initializer(main, &format!("{name}_q"), integers)
        };
        (stored, name)
    }

    /// Lets a node read integers behind a DequantizeLinear instead of the constant `value`.
    fn stored(
        &mut self,
        value: ValueId,
        reader: Reader,
        integers: Tensor,
        parameters: &[ValueId],
        made: Made,
    ) {
        let (stored, name) = self.replaced(value, &[reader], integers);
        self.dequantized((stored, &name), &[reader], parameters, made);
    }

    /// Lets `readers` read integers that are stored behind a DequantizeLinear: kernels in their own graph,
    /// the others in the main graph, where floats are made once and not in every run of a body. (onnxruntime
    /// does not load a body in which a float MatMul reads a DequantizeLinear of integers from outside.)
    fn dequantized(
        &mut self,
        (stored, name): (ValueId, &str),
        readers: &[Reader],
        parameters: &[ValueId],
        Made { share, from, to }: Made,
    ) {
        let mut inputs = vec![stored];
        inputs.extend(parameters);
        let mut node = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        if let Some(axis) = share.axis() {
            node = node.attr("axis", axis as i64);
        }
        if let Share::Block { size, .. } = share {
            node = node.attr("block_size", size as i64);
        }
        for (graph, readers) in self.by_graph(readers, self.model.main()) {
            let at = self.before(&readers, graph);
            if from == to {
                self.add_for(&readers, graph, at, node.clone());
                continue;
            }
            let floats = self.model.add_node(graph, at, node.clone());
            let cast = cast(self.output(floats), to, &format!("{name}_floats"));
            self.add_for(&readers, graph, At::After(floats), cast);
        }
    }

    /// Adds a node whose output `readers` read from now on.
    pub fn add_for(&mut self, readers: &[Reader], graph: GraphId, at: At, node: NewNode) -> NodeId {
        let added = self.model.add_node(graph, at, node);
        let output = self.output(added);
        for &(node, slot) in readers {
            self.model.set_input(node, slot, Some(output));
        }
        added
    }

    /// The graphs in which floats are made for `readers`: for kernels their own, for all others `outer`.
    pub fn by_graph(&self, readers: &[Reader], outer: GraphId) -> Vec<(GraphId, Vec<Reader>)> {
        let mut found: Vec<(GraphId, Vec<Reader>)> = Vec::new();
        for &reader in readers {
            let kernel = self.kernels.contains(&reader.0);
            let graph = if kernel { self.model.node(reader.0).graph() } else { outer };
            match found.iter_mut().find(|(known, _)| *known == graph) {
                Some((_, readers)) => readers.push(reader),
                None => found.push((graph, vec![reader])),
            }
        }
        found
    }

    /// As [`Insert::dequantized`], with operators that a runtime computes when it loads the model.
    fn unpacked(
        &mut self,
        weight: &Weight,
        (stored, name): (ValueId, &str),
        readers: &[Reader],
        grids: &[Grid],
    ) {
        let graph = self.model.main();
        // Scales stand along their axis, so that they broadcast.
        let mut dims = vec![1; weight.dims.len()];
        if let Some(axis) = weight.share.axis() {
            dims[axis] = weight.dims[axis];
        }
        let at = self.before(readers, graph);
        let floats = cast(stored, DType::Float, &format!("{name}_cast"));
        let mut last = self.model.add_node(graph, at, floats);
        let mut floats = self.output(last);
        let offset = !self.weights.symmetric && !self.weights.is_float();
        if offset || grids.iter().any(|grid| grid.zero_point != 0) {
            let zeros: Vec<f32> = grids.iter().map(|grid| grid.zero_point as f32).collect();
            let zeros = self.constant("zero_point", Tensor::from_f32(&dims, &zeros));
            let centred = unnamed("Sub", &[floats, zeros], &format!("{name}_centred"));
            last = self.model.add_node(graph, At::After(last), centred);
            floats = self.output(last);
        }
        let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
        let scales = self.constant("scale", Tensor::from_f32(&dims, &scales));
        let scaled = unnamed("Mul", &[floats, scales], &format!("{name}_unpacked"));
        if weight.dtype == DType::Float {
            self.add_for(readers, graph, At::After(last), scaled);
            return;
        }
        let scaled = self.model.add_node(graph, At::After(last), scaled);
        let cast = cast(self.output(scaled), weight.dtype, &format!("{name}_floats"));
        self.add_for(readers, graph, At::After(scaled), cast);
    }

    /// Where floats are made in `graph` that `readers`, in execution order, read there or in bodies.
    fn before(&self, readers: &[Reader], graph: GraphId) -> At {
        let inside = |&(node, _): &Reader| self.model.node(node).graph() == graph;
        match readers.first() {
            Some(&(first, _)) if readers.iter().all(inside) => At::Before(first),
            _ => At::Start,
        }
    }

    /// An initializer named after its role; equal scales and zero points are stored once.
    pub fn constant(&mut self, role: &str, tensor: Tensor) -> ValueId {
        self.constants.value(self.model, role, tensor)
    }

    pub fn output(&self, node: NodeId) -> ValueId {
        self.model.node(node).only_output().expect("made with one output")
    }
}

/// A node without a name: what it makes has one, and names cost bytes in every file.
pub(super) fn unnamed(op: &str, inputs: &[ValueId], output: &str) -> NewNode {
    NewNode { name: String::new(), ..NewNode::new(op, inputs, output) }
}

/// The scale of the activation a node multiplies its weight with.
fn input_scale(planned: &PlannedNode, read: &Read<'_>) -> Option<f32> {
    let activation = read.get(planned.activations.first()?)?;
    Some(activation.read_by(planned.node).grid.scale)
}
