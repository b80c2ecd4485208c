//! Which values are constants, wherever the file keeps them.

use crate::ir::{AttrValue, Model, ValueId};
use crate::tensor::Tensor;

/// The tensor of a value that is the same in every run: an initializer nobody can override, or the
/// output of a Constant node in any of its forms.
pub fn constant(model: &Model, value: ValueId) -> Option<Tensor> {
    let entry = model.value(value);
    if let Some(tensor) = entry.initializer() {
        return Some(tensor.clone());
    }
    let node = model.node(entry.producer()?);
    if !node.is("Constant") {
        return None;
    }
    let attribute = node.attributes().first()?;
    match (attribute.name.as_str(), &attribute.value) {
        ("value", AttrValue::Tensor(stored)) => Some(stored.tensor.clone()),
        ("value_float", AttrValue::Float(x)) => Some(Tensor::from_f32(&[], &[*x])),
        ("value_floats", AttrValue::Floats(xs)) => Some(Tensor::from_f32(&[xs.len()], xs)),
        ("value_int", AttrValue::Int(x)) => Some(Tensor::from_i64(&[], &[*x])),
        ("value_ints", AttrValue::Ints(xs)) => Some(Tensor::from_i64(&[xs.len()], xs)),
        ("value_string", AttrValue::String(x)) => {
            Tensor::from_strings(vec![], vec![x.clone()]).ok()
        }
        ("value_strings", AttrValue::Strings(xs)) => {
            Tensor::from_strings(vec![xs.len()], xs.clone()).ok()
        }
        _ => None,
    }
}
