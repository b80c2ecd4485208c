//! A QuantizeLinear and the DequantizeLinear behind it in one step: an operator of our own for tract, which
//! takes one pass over the elements instead of two that cannot be vectorized, and knows any width.

use tract_onnx::model::ParsingContext;
use tract_onnx::pb::NodeProto;
use tract_onnx::tract_core::ops::element_wise::{ElementWiseMiniOp, ElementWiseOp};
use tract_onnx::tract_hir::internal::*;
use tract_onnx::tract_hir::ops::element_wise::ElementWiseIntoHir;

use crate::analysis::constant;
use crate::ir::{Attribute, Model, NodeId, ValueId};
use crate::tensor::DType;

/// Name of the operator; no exporter writes one with a dot.
pub(super) const OP: &str = "onnxpress.RoundToGrid";

const SCALE: &str = "scale";
const LOW: &str = "low";
const HIGH: &str = "high";

/// Lets tract read the operator.
pub(super) fn register(framework: &mut tract_onnx::Onnx) {
    framework.op_register.insert(OP, |_: &ParsingContext, node: &NodeProto| parse(node));
}

fn parse(node: &NodeProto) -> TractResult<(Box<dyn InferenceOp>, Vec<String>)> {
    let grid = RoundToGrid {
        scale: node.get_attr(SCALE)?,
        low: node.get_attr(LOW)?,
        high: node.get_attr(HIGH)?,
    };
    Ok((ElementWiseOp(Box::new(grid), None).into_hir(), Vec::new()))
}

/// Makes one operator of a DequantizeLinear and the QuantizeLinear before it, when both have the same scale and
/// zero point, one number each. The QuantizeLinear goes when nobody else reads it. False when nothing was done.
pub(super) fn join(view: &mut Model, dequantize: NodeId) -> bool {
    let entry = view.node(dequantize);
    let Some(integers) = entry.input(0).filter(|_| entry.is("DequantizeLinear")) else {
        return false;
    };
    let producer = view.value(integers).producer();
    let Some(quantize) = producer.filter(|&node| view.node(node).is("QuantizeLinear")) else {
        return false;
    };
    let (Some(grid), Some(other)) = (Grid::of(view, quantize), Grid::of(view, dequantize)) else {
        return false;
    };
    let Some(x) = view.node(quantize).input(0).filter(|_| grid == other) else { return false };
    let attributes = [
        (SCALE, grid.scale),
        (LOW, (grid.bounds.0 - grid.zero_point) as f32),
        (HIGH, (grid.bounds.1 - grid.zero_point) as f32),
    ];
    let attributes = attributes.map(|(name, value)| Attribute::new(name, value));
    view.turn_into(dequantize, "", OP, &[Some(x)], attributes.to_vec());
    if view.value(integers).uses().is_empty() {
        let parameters: Vec<ValueId> =
            view.node(quantize).inputs()[1..].iter().flatten().copied().collect();
        view.remove_node(quantize);
        for value in parameters {
            if view.value(value).uses().is_empty() {
                view.remove_initializer(value);
            }
        }
    }
    true
}

/// The numbers that a QuantizeLinear rounds to.
#[derive(Debug, PartialEq)]
struct Grid {
    scale: f32,
    zero_point: i64,
    dtype: DType,
    bounds: (i64, i64),
}

impl Grid {
    /// `None` when it is not known beforehand, is not one for all elements, or is one of floats.
    fn of(view: &Model, node: NodeId) -> Option<Self> {
        let entry = view.node(node);
        let scale = constant(view, entry.input(1)?)?;
        // A type for the result, or without a zero point for the integers.
        let plain = ["output_dtype", "precision"];
        if scale.dtype() != DType::Float
            || entry.attr_int("block_size").unwrap_or(0) != 0
            || plain.iter().any(|name| entry.attr_int(name).unwrap_or(0) != 0)
        {
            return None;
        }
        let [scale] = scale.to_f32().ok()?[..] else { return None };
        let (zero_point, dtype) = match entry.input(2) {
            Some(zero) => {
                let zero = constant(view, zero)?;
                let dtype = zero.dtype();
                let [zero] = zero.to_f64().ok()?[..] else { return None };
                (zero as i64, dtype)
            }
            None => (0, DType::Uint8),
        };
        let bounds = dtype.integer_range().filter(|_| dtype.bits() <= 16)?;
        Some(Self { scale, zero_point, dtype, bounds: (bounds.0 as i64, bounds.1 as i64) })
    }
}

/// `scale · clamp(round(x / scale), low, high)`, with ties to even: ONNX QuantizeLinear and
/// DequantizeLinear, with the zero point in the bounds.
#[derive(Debug, Clone, PartialEq)]
struct RoundToGrid {
    scale: f32,
    low: f32,
    high: f32,
}

impl Eq for RoundToGrid {}

/// Adding this to a float of magnitude below 2²² and taking it away again rounds it, ties to even.
const ROUNDING: f32 = 1.5 * (1 << 23) as f32;

impl RoundToGrid {
    /// As tract does, elements are multiplied by the reciprocal; what is not a number becomes zero.
    fn round(&self, elements: &mut [f32]) {
        let per_step = self.scale.recip();
        for x in elements {
            let steps = *x * per_step;
            let steps = if steps.is_nan() { 0.0 } else { steps };
            // Bounds are whole, so that cutting before rounding is the same.
            let cut = steps.max(self.low).min(self.high);
            *x = (cut + ROUNDING - ROUNDING) * self.scale;
        }
    }
}

impl ElementWiseMiniOp for RoundToGrid {
    fn name(&self) -> String {
        "RoundToGrid".to_owned()
    }

    fn output_type(&self, _: DatumType) -> Option<DatumType> {
        Some(f32::datum_type())
    }

    fn eval_in_place(&self, tensor: &mut Tensor, _: Option<DatumType>) -> TractResult<()> {
        let mut plain = tensor.try_as_plain_ram_mut()?;
        self.round(plain.as_slice_mut::<f32>()?);
        Ok(())
    }

    fn eval_out_of_place(&self, tensor: &Tensor, _: Option<DatumType>) -> TractResult<Tensor> {
        let mut floats = tensor.cast_to::<f32>()?.into_owned();
        self.eval_in_place(&mut floats, None)?;
        Ok(floats)
    }
}

#[cfg(test)]
mod tests {
    use super::RoundToGrid;

    #[test]
    fn elements_go_to_the_nearest_number_of_the_grid() {
        // int8 with zero point 3: -131 to 124 steps.
        let grid = RoundToGrid { scale: 0.5, low: -131.0, high: 124.0 };
        let nan = f32::NAN;
        let mut x = [0.0, 0.25, 0.75, -0.25, -0.75, 0.3, 1e9, -1e9, f32::INFINITY, nan, -65.3];
        grid.round(&mut x);
        assert_eq!(x, [0.0, 0.0, 1.0, 0.0, -1.0, 0.5, 62.0, -65.5, 62.0, 0.0, -65.5]);
    }

    #[test]
    fn sixteen_bits_are_exact() {
        let grid = RoundToGrid { scale: 1.0, low: -32_768.0, high: 32_767.0 };
        let mut x: Vec<f32> = (-66_000..66_000).map(|i| i as f32 / 2.0).collect();
        let expected: Vec<f32> =
            x.iter().map(|x| x.round_ties_even().clamp(-32_768.0, 32_767.0)).collect();
        grid.round(&mut x);
        assert_eq!(x, expected);
    }
}
