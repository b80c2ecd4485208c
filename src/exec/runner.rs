//! A model with its sessions, one for each combination of input shapes.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use crate::error::{Error, Result};
use crate::exec::{Engine, InputShape, Session};
use crate::ir::Model;
use crate::tensor::{Tensor, TensorView};

/// Runs one model on inputs of any shape; sessions are prepared when a shape is first seen.
pub struct Runner<'a> {
    engine: &'a dyn Engine,
    model: &'a Model,
    taps: Vec<String>,
    sessions: Mutex<HashMap<Vec<InputShape>, Arc<dyn Session>>>,
}

impl<'a> Runner<'a> {
    /// A runner that observes the values named `taps`.
    pub fn new(engine: &'a dyn Engine, model: &'a Model, taps: Vec<String>) -> Self {
        Self { engine, model, taps, sessions: Mutex::default() }
    }

    /// Runs the model; see [`Session::run`].
    ///
    /// # Errors
    /// When the model is invalid, or the engine cannot prepare or run it.
    pub fn run(
        &self,
        inputs: &[(String, Tensor)],
        observe: &mut dyn FnMut(usize, TensorView<'_>),
    ) -> Result<Vec<(String, Tensor)>> {
        self.session(inputs)?.run(inputs, observe)
    }

    fn session(&self, inputs: &[(String, Tensor)]) -> Result<Arc<dyn Session>> {
        let shapes: Vec<InputShape> = inputs
            .iter()
            .map(|(name, tensor)| InputShape {
                name: name.clone(),
                dtype: tensor.dtype(),
                dims: tensor.dims().to_vec(),
            })
            .collect();
        // Held while preparing, so that two threads never prepare the same shape.
        let mut sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(session) = sessions.get(&shapes) {
            return Ok(session.clone());
        }
        let verified = self.model.verify().map_err(Error::from)?;
        let session = self.engine.prepare(verified, &shapes, &self.taps)?;
        sessions.insert(shapes, session.clone());
        Ok(session)
    }
}
