//! The engines that run in the calling process or in workers.

use std::sync::Arc;

use bytes::Bytes;

use crate::error::Result;
use crate::exec::onnxruntime::{self, OnnxRuntime};
use crate::exec::tract::{self, Lowering};
use crate::exec::{Engine, InputShape, Session, Tap, Tract};
use crate::ir::Verified;

/// An engine that a worker can run.
#[derive(Debug, Clone)]
pub(super) enum Backend {
    Tract(Lowering),
    OnnxRuntime(OnnxRuntime),
}

/// A model in the form that its engine takes; it passes from process to process.
#[derive(Debug)]
pub(super) enum Lowered {
    Tract(Bytes),
    OnnxRuntime(onnxruntime::Lowered),
}

impl Backend {
    pub(super) fn name(&self) -> &'static str {
        match self {
            Self::Tract(_) => Tract.name(),
            Self::OnnxRuntime(engine) => engine.name(),
        }
    }

    pub(super) fn lower(
        &self,
        model: Verified<'_>,
        inputs: &[InputShape],
        taps: &[Tap],
    ) -> Result<Lowered> {
        Ok(match self {
            Self::Tract(lowering) => Lowered::Tract(tract::lower(model, inputs, *lowering)?),
            Self::OnnxRuntime(engine) => Lowered::OnnxRuntime(engine.lower(model, taps)?),
        })
    }

    /// See [`Engine::as_written`].
    pub(super) fn as_written(&self) -> Self {
        match self {
            Self::Tract(_) => Self::Tract(Lowering::AsWritten),
            Self::OnnxRuntime(engine) => Self::OnnxRuntime(engine.optimizing()),
        }
    }
}

impl Lowered {
    /// Makes the model ready to run in this process.
    pub(super) fn build(self, inputs: &[InputShape], taps: &[Tap]) -> Result<Arc<dyn Session>> {
        match self {
            Self::Tract(model) => tract::build(model, inputs, taps),
            Self::OnnxRuntime(model) => model.build(taps),
        }
    }
}
