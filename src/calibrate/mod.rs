//! Runs a model over samples and measures its values.

mod progress;

pub use progress::Progress;

use rayon::prelude::*;

use crate::analysis::{Asked, Measure, Range};
use crate::data::Samples;
use crate::error::Result;
use crate::exec::{Engine, Observation, Observe, Runner, Tap};
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
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        let main = model.main();
        let values: Vec<ValueId> = asked.iter().map(|asked| asked.value).collect();
        let measured: Vec<usize> =
            (0..values.len()).filter(|&i| model.value(values[i]).graph() == main).collect();
        let tap = |&i: &usize| Tap {
            value: model.value(values[i]).name().to_owned(),
            observe: Observe::Range,
        };
        let taps = measured.iter().map(tap).collect();
        let runner = Runner::new(self.engine, model, taps);
        self.progress.start(self.samples.runs());
        let nothing = || vec![None; values.len()];
        let ranges = (0..self.samples.runs())
            .into_par_iter()
            .try_fold(nothing, |mut ranges, i| -> Result<_> {
                let run = self.samples.run(i)?;
                let observed = runner.run(&run.inputs)?.observed;
                for (&i, seen) in measured.iter().zip(&observed) {
                    ranges[i] = merge(ranges[i], seen.as_ref().and_then(Observation::range));
                }
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
