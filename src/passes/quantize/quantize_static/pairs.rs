//! QuantizeLinear and DequantizeLinear behind activations.

use crate::ir::{At, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::Report;
use crate::passes::quantize::quantize_static::grids::{Activation, On};
use crate::passes::quantize::quantize_static::insert::{Insert, Reader, unnamed};
use crate::passes::quantize::quantize_static::table;
use crate::tensor::Tensor;

impl Insert<'_> {
    /// QuantizeLinear and DequantizeLinear behind `value`, which holds the floats of an activation; all its readers read the latter. Those that want another
    /// grid read it behind a second pair.
    pub fn activation(&mut self, value: ValueId, activation: &Activation, report: &mut Report) {
        let Activation { on, converted, .. } = activation;
        let entry = self.model.value(value);
        let name = entry.name().to_owned();
        let producer = entry.producer();
        let at = producer.map_or(At::Start, At::After);
        let is_output = entry.is_output() && producer.is_some();
        // Names as the user knows them: graph outputs hand theirs over below.
        let label = producer.map(|node| self.model.label(node));
        let (again, readers): (Vec<Reader>, Vec<Reader>) =
            entry.consumers().partition(|&(node, _)| activation.second(node).is_some());
        let quantize = self.quantized(value, *on, at);
        let own = self.floats(quantize, &readers, is_output || converted.is_some(), &name);
        if let (true, Some(own)) = (is_output, own) {
            self.model.hand_over_outputs(value, self.output(own));
        }
        if let (Some((on, readers)), Some(own)) = (converted, own) {
            let floats = self.output(own);
            let second = self.quantized(floats, *on, At::After(own));
            let callers = is_output && readers.callers;
            let last = self.floats(second, &again, callers, &name);
            if let (true, Some(last)) = (callers, last) {
                self.model.hand_over_outputs(floats, self.output(last));
            }
        }
        self.skip_clipping(quantize, on.grid, label, report);
    }

    fn quantized(&mut self, value: ValueId, on: On, at: At) -> NodeId {
        let graph = self.model.value(value).graph();
        let scale = self.constant("scale", Tensor::from_f32(&[], &[on.grid.scale]));
        let zero = self.constant("zero_point", on.format.zeros(&[], &[on.grid.zero_point]));
        let quantize = unnamed("QuantizeLinear", &[value, scale, zero], "quantized");
        self.model.add_node(graph, at, quantize)
    }

    /// A DequantizeLinear behind `quantize` for its `readers`. Kernels find it only in their own graph, so those in
    /// a body that captures the value have one of their own there. The one in the graph of the value is
    /// returned, which is made for others, too, when `needed`.
    pub fn floats(
        &mut self,
        quantize: NodeId,
        readers: &[Reader],
        needed: bool,
        name: &str,
    ) -> Option<NodeId> {
        let parameters = self.model.node(quantize).inputs()[1..].iter().flatten().copied();
        let inputs: Vec<ValueId> =
            std::iter::once(self.output(quantize)).chain(parameters).collect();
        let dequantize = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        self.behind(quantize, readers, needed, &dequantize)
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
}
