//! Questions about a model that change nothing, and the two doors through which passes learn what
//! only running a model can tell.

pub mod channels;
mod constants;
mod contraction;
pub mod cost;
mod decisions;
mod dequantize;
pub mod diff;
mod indices;
mod moved;
mod packed;
mod products;
mod progress;
pub mod shapes;

pub use channels::Channels;
pub use constants::constant;
pub use contraction::{Contraction, RunRows, VectorMoments, Vectors, WEIGHT_SLOT, float_weight};
pub use cost::Cost;
pub use decisions::{Decision, OutputKind, chosen_from, decision};
pub use dequantize::{dequantized, scale_index};
pub use diff::Diff;
pub use indices::{Reach, index_bounds, input_bounds};
pub use moved::{ConstantFloats, constant_floats, moved_constant, origin, turned};
pub use packed::{unpacked_matrix, unpacked_table};
pub use products::is_layer;
pub use progress::Progress;
pub use shapes::{Assume, Shapes, Term, exact, names_an_axis};

use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::tensor::Tensor;

/// Computes constant expressions. `exec` implements it.
pub trait Evaluate: Sync {
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
pub trait Measure: Sync {
    /// A range for each value that is `asked` for, from what it is on the samples, in the same order:
    /// the one with which its grid is to be made. `None` for a value that cannot be observed, or is
    /// no `float` value.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>>;

    /// Runs of the samples; none where there are no samples to run.
    fn runs(&self) -> usize {
        0
    }

    /// The moments of what layers read, for each that is asked for, in the same order. `None` where the
    /// value cannot be observed, or where there are no samples to run.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    fn moments(&self, model: &Model, asked: &[Vectors]) -> Result<Vec<Option<VectorMoments>>> {
        let _ = model;
        Ok(vec![None; asked.len()])
    }

    /// For each value and axis the largest magnitude of each channel, in the same order. `None` where the
    /// value cannot be observed or is not finite, or where there are no samples to run.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    fn magnitudes(
        &self,
        model: &Model,
        asked: &[(ValueId, usize)],
    ) -> Result<Vec<Option<Vec<f32>>>> {
        let _ = model;
        Ok(vec![None; asked.len()])
    }

    /// Shows the vectors that layers read, a few runs at a time, in the order of the runs; of all runs
    /// together about `most` vectors of each layer. Which ones depends on their number alone, so those
    /// of two models whose layers see equally many positions are pairs. Nothing is shown where there
    /// are no samples to run.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    fn rows(
        &self,
        model: &Model,
        asked: &[Vectors],
        most: usize,
        see: &mut dyn FnMut(&[RunRows]),
    ) -> Result<()> {
        let _ = (model, asked, most, see);
        Ok(())
    }
}

/// A value whose range is asked for, and the grid that it will be put on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Asked {
    /// The value.
    pub value: ValueId,
    /// Number of integers of the grid, e.g. 256.
    pub levels: u32,
    /// The grid reaches as far below 0 as above.
    pub symmetric: bool,
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
    /// The range of the elements of a slice; `None` for an empty one. A NaN among them makes both
    /// ends NaN, and stays through unions.
    pub fn of(elements: &[f32]) -> Option<Self> {
        /// Independent minima and maxima, so that elements need not wait for each other.
        const LANES: usize = 16;
        let first = *elements.first()?;
        let (mut low, mut high, mut odd) = ([first; LANES], [first; LANES], [false; LANES]);
        let (groups, rest) = elements.as_chunks::<LANES>();
        for group in groups {
            for i in 0..LANES {
                let x = group[i];
                low[i] = if x < low[i] { x } else { low[i] };
                high[i] = if x > high[i] { x } else { high[i] };
                odd[i] |= x.is_nan();
            }
        }
        let lanes = low.into_iter().chain(high).chain(rest.iter().copied());
        let (mut range, mut nan) = (Self { min: first, max: first }, odd.contains(&true));
        for x in lanes {
            range.min = if x < range.min { x } else { range.min };
            range.max = if x > range.max { x } else { range.max };
            nan |= x.is_nan();
        }
        // `+ 0.0` turns -0.0 into 0.0, so that the result does not depend on the order.
        Some(if nan {
            Self { min: f32::NAN, max: f32::NAN }
        } else {
            Self { min: range.min + 0.0, max: range.max + 0.0 }
        })
    }

    /// The smallest range that holds both.
    #[must_use]
    pub fn union(self, other: Self) -> Self {
        if self.min.is_nan() || other.min.is_nan() {
            return Self { min: f32::NAN, max: f32::NAN };
        }
        Self { min: self.min.min(other.min), max: self.max.max(other.max) }
    }
}
