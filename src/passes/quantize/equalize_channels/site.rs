//! Channels that one layer makes and only layers read, with nothing between that a positive factor does
//! not pass through.

use std::collections::HashSet;

use crate::analysis::{Shapes, constant};
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::quantize::equalize_channels::reader::{Reader, Scaled};
use crate::passes::rewrite::linear::{Absorbed, Affine, Layer, along, put, store};
use crate::tensor::Tensor;

/// Operators with `f(s · x) = s · f(x)` for each element and every positive `s`.
const HOMOGENEOUS: [&str; 6] = ["Relu", "LeakyRelu", "PRelu", "Identity", "Dropout", "Abs"];
/// The same for each channel, axis 1.
const POOLING: [&str; 4] = ["MaxPool", "AveragePool", "GlobalAveragePool", "GlobalMaxPool"];

/// A layer, what it makes, and who reads it.
#[derive(Debug, Clone)]
pub(super) struct Site {
    layer: Layer,
    rank: usize,
    /// What the factors go through, from the output of the layer on.
    values: Vec<ValueId>,
    /// Constants that are added on the way: node, slot.
    offsets: Vec<(NodeId, usize)>,
    readers: Vec<Reader>,
}

impl Site {
    /// The site of what `node` makes; `None` when it is no layer that can scale its channels, or when
    /// something reads them that is none.
    ///
    /// # Errors
    /// Why layers on both sides cannot be scaled.
    pub fn of(model: &Model, node: NodeId, shapes: &Shapes) -> Result<Option<Self>, String> {
        let Some(layer) = Layer::of(model, node) else { return Ok(None) };
        let Some(rank) = shapes.rank(layer.y) else { return Ok(None) };
        let mut site =
            Self { values: vec![layer.y], layer, rank, offsets: vec![], readers: vec![] };
        let mut next = 0;
        while let Some(&value) = site.values.get(next) {
            next += 1;
            if !site.follow(model, value) {
                return Ok(None);
            }
        }
        if site.readers.is_empty() {
            return Ok(None);
        }
        for reader in &site.readers {
            if reader.channels != site.layer.channels || site.at(reader.axis) != site.axis() {
                return Err("other channels are read than are made".into());
            }
        }
        let identity = Affine {
            factor: vec![1.0; site.layer.channels],
            offset: vec![0.0; site.layer.channels],
        };
        site.made(model, &identity)?;
        Ok(Some(site))
    }

    /// Looks at what reads a value; false when that is no part of a site.
    fn follow(&mut self, model: &Model, value: ValueId) -> bool {
        let entry = model.value(value);
        if entry.uses().is_empty() || entry.uses().len() != entry.consumers().count() {
            return false;
        }
        let main = model.main();
        let consumers: HashSet<(NodeId, usize)> = entry.consumers().collect();
        let mut consumers: Vec<_> = consumers.into_iter().collect();
        consumers.sort_unstable();
        consumers.into_iter().all(|(node, slot)| {
            let reader = model.node(node);
            if reader.graph() != main || reader.outputs().is_empty() {
                return false;
            }
            let outputs: Vec<ValueId> = reader.outputs().iter().flatten().copied().collect();
            let used = |&&output: &&ValueId| !model.value(output).uses().is_empty();
            let one_output = outputs.iter().skip(1).find(used).is_none();
            let pools = POOLING.iter().any(|op| reader.is(op)) && self.axis() == Some(1);
            let through = HOMOGENEOUS.iter().any(|op| reader.is(op)) || pools;
            if slot == 0 && through && one_output {
                self.values.extend(outputs.first());
                return true;
            }
            let other = if slot < 2 { reader.input(1 - slot) } else { None };
            if (reader.is("Add") || reader.is("Sub")) && other.is_some() {
                return self.offset(model, node, 1 - slot);
            }
            if slot != 0 {
                return false;
            }
            let found = Reader::of(model, node);
            found.map(|reader| self.readers.push(reader)).is_ok()
        })
    }

