//! What is added to the output channels of a quantized layer.

use crate::analysis::constant;
use crate::ir::{At, Model, NewNode, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::rewrite::linear::put;
use crate::passes::stored::StoredWeight;
use crate::passes::stored::weight::exchange;
use crate::tensor::{DType, Tensor};

/// What is added to each output channel of a layer.
pub(in crate::passes) struct Bias {
    /// One for each channel; zeros when there is none.
    pub values: Vec<f64>,
    place: BiasPlace,
}

enum BiasPlace {
    /// int32 behind a DequantizeLinear.
    Integers { node: NodeId, integers: ValueId, scale: ValueId, scales: Vec<f32> },
    /// An operand.
    Floats { node: NodeId, slot: usize, value: ValueId, dims: Vec<usize> },
    /// The layer has room for one; with the scales of integers when it computes with these.
    Missing { node: NodeId, scales: Option<Vec<f32>> },
}

/// Where Conv, ConvTranspose and Gemm have their bias.
const BIAS_SLOT: usize = 2;
/// Largest magnitude of a stored bias: half of what int32 holds, as when it was first stored.
pub(in crate::passes) const LARGEST_BIAS: f64 = (i32::MAX / 2) as f64;

impl Bias {
    /// The bias of a layer with so many output channels, whose weights have these scales.
    ///
    /// # Errors
    /// Why it cannot be changed.
    pub fn of(
        model: &Model,
        layer: NodeId,
        channels: usize,
        weight: &StoredWeight,
    ) -> Result<Self, String> {
        let entry = model.node(layer);
        let factors =
            ["alpha", "beta"].iter().any(|name| entry.attr_float(name).unwrap_or(1.0) != 1.0);
        if factors {
            return Err("its bias has factors".into());
        }
        let (node, slot) = match entry.is("MatMul") {
            false => (layer, BIAS_SLOT),
            true => {
                let reader = entry.only_output().and_then(|y| model.value(y).only_consumer());
                let (add, slot) =
                    reader.filter(|&(add, _)| model.node(add).is("Add")).ok_or("it has no bias")?;
                (add, 1 - slot)
            }
        };
        let Some(value) = model.node(node).input(slot) else {
            let input = entry.input(0).and_then(|x| input_scale(model, x));
            let grids = weight.points.grids();
            let few = weight.scale_dims.len() <= 1
                && !grids.is_empty()
                && channels.is_multiple_of(grids.len());
            let scale =
                |input: f32| (0..channels).map(|c| input * grids[c % grids.len()].scale).collect();
            let place = BiasPlace::Missing { node, scales: input.filter(|_| few).map(scale) };
            return Ok(Self { values: vec![0.0; channels], place });
        };
        let fits =
            |tensor: &Tensor| tensor.len() == channels && tensor.dims().last() == Some(&channels);
        let odd = || "its bias is no constant with one number for each channel".to_owned();
        if let Some(tensor) = constant(model, value) {
            let floats = tensor.dtype() == DType::Float && fits(&tensor);
            let values = tensor.to_f64().ok().filter(|_| floats).ok_or_else(odd)?;
            let dims = tensor.dims().to_vec();
            return Ok(Self { values, place: BiasPlace::Floats { node, slot, value, dims } });
        }
        let dequantize = model.value(value).producer().ok_or_else(odd)?;
        let entry = model.node(dequantize);
        let parts = || Some((entry.input(0)?, entry.input(1)?));
        let (integers, scale) = parts().filter(|_| entry.is("DequantizeLinear")).ok_or_else(odd)?;
        let constants = constant(model, integers).zip(constant(model, scale));
        let (stored, numbers) = constants.ok_or_else(odd)?;
        let scales = numbers.to_f32().map_err(|_| odd())?;
        let whole = stored.dtype() == DType::Int32
            && fits(&stored)
            && [1, channels].contains(&scales.len())
            && model.value(value).only_consumer().is_some()
            && model.value(integers).only_consumer().is_some()
            && model.value(integers).initializer().is_some();
        let elements = stored.to_f64().ok().filter(|_| whole).ok_or_else(odd)?;
        let values = elements.iter().enumerate();
        let values = values.map(|(c, q)| q * f64::from(scales[c % scales.len()])).collect();
        let place = BiasPlace::Integers { node: dequantize, integers, scale, scales };
        Ok(Self { values, place })
    }

    /// Where the bias stood in a model that was quantized since; zeros when it had none.
    pub fn before(&self, reference: &Model, channels: usize, layer: NodeId) -> Option<Vec<f64>> {
        let (node, slot) = match &self.place {
            BiasPlace::Floats { node, slot, .. } => (*node, *slot),
            BiasPlace::Missing { .. } => (layer, BIAS_SLOT),
            BiasPlace::Integers { .. } if reference.node(layer).is("MatMul") => {
                let output = reference.node(layer).only_output()?;
                let (add, slot) = reference.value(output).only_consumer()?;
                (add, 1 - slot)
            }
            BiasPlace::Integers { .. } => (layer, BIAS_SLOT),
        };
        if !reference.is_live(node) {
            return None;
        }
        match reference.node(node).input(slot) {
            None => Some(vec![0.0; channels]),
            Some(value) => {
                constant(reference, value)?.to_f64().ok().filter(|b| b.len() == channels)
            }
        }
    }

    /// The scales of a bias of integers when those of the weights change.
    pub fn following(
        &self,
        layer: &Model,
        node: NodeId,
        old: &[Grid],
        new: &[Grid],
    ) -> Option<Vec<f32>> {
        let BiasPlace::Integers { scales, .. } = &self.place else { return None };
        if old.is_empty() || new.is_empty() {
            return None;
        }
        let input = layer.node(node).input(0).and_then(|x| input_scale(layer, x));
        let count = scales.len().max(old.len());
        let scale = |c: usize| {
            let (old, new) = (old[c % old.len()].scale, new[c % new.len()].scale);
            if old == new {
                return scales[c % scales.len()];
            }
            input.unwrap_or(scales[c % scales.len()] / old) * new
        };
        Some((0..count).map(scale).collect())
    }

    /// For each of `grids` grids of the weights the least scale with which a bias of integers fits.
    pub fn least(&self, values: &[f64], old: &[Grid]) -> Vec<f32> {
        let mut least = vec![0f32; old.len()];
        if old.is_empty() {
            return least;
        }
        if let BiasPlace::Integers { scales, .. } = &self.place {
            for (c, x) in values.iter().enumerate() {
                let grid = c % old.len();
                let input = f64::from(scales[c % scales.len()]) / f64::from(old[grid].scale);
                least[grid] = least[grid].max((x.abs() / LARGEST_BIAS / input) as f32);
            }
        }
        least
    }

    /// Stores other numbers, on other scales when these follow a weight. Returns whether anything
    /// became different.
    pub fn replace(&self, model: &mut Model, values: &[f64], follow: Option<Vec<f32>>) -> bool {
        match &self.place {
            BiasPlace::Floats { node, slot, value, dims } => {
                let new: Vec<f32> = values.iter().map(|&x| x as f32).collect();
                let old: Vec<f32> = self.values.iter().map(|&x| x as f32).collect();
                if new == old {
                    return false;
                }
                put(model, *node, *slot, *value, Tensor::from_f32(dims, &new));
            }
            BiasPlace::Integers { node, integers, scale, scales } => {
                let new_scales = follow.unwrap_or_else(|| scales.clone());
                let new = on_scales(values, &new_scales);
                if new_scales == *scales && new == on_scales(&self.values, scales) {
                    return false;
                }
                model.set_tensor(*integers, Tensor::from_i32(&[new.len()], &new));
                if new_scales != *scales {
                    let single = model.value(*scale).initializer().map(|t| t.dims().to_vec());
                    let dims = single.unwrap_or_else(|| vec![new_scales.len()]);
                    exchange(model, *node, 1, *scale, Tensor::from_f32(&dims, &new_scales));
                }
            }
            BiasPlace::Missing { node, scales } => {
                if values.iter().all(|&x| x == 0.0) {
                    return false;
                }
                add_bias(model, *node, values, scales.as_deref());
            }
        }
        true
    }

    /// The bias is stored as integers, or will be.
    pub fn fits(&self, values: &[f64]) -> bool {
        let scales = match &self.place {
            BiasPlace::Integers { scales, .. } => scales,
            BiasPlace::Missing { scales: Some(scales), .. } => scales,
            _ => return true,
        };
        let within =
            |(c, x): (usize, &f64)| x.abs() <= LARGEST_BIAS * f64::from(scales[c % scales.len()]);
        values.iter().enumerate().all(within)
    }
}

fn on_scales(values: &[f64], scales: &[f32]) -> Vec<i32> {
    let integer =
        |(c, x): (usize, &f64)| (x / f64::from(scales[c % scales.len()])).round_ties_even() as i32;
    values.iter().enumerate().map(integer).collect()
}

/// The scale of a value that was quantized as a whole.
fn input_scale(model: &Model, value: ValueId) -> Option<f32> {
    let entry = model.node(model.value(value).producer()?);
    let scale = constant(model, entry.input(1).filter(|_| entry.is("DequantizeLinear"))?)?;
    match scale.to_f32().ok()?[..] {
        [scale] => Some(scale),
        _ => None,
    }
}

/// Gives a layer a bias.
fn add_bias(model: &mut Model, layer: NodeId, values: &[f64], scales: Option<&[f32]>) {
    let graph = model.node(layer).graph();
    let name = model.node(layer).output(0).map(|y| model.value(y).name().to_owned());
    let name = format!("{}_bias", name.unwrap_or_default());
    let Some(scales) = scales else {
        let floats: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        let bias = model.add_initializer(graph, &name, Tensor::from_f32(&[floats.len()], &floats));
        return model.set_input(layer, BIAS_SLOT, Some(bias));
    };
    let integers = Tensor::from_i32(&[values.len()], &on_scales(values, scales));
    let integers = model.add_initializer(graph, &name, integers);
    let scale = model.add_initializer(graph, "scale", Tensor::from_f32(&[scales.len()], scales));
    let mut node = NewNode::new("DequantizeLinear", &[integers, scale], &format!("{name}_dq"));
    node.name = String::new();
    let node = model.add_node(graph, At::Before(layer), node.attr("axis", 0));
    let floats = model.node(node).output(0);
    model.set_input(layer, BIAS_SLOT, floats);
}
