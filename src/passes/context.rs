//! What passes may ask for.

use std::borrow::Cow;

use crate::analysis::{Assume, Evaluate, Measure, Progress, Shapes};
use crate::ir::{Model, NodeId};

/// What passes may ask for: facts that only running a model gives, and what the caller knows about
/// the model already.
#[derive(Clone, Copy, Default)]
pub struct Context<'a> {
    /// Computes constant expressions.
    pub evaluate: Option<&'a dyn Evaluate>,
    /// Measures values over the calibration samples.
    pub measure: Option<&'a dyn Measure>,
    /// Shapes of the values of the model, at most older than values made since; inferred when
    /// needed if they are not given.
    pub shapes: Option<&'a Shapes>,
    /// The model before it was quantized, of which the model is an edited copy: what kept its id is the
    /// same node or value.
    pub reference: Option<&'a Model>,
    /// Where something may have changed since the pass last ran; everywhere when it is not given.
    pub near: Option<&'a [NodeId]>,
    /// Told about work that takes long.
    pub progress: Option<&'a dyn Progress>,
}

impl<'a> Context<'a> {
    /// What is told about work that takes long, or what does nothing.
    pub fn progress(&self) -> &'a dyn Progress {
        self.progress.unwrap_or(&())
    }

    /// The shapes that were given, or those that follow from `model` alone.
    pub fn shapes_of(&self, model: &Model) -> Cow<'a, Shapes> {
        match self.shapes {
            Some(shapes) => Cow::Borrowed(shapes),
            None => Cow::Owned(Shapes::infer(model, &Assume::default())),
        }
    }
}
