//! Constants behind operators that only move their elements, or change their type.

use crate::analysis::{constant, exact};
use crate::ir::{Model, Node, NodeId, ValueId};
use crate::tensor::{DType, Tensor};

/// Floats that a value holds in every run.
pub struct ConstantFloats {
    /// The elements, in the extents of the value, and in the type in which they are stored, if that holds
    /// all of them.
    pub tensor: Tensor,
    /// The type of the value.
    pub dtype: DType,
}

/// Most operators that are looked through.
const LONGEST: usize = 16;

/// Operators that give the elements of their first input other places or extents.
const MOVING: &[&str] = &["Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"];

/// Types of numbers that layers compute with.
const FLOATS: [DType; 4] = [DType::Float, DType::Float16, DType::Bfloat16, DType::Double];

/// The constant that a value is made of by operators that move elements, or cast floats, and these operators from
/// the last one to the first. A constant itself is made by none.
pub fn origin(model: &Model, value: ValueId) -> Option<(ValueId, Vec<NodeId>)> {
    let (mut at, mut path) = (value, Vec::new());
    while constant(model, at).is_none() {
        let producer = model.value(at).producer().filter(|_| path.len() < LONGEST)?;
        let node = model.node(producer);
        let mut others = node.inputs().iter().skip(1).flatten();
        let moves = MOVING.iter().chain(&["Cast"]).any(|op| node.is(op));
        if !moves || !others.all(|&other| constant(model, other).is_some()) {
            return None;
        }
        path.push(producer);
        at = node.input(0)?;
    }
    Some((at, path))
}

/// The floats of a value that is a constant, or made of one by operators that move elements or cast floats.
pub fn constant_floats(model: &Model, value: ValueId) -> Option<ConstantFloats> {
    let (root, path) = origin(model, value)?;
    let mut tensor = constant(model, root).filter(|tensor| FLOATS.contains(&tensor.dtype()))?;
    let mut dtype = tensor.dtype();
    for id in path.into_iter().rev() {
        let node = model.node(id);
        if !node.is("Cast") {
            tensor = moved(model, id, node, tensor)?;
            continue;
        }
        let to = node.attr_int("to").and_then(|to| DType::from_onnx(i32::try_from(to).ok()?));
        dtype = to.filter(|to| FLOATS.contains(to))?;
        if !holds(dtype, tensor.dtype()) {
            let floats = tensor.to_f32().ok()?;
            tensor = Tensor::from_f32_as(dtype, tensor.dims(), &floats).ok()?;
        }
    }
    Some(ConstantFloats { tensor, dtype })
}

/// A constant of any type, perhaps behind operators that move its elements and leave their type.
pub fn moved_constant(model: &Model, value: ValueId) -> Option<Tensor> {
    let (root, path) = origin(model, value)?;
    let step = |tensor: Tensor, id: &NodeId| {
        let node = model.node(*id);
        if node.is("Cast") { None } else { moved(model, *id, node, tensor) }
    };
    path.iter().rev().try_fold(constant(model, root)?, step)
}

/// What a Transpose of a matrix turns around, for the value that it makes.
pub fn turned(model: &Model, value: ValueId) -> Option<(NodeId, ValueId)> {
    let producer = model.value(value).producer()?;
    let node = model.node(producer);
    let swaps = node.attr_ints("perm").is_some_and(|perm| perm == [1, 0]);
    Some((producer, node.input(0).filter(|_| node.is("Transpose") && swaps)?))
}

/// Whether a type has all numbers of another.
fn holds(wide: DType, narrow: DType) -> bool {
    use DType::{Bfloat16, Double, Float, Float16};
    wide == narrow
        || matches!((narrow, wide), (Float16 | Bfloat16, Float | Double) | (Float, Double))
}

