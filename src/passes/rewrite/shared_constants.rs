//! Constants that a pass makes: equal ones are stored once.

use std::collections::HashMap;

use crate::ir::{Model, ValueId};
use crate::tensor::Tensor;

/// The initializers of a main graph that one pass has made.
#[derive(Debug, Default)]
pub(in crate::passes) struct SharedConstants(HashMap<Tensor, ValueId>);

impl SharedConstants {
    /// The initializer that holds `tensor`, made and named after its `role` when it is the first one.
    pub fn value(&mut self, model: &mut Model, role: &str, tensor: Tensor) -> ValueId {
        let main = model.main();
        let make = || model.add_initializer(main, role, tensor.clone());
        *self.0.entry(tensor.clone()).or_insert_with(make)
    }
}
