//! Layers with weights that can be replaced.

use std::collections::HashSet;

use crate::analysis::{Contraction, WEIGHT_SLOT, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::stored::Linear;
use crate::passes::{Report, fitting};
use crate::tensor::{DType, Tensor};

/// A layer, and its weights in the order of its matrices.
pub(super) struct DenseLayer {
    pub node: NodeId,
    pub contraction: Contraction,
    pub values: Vec<f64>,
    weight: ValueId,
    tensor: Tensor,
}

impl Linear for DenseLayer {
    fn node(&self) -> NodeId {
        self.node
    }

    fn contraction(&self) -> &Contraction {
        &self.contraction
    }
}

impl DenseLayer {
    /// The layers of the main graph that multiply with constant floats; others of these operators, and
    /// recurrent ones, are declined in `report`.
    pub fn all(model: &Model, keep: &[String], report: &mut Report) -> Vec<Self> {
        let mut layers: Vec<Self> = Vec::new();
        let mut seen: HashSet<ValueId> = HashSet::new();
        for (node, entry) in model.nodes_of(model.main()) {
            let recurrent = entry.is_recurrent();
            if !entry.is_linear() && !recurrent {
                continue;
            }
            let weight = entry.input(WEIGHT_SLOT);
            let Some(weight) = weight.filter(|&weight| constant(model, weight).is_some()) else {
                continue;
            };
            if let Some(pattern) = fitting(model, node, keep) {
                report.refuse(model.label(node), format!("kept by `{pattern}`"));
            } else if !seen.insert(weight) {
                report.refuse(model.label(node), "shares its weights with a layer before it");
            } else {
                match Self::of(model, node, weight) {
                    Ok(layer) => layers.push(layer),
                    Err(reason) => report.refuse(model.label(node), reason),
                }
            }
        }
        layers
    }

    fn of(model: &Model, node: NodeId, weight: ValueId) -> Result<Self, String> {
        let tensor = constant(model, weight).ok_or("its weights are no constant")?;
        if !tensor.dtype().is_float() || tensor.dtype() == DType::Double {
            return Err(format!("its weights are {}", tensor.dtype()));
        }
        let contraction = Contraction::of(model, node, tensor.dims())?;
        let elements = tensor.to_f64().map_err(|error| error.to_string())?;
        let values = contraction.matrices(&elements);
        Ok(Self { node, contraction, values, weight, tensor })
    }

    /// Gives the layer other weights, and says how many are zero.
    pub fn replace(&self, model: &mut Model, values: &[f64], report: &mut Report) {
        if values == self.values {
            return;
        }
        let elements = self.contraction.tensor(values).into_iter().map(|x| x as f32);
        let elements: Vec<f32> = elements.collect();
        let dims = self.tensor.dims();
        let Ok(tensor) = Tensor::from_f32_as(self.tensor.dtype(), dims, &elements) else {
            return report.refuse(model.label(self.node), "its weights cannot be written");
        };
        let zeros = values.iter().filter(|&&x| x == 0.0).count();
        match model.value(self.weight).producer() {
            None => model.set_tensor(self.weight, tensor),
            Some(node) => model.fold_node(node, vec![Some(tensor)]),
        }
        let share = 100.0 * zeros as f64 / values.len().max(1) as f64;
        report.did(model.label(self.node), format!("{share:.1} % of its weights are zero"));
    }
}
