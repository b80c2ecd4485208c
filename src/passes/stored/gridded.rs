//! Integers on grids, and the operators that turn them into floats.

use crate::analysis::{constant, scale_index};
use crate::ir::{self, Model, NodeId, ValueId};
use crate::math::Grid;
use crate::passes::stored::weight::exchange;
use crate::tensor::{DType, Tensor};

/// An input of a node, and what is there.
pub(super) type Parameter = (NodeId, usize, ValueId);

/// Integers on grids as they are stored, and how they are divided.
pub(in crate::passes) struct Gridded {
    pub value: ValueId,
    pub tensor: Tensor,
    pub grids: Vec<Grid>,
    /// The axis along which grids change, and how many neighbours share one there; 0 when each has its own.
    pub axis: usize,
    pub block: usize,
    pub scale_dims: Vec<usize>,
    /// The extents of the scales, without those of 1 that only broadcast.
    divided: Vec<usize>,
    /// Who reads the scales, and what they are.
    pub scales: Parameter,
    /// Zero points that may be others: symmetric grids stay such.
    pub zeros: Option<Parameter>,
    /// The type of the floats.
    pub dtype: DType,
}

impl Gridded {
    /// What `floats` are made of; nothing when it is something else.
    ///
    /// # Errors
    /// Why they are no weights on grids.
    pub fn of(model: &Model, floats: ValueId) -> Result<Option<Self>, String> {
        let Some(Unpacking { integers, scales, zeros, axis, block, dtype, .. }) =
            Unpacking::of(model, floats)
        else {
            return Ok(None);
        };
        let (Some(tensor), Some(scale)) = (constant(model, integers), constant(model, scales.2))
        else {
            return Ok(None);
        };
        if ![DType::Float, DType::Float16].contains(&scale.dtype()) {
            return Ok(None);
        }
        let odd = |_| "its scales cannot be read".to_owned();
        let (low, high) = tensor.dtype().integer_range().ok_or("it holds no integers")?;
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
        let low = if centred && tensor.dtype().bits() >= 8 { low + 1 } else { low };
        let bounds = i32::try_from(low).ok().zip(i32::try_from(high).ok());
        let (low, high) = bounds.ok_or("its integers are wider than 16 bits")?;
        let grids = numbers
            .iter()
            .zip(&zero_points)
            .map(|(&scale, &zero)| Grid { scale, zero_point: zero as i32, low, high })
            .collect();
        let rank = tensor.dims().len();
        let (axis, divided) = match axis {
            Axis::Attribute(axis) => {
                (ir::position(axis, rank).unwrap_or(rank), scale.dims().to_vec())
            }
            Axis::Broadcast => {
                let along = scale.dims().iter().position(|&extent| extent != 1).unwrap_or(0);
                let whole = scale.dims().len() == rank || numbers.len() == 1;
                (along, if whole { vec![numbers.len()] } else { Vec::new() })
            }
        };
        let (scale_dims, zeros) = (scale.dims().to_vec(), zeros.filter(|_| !centred));
        Ok(Some(Self {
            value: integers,
            tensor,
            grids,
            axis,
            block,
            scale_dims,
            divided,
            dtype: dtype.unwrap_or(scale.dtype()),
            scales,
            zeros,
        }))
    }

    /// Flat indices of the integers on one grid.
    ///
    /// # Errors
    /// When the scales do not fit the integers.
    pub fn members(&self) -> Result<impl Fn(usize) -> Members + use<>, String> {
        let _ = self.index()?;
        let dims = self.tensor.dims();
        let single = self.grids.len() == 1 && self.block == 0;
        let (extent, inner) = match single {
            true => (1, 1),
            false => {
                (dims[self.axis].max(1), dims[self.axis + 1..].iter().product::<usize>().max(1))
            }
        };
        let (block, count) = (self.block, self.tensor.len());
        let blocks = if block == 0 { 0 } else { extent.div_ceil(block) };
        Ok(move |grid: usize| match block {
            _ if single => {
                Members { first: 0, along: 1, inner: count, outer: 1, step: 0, slice: 0 }
            }
            0 => {
                let slice = extent * inner;
                let outer = count / slice.max(1);
                Members { first: grid * inner, along: 1, inner, outer, step: 0, slice }
            }
            size => {
                let (place, at) = (grid / inner, grid % inner);
                let (outer, start) = (place / blocks, place % blocks * size);
                let first = (outer * extent + start) * inner + at;
                let along = size.min(extent - start);
                Members { first, along, inner: 1, outer: 1, step: inner, slice: 0 }
            }
        })
    }

