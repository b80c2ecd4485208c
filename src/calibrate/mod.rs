//! Runs a model over samples and measures its values.

mod progress;

pub use progress::Progress;

use rayon::prelude::*;

use crate::analysis::{Measure, Range};
use crate::data::Samples;
use crate::error::Result;
use crate::exec::{Engine, Runner};
use crate::ir::{Model, ValueId};

/// Calibration samples and the engine that runs them.
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
    /// engine adds up in another order. Only `float` values of the main graph are measured.
    fn ranges(&self, model: &Model, values: &[ValueId]) -> Result<Vec<Option<Range>>> {
        let main = model.main();
        let measured: Vec<usize> =
            (0..values.len()).filter(|&i| model.value(values[i]).graph() == main).collect();
        let taps = measured.iter().map(|&i| model.value(values[i]).name().to_owned()).collect();
        let runner = Runner::new(self.engine, model, taps);
        self.progress.start(self.samples.runs());
        let nothing = || vec![None; values.len()];
        let ranges = (0..self.samples.runs())
            .into_par_iter()
            .try_fold(nothing, |mut ranges, i| -> Result<_> {
                let run = self.samples.run(i)?;
                runner.run(&run.inputs, &mut |tap, view| {
                    let range = view.as_f32().and_then(|elements| Range::of(&elements));
                    let known = &mut ranges[measured[tap]];
                    *known = merge(*known, range);
                })?;
                self.progress.step();
                Ok(ranges)
            })
            .try_reduce(nothing, |a, b| {
                Ok(a.into_iter().zip(b).map(|(a, b)| merge(a, b)).collect())
            });
        self.progress.finish();
        ranges
    }
}

fn merge(a: Option<Range>, b: Option<Range>) -> Option<Range> {
    match (a, b) {
        (Some(a), Some(b)) => Some(a.union(b)),
        (a, b) => a.or(b),
    }
}
