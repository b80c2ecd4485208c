//! The engines that run in the calling process or in workers.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::exec::clock::Clock;
use crate::exec::onnxruntime::{self, OnnxRuntime};
use crate::exec::tract::{self, Lowering};
use crate::exec::{Engine, InputShape, Session, Tap, Tract};
use crate::ir::Verified;

/// An engine that a worker can run.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    Tract(Lowering, Clock),
    OnnxRuntime(OnnxRuntime),
}

/// A model in the form that its engine takes; it passes from process to process.
#[derive(Debug)]
pub(super) enum Lowered {
    Tract(Bytes, Clock),
    OnnxRuntime(onnxruntime::Lowered),
}

impl Backend {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Tract(..) => Tract.name(),
            Self::OnnxRuntime(engine) => engine.name(),
        }
    }

    /// See [`Engine::takes_uneven_branches`].
    pub(super) fn takes_uneven_branches(&self) -> bool {
        match self {
            Self::Tract(..) => Tract.takes_uneven_branches(),
            Self::OnnxRuntime(engine) => engine.takes_uneven_branches(),
        }
    }

    pub(super) fn lower(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Lowered> {
        Ok(match self {
            Self::Tract(lowering, clock) => {
                Lowered::Tract(tract::lower(model, inputs, *lowering)?, *clock)
            }
            Self::OnnxRuntime(engine) => Lowered::OnnxRuntime(engine.lower(model, taps)?),
        })
    }

    /// See [`Engine::as_written`].
    pub(super) fn as_written(&self) -> Self {
        match self {
            Self::Tract(_, clock) => Self::Tract(Lowering::AsWritten, *clock),
            Self::OnnxRuntime(engine) => Self::OnnxRuntime(engine.optimizing()),
        }
    }

    /// See [`Engine::profiling`].
    pub(super) fn profiling(&self) -> Self {
        match self.as_written() {
            Self::Tract(lowering, _) => Self::Tract(lowering, Clock::Operators),
            Self::OnnxRuntime(engine) => Self::OnnxRuntime(engine.timing(Clock::Operators)),
        }
    }
}

impl Lowered {
    /// Makes the model ready to run in this process.
    pub(super) fn build(self, inputs: &[InputShape], taps: &[Tap]) -> Result<Arc<dyn Session>> {
        match self {
            Self::Tract(model, clock) => tract::build(model, inputs, taps, clock),
            Self::OnnxRuntime(model) => model.build(taps),
        }
    }
}
