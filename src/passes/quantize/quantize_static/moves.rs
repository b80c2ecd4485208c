//! Integers behind operators that only move elements, where ONNX Runtime would put them there itself.
//!
//! It carries a DequantizeLinear with one scale over such operators, and puts a QuantizeLinear in front of it. From operator
//! set 21 on it states the type of that, and finds for `int8` that it contradicts the type of its zero point: a model of
//! ours in which a DequantizeLinear stands there would not load (seen in 1.31). With the pair behind the operator the
//! numbers are the same, and there is nothing to carry.

use crate::analysis::constant;
use crate::ir::{At, NodeId, ValueId};
use crate::passes::quantize::quantize_static::format::WIDE_OPSET;
use crate::passes::quantize::quantize_static::insert::{Insert, Reader, unnamed};
use crate::tensor::DType;

/// Operators over which it carries them.
const CARRYING: &[&str] = &["MaxPool", "Reshape", "Slice", "Squeeze", "Transpose", "Unsqueeze"];

impl Insert<'_> {
    /// Puts pairs behind operators that move elements which were quantized with one scale.
    pub fn behind_moves(&mut self) {
        if self.model.opset() < Some(WIDE_OPSET) {
            return;
        }
        let mut left = self.model.all_nodes();
        left.retain(|&node| self.is_carried(node));
        while let Some(dequantize) = left.pop() {
            let floats = self.output(dequantize);
            let moves = self.model.value(floats).consumers();
            let moves = moves.filter(|&(node, slot)| {
                slot == 0 && CARRYING.iter().any(|op| self.model.node(node).is(op))
            });
            let moves: Vec<NodeId> = moves.map(|(node, _)| node).collect();
            let behind = moves.into_iter().map(|node| self.behind_move(node, dequantize));
            left.extend(behind.collect::<Vec<_>>().into_iter().flatten());
        }
    }

    /// Whether a DequantizeLinear makes floats of `int8` with one scale; those of weights are made at load.
    fn is_carried(&self, node: NodeId) -> bool {
        let entry = self.model.node(node);
        let is_weight = entry.input(0).is_none_or(|read| constant(self.model, read).is_some());
        let zero = entry.input(2).and_then(|zero| constant(self.model, zero));
        entry.is("DequantizeLinear")
            && !is_weight
            && zero.is_some_and(|zero| zero.dtype() == DType::Int8 && zero.dims().is_empty())
    }

    /// The DequantizeLinear behind an operator that moves what another makes; nothing when one is there.
    fn behind_move(&mut self, node: NodeId, dequantize: NodeId) -> Option<NodeId> {
        let moved = self.model.node(node).output(0)?;
        let entry = self.model.value(moved);
        let (name, is_output) = (entry.name().to_owned(), entry.is_output());
        let quantizes = |&(node, _): &Reader| self.model.node(node).is("QuantizeLinear");
        let readers: Vec<Reader> = entry.consumers().filter(|reader| !quantizes(reader)).collect();
        if readers.is_empty() && !is_output {
            return None;
        }
        let parameters = self.model.node(dequantize).inputs()[1..].iter().flatten().copied();
        let inputs: Vec<ValueId> = std::iter::once(moved).chain(parameters).collect();
        let graph = self.model.node(node).graph();
        let quantize = unnamed("QuantizeLinear", &inputs, "quantized");
        let quantize = self.model.add_node(graph, At::After(node), quantize);
        let floats = self.floats(quantize, &readers, is_output, &name)?;
        if is_output {
            self.model.hand_over_outputs(moved, self.output(floats));
        }
        Some(floats)
    }
}
