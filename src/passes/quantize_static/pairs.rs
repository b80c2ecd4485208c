//! QuantizeLinear and DequantizeLinear behind activations.

use crate::ir::{At, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::Report;
use crate::passes::quantize_static::grids::{Activation, On};
use crate::passes::quantize_static::insert::{Insert, unnamed};
use crate::passes::quantize_static::table;
use crate::tensor::Tensor;

impl Insert<'_> {
    /// QuantizeLinear and DequantizeLinear behind a value; all its readers read the latter. Those that want another
    /// grid read it behind a second pair.
    pub fn activation(&mut self, activation: &Activation, report: &mut Report) {
        let Activation { value, on, converted } = activation;
        let entry = self.model.value(*value);
        let name = entry.name().to_owned();
        let producer = entry.producer();
        let at = producer.map_or(At::Start, At::After);
        let is_output = entry.is_output() && producer.is_some();
        // Names as the user knows them: graph outputs hand theirs over below.
        let label = producer.map(|node| self.model.label(node));
        let (quantize, dequantize) = self.pair(*value, *on, at, &name);
        let floats = self.output(dequantize);
        self.model.replace_uses_where(*value, floats, |node, _| node != quantize);
        if is_output {
            self.model.hand_over_outputs(*value, floats);
        }
        if let Some((on, readers)) = converted {
            let (_, last) = self.pair(floats, *on, At::After(dequantize), &name);
            let again = self.output(last);
            self.model.replace_uses_where(floats, again, |node, _| readers.nodes.contains(&node));
            if is_output && readers.callers {
                self.model.hand_over_outputs(floats, again);
            }
        }
        self.skip_clipping(quantize, on.grid, label, report);
    }

    fn pair(&mut self, value: ValueId, on: On, at: At, name: &str) -> (NodeId, NodeId) {
        let graph = self.model.main();
        let scale = self.constant("scale", Tensor::from_f32(&[], &[on.grid.scale]));
        let zero = self.constant("zero_point", on.format.zeros(&[], &[on.grid.zero_point]));
        let quantize = unnamed("QuantizeLinear", &[value, scale, zero], "quantized");
        let quantize = self.model.add_node(graph, at, quantize);
        let inputs = [self.output(quantize), scale, zero];
        let dequantize = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        (quantize, self.model.add_node(graph, At::After(quantize), dequantize))
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
