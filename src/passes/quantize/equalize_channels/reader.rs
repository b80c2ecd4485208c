//! Layers that multiply channels by constants, seen from their input.

use crate::analysis::{Contraction, WEIGHT_SLOT, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Unfold;
use crate::passes::rewrite::linear::{parameter, put, store};
use crate::tensor::Tensor;

/// A Conv, ConvTranspose, Gemm or MatMul with weights of its own.
#[derive(Debug, Clone)]
pub(super) struct Reader {
    pub node: NodeId,
    contraction: Contraction,
    /// Axis of the input that counts channels: from the front, or from the back when negative.
    pub axis: isize,
    /// Number of input channels.
    pub channels: usize,
}

/// New weights of a layer.
pub(super) struct Scaled {
    node: NodeId,
    weight: ValueId,
    tensor: Tensor,
}

impl Reader {
    /// The view.
    ///
    /// # Errors
    /// Why the weights of `node` cannot be scaled by input channels.
    pub fn of(model: &Model, node: NodeId) -> Result<Self, String> {
        let weight = model.node(node).input(WEIGHT_SLOT);
        let weight = weight.filter(|&weight| constant(model, weight).is_some());
        let weight = weight.ok_or("what reads it has no constant weights")?;
        if model.value(weight).only_consumer().is_none() {
            return Err(format!("weight `{}` is shared", model.value(weight).name()));
        }
        let tensor = parameter(model, weight)?;
        let contraction = Contraction::of(model, node, tensor.dims())?;
        let axis = match contraction.unfold {
            Unfold::Rows => -1,
            Unfold::Columns => return Err("its input is transposed".into()),
            Unfold::Windows(_) => 1,
        };
        let mut reader = Self { node, contraction, axis, channels: 0 };
        reader.channels =
            reader.contraction.groups * reader.contraction.columns / reader.places().max(1);
        Ok(reader)
    }

    /// What it multiplies.
    pub fn input(&self) -> ValueId {
        self.contraction.input
    }

    /// The layer as a product.
    pub fn contraction(&self) -> &Contraction {
        &self.contraction
    }

    /// The weights in the order of its matrices.
    pub fn matrices(&self, model: &Model) -> Result<Vec<f64>, String> {
        let (_, _, values) = self.weight(model)?;
        Ok(self.contraction.matrices(&values))
    }

    /// Weights of one input channel in a row.
    pub fn places(&self) -> usize {
        match &self.contraction.unfold {
            Unfold::Windows(windows) => windows.kernel.iter().product(),
            _ => 1,
        }
    }

    /// The input channel of an element of the weights.
    fn channel(&self, flat: usize) -> usize {
        let Contraction { rows, columns, .. } = self.contraction;
        let place = self.contraction.place(flat);
        let (group, column) = (place / (rows * columns).max(1), place % columns.max(1));
        let places = self.places().max(1);
        group * (columns / places) + column / places
    }

    fn weight(&self, model: &Model) -> Result<(ValueId, Tensor, Vec<f64>), String> {
        let weight = model.node(self.node).input(WEIGHT_SLOT).ok_or("it has no weight")?;
        let tensor = parameter(model, weight)?;
        let values = tensor.to_f64().map_err(|error| error.to_string())?;
        Ok((weight, tensor, values))
    }

    /// The largest magnitude of the weights of each input channel.
    pub fn magnitudes(&self, model: &Model) -> Result<Vec<f64>, String> {
        let (_, _, values) = self.weight(model)?;
        let mut largest = vec![0f64; self.channels];
        for (flat, value) in values.iter().enumerate() {
            let channel = &mut largest[self.channel(flat)];
            *channel = channel.max(value.abs());
        }
        Ok(largest)
    }

    /// The weights with the factors of their input channels.
    pub fn scaled(&self, model: &Model, factors: &[f64]) -> Result<Scaled, String> {
        let (weight, tensor, mut values) = self.weight(model)?;
        for (flat, value) in values.iter_mut().enumerate() {
            *value *= factors[self.channel(flat)];
        }
        let tensor = store(&tensor, tensor.dims(), &values)?;
        Ok(Scaled { node: self.node, weight, tensor })
    }
}

impl Scaled {
    /// Gives the layer its new weights.
    pub fn apply(self, model: &mut Model) {
        put(model, self.node, WEIGHT_SLOT, self.weight, self.tensor);
    }
}