    /// Stores other integers on other grids.
    pub fn replace(&self, model: &mut Model, integers: Tensor, grids: &[Grid]) {
        model.set_tensor(self.value, integers);
        store(model, &self.grids, grids, (self.scales, self.zeros), &self.scale_dims);
    }

    /// For the flat index of an integer, the index of its grid.
    ///
    /// # Errors
    /// When the scales do not fit the integers.
    pub fn index(&self) -> Result<impl Fn(usize) -> usize, String> {
        scale_index(self.tensor.dims(), &self.divided, self.axis as i64, self.block)
            .ok_or_else(|| "its scales do not fit its integers".to_owned())
    }
}

/// Places of the elements that share a grid.
#[derive(Debug, Clone, Copy)]
pub(in crate::passes) struct Members {
    first: usize,
    /// Neighbours along the axis, and the distance of these.
    along: usize,
    step: usize,
    /// Elements side by side.
    inner: usize,
    /// Slices of outer axes, and the distance of these.
    outer: usize,
    slice: usize,
}

impl Members {
    /// Flat indices.
    pub fn places(self) -> impl Iterator<Item = usize> {
        let Self { first, along, step, inner, outer, slice } = self;
        (0..outer).flat_map(move |o| {
            (0..along).flat_map(move |a| {
                let begin = first + o * slice + a * step;
                begin..begin + inner
            })
        })
    }
}

/// Stores the scales and zero points that differ from those before.
pub(super) fn store(
    model: &mut Model,
    before: &[Grid],
    grids: &[Grid],
    ((node, slot, old), zeros): (Parameter, Option<Parameter>),
    dims: &[usize],
) {
    let differ = |other: &dyn Fn(&Grid, &Grid) -> bool| {
        before.iter().zip(grids).any(|(before, now)| other(before, now))
    };
    if differ(&|before, now| before.scale != now.scale) {
        let scales: Vec<f32> = grids.iter().map(|grid| grid.scale).collect();
        let dtype = constant(model, old).map_or(DType::Float, |old| old.dtype());
        let stored = Tensor::from_f32_as(dtype, dims, &scales);
        let stored = stored.unwrap_or_else(|_| Tensor::from_f32(dims, &scales));
        exchange(model, node, slot, old, stored);
    }
    if let Some((node, slot, old)) = zeros
        && let Some(dtype) = constant(model, old).map(|zeros| zeros.dtype())
        && differ(&|before, now| before.zero_point != now.zero_point)
    {
        let zeros: Vec<i32> = grids.iter().map(|grid| grid.zero_point).collect();
        let zeros = match dtype {
            DType::Float => {
                let zeros: Vec<f32> = zeros.iter().map(|&zero| zero as f32).collect();
                Tensor::from_f32(dims, &zeros)
            }
            dtype => Tensor::from_integers(dtype, dims, &zeros),
        };
        exchange(model, node, slot, old, zeros);
    }
}

/// How floats come out of integers: by a DequantizeLinear, or a Cast, perhaps a Sub, and a Mul; and perhaps a Cast
/// to another type of floats.
pub(in crate::passes) struct Unpacking {
    /// What stands between.
    pub inner: Vec<ValueId>,
    /// They need not be constants.
    pub integers: ValueId,
    scales: Parameter,
    zeros: Option<Parameter>,
    axis: Axis,
    block: usize,
    /// The type that floats are cast to in the end.
    dtype: Option<DType>,
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
        let scaled = entry.input(0).filter(|_| entry.is("Cast"));
        let maker = scaled.and_then(|scaled| model.value(scaled).producer());
        if let (Some(scaled), Some(maker)) = (scaled, maker.map(|maker| model.node(maker)))
            && (maker.is("Mul") || maker.is("DequantizeLinear"))
        {
            let mut found = Self::of(model, scaled)?;
            found.inner.push(scaled);
            let to = entry.attr_int("to").and_then(|to| i32::try_from(to).ok());
            let dtype = Some(to.and_then(DType::from_onnx)?);
            return Some(Self { dtype, ..found });
        }
        if entry.is("DequantizeLinear") {
            return Some(Self {
                inner: Vec::new(),
                integers: entry.input(0)?,
                scales: (node, 1, entry.input(1)?),
                zeros: entry.input(2).map(|zeros| (node, 2, zeros)),
                axis: Axis::Attribute(entry.attr_int("axis").unwrap_or(1)),
                block: usize::try_from(entry.attr_int("block_size").unwrap_or(0)).ok()?,
                dtype: None,
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
        let axis = Axis::Broadcast;
        Some(Self { inner, integers, scales, zeros, axis, block: 0, dtype: None })
    }
}
