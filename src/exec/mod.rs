//! Runs bytes that `emit` made; the only room that knows tract and ONNX Runtime.

mod backend;
mod clock;
mod ellipsis;
mod evaluate;
mod grid;
mod guard;
mod half;
mod integer;
mod isolated;
mod lengths;
mod observe;
mod onnxruntime;
mod packed;
mod panic;
mod quantized;
mod recurrent;
mod runner;
mod stable;
mod tensors;
mod tract;
mod trial;
mod trusted;
mod view;

pub use clock::OperatorTimes;
pub use isolated::{Isolated, Limits, WORKER, met_a_limit, serve};
pub use observe::{Observation, Observe, Tap};
pub use onnxruntime::{OnnxRuntime, Optimization};
pub use runner::Runner;
pub use tract::Tract;
pub use trial::trial;

use std::sync::Arc;
use std::time::Duration;

use crate::error::Result;
use crate::ir::Verified;
use crate::tensor::{DType, Tensor};

/// Prepares models for execution.
pub trait Engine: Send + Sync {
    /// Name for messages and reports.
    fn name(&self) -> &'static str;

    /// Makes `model` ready to run on inputs of these shapes, observing `taps`. Inputs that have a
    /// default and are not listed keep their default.
    ///
    /// # Errors
    /// When the engine cannot run the model; the message names operator and node when they are
    /// known.
    fn prepare(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Arc<dyn Session>>;

    /// Whether the branches of an If may give tensors of different ranks.
    fn takes_uneven_branches(&self) -> bool {
        false
    }

    /// This engine without short cuts of ours, as whoever deploys to it would run it: for measuring
    /// time. `None` when it has none.
    fn as_written(&self) -> Option<Box<dyn Engine>> {
        None
    }

    /// The same, with sessions that time their operators, see [`Session::operators`]. `None` when it cannot.
    fn profiling(&self) -> Option<Box<dyn Engine>> {
        None
    }
}

/// What points to an engine is one.
macro_rules! pointers {
    ($($pointer:ty),*) => {$(
        impl<E: Engine + ?Sized> Engine for $pointer {
            fn name(&self) -> &'static str {
                (**self).name()
            }

            fn prepare(
                &self,
                model: Verified<'_>,
                inputs: &[InputShape],
                taps: &[Tap],
            ) -> Result<Arc<dyn Session>> {
                (**self).prepare(model, inputs, taps)
            }

            fn takes_uneven_branches(&self) -> bool {
                (**self).takes_uneven_branches()
            }

            fn as_written(&self) -> Option<Box<dyn Engine>> {
                (**self).as_written()
            }

            fn profiling(&self) -> Option<Box<dyn Engine>> {
                (**self).profiling()
            }
        }
    )*};
}

pointers!(&E, Box<E>);

/// A model that is ready to run. Runs do not influence each other.
pub trait Session: Send + Sync {
    /// Runs the model on named inputs.
    ///
    /// # Errors
    /// When an input is missing or execution fails.
    fn run(&self, inputs: &[(String, Tensor)]) -> Result<Executed>;

    /// What each operator took in the runs so far, when the engine is one of [`Engine::profiling`]; else
    /// nothing. Ask after the last run: with ONNX Runtime that ends the measurement.
    ///
    /// # Errors
    /// When the engine cannot tell.
    fn operators(&self) -> Result<Vec<OperatorTimes>> {
        Ok(Vec::new())
    }

    /// The most memory in bytes that the engine's process has taken since it began with the model;
    /// `None` when the engine has no process of its own, or the system does not tell.
    ///
    /// # Errors
    /// When that process is dead.
    fn memory(&self) -> Result<Option<u64>> {
        Ok(None)
    }
}

/// What one run gave.
#[derive(Debug, Clone, PartialEq)]
pub struct Executed {
    /// Named outputs, in the order of the model's outputs.
    pub outputs: Vec<(String, Tensor)>,
    /// For each tap what was seen; `None` when the engine cannot see the value.
    pub observed: Vec<Option<Observation>>,
    /// Time the engine took, without the way to it and back.
    pub time: Duration,
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
