//! Runs a model over samples and measures its values.
//!
//! `view` shows values of bodies, `observed` runs, `collect` gathers, `statistics` is what is kept of a value,
//! `choose` makes a range of it, `fit` answers for all values, and `file`
//! writes it down. Formulas and the format: `docs/CALIBRATION.md`.

mod choose;
mod collect;
mod file;
mod fit;
mod held;
mod magnitudes;
mod moments;
mod observed;
mod reach;
mod statistics;
mod view;

pub use choose::{Calibrator, Choice, Method};
pub use collect::{Collect, Shard, digest, fingerprint, held_out};
pub use fit::{Fit, Source};
pub use held::held_out_runs;
pub use statistics::{Statistics, ValueStatistics};

use collect::Wanted;

pub use crate::analysis::Progress;

use crate::analysis::{Asked, Measure, Range, RunRows, VectorMoments, Vectors};
use crate::data::Samples;
use crate::error::Result;
use crate::exec::Engine;
use crate::ir::{Model, ValueId};

/// Calibration samples and the engine that runs them. Its ranges are those of the smallest and the
/// largest element; [`Fit`] has other calibrators.
pub struct Calibration<'a> {
    /// Runs the model.
    pub engine: &'a dyn Engine,
    /// The samples.
    pub samples: &'a Samples,
    /// Told after each run.
    pub progress: &'a dyn Progress,
}

impl Measure for Calibration<'_> {
    /// Smallest and largest element over all samples (min-max calibration).
    ///
    /// Memory does not grow with the number of samples, and the result is bit-identical for any
    /// number of threads and, when batches are whole, for any order of the samples: minima and
    /// maxima of parts merge exactly. Another batch size can change the last bits, because the
    /// engine adds up in another order. Only `float` values are measured.
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        let wanted = Wanted { ranges: asked, spread: false, vectors: &[] };
        let found = self.values(model, &wanted, Shard::default())?;
        Ok(found.ranges.into_iter().map(|value| value.map(|value| value.range)).collect())
    }

    fn runs(&self) -> usize {
        self.samples.runs()
    }

    fn moments(&self, model: &Model, asked: &[Vectors]) -> Result<Vec<Option<VectorMoments>>> {
        self.vector_moments(model, asked)
    }

    fn magnitudes(
        &self,
        model: &Model,
        asked: &[(ValueId, usize)],
    ) -> Result<Vec<Option<Vec<f32>>>> {
        self.channel_magnitudes(model, asked)
    }

    fn rows(
        &self,
        model: &Model,
        asked: &[Vectors],
        most: usize,
        see: &mut dyn FnMut(&[RunRows]),
    ) -> Result<()> {
        self.vector_rows(model, asked, most, see)
    }
}
