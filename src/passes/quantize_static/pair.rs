//! Puts QuantizeLinear and DequantizeLinear behind activations.

use crate::ir::{At, GraphId, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::Report;
use crate::passes::quantize_static::insert::{Insert, Reader, unnamed};
use crate::passes::quantize_static::table;
use crate::tensor::Tensor;

impl Insert<'_> {
    /// QuantizeLinear and DequantizeLinear behind a value; all its readers read the latter. Kernels find
    /// it only in their own graph, so those in a body that captures the value have one of their own there.
    pub fn activation(&mut self, value: ValueId, grid: Grid, report: &mut Report) {
        let graph = self.model.value(value).graph();
        let name = self.model.value(value).name().to_owned();
        let scale = self.constant("scale", Tensor::from_f32(&[], &[grid.scale]));
        let zero = self.constant("zero_point", self.activations.zeros(&[], &[grid.zero_point]));
        let entry = self.model.value(value);
        let hands_over = entry.is_output() && entry.producer().is_some();
        let readers: Vec<Reader> = entry.consumers().collect();
        let mut places = self.by_graph(&readers, graph);
        let is_own = |(place, _): &(GraphId, Vec<Reader>)| *place == graph;
        if places.is_empty() || hands_over && !places.iter().any(is_own) {
            places.push((graph, Vec::new()));
        }
        places.sort_by_key(|place| !is_own(place));
        // Names as the user knows them: graph outputs hand theirs over below.
        let producer = self.model.value(value).producer().map(|node| self.model.label(node));
        let at = self.model.value(value).producer().map_or(At::Start, At::After);
        let quantize = unnamed("QuantizeLinear", &[value, scale, zero], "quantized");
        let quantize = self.model.add_node(graph, at, quantize);
        let inputs = [self.output(quantize), scale, zero];
        let dequantize = unnamed("DequantizeLinear", &inputs, &format!("{name}_dq"));
        for (place, readers) in places {
            let at = if place == graph { At::After(quantize) } else { At::Start };
            let node = self.model.add_node(place, at, dequantize.clone());
            let dequantized = self.output(node);
            for (node, slot) in readers {
                self.model.set_input(node, slot, Some(dequantized));
            }
            if place == graph && hands_over {
                self.model.hand_over_outputs(value, dequantized);
            }
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
}
