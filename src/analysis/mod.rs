//! Questions about a model that change nothing, and the two doors through which passes learn what
//! only running a model can tell.

mod constants;

pub use constants::constant;

use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::tensor::Tensor;

/// Computes constant expressions. `exec` implements it.
pub trait Evaluate {
    /// The outputs of `node` for these inputs, in slot order (`None` where an output is left out).
    ///
    /// # Errors
    /// When the engine cannot run the operator.
    fn evaluate(
        &self,
        model: &Model,
        node: NodeId,
        inputs: &[Option<Tensor>],
    ) -> Result<Vec<Option<Tensor>>>;
}

/// Runs the calibration samples and measures values. `calibrate` implements it.
pub trait Measure {
    /// The range of each of `values` of `model` over all samples, in the same order; `None` for a
    /// value that cannot be observed.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    fn ranges(&self, model: &Model, values: &[ValueId]) -> Result<Vec<Option<Range>>>;
}

/// Smallest and largest element seen.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Range {
    /// Smallest element.
    pub min: f32,
    /// Largest element.
    pub max: f32,
}

impl Range {
    /// The smallest range that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
