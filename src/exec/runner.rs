//! A model with its sessions, one for each combination of input shapes.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};

use rayon::prelude::*;

use crate::error::{Error, Result, err};
use crate::exec::{Engine, Executed, InputShape, OperatorTimes, Session, Tap};
use crate::ir::Model;
use crate::tensor::Tensor;

/// Most sessions that a runner keeps: each holds the weights. Two serve a batch that may vary and
/// its smaller last one.
const KEPT_SESSIONS: usize = 4;

/// A session, or why there is none.
type Prepared = Result<Arc<dyn Session>>;

/// Runs one model on inputs of any shape; sessions are prepared when a shape is first seen, and a
/// few are kept. What failed is not tried again: it may have taken minutes.
pub struct Runner<'a> {
    engine: &'a dyn Engine,
    model: &'a Model,
    taps: Vec<Tap>,
    /// The session used last is at the end.
    sessions: Mutex<VecDeque<(Vec<InputShape>, Prepared)>>,
}

impl<'a> Runner<'a> {
    /// A runner that observes `taps`.
    pub fn new(engine: &'a dyn Engine, model: &'a Model, taps: Vec<Tap>) -> Self {
        Self { engine, model, taps, sessions: Mutex::default() }
    }

    /// Runs the model; see [`Session::run`].
    ///
    /// # Errors
    /// When the model is invalid, or the engine cannot prepare or run it.
    pub fn run(&self, inputs: &[(String, Tensor)]) -> Result<Executed> {
        self.session(inputs)?.run(inputs)
    }

    /// Runs the model on each of these inputs, several at a time, and gives what `then` makes of each run, in
    /// their order; `then` is told the place.
    pub fn each<T: Send>(
        &self,
        inputs: &[Vec<(String, Tensor)>],
        then: impl Fn(usize, Executed) -> Result<T> + Sync,
    ) -> Vec<Result<T>> {
        let one = |(place, inputs): (usize, &Vec<_>)| then(place, self.run(inputs)?);
        inputs.par_iter().enumerate().map(one).collect()
    }

    /// What operators took in the session that ran last; see [`Session::operators`].
    ///
    /// # Errors
    /// When the engine cannot tell, or nothing has run.
    pub fn operators(&self) -> Result<Vec<OperatorTimes>> {
        self.last()?.operators()
    }

    /// The most memory that the session which ran last has taken; see [`Session::memory`].
    ///
    /// # Errors
    /// When its process is dead, or nothing has run.
    pub fn memory(&self) -> Result<Option<u64>> {
        self.last()?.memory()
    }

    fn last(&self) -> Prepared {
        let sessions = self.sessions.lock().unwrap_or_else(PoisonError::into_inner);
        let last = sessions.back().map(|(_, session)| session.clone());
        last.ok_or_else(|| err!(Engine, "no model has run"))?
    }

    fn session(&self, inputs: &[(String, Tensor)]) -> Prepared {
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
        if let Some(at) = sessions.iter().position(|(known, _)| *known == shapes)
            && let Some(entry) = sessions.remove(at)
        {
            let session = entry.1.clone();
            sessions.push_back(entry);
            return session;
        }
        if sessions.len() == KEPT_SESSIONS {
            sessions.pop_front();
        }
        let verified = self.model.verify().map_err(Error::from)?;
        let session = self.engine.prepare(verified, &shapes, &self.taps);
        sessions.push_back((shapes, session.clone()));
        session
    }
}
