//! Runs bytes that `emit` made; the only room that knows tract.

mod evaluate;
mod guard;
mod panic;
mod runner;
mod tensors;
mod tract;
mod view;

pub use runner::Runner;
pub use tract::Tract;

use std::sync::Arc;

use crate::error::Result;
use crate::ir::Verified;
use crate::tensor::{DType, Tensor, TensorView};

/// Prepares models for execution.
pub trait Engine: Send + Sync {
    /// Name for messages and reports.
    fn name(&self) -> &'static str;

    /// Makes `model` ready to run on inputs of these shapes, observing the values named `taps`.
    /// Inputs that have a default and are not listed keep their default.
    ///
    /// # Errors
    /// When the engine cannot run the model; the message names operator and node when they are
    /// known.
    fn prepare(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[String],
    ) -> Result<Arc<dyn Session>>;
}

/// A model that is ready to run. Runs do not influence each other.
pub trait Session: Send + Sync {
    /// Runs named inputs to named outputs, in the order of the model's outputs. `observe` is called
    /// with the index of a tap and its value, once for each tap that the engine can see.
    ///
    /// # Errors
    /// When an input is missing or execution fails.
    fn run(
        &self,
        inputs: &[(String, Tensor)],
        observe: &mut dyn FnMut(usize, TensorView<'_>),
    ) -> Result<Vec<(String, Tensor)>>;
}

/// Name, type and dims of an input that will be given.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct InputShape {
    /// Name of the graph input.
    pub name: String,
    /// Element type.
    pub dtype: DType,
    /// Extent of each axis.
    pub dims: Vec<usize>,
}
