//! Finds what the writer wrote.

use super::layout::Layout;
use super::packing::Packing;
use super::write::packed;
use crate::analysis::constant;
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::math::rounding::Points;
use crate::passes::stored::Share;
use crate::passes::stored::weight::exchange;
use crate::tensor::{DType, Tensor};

/// A weight that a model holds as indices.
pub(in crate::passes) struct Coded {
    pub layout: Layout,
    pub points: Points,
    pub indices: Vec<i32>,
    bytes: ValueId,
    /// How many indices the rows of digits were made for.
    base: usize,
    /// Who reads the table and what it is, unless bytes hold its numbers.
    table: Option<Place>,
    scales: Option<Place>,
}

/// An input of a node, and what is there.
type Place = (NodeId, usize, ValueId);

/// Most nodes between bytes and floats.
const LONGEST: usize = 12;

impl Coded {
    /// What makes `floats`; nothing when it is something else, or is not for this alone.
    pub fn of(model: &Model, floats: ValueId) -> Option<Self> {
        let chain = Chain::of(model, floats)?;
        let bytes = constant(model, chain.bytes).filter(|t| t.dtype() == DType::Uint8)?;
        model.value(chain.bytes).initializer()?;
        let picked = Picked::of(model, &chain)?;
        let scale = match chain.scales {
            Some((.., value)) => Some(constant(model, value)?),
            None => None,
        };
        let layout = chain.layout(&bytes, scale.as_ref())?;
        let mut stored = picked.indices(bytes.bytes())?;
        let places: usize = layout.stored_dims().iter().product();
        if stored.len() < places {
            return None;
        }
        stored.truncate(places);
        let count: usize = layout.dims.iter().product();
        let indices: Vec<i32> = (0..count).map(layout.place()).map(|i| stored[i]).collect();
        let parts: usize = layout.share.dims(&layout.dims).iter().product();
        let scales = match scale {
            Some(scale) => scale.to_f32().ok()?,
            None => vec![1.0; parts],
        };
        let rising = picked.numbers.windows(2).all(|pair| pair[0] < pair[1]);
        let sound = |x: &f32| x.is_finite() && *x >= 0.0;
        let known =
            indices.iter().all(|&i| usize::try_from(i).is_ok_and(|i| i < picked.numbers.len()));
        if scales.len() != parts || !scales.iter().all(sound) || !rising || !known {
            return None;
        }
        let points = Points::Table { numbers: picked.numbers, scales };
        let (table, base) = (chain.table, picked.base);
        Some(Self {
            layout,
            points,
            indices,
            bytes: chain.bytes,
            base,
            table,
            scales: chain.scales,
        })
    }

    /// Stores other indices, and other numbers and scales where they differ. What has no place to be stored
    /// in must not differ.
    pub fn replace(&self, model: &mut Model, indices: &[i32], points: &Points) {
        model.set_tensor(self.bytes, packed(&self.layout, Packing::of(self.base), indices));
        let Points::Table { numbers, scales } = points else { return };
        let vectors = [
            (self.table, vec![numbers.len()], numbers),
            (self.scales, self.layout.scale_dims(), scales),
        ];
        for (place, dims, floats) in vectors {
            let Some((node, slot, old)) = place else { continue };
            let new = Tensor::from_f32(&dims, floats);
            if constant(model, old).as_ref() != Some(&new) {
                exchange(model, node, slot, old, new);
            }
        }
    }

    /// Scales are stored, so others can be.
    pub fn has_scales(&self) -> bool {
        self.scales.is_some()
    }

    /// Numbers are stored, so others can be.
    pub fn has_table(&self) -> bool {
        self.table.is_some()
    }
}

/// The nodes from floats back to bytes.
struct Chain {
    /// Extents that Reshapes made and ends that Slices cut, from the floats back; `None` where the scales
    /// are multiplied.
    forms: Vec<Option<Vec<i64>>>,
    scales: Option<Place>,
    table: Option<Place>,
    digits: Option<ValueId>,
    bytes: ValueId,
}

impl Chain {
    fn of(model: &Model, floats: ValueId) -> Option<Self> {
        let mut chain =
            Self { forms: vec![], scales: None, table: None, digits: None, bytes: floats };
        let mut at = floats;
        for _ in 0..LONGEST {
            let value = model.value(at);
            // What others read, too, is not this layer's to change.
            value.only_consumer()?;
            let Some(producer) = value.producer() else {
                chain.bytes = at;
                return Some(chain);
            };
            let node = model.node(producer);
            at = chain.step(model, producer, node)?;
        }
        None
    }

