//! The cut: tensors lose indices, and what counts them follows.

use std::collections::BTreeMap;

use crate::analysis::channels::{AxisId, Channels, Follow, Orbit, Spot};
use crate::analysis::{Assume, Shapes, constant};
use crate::error::{Result, err};
use crate::ir::{
    At, Attribute, Dim, DimSize, Info, Model, NewNode, NodeId, TensorType, ValueId, ValueType,
};
use crate::passes::Survivors;
use crate::tensor::Tensor;

/// Indices that stay, for each axis that loses some.
pub(super) struct Cut<'a> {
    channels: &'a Channels,
    kept: BTreeMap<AxisId, Vec<usize>>,
}

impl<'a> Cut<'a> {
    /// The cut that takes out `orbits`.
    pub fn of(channels: &'a Channels, orbits: &[&Orbit]) -> Self {
        let mut gone: BTreeMap<AxisId, Vec<usize>> = BTreeMap::new();
        for &(axis, index) in orbits.iter().flat_map(|orbit| &orbit.elements) {
            gone.entry(axis).or_default().push(index);
        }
        let kept = gone.into_iter().map(|(axis, mut gone)| {
            gone.sort_unstable();
            let all = 0..channels.axes[axis].extent;
            (axis, all.filter(|index| gone.binary_search(index).is_err()).collect())
        });
        Self { channels, kept: kept.collect() }
    }

    /// Indices of an axis that are left.
    fn left(&self, axis: AxisId) -> usize {
        self.kept.get(&axis).map_or(self.channels.axes[axis].extent, Vec::len)
    }

    /// Cuts `model`, which the channels are of.
    ///
    /// # Errors
    /// When the shapes of the result are not those that were meant (a bug); the model is half cut then.
    pub fn apply(&self, model: &mut Model) -> Result<()> {
        for follow in &self.channels.follow {
            if follow.axes().iter().any(|axis| self.kept.contains_key(axis)) {
                self.follow(model, follow)?;
            }
        }
        for (value, axes) in self.values() {
            match constant(model, value) {
                Some(mut tensor) => {
                    for &(axis, kept) in &axes {
                        let less = tensor.keep(axis, kept);
                        tensor = less.ok_or_else(|| unfit(model, value))?;
                    }
                    match model.value(value).producer() {
                        None => model.set_tensor(value, tensor),
                        Some(node) => model.fold_node(node, vec![Some(tensor)]),
                    }
                }
                None => redeclare(model, value, &axes),
            }
        }
        self.check(model)
    }

    /// Writes down what is left.
    pub fn tell(&self, survivors: &Survivors) {
        for (value, axes) in self.values() {
            axes.into_iter().for_each(|(axis, kept)| survivors.keep(value, axis, kept));
        }
    }

    /// The values that lose indices: axes and what stays of them.
    fn values(&self) -> BTreeMap<ValueId, Vec<(usize, &[usize])>> {
        let mut values: BTreeMap<ValueId, Vec<(usize, &[usize])>> = BTreeMap::new();
        for (&id, kept) in &self.kept {
            let axis = &self.channels.axes[id];
            values.entry(axis.value).or_default().push((axis.axis, kept));
        }
        values
    }

    /// Every axis that was followed has the extent that was meant.
    fn check(&self, model: &Model) -> Result<()> {
        let shapes = Shapes::infer(model, &Assume::default());
        for (id, axis) in self.channels.axes.iter().enumerate() {
            if !model.is_live_value(axis.value) {
                continue;
            }
            let found = shapes.dims(axis.value).and_then(|dims| dims.get(axis.axis)?.extent());
            if found != Some(self.left(id)) {
                return Err(unfit(model, axis.value));
            }
        }
        Ok(())
    }

    fn follow(&self, model: &mut Model, follow: &Follow) -> Result<()> {
        match follow {
            Follow::Extent { node, slot, spot, axis } => {
                let extent = self.left(*axis) as i64;
                set_element(model, *node, *slot, spot, extent)
            }
            Follow::Attribute { node, name, count, axis } => {
                let extent = self.channels.axes[*axis].extent;
                let scaled =
                    usize::try_from(*count).ok().and_then(|n| n.checked_mul(self.left(*axis)));
                let scaled = scaled.filter(|n| n.is_multiple_of(extent)).map(|n| n / extent);
                let scaled = scaled.ok_or_else(|| odd(model, *node))?;
                model.set_attr(*node, Attribute::new(*name, scaled as i64));
                Ok(())
            }
            Follow::Parts { node, parts } => {
                let part = |part: &Result<AxisId, usize>| match *part {
                    Ok(axis) => self.left(axis) as i64,
                    Err(extent) => extent as i64,
                };
                set_parts(model, *node, &parts.iter().map(part).collect::<Vec<_>>());
                Ok(())
            }
            Follow::Indices { node, axis, result, indices } => {
                let all: Vec<usize> = (0..self.channels.axes[*axis].extent).collect();
                let kept = self.kept.get(axis).unwrap_or(&all);
                let picks: Vec<usize> = (0..indices.len()).collect();
                let picks = self.kept.get(result).unwrap_or(&picks);
                let moved = picks.iter().map(|&pick| kept.binary_search(&indices[pick]).ok());
                let moved: Option<Vec<i64>> = moved.map(|at| Some(at? as i64)).collect();
                let moved = moved.ok_or_else(|| odd(model, *node))?;
                replace_list(model, *node, 1, &moved);
                Ok(())
            }
            Follow::Bounds { node, index, axis, start, end } => {
                let before = |bound: usize| match self.kept.get(axis) {
                    Some(kept) => kept.partition_point(|&i| i < bound) as i64,
                    None => bound as i64,
                };
                for (slot, name, bound) in [(1, "starts", *start), (2, "ends", *end)] {
                    set_bound(model, *node, (slot, name), *index, before(bound))?;
                }
                Ok(())
            }
        }
    }
}

