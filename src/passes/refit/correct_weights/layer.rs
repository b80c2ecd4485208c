//! Layers whose weights and biases can be fitted.

use crate::analysis::{Contraction, Shapes, Vectors, WEIGHT_SLOT, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Affine;
use crate::passes::refit::correct_weights::Survivors;
use crate::passes::rewrite::linear::{BIAS_SLOT, put};
use crate::tensor::{DType, Tensor};

/// A layer of a cut model.
pub(super) struct Layer {
    pub node: NodeId,
    pub contraction: Contraction,
    /// What it reads, in the cut model.
    pub reads: Vectors,
    /// What it gave, in the model before; or what that and a skip connection gave together.
    pub gave: Vectors,
    /// The skip connection in the cut model: what the layer should give is the rest.
    pub skip: Option<Vectors>,
    /// The channels of these that are left, in the order in which the layer makes them; all when `None`.
    pub kept: Option<Vec<usize>>,
    /// Of weights and bias; both are fitted in double precision.
    dtype: DType,
    weight: ValueId,
    weights: Vec<f64>,
    bias: Bias,
}

/// Where a layer has the numbers that it adds.
enum Bias {
    /// In an operand of this node.
    Stands { node: NodeId, slot: usize, value: ValueId, dims: Vec<usize>, values: Vec<f64> },
    /// Nowhere, but it could.
    Missing,
    /// It cannot have any.
    Never,
}

/// Most columns of a layer that is fitted: 134 MB for a matrix of them.
const MOST_COLUMNS: usize = 4096;

impl Layer {
    /// The layer `node` of `model`, which was cut out of `reference`, of which `shapes` were inferred;
    /// nothing when it is none with constant weights.
    ///
    /// # Errors
    /// Why it cannot be fitted.
    pub fn of(
        model: &Model,
        reference: &Model,
        node: NodeId,
        (shapes, survivors): (&Shapes, &Survivors),
    ) -> Result<Option<Self>, String> {
        let entry = model.node(node);
        if !entry.is_linear() || !reference.is_live(node) || reference.node(node).op() != entry.op()
        {
            return Ok(None);
        }
        let (Some(weight), Some(output)) = (entry.input(WEIGHT_SLOT), entry.only_output()) else {
            return Ok(None);
        };
        let Some(tensor) = constant(model, weight) else { return Ok(None) };
        let dtype = tensor.dtype();
        if !matches!(dtype, DType::Float | DType::Float16) {
            return Err(format!("its weights are {dtype}"));
        }
        if model.value(weight).only_consumer().is_none() {
            return Err("its weights are shared".into());
        }
        let factors =
            ["alpha", "beta"].iter().any(|name| entry.attr_float(name).unwrap_or(1.0) != 1.0);
        if factors {
            return Err("its product or bias has factors".into());
        }
        let contraction = Contraction::of(model, node, tensor.dims())?;
        if contraction.columns > MOST_COLUMNS {
            return Err(format!("{} inputs for each output are too many", contraction.columns));
        }
        let channels = contraction.groups * contraction.rows;
        let axis = match entry.is("MatMul") {
            true => shapes.rank(output).and_then(|rank| rank.checked_sub(1)),
            false => Some(1),
        };
        let kept = axis.and_then(|axis| survivors.on(output, axis));
        let before = before(reference, node).ok_or("its weights were no constant")?;
        let bias = Bias::of(model, node, output, (dtype, channels))?;
        let elements = tensor.to_f64().map_err(|error| error.to_string())?;
        Ok(Some(Self {
            node,
            reads: contraction.vectors(true),
            gave: contraction.outputs(output, before),
            skip: None,
            kept,
            dtype,
            weight,
            weights: contraction.matrices(&elements),
            bias,
            contraction,
        }))
    }

    /// What a skip connection adds to its output, and the sum: other constants may be added before. `None`
    /// when the output, or a sum, has several readers, or none of one kind.
    pub fn joined(&self, model: &Model) -> Option<(ValueId, ValueId)> {
        let mut value = self.gave.value;
        if let Bias::Stands { node, .. } = &self.bias
            && *node != self.node
        {
            value = model.node(*node).only_output()?;
        }
        let (add, slot) = model.value(value).only_consumer()?;
        let entry = model.node(add);
        let skip = entry.input(1 - slot.min(1)).filter(|_| entry.is("Add"))?;
        (skip != value && constant(model, skip).is_none()).then_some((skip, entry.only_output()?))
    }

    /// Makes the sum of the output and a skip connection what the layer is fitted to: it makes up for
    /// what the other one has lost.
    pub fn join(&mut self, (skip, sum): (ValueId, ValueId)) {
        let left = self.contraction.groups * self.contraction.rows;
        self.gave = self.contraction.outputs(sum, self.gave.columns);
        self.skip = Some(self.contraction.outputs(skip, left));
    }

    /// What is added behind the layer before a skip connection is.
    pub fn later_offset(&self) -> Option<&[f64]> {
        match &self.bias {
            Bias::Stands { node, values, .. } if *node != self.node => Some(values),
            _ => None,
        }
    }

    /// The weights and offset of a group as they are.
    pub fn affine(&self, group: usize) -> Affine {
        let Contraction { rows, columns, .. } = self.contraction;
        let weights = self.weights[group * rows * columns..][..rows * columns].to_vec();
        let offset = match &self.bias {
            // What MatMul gives has no bias yet.
            Bias::Stands { node, values, .. } if *node == self.node => {
                values[group * rows..][..rows].to_vec()
            }
            _ => vec![0.0; rows],
        };
        Affine { weights, offset }
    }

    /// Whether there is a place for an offset.
    pub fn is_free(&self) -> bool {
        !matches!(self.bias, Bias::Never)
    }

    /// Puts what was fitted for each group where it belongs, in the type of the weights. False, and nothing
    /// changes, when a number is too large for that.
    pub fn put(&self, model: &mut Model, fitted: &[Affine]) -> bool {
        let weights: Vec<f64> = fitted.iter().flat_map(|part| part.weights.clone()).collect();
        let offset: Vec<f64> = fitted.iter().flat_map(|part| part.offset.clone()).collect();
        let dims = constant(model, self.weight).map(|tensor| tensor.dims().to_vec());
        let weights = self.stored(&dims.unwrap_or_default(), &self.contraction.tensor(&weights));
        let bias = match &self.bias {
            Bias::Stands { node, dims, values, .. } => {
                let sum = |(new, old): (&f64, &f64)| match *node == self.node {
                    true => *new,
                    false => new + old,
                };
                let values: Vec<f64> = offset.iter().zip(values).map(sum).collect();
                self.stored(dims, &values).map(Some)
            }
            Bias::Missing => self.stored(&[offset.len()], &offset).map(Some),
            Bias::Never => Some(None),
        };
        let (Some(weights), Some(bias)) = (weights, bias) else { return false };
        put(model, self.node, WEIGHT_SLOT, self.weight, weights);
        match (&self.bias, bias) {
            (Bias::Stands { node, slot, value, .. }, Some(bias)) => {
                put(model, *node, *slot, *value, bias);
            }
            (_, Some(bias)) => {
                let graph = model.node(self.node).graph();
                let name = format!("{}_bias", model.value(self.weight).name());
                let bias = model.add_initializer(graph, &name, bias);
                model.set_input(self.node, BIAS_SLOT, Some(bias));
            }
            (_, None) => {}
        }
        true
    }

    /// Numbers in the type of the weights; `None` when one is no number there.
    fn stored(&self, dims: &[usize], values: &[f64]) -> Option<Tensor> {
        let floats: Vec<f32> = values.iter().map(|&x| x as f32).collect();
        let tensor = Tensor::from_f32_as(self.dtype, dims, &floats).ok()?;
        tensor.to_f32().ok()?.iter().all(|x| x.is_finite()).then_some(tensor)
    }
}

/// Number of output channels that the layer had.
fn before(reference: &Model, node: NodeId) -> Option<usize> {
    let weight = constant(reference, reference.node(node).input(WEIGHT_SLOT)?)?;
    let found = Contraction::of(reference, node, weight.dims()).ok()?;
    Some(found.groups * found.rows)
}

impl Bias {
    fn of(
        model: &Model,
        layer: NodeId,
        output: ValueId,
        (dtype, channels): (DType, usize),
    ) -> Result<Self, String> {
        let (node, slot) = match model.node(layer).is("MatMul") {
            false => (layer, BIAS_SLOT),
            true => {
                let reader = model.value(output).only_consumer();
                let Some((add, slot)) = reader.filter(|&(add, _)| model.node(add).is("Add")) else {
                    return Ok(Self::Never);
                };
                (add, 1 - slot)
            }
        };
        let Some(value) = model.node(node).input(slot) else { return Ok(Self::Missing) };
        let tensor = constant(model, value).filter(|tensor| {
            tensor.dtype() == dtype
                && tensor.len() == channels
                && tensor.dims().last() == Some(&channels)
        });
        match tensor.map(|tensor| (tensor.dims().to_vec(), tensor.to_f64())) {
            Some((dims, Ok(values))) => Ok(Self::Stands { node, slot, value, dims, values }),
            // A skip connection is added to the product.
            _ if node != layer => Ok(Self::Never),
            _ => Err("its bias is no constant with one number for each channel".into()),
        }
    }
}
