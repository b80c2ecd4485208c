//! Weights that are stored as integers, whatever operators turn them into floats.

use crate::analysis::WEIGHT_SLOT;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::rounding::{Freedom, Points};
use crate::passes::stored::coded::Coded;
use crate::passes::stored::gridded::{Gridded, Parameter, Unpacking, store};
use crate::tensor::{DType, Tensor};

/// Integers of a weight with the points that they stand for.
pub(crate) struct StoredWeight {
    pub dims: Vec<usize>,
    pub integers: Vec<i32>,
    pub points: Points,
    /// For each integer, in the order of the tensor, the index of its part.
    pub part_of: Vec<u32>,
    pub scale_dims: Vec<usize>,
    /// The type of the floats that are made of the integers.
    pub dtype: DType,
    place: Place,
}

/// Where integers are.
enum Place {
    /// On grids: the integers, and who reads the scales and the zero points and what they are.
    Grids { value: ValueId, dtype: DType, scales: Parameter, zeros: Option<Parameter> },
    /// Indices into a table.
    Coded(Coded),
}

impl StoredWeight {
    /// The weight of a layer; nothing when it is not stored as integers.
    ///
    /// # Errors
    /// Why its integers cannot be exchanged.
    pub fn of(model: &Model, layer: NodeId) -> Result<Option<Self>, String> {
        let Some(floats) = model.node(layer).input(WEIGHT_SLOT) else { return Ok(None) };
        if let Some(coded) = Coded::of(model, floats) {
            return Ok(Some(Self::coded(coded)));
        }
        let Some(Unpacking { inner, integers, .. }) = Unpacking::of(model, floats) else {
            return Ok(None);
        };
        let alone = |value: ValueId| model.value(value).only_consumer().is_some();
        if !alone(floats) || !alone(integers) || !inner.iter().all(|&value| alone(value)) {
            return Err("its integers are read by other layers, too".into());
        }
        match model.value(integers).initializer() {
            Some(_) => Self::behind(model, floats),
            None => Ok(None),
        }
    }

    /// The integers that `floats` are made of, whoever else reads them; nothing when it is made of none.
    ///
    /// # Errors
    /// Why they are no weights on grids.
    pub fn behind(model: &Model, floats: ValueId) -> Result<Option<Self>, String> {
        let Some(gridded) = Gridded::of(model, floats)? else { return Ok(None) };
        let index = gridded.index()?;
        let Gridded { value, ref tensor, ref grids, ref scale_dims, scales, zeros, .. } = gridded;
        let odd = |_| "its integers cannot be read".to_owned();
        Ok(Some(Self {
            integers: tensor.to_i64().map_err(odd)?.into_iter().map(|q| q as i32).collect(),
            part_of: (0..tensor.len()).map(|i| index(i) as u32).collect(),
            dims: tensor.dims().to_vec(),
            points: Points::Grids(grids.clone()),
            scale_dims: scale_dims.clone(),
            dtype: gridded.dtype,
            place: Place::Grids { value, dtype: tensor.dtype(), scales, zeros },
        }))
    }

    fn coded(mut coded: Coded) -> Self {
        Self {
            dims: coded.layout.dims.clone(),
            integers: std::mem::take(&mut coded.indices),
            points: coded.points.clone(),
            part_of: coded.layout.parts(),
            scale_dims: coded.layout.scale_dims(),
            dtype: DType::Float,
            place: Place::Coded(coded),
        }
    }

    /// The bits that tell the integers apart.
    pub fn bits(&self) -> u32 {
        match (&self.place, &self.points) {
            (Place::Grids { dtype, .. }, _) => dtype.bits() as u32,
            (_, Points::Table { numbers, .. }) => numbers.len().next_power_of_two().ilog2(),
            (_, Points::Grids(_)) => u32::MAX,
        }
    }

    /// What of the points can be stored anew.
    pub fn freedom(&self) -> Freedom {
        match &self.place {
            Place::Grids { zeros, .. } => {
                Freedom { numbers: false, scales: true, zeros: zeros.is_some() }
            }
            Place::Coded(coded) => {
                Freedom { numbers: coded.has_table(), scales: coded.has_scales(), zeros: false }
            }
        }
    }

    /// The value that holds integers on grids, and their type; nothing for indices.
    pub fn on_grids(&self) -> Option<(ValueId, DType)> {
        match self.place {
            Place::Grids { value, dtype, .. } => Some((value, dtype)),
            Place::Coded(_) => None,
        }
    }

    /// The weights that the integers stand for.
    pub fn floats(&self) -> impl Iterator<Item = f64> {
        let stored = self.integers.iter().zip(&self.part_of);
        // Runtimes multiply as `float`.
        stored.map(|(&q, &part)| f64::from(self.points.point(part, q) as f32))
    }

    /// Stores other integers, and other points as far as they are free.
    pub fn replace(&self, model: &mut Model, integers: &[i32], points: &Points) {
        let (value, dtype, scales, zeros) = match &self.place {
            Place::Grids { value, dtype, scales, zeros } => (*value, *dtype, *scales, *zeros),
            Place::Coded(coded) => return coded.replace(model, integers, points),
        };
        model.set_tensor(value, Tensor::from_integers(dtype, &self.dims, integers));
        let (before, grids) = (self.points.grids(), points.grids());
        store(model, before, grids, (scales, zeros), &self.scale_dims);
    }
}

/// Puts a constant in the place of another, which others may read.
pub(in crate::passes) fn exchange(
    model: &mut Model,
    node: NodeId,
    slot: usize,
    old: ValueId,
    tensor: Tensor,
) {
    let alone = model.value(old).only_consumer().is_some();
    if alone && model.value(old).initializer().is_some() {
        return model.set_tensor(old, tensor);
    }
    let name = model.value(old).name().to_owned();
    let base = name.rsplit_once('_').filter(|(_, n)| n.parse::<u32>().is_ok());
    let base = base.map_or(&*name, |(base, _)| base).to_owned();
    let graph = model.node(node).graph();
    let new = model.add_initializer(graph, &base, tensor);
    model.set_input(node, slot, Some(new));
}
