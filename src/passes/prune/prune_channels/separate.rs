//! Vectors that several nodes read get a copy for each: two layers with the same bias need not be cut
//! together. Weights of more axes are shared on purpose, and stay so.

use crate::analysis::constant;
use crate::ir::{Model, Use, ValueId};

/// Gives every reader of a shared vector its own copy.
pub fn separate_vectors(model: &mut Model) {
    let is_vector = |&value: &ValueId| {
        constant(model, value).is_some_and(|tensor| {
            tensor.dtype().is_float() && tensor.dims().iter().filter(|&&dim| dim > 1).count() == 1
        })
    };
    let main = model.main();
    let shared = model.values().filter(|(_, value)| value.uses().len() > 1);
    let shared: Vec<ValueId> = shared.map(|(id, _)| id).filter(is_vector).collect();
    for value in shared {
        let uses = model.value(value).uses().to_vec();
        for &user in &uses[1..] {
            let Use::Input { node, slot } = user else { continue };
            let Some(tensor) = constant(model, value) else { continue };
            if model.node(node).graph() == main {
                let name = model.value(value).name().to_owned();
                let copy = model.add_initializer(main, &name, tensor);
                model.set_input(node, slot, Some(copy));
            }
        }
    }
}