    /// A constant for each channel that is added.
    fn offset(&mut self, model: &Model, node: NodeId, slot: usize) -> bool {
        let entry = model.node(node);
        let Some(value) = entry.input(slot).filter(|&v| constant(model, v).is_some()) else {
            return false;
        };
        let (axis, channels) = (self.layer.axis, self.layer.channels);
        let fits = along(model, value, axis, self.rank, channels).is_ok();
        if fits {
            self.offsets.push((node, slot));
            self.values.extend(entry.outputs().iter().flatten());
        }
        fits
    }

    fn at(&self, axis: isize) -> Option<usize> {
        if axis < 0 { self.rank.checked_add_signed(axis) } else { usize::try_from(axis).ok() }
    }

    fn axis(&self) -> Option<usize> {
        self.at(self.layer.axis)
    }

    /// The node that makes the channels.
    pub fn layer(&self) -> NodeId {
        self.layer.node
    }

    /// Number of channels.
    pub fn channels(&self) -> usize {
        self.layer.channels
    }

    /// The values that the factors go through.
    pub fn values(&self) -> &[ValueId] {
        &self.values
    }

    /// The values that layers read, with the axis of the channels.
    pub fn read(&self) -> impl Iterator<Item = (ValueId, usize)> {
        let axis = self.axis();
        let values =
            self.readers.iter().map(Reader::input).collect::<std::collections::BTreeSet<_>>();
        values.into_iter().filter_map(move |value| Some((value, axis?)))
    }

    /// The layers that read.
    pub fn layers_read(&self) -> impl Iterator<Item = &Reader> {
        self.readers.iter()
    }

    /// The largest weight that makes each channel.
    pub fn weights_made(&self, model: &Model) -> Result<Vec<f64>, String> {
        self.now(model)?.magnitudes(model)
    }

    /// The largest weight that reads each channel.
    pub fn weights_read(&self, model: &Model) -> Result<Vec<f64>, String> {
        let mut all = vec![0f64; self.channels()];
        for reader in &self.readers {
            let found = reader.magnitudes(model)?;
            all.iter_mut().zip(found).for_each(|(a, b)| *a = a.max(b));
        }
        Ok(all)
    }

    /// The layer as it is now: parameters that others read get copies.
    fn now(&self, model: &Model) -> Result<Layer, String> {
        Layer::of(model, self.layer.node).ok_or_else(|| "the layer is gone".into())
    }

    /// The parameters of the layer with `affine` taken up.
    pub fn made(&self, model: &Model, affine: &Affine) -> Result<Absorbed, String> {
        self.now(model)?.absorb(model, affine)
    }

    /// The weights of the layers that read, multiplied.
    pub fn readers(&self, model: &Model, factors: &[f64]) -> Result<Vec<Scaled>, String> {
        self.readers.iter().map(|reader| reader.scaled(model, factors)).collect()
    }

    /// Multiplies the constants that are added on the way.
    pub fn scale_offsets(&self, model: &mut Model, factors: &[f64]) -> Result<(), String> {
        let new = |&(node, slot): &(NodeId, usize)| -> Result<_, String> {
            let value = model.node(node).input(slot).ok_or("the constant is gone")?;
            let before = along(model, value, self.layer.axis, self.rank, factors.len())?;
            let after: Vec<f64> =
                before.iter().zip(factors).map(|(x, factor)| x * factor).collect();
            let mut dims = vec![factors.len()];
            dims.resize(self.rank - self.axis().unwrap_or(0), 1);
            let like = constant(model, value).unwrap_or_else(|| Tensor::from_f32(&[], &[0.0]));
            Ok((node, slot, value, store(&like, &dims, &after)?))
        };
        let new: Vec<_> = self.offsets.iter().map(new).collect::<Result<_, _>>()?;
        new.into_iter().for_each(|(node, slot, old, tensor)| put(model, node, slot, old, tensor));
        Ok(())
    }
}
