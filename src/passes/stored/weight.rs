//! Weights that are stored as integers, whatever operators turn them into floats.

use crate::analysis::{WEIGHT_SLOT, constant, scale_index};
use crate::ir::{Model, NodeId, ValueId};
use crate::math::Grid;
use crate::math::rounding::{Freedom, Points};
use crate::passes::stored::coded::Coded;
use crate::tensor::{DType, Tensor};

/// Integers of a weight with the points that they stand for.
pub(in crate::passes) struct StoredWeight {
    pub dims: Vec<usize>,
    pub integers: Vec<i32>,
    pub points: Points,
    /// For each integer, in the order of the tensor, the index of its part.
    pub part_of: Vec<u32>,
    /// How many neighbours along an axis share a scale; 0 when scales are for slices or for all.
    pub block: usize,
    pub scale_dims: Vec<usize>,
    place: Place,
}

/// An input of a node, and what is there.
type Parameter = (NodeId, usize, ValueId);

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
        let Some(Unpacking { integers, scales, zeros, axis, block, .. }) =
            Unpacking::of(model, floats)
        else {
            return Ok(None);
        };
        let (Some(stored), Some(scale)) = (constant(model, integers), constant(model, scales.2))
        else {
            return Ok(None);
        };
        if scale.dtype() != DType::Float {
            return Ok(None);
        }
        let odd = |_| "its integers or scales cannot be read".to_owned();
        let (low, high) = stored.dtype().integer_range().ok_or("it holds no integers")?;
        let numbers = scale.to_f32().map_err(odd)?;
        let zero_points = match zeros {
            Some((.., zeros)) => {
                constant(model, zeros).ok_or("its zero point is no constant")?.to_f32()
            }
            None => Ok(vec![0.0; numbers.len()]),
        };
        let zero_points = zero_points.map_err(odd)?;
        if zero_points.len() != numbers.len() {
            return Err("its zero points do not fit its scales".into());
        }
        // Runtimes take 8-bit integers around the middle for symmetric, and the lowest would overflow in
        // some of their kernels. Fewer bits cannot spare a level.
        let middle = (low + high + 1) / 2;
        let centred = zero_points.iter().all(|&zero| f64::from(zero) == middle as f64);
        let low = if centred && stored.dtype().bits() >= 8 { low + 1 } else { low };
        let bounds = i32::try_from(low).ok().zip(i32::try_from(high).ok());
        let (low, high) = bounds.ok_or("its integers are wider than 16 bits")?;
        let grids = numbers
            .iter()
            .zip(&zero_points)
            .map(|(&scale, &zero)| Grid { scale, zero_point: zero as i32, low, high })
            .collect();
        let dims = stored.dims().to_vec();
        let (axis, scale_dims) = match axis {
            Axis::Attribute(axis) => (axis, scale.dims().to_vec()),
            Axis::Broadcast => {
                let along = scale.dims().iter().position(|&extent| extent != 1).unwrap_or(0);
                let whole = scale.dims().len() == dims.len() || numbers.len() == 1;
                (along as i64, if whole { vec![numbers.len()] } else { Vec::new() })
            }
        };
        let index = scale_index(&dims, &scale_dims, axis, block)
            .ok_or("its scales do not fit its integers")?;
        let part_of = (0..stored.len()).map(|i| index(i) as u32).collect();
        drop(index);
        Ok(Some(Self {
            integers: stored.to_i64().map_err(odd)?.into_iter().map(|q| q as i32).collect(),
            dims,
            points: Points::Grids(grids),
            part_of,
            block,
            scale_dims: scale.dims().to_vec(),
            // Symmetric grids stay such.
            place: Place::Grids {
                value: integers,
                dtype: stored.dtype(),
                scales,
                zeros: zeros.filter(|_| !centred),
            },
        }))
    }

    fn coded(mut coded: Coded) -> Self {
        Self {
            dims: coded.layout.dims.clone(),
            integers: std::mem::take(&mut coded.indices),
            points: coded.points.clone(),
            part_of: coded.layout.parts(),
            block: 0,
            scale_dims: coded.layout.scale_dims(),
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
    pub fn floats(&self) -> Vec<f64> {
        let stored = self.integers.iter().zip(&self.part_of);
        // Runtimes multiply as `float`.
        stored.map(|(&q, &part)| f64::from(self.points.point(part, q) as f32)).collect()
    }

    /// Stores other integers, and other points as far as they are free.
    pub fn replace(&self, model: &mut Model, integers: &[i32], points: &Points) {
        let (value, dtype, (node, slot, old), zeros) = match &self.place {
            Place::Grids { value, dtype, scales, zeros } => (*value, *dtype, *scales, *zeros),
            Place::Coded(coded) => return coded.replace(model, integers, points),
        };
        model.set_tensor(value, Tensor::from_integers(dtype, &self.dims, integers));
        let (before, grids) = (self.points.grids(), points.grids());
        let differ = |other: &dyn Fn(&Grid, &Grid) -> bool| {
            before.iter().zip(grids).any(|(before, now)| other(before, now))
        };
        if differ(&|before, now| before.scale != now.scale) {
            let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
            exchange(model, node, slot, old, Tensor::from_f32(&self.scale_dims, &scales));
        }
        if let Some((node, slot, old)) = zeros
            && let Some(dtype) = constant(model, old).map(|zeros| zeros.dtype())
            && differ(&|before, now| before.zero_point != now.zero_point)
        {
            let zeros: Vec<i32> = grids.iter().map(|grid| grid.zero_point).collect();
            let zeros = match dtype {
                DType::Float => {
                    let zeros: Vec<f32> = zeros.iter().map(|&zero| zero as f32).collect();
                    Tensor::from_f32(&self.scale_dims, &zeros)
                }
                dtype => Tensor::from_integers(dtype, &self.scale_dims, &zeros),
            };
            exchange(model, node, slot, old, zeros);
        }
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

/// How floats come out of integers: by a DequantizeLinear, or a Cast, perhaps a Sub, and a Mul.
pub(in crate::passes) struct Unpacking {
    /// What stands between.
    inner: Vec<ValueId>,
    /// They need not be constants.
    pub integers: ValueId,
    scales: Parameter,
    zeros: Option<Parameter>,
    axis: Axis,
    block: usize,
}

/// Which elements a scale is for.
enum Axis {
    Attribute(i64),
    /// Those that it is broadcast to.
    Broadcast,
}

impl Unpacking {
    /// Where `floats` come out of; nothing when they are made in another way.
    pub fn of(model: &Model, floats: ValueId) -> Option<Self> {
        let node = model.value(floats).producer()?;
        let entry = model.node(node);
        if entry.is("DequantizeLinear") {
            return Some(Self {
                inner: Vec::new(),
                integers: entry.input(0)?,
                scales: (node, 1, entry.input(1)?),
                zeros: entry.input(2).map(|zeros| (node, 2, zeros)),
                axis: Axis::Attribute(entry.attr_int("axis").unwrap_or(1)),
                block: usize::try_from(entry.attr_int("block_size").unwrap_or(0)).ok()?,
            });
        }
        if !entry.is("Mul") {
            return None;
        }
        let scales = (node, 1, entry.input(1)?);
        let mut inner = vec![entry.input(0)?];
        let before = model.value(inner[0]).producer()?;
        let mut step = model.node(before);
        let mut zeros = None;
        if step.is("Sub") {
            zeros = Some((before, 1, step.input(1)?));
            inner.push(step.input(0)?);
            step = model.node(model.value(step.input(0)?).producer()?);
        }
        let integers = step.input(0).filter(|_| step.is("Cast"))?;
        Some(Self { inner, integers, scales, zeros, axis: Axis::Broadcast, block: 0 })
    }
}
