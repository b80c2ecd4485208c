//! The layers that quantization has changed, and how far their outputs are from what they were.

use crate::analysis::is_layer;
use crate::compress::trial::held_out::Trials;
use crate::error::Result;
use crate::exec::{Observation, Observe, Runner, Tap};
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::tensor::Tensor;
use crate::validate::{Comparison, drift};

/// A layer that was quantized, or whose weights were.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct QuantizedLayer {
    /// The node, in both models.
    pub node: NodeId,
    /// Node name, or that of its first output.
    pub name: String,
    /// Operator.
    pub op: String,
    /// The layer in words, as reports of passes call it.
    pub place: String,
    /// The paths of the value that it reads as integers, and of those it is made of by operators that only
    /// move or cut off elements, so that one of them has the range; empty when it computes with floats.
    pub inputs: Vec<String>,
}

/// The layers of `prepared` that `quantized`, made of it, has quantized, in the order of the model; those of
/// bodies come last.
pub fn quantized_layers(prepared: &Model, quantized: &Model) -> Vec<QuantizedLayer> {
    let nodes = prepared.all_nodes().into_iter();
    let layers = nodes.filter(|&id| {
        is_layer(prepared.node(id))
            && quantized.is_live(id)
            && reads_integers(quantized, id)
            && !reads_integers(prepared, id)
    });
    layers
        .map(|node| QuantizedLayer {
            node,
            name: prepared.name_of(node).to_owned(),
            op: prepared.node(node).op().to_owned(),
            place: prepared.label(node),
            inputs: inputs(prepared, quantized, node),
        })
        .collect()
}

/// Operators of integers whose sums become floats by a Cast and products with scales.
const SUMMING: &[&str] = &["ConvInteger", "MatMulInteger"];
/// Most nodes between floats and the integers that they are made of: scales, and a Cast.
const MOST_STEPS: usize = 3;

/// Whether a node reads floats behind a DequantizeLinear, or packed integers, or is the last step of making
/// floats of the sums of a layer.
fn reads_integers(model: &Model, node: NodeId) -> bool {
    let entry = model.node(node);
    let reads_packed = |node: &Node| ["DynamicQuantizeLSTM", "MatMulNBits"].contains(&node.op());
    if reads_packed(entry) {
        return true;
    }
    let is_last_step = ["Add", "Mul"].iter().any(|op| entry.is(op));
    entry.inputs().iter().flatten().any(|&value| {
        let maker = model.value(value).producer();
        dequantizer(model, value).is_some()
            || is_last_step && maker.is_some_and(|maker| reads_packed(model.node(maker)))
            || is_last_step && cast(model, value).is_some_and(|sum| is_sum(model, sum))
    })
}

/// The integers that a value is made of by a Cast and products with scales.
fn cast(model: &Model, mut value: ValueId) -> Option<ValueId> {
    for _ in 0..MOST_STEPS {
        let node = model.node(model.value(value).producer()?);
        if node.is("Cast") {
            return node.input(0);
        }
        value = node.input(0).filter(|_| node.is("Mul"))?;
    }
    None
}

/// Whether a value is what a layer adds up of integers.
fn is_sum(model: &Model, value: ValueId) -> bool {
    let maker = model.value(value).producer().map(|node| model.node(node));
    maker.is_some_and(|maker| SUMMING.iter().any(|op| maker.is(op)))
}

fn dequantizer(model: &Model, value: ValueId) -> Option<NodeId> {
    model.value(value).producer().filter(|&node| model.node(node).is("DequantizeLinear"))
}

/// The first value that `quantized` reads as integers in the place of floats, and what it is made of by
/// single nodes that are no layers.
fn inputs(prepared: &Model, quantized: &Model, layer: NodeId) -> Vec<String> {
    let given = prepared.node(layer).inputs().iter().zip(quantized.node(layer).inputs());
    let mut integers = given.filter_map(|(&before, &after)| {
        let dequantizer = dequantizer(quantized, after?)?;
        let integers = quantized.node(dequantizer).input(0)?;
        quantized.value(integers).producer().and(before)
    });
    let mut next = integers.next();
    let mut names = Vec::new();
    while let Some(value) = next {
        names.push(prepared.path_of(value));
        let producer = prepared.value(value).producer();
        let producer = producer.map(|producer| prepared.node(producer));
        next = producer.filter(|producer| !is_layer(producer)).and_then(|node| node.input(0));
    }
    names
}

impl Trials<'_> {
    /// Signal-to-noise ratio of the output of each layer in `quantized`, beside the same value of the
    /// prepared model, over the samples held out, in decibel. `None` for what an engine cannot see.
    ///
    /// # Errors
    /// When one of the models cannot be run.
    pub fn accumulated(
        &self,
        quantized: &Model,
        layers: &[QuantizedLayer],
    ) -> Result<Vec<Option<f64>>> {
        let output = |layer: &QuantizedLayer| {
            let output = self.prepared().node(layer.node).output(0)?;
            let outermost = self.prepared().value(output).graph() == self.prepared().main();
            let seen = outermost && quantized.is_live_value(output);
            seen.then(|| self.prepared().value(output).name().to_owned())
        };
        let outputs: Vec<Option<String>> = layers.iter().map(output).collect();
        let tap = |value: &String| Tap { value: value.clone(), observe: Observe::Value };
        let taps: Vec<Tap> = outputs.iter().flatten().map(tap).collect();
        let before = Runner::new(self.engine(), self.prepared(), taps.clone());
        let after = Runner::new(self.engine(), quantized, taps.clone());
        let mut drifts: Vec<Option<Comparison>> = vec![None; taps.len()];
        for inputs in self.inputs() {
            let pairs = before.run(inputs)?.observed.into_iter().zip(after.run(inputs)?.observed);
            for ((seen, tap), pair) in drifts.iter_mut().zip(&taps).zip(pairs) {
                let (Some(Observation::Value(a)), Some(Observation::Value(b))) = pair else {
                    continue;
                };
                if a.dims() == b.dims() {
                    let named = |tensor| [(tap.value.clone(), tensor)];
                    let found = drift(&named(a), &named(b), Tensor::len)?;
                    *seen = Some(match seen.take() {
                        Some(sum) => sum.merge(found),
                        None => found,
                    });
                }
            }
        }
        let mut drifts = drifts.into_iter();
        let ratio = |output: &Option<String>| {
            output.as_ref().and_then(|_| drifts.next().flatten()).map(|drift| drift.worst_sqnr_db())
        };
        Ok(outputs.iter().map(ratio).collect())
    }
}