    /// Goes back through a node.
    fn step(&mut self, model: &Model, id: NodeId, node: &Node) -> Option<ValueId> {
        let (first, second) = (node.input(0)?, node.input(1));
        let ints = |slot: usize| constant(model, node.input(slot)?)?.to_i64().ok();
        match node.op() {
            _ if !node.is_standard() => None,
            "Reshape" if self.table.is_none() && self.digits.is_none() => {
                self.forms.push(Some(ints(1)?));
                Some(first)
            }
            "Slice" if self.table.is_none() && self.digits.is_none() => {
                let (starts, ends, axes) = (ints(1)?, ints(2)?, ints(3)?);
                let plain = starts == [0] && node.input(4).is_none();
                let ([end], [axis]) = (&ends[..], &axes[..]) else { return None };
                self.forms.push(Some(vec![*axis, *end]));
                plain.then_some(first)
            }
            "Mul" if self.scales.is_none() && self.table.is_none() && self.digits.is_none() => {
                self.forms.push(None);
                self.scales = Some((id, 1, second?));
                Some(first)
            }
            "Gather" if node.attr_int("axis").unwrap_or(0) == 0 => {
                let from = constant(model, first)?;
                match (from.dtype(), from.dims().len()) {
                    (DType::Float, 1) if self.table.is_none() && self.digits.is_none() => {
                        self.table = Some((id, 0, first));
                    }
                    (DType::Uint8 | DType::Int8, 2) if self.digits.is_none() => {
                        self.digits = Some(first);
                    }
                    _ => return None,
                }
                second
            }
            "Cast" => Some(first),
            _ => None,
        }
    }

    fn layout(&self, bytes: &Tensor, scale: Option<&Tensor>) -> Option<Layout> {
        let extents = |dims: &[i64]| -> Option<Vec<usize>> {
            dims.iter().map(|&d| usize::try_from(d).ok()).collect()
        };
        let split = self.forms.iter().position(Option::is_none);
        // Without scales nothing is behind them.
        let (behind, before) = match split {
            Some(at) => (&self.forms[..at], &self.forms[at + 1..]),
            None => (&[][..], &self.forms[..]),
        };
        let stored = match before.first() {
            Some(Some(dims)) => extents(dims)?,
            _ => bytes.dims().to_vec(),
        };
        let scale_dims = scale.map(|scale| scale.dims().to_vec()).unwrap_or_default();
        let (cut, whole) = match behind {
            [Some(cut), Some(whole)] => (Some(extents(cut)?), Some(extents(whole)?)),
            [Some(whole)] => (None, Some(extents(whole)?)),
            [] => (None, None),
            _ => return None,
        };
        let layout = match whole {
            Some(whole) => {
                let axis = whole.iter().zip(&stored).position(|(a, b)| a != b);
                let axis = axis.unwrap_or(whole.len().checked_sub(1)?);
                let size = *stored.get(axis + 1).filter(|&&size| size > 0)?;
                let mut dims = whole;
                match cut.as_deref() {
                    Some(&[along, end]) if along == axis && end <= dims[axis] => dims[axis] = end,
                    Some(_) => return None,
                    None => {}
                }
                Layout { dims, share: Share::Block { axis, size } }
            }
            None => match scale_dims.iter().position(|&extent| extent != 1) {
                Some(axis) => Layout { dims: stored.clone(), share: Share::Axis(axis) },
                None => Layout { dims: stored.clone(), share: Share::Tensor },
            },
        };
        let fits = scale.is_none_or(|scale| {
            scale.len() == 1 && layout.share == Share::Tensor || scale_dims == layout.scale_dims()
        });
        (fits && layout.stored_dims() == stored).then_some(layout)
    }
}

/// How bytes become indices.
struct Picked {
    numbers: Vec<f32>,
    /// For each byte its indices; nothing when a byte is one.
    rows: Option<(Vec<i32>, usize)>,
    base: usize,
}

impl Picked {
    fn of(model: &Model, chain: &Chain) -> Option<Self> {
        let table = chain.table.map(|(.., value)| constant(model, value)?.to_f32().ok());
        let digits = chain.digits.map(|value| constant(model, value));
        let Some(digits) = digits else {
            let numbers = table??;
            return Some(Self { base: numbers.len(), numbers, rows: None });
        };
        let digits = digits?;
        let &[_, width] = digits.dims() else { return None };
        let elements: Vec<i32> = digits.to_i64().ok()?.into_iter().map(|x| x as i32).collect();
        let mut known = elements.clone();
        known.sort_unstable();
        known.dedup();
        let numbers = match table {
            Some(table) => table?,
            None => known.iter().map(|&x| x as f32).collect(),
        };
        let index = |x: i32| match chain.table {
            Some(_) => x,
            None => known.partition_point(|&other| other < x) as i32,
        };
        let rows: Vec<i32> = elements.into_iter().map(index).collect();
        // Bytes are packed again, so the rows must be those of the packing.
        let base = known.len();
        let packing = Packing::of(base);
        let expected = packing.rows();
        let expected = expected.iter().flat_map(|row| &row[..packing.digits]);
        let same = packing.digits == width
            && rows.len() == expected.clone().count()
            && rows.iter().zip(expected).all(|(&row, &digit)| row == i32::from(digit));
        same.then_some(Self { numbers, rows: Some((rows, width)), base })
    }

    fn indices(&self, bytes: &[u8]) -> Option<Vec<i32>> {
        let Some((rows, width)) = &self.rows else {
            return Some(bytes.iter().map(|&byte| i32::from(byte)).collect());
        };
        let mut indices = Vec::with_capacity(bytes.len() * width);
        for &byte in bytes {
            indices.extend(rows.get(usize::from(byte) * width..)?.get(..*width)?);
        }
        Some(indices)
    }
}
