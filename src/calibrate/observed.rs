//! The loop over the samples that everything which is measured goes through.

use std::collections::HashSet;

use rayon::prelude::*;

use crate::calibrate::Calibration;
use crate::calibrate::collect::{fingerprint, is_held_out};
use crate::calibrate::view::{Look, View};
use crate::error::{ErrorKind, Result};
use crate::exec::{Observation, Runner, Tap};
use crate::ir::Model;

/// Runs whose observations are in memory at once. It does not depend on the number of threads, so sums in the
/// order of the runs do not either.
const RUNS: usize = 16;

/// A run that was made.
pub(super) struct Ran {
    /// Which one of all runs.
    pub place: usize,
    /// See [`fingerprint`].
    pub digest: u64,
    /// Samples in it.
    pub samples: usize,
}

impl Ran {
    /// Something is judged on this run, not fitted to it.
    pub fn is_held_out(&self) -> bool {
        is_held_out(self.digest)
    }
}

/// What was seen of one value in each of some runs; `None` where that is nothing.
pub(super) type Seen = Vec<Option<Observation>>;

impl Calibration<'_> {
    /// Runs `model` on these runs of the samples and shows `see` what was seen in each of the `looks`, a few runs at
    /// a time and in their order. When the engine does not run the model, it runs what it can.
    pub(super) fn observed(
        &self,
        model: &Model,
        looks: &[Look],
        runs: &[usize],
        see: &mut dyn FnMut(&[Ran], Vec<Seen>),
    ) -> Result<()> {
        let mut any = false;
        let view = self.view(model, looks);
        let found = self.observed_in(&view, looks, runs, &mut |ran, seen| {
            any = true;
            see(ran, seen);
        });
        match found {
            Err(error) if error.kind == ErrorKind::Engine && !any => {
                let view = self.reached(model, looks).ok_or(error)?;
                self.observed_in(&view, looks, runs, see)
            }
            found => found,
        }
    }

    fn observed_in(
        &self,
        view: &View<'_>,
        looks: &[Look],
        runs: &[usize],
        see: &mut dyn FnMut(&[Ran], Vec<Seen>),
    ) -> Result<()> {
        let (places, taps): (Vec<usize>, Vec<Tap>) = view.taps().into_iter().unzip();
        // Only values that the engine does not show: whether it runs the model is not asked.
        if taps.is_empty() && !looks.is_empty() {
            return Ok(());
        }
        let runner = Runner::new(self.engine, &view.model, taps);
        let given = view.model.graph(view.model.main()).inputs();
        let given: HashSet<&str> =
            given.iter().map(|&input| view.model.value(input).name()).collect();
        let one = |&place: &usize| -> Result<(Ran, Seen)> {
            let mut run = self.samples.run(place)?;
            let ran = Ran { place, digest: fingerprint(&run), samples: run.count };
            run.inputs.retain(|(name, _)| given.contains(&**name));
            let observed = runner.run(&run.inputs)?.observed;
            self.progress.step();
            Ok((ran, observed))
        };
        self.progress.start("measuring", runs.len());
        let all = runs.chunks(RUNS).try_for_each(|part| -> Result<()> {
            let made: Vec<(Ran, Seen)> = part.par_iter().map(one).collect::<Result<_>>()?;
            let mut ran = Vec::with_capacity(part.len());
            let mut seen = vec![vec![None; part.len()]; looks.len()];
            for (i, (run, observed)) in made.into_iter().enumerate() {
                ran.push(run);
                for (&place, observed) in places.iter().zip(observed) {
                    seen[place][i] = observed.and_then(|observed| view.observed(place, observed));
                }
            }
            see(&ran, seen);
            Ok(())
        });
        self.progress.finish();
        all
    }
}
