//! Zeros instead of a cut: every sum of products loses what the cut would take out of it.

use crate::analysis::channels::{Channels, Contraction, Operand, Orbit};
use crate::analysis::{Shapes, constant};
use crate::error::{Result, err};
use crate::ir::{At, Model, NewNode, ValueId};
use crate::tensor::{DType, Tensor};

/// Sets the weights to zero with which sums read the indices of `orbits`; sums of two computed values
/// get a factor of zeros and ones. The result computes what the cut model computes, with the shapes
/// of the original.
///
/// # Errors
/// When a weight is of a type that has no zero.
pub(super) fn mask(
    model: &mut Model,
    channels: &Channels,
    shapes: &Shapes,
    orbits: &[&Orbit],
) -> Result<()> {
    let mut gone = std::collections::BTreeMap::<usize, Vec<usize>>::new();
    for &(axis, index) in orbits.iter().flat_map(|orbit| &orbit.elements) {
        gone.entry(axis).or_default().push(index);
    }
    for sum in &channels.contractions {
        let node = model.node(sum.node);
        let operand = |o: &Operand| Some((o.slot, o.axis, node.input(o.slot)?));
        let operands: Vec<_> = sum.operands.iter().filter_map(operand).collect();
        let axis = sum.operands.iter().find_map(|operand| operand.id);
        let Some(indices) = axis.and_then(|axis| gone.get(&axis)) else { continue };
        let fixed = operands.iter().find(|operand| constant(model, operand.2).is_some());
        let Some(&(slot, axis, value)) = fixed.or(operands.first()) else { continue };
        let masked = match constant(model, value) {
            Some(tensor) => zeroed(&tensor, axis, indices)
                .map(|tensor| model.add_initializer(model.main(), "masked", tensor)),
            None => factor(model, shapes, sum, (value, axis), indices),
        };
        let label = model.label(sum.node);
        let masked = masked.ok_or_else(|| err!(Unsupported, "cannot be masked").at(label))?;
        model.set_input(sum.node, slot, Some(masked));
    }
    Ok(())
}

/// The tensor with zeros at some indices of an axis.
fn zeroed(tensor: &Tensor, axis: usize, indices: &[usize]) -> Option<Tensor> {
    let width = tensor.dtype().bits() / 8;
    let extent = *tensor.dims().get(axis)?;
    let inner: usize = tensor.dims()[axis + 1..].iter().product();
    if width == 0 || tensor.strings().is_some() {
        return None;
    }
    let mut bytes = tensor.bytes().to_vec();
    for row in bytes.chunks_mut((extent * inner * width).max(1)) {
        for &index in indices {
            row.get_mut(index * inner * width..(index + 1) * inner * width)?.fill(0);
        }
    }
    Tensor::new(tensor.dtype(), tensor.dims().to_vec(), bytes.into()).ok()
}

/// The value times zeros and ones along an axis.
fn factor(
    model: &mut Model,
    shapes: &Shapes,
    sum: &Contraction,
    (value, axis): (ValueId, usize),
    indices: &[usize],
) -> Option<ValueId> {
    let dims = shapes.dims(value)?;
    let extent = dims.get(axis)?.extent()?;
    let mut ones = vec![1.0; extent];
    indices.iter().for_each(|&index| ones[index] = 0.0);
    let mut shape = vec![1; dims.len() - axis];
    shape[0] = extent;
    let dtype = shapes.dtype(value).unwrap_or(DType::Float);
    let ones = Tensor::from_f32_as(dtype, &shape, &ones).ok()?;
    let ones = model.add_initializer(model.main(), "mask", ones);
    let product = NewNode::new("Mul", &[value, ones], "masked");
    let product = model.add_node(model.main(), At::Before(sum.node), product);
    model.node(product).output(0)
}