fn unfit(model: &Model, value: ValueId) -> crate::Error {
    let name = model.value(value).name();
    err!(Invalid, "`{name}` does not get the extents that the cut means it to have (a bug)")
}

fn odd(model: &Model, node: NodeId) -> crate::Error {
    err!(Invalid, "cannot follow the cut (a bug)").at(model.label(node))
}

/// Gives a node a list of its own.
fn replace_list(model: &mut Model, node: NodeId, slot: usize, list: &[i64]) {
    let old = model.node(node).input(slot);
    let name = old.map_or("list", |old| model.value(old).name()).to_owned();
    let dtype = old.and_then(|old| constant(model, old)).map(|tensor| tensor.dtype());
    let typed = dtype.and_then(|dtype| Tensor::from_i64_as(dtype, &[list.len()], list).ok());
    let tensor = typed.unwrap_or_else(|| Tensor::from_i64(&[list.len()], list));
    let graph = model.node(node).graph();
    let value = model.add_initializer(graph, &name, tensor);
    model.set_input(node, slot, Some(value));
}

/// Sets an element of the shape in input `slot`. Others may read the same shape, so the node gets its
/// own, and its own copies of the Concat nodes that make it.
fn set_element(
    model: &mut Model,
    node: NodeId,
    slot: usize,
    spot: &Spot,
    element: i64,
) -> Result<()> {
    let (mut node, mut slot) = (node, slot);
    for &part in &spot.slots {
        let shape = model.node(node).input(slot);
        let concat = shape.and_then(|shape| model.value(shape).producer());
        let concat = concat.ok_or_else(|| odd(model, node))?;
        let entry = model.node(concat);
        let output = entry.only_output().map_or("", |output| model.value(output).name());
        let copy = NewNode {
            op: entry.op().to_owned(),
            name: output.to_owned(),
            inputs: entry.inputs().to_vec(),
            outputs: vec![output.to_owned()],
            attributes: entry.attributes().to_vec(),
            ..NewNode::default()
        };
        let copy = model.add_node(model.node(node).graph(), At::Before(node), copy);
        model.set_input(node, slot, model.node(copy).output(0));
        (node, slot) = (copy, part);
    }
    set_in_list(model, node, slot, spot.index, element)
}

fn set_in_list(
    model: &mut Model,
    node: NodeId,
    slot: usize,
    index: usize,
    element: i64,
) -> Result<()> {
    let list = model.node(node).input(slot).and_then(|list| constant(model, list));
    let list = list.and_then(|list| list.to_i64().ok());
    let mut list = list.ok_or_else(|| odd(model, node))?;
    *list.get_mut(index).ok_or_else(|| odd(model, node))? = element;
    replace_list(model, node, slot, &list);
    Ok(())
}

fn set_bound(
    model: &mut Model,
    node: NodeId,
    (slot, name): (usize, &str),
    index: usize,
    bound: i64,
) -> Result<()> {
    let Some(list) = model.node(node).attr_ints(name) else {
        return set_in_list(model, node, slot, index, bound);
    };
    let mut list = list.to_vec();
    *list.get_mut(index).ok_or_else(|| odd(model, node))? = bound;
    model.set_attr(node, Attribute::new(name, list));
    Ok(())
}

/// Names the sizes of a Split: an attribute before operator set 13, then an input.
fn set_parts(model: &mut Model, node: NodeId, parts: &[i64]) {
    if model.opset_in_force() < 13 {
        model.set_attr(node, Attribute::new("split", parts.to_vec()));
        return;
    }
    model.remove_attr(node, "num_outputs");
    replace_list(model, node, 1, parts);
}

/// What the file declares about a value follows.
fn redeclare(model: &mut Model, value: ValueId, axes: &[(usize, &[usize])]) {
    let info = model.value(value).info().clone();
    let Some(ValueType::Tensor(TensorType { dims: Some(dims), .. })) = &info.ty else { return };
    let mut dims = dims.clone();
    for &(axis, kept) in axes {
        if let Some(dim) = dims.get_mut(axis) {
            *dim = Dim { size: DimSize::Known(kept.len() as i64), ..dim.clone() };
        }
    }
    let mut info = Info { ty: info.ty.clone(), ..info };
    if let Some(ValueType::Tensor(ty)) = &mut info.ty {
        ty.dims = Some(dims);
    }
    model.set_info(value, info);
}