/// The elements of a tensor where an operator moves them.
fn moved(model: &Model, id: NodeId, node: &Node, tensor: Tensor) -> Option<Tensor> {
    if node.is("Transpose") {
        return transposed(&tensor, node.attr_ints("perm"));
    }
    let others = node.inputs().iter().skip(1);
    let others = others.map(|input| input.and_then(|value| constant(model, value)));
    let inputs: Vec<Option<Tensor>> = std::iter::once(Some(tensor)).chain(others).collect();
    exact(model, id, &inputs)?.into_iter().next().flatten()
}

/// A tensor with its axes in another order, by default the reverse one.
fn transposed(tensor: &Tensor, order: Option<&[i64]>) -> Option<Tensor> {
    let (rank, dims) = (tensor.dims().len(), tensor.dims());
    let order: Vec<usize> = match order {
        Some(order) => {
            order.iter().map(|&axis| usize::try_from(axis).ok()).collect::<Option<_>>()?
        }
        None => (0..rank).rev().collect(),
    };
    let mut sorted = order.clone();
    sorted.sort_unstable();
    if !sorted.into_iter().eq(0..rank) || tensor.dtype().bits() < 8 {
        return None;
    }
    let stride = |axis: usize| dims[axis + 1..].iter().product::<usize>();
    let strides: Vec<usize> = order.iter().map(|&axis| stride(axis)).collect();
    let extents: Vec<usize> = order.iter().map(|&axis| dims[axis]).collect();
    let size = tensor.dtype().bits() / 8;
    let (source, mut bytes) = (tensor.bytes(), Vec::with_capacity(tensor.byte_size()));
    let (mut place, mut at) = (vec![0; rank], 0);
    for _ in 0..tensor.len() {
        bytes.extend_from_slice(source.get(at * size..(at + 1) * size)?);
        for axis in (0..rank).rev() {
            (place[axis], at) = (place[axis] + 1, at + strides[axis]);
            if place[axis] < extents[axis] {
                break;
            }
            (place[axis], at) = (0, at - extents[axis] * strides[axis]);
        }
    }
    Tensor::new(tensor.dtype(), extents, bytes.into()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn constants_are_found_behind_what_moves_or_casts_them() {
        let text = "<ir_version: 10, opset_import: [\"\" : 21]>\n\
             g (float[2] x) => (float[2] y) <\n\
               float16[2,3] w = {15360, 16384, 16896, 17408, 17664, 17920}, int64[2] shape = {-1, 1}\n\
             > {\n\
               t = Transpose <perm = [1, 0]> (w)\n\
               c = Cast <to = 1> (t)\n\
               column = Reshape (c, shape)\n\
               computed = Add (c, c)\n\
               y = Identity (x)\n\
             }";
        let model = crate::read::text(text).unwrap();
        let value = |name: &str| {
            let found = model.values().find(|(_, value)| value.name() == name);
            found.unwrap().0
        };
        let found = constant_floats(&model, value("c")).unwrap();
        assert_eq!((found.dtype, found.tensor.dtype()), (DType::Float, DType::Float16));
        assert_eq!(found.tensor.dims(), [3, 2]);
        assert_eq!(found.tensor.to_f32().unwrap(), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(constant_floats(&model, value("column")).unwrap().tensor.dims(), [6, 1]);
        assert!(constant_floats(&model, value("computed")).is_none());
        assert!(constant_floats(&model, value("x")).is_none());
        assert_eq!(turned(&model, value("t")).map(|(_, from)| from), Some(value("w")));
    }

    #[test]
    fn axes_are_put_into_any_order() {
        let tensor = Tensor::from_f32(&[2, 1, 3], &[0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        let turned = transposed(&tensor, Some(&[2, 0, 1])).unwrap();
        assert_eq!(turned.dims(), [3, 2, 1]);
        assert_eq!(turned.to_f32().unwrap(), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(transposed(&tensor, None).unwrap().dims(), [3, 1, 2]);
        assert!(transposed(&tensor, Some(&[0, 0, 1])).is_none());
    }
}
