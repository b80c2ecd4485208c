//! `quantize-weights`: see `docs/passes/quantize-weights.md`.

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, QuantizeStatic, Report};

/// Stores weights as integers; the arithmetic stays float.
#[derive(Debug, Clone, Default)]
pub struct QuantizeWeights(QuantizeStatic);

impl QuantizeWeights {
    /// As `options` say, of which only those about weights matter.
    pub fn new(options: QuantizeStatic) -> Self {
        Self(options)
    }
}

impl Pass for QuantizeWeights {
    fn name(&self) -> &'static str {
        "quantize-weights"
    }

    fn summary(&self) -> &'static str {
        "Stores weights as integers; the arithmetic stays float."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        QuantizeStatic { weights_only: true, ..self.0.clone() }.run(model, cx)
    }
}
