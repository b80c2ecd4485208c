//! Runs the samples and collects statistics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::analysis::{Asked, Measure, Range};
use crate::calibrate::view::Wanted;
use crate::calibrate::{Calibration, Statistics, ValueStatistics};
use crate::data::Run;
use crate::error::{Result, err};
use crate::exec::{Observe, Runner, Tap};
use crate::ir::Model;
use crate::math::Fingerprint;

/// One of so many runs is held out: calibrators are fitted to the others and judged on these.
pub(super) const HELD_OUT: u64 = 4;

/// A part of the runs, so that several machines can share the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Shard {
    index: usize,
    of: usize,
}

impl Default for Shard {
    /// All runs.
    fn default() -> Self {
        Self { index: 0, of: 1 }
    }
}

impl Shard {
    /// The part `number`, from 1 on, of `of`; `None` when there is no such part.
    pub fn new(number: usize, of: usize) -> Option<Self> {
        (1..=of).contains(&number).then(|| Self { index: number - 1, of })
    }

    /// The numbers of its runs.
    fn runs(self, all: usize) -> Vec<usize> {
        (self.index..all).step_by(self.of).collect()
    }
}

/// What is known of the samples besides values.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(super) struct Seen {
    pub samples: u64,
    pub runs: u64,
    /// Sum of the digests of the inputs, which has no order.
    pub inputs: u64,
}

impl Calibration<'_> {
    /// What the values asked for are on the samples; with `spread`, how their elements are spread.
    /// `None` for a value that cannot be observed.
    pub(super) fn values(
        &self,
        model: &Model,
        asked: &[Asked],
        shard: Shard,
        spread: bool,
    ) -> Result<(Vec<Option<ValueStatistics>>, Seen)> {
        let observe = if spread { Observe::Histogram } else { Observe::Range };
        let wanted: Vec<Wanted> =
            asked.iter().map(|asked| (asked.value, observe.clone())).collect();
        let view = self.view(model, &wanted);
        let (measured, taps): (Vec<usize>, Vec<Tap>) = view.taps().into_iter().unzip();
        let runner = Runner::new(self.engine, &view.model, taps);
        let runs = shard.runs(self.samples.runs());
        // What merges exactly needs no order: all threads share one set.
        let values: Vec<Mutex<Option<ValueStatistics>>> =
            asked.iter().map(|_| Mutex::default()).collect();
        let totals = Mutex::new(Seen::default());
        self.progress.start("measuring", runs.len());
        let ran = runs.into_par_iter().try_for_each(|i| -> Result<()> {
            let run = self.samples.run(i)?;
            let digest = fingerprint(&run);
            let held_out = digest.is_multiple_of(HELD_OUT);
            let observed = runner.run(&run.inputs)?.observed;
            for (&i, seen) in measured.iter().zip(observed) {
                let seen = seen.and_then(|seen| view.observed(i, seen));
                let found = seen.and_then(|seen| ValueStatistics::of(seen, held_out));
                let mut value = values[i].lock().unwrap_or_else(PoisonError::into_inner);
                *value = ValueStatistics::merged(value.take(), found);
            }
            let mut seen = totals.lock().unwrap_or_else(PoisonError::into_inner);
            seen.samples += run.count as u64;
            seen.runs += 1;
            seen.inputs = seen.inputs.wrapping_add(digest);
            self.progress.step();
            Ok(())
        });
        self.progress.finish();
        ran?;
        let take = |value: Mutex<_>| value.into_inner().unwrap_or_else(PoisonError::into_inner);
        Ok((values.into_iter().map(take).collect(), take_seen(totals)))
    }
}

fn take_seen(totals: Mutex<Seen>) -> Seen {
    totals.into_inner().unwrap_or_else(PoisonError::into_inner)
}

/// Whether a run is held out of what is fitted: one of four, whatever the order of the samples.
pub fn held_out(run: &Run) -> bool {
    fingerprint(run).is_multiple_of(HELD_OUT)
}

/// A digest of what goes into a run: whether it is held out depends on what it is, not on where it
/// stands.
pub(super) fn fingerprint(run: &Run) -> u64 {
    let mut digest = Fingerprint::default();
    for (name, tensor) in &run.inputs {
        digest.add(name.as_bytes());
        digest.add(tensor.bytes());
    }
    digest.finish()
}

/// A digest of names and weights of a model: statistics are of one model.
pub fn digest(model: &Model) -> u64 {
    let mut digest = Fingerprint::default();
    for (_, value) in model.values() {
        digest.add(value.name().as_bytes());
        if let Some(tensor) = value.initializer() {
            digest.add(&tensor.dtype().to_onnx().to_le_bytes());
            tensor.dims().iter().for_each(|&dim| digest.add(&(dim as u64).to_le_bytes()));
            digest.add(tensor.bytes());
        }
    }
    digest.finish()
}

/// Collects statistics of what a pass asks for, and lets it change nothing: every value is said to
/// have no range.
pub struct Collect<'a> {
    calibration: &'a Calibration<'a>,
    shard: Shard,
    collected: Mutex<Option<Statistics>>,
    /// [`digest`] of the model as it was read.
    model: u64,
}

impl<'a> Collect<'a> {
    /// From the runs of a shard; `model` is the [`digest`] of the model as it was read.
    pub fn new(calibration: &'a Calibration<'a>, shard: Shard, model: u64) -> Self {
        Self { calibration, shard, collected: Mutex::default(), model }
    }

    /// What was collected.
    ///
    /// # Errors
    /// When nothing was asked for.
    pub fn finish(self) -> Result<Statistics> {
        let collected = self.collected.into_inner().unwrap_or_else(PoisonError::into_inner);
        collected
            .ok_or_else(|| err!(Usage, "the model has nothing to quantize, so nothing is measured"))
    }
}

impl Measure for Collect<'_> {
    fn ranges(&self, model: &Model, asked: &[Asked]) -> Result<Vec<Option<Range>>> {
        let (values, seen) = self.calibration.values(model, asked, self.shard, true)?;
        let names = asked.iter().map(|asked| model.path_of(asked.value));
        let values: BTreeMap<String, Option<ValueStatistics>> = names.zip(values).collect();
        let Seen { samples, runs, inputs } = seen;
        let found = Statistics { model: self.model, samples, runs, inputs, values };
        *self.collected.lock().unwrap_or_else(PoisonError::into_inner) = Some(found);
        Ok(vec![None; asked.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::Shard;

    #[test]
    fn shards_share_the_runs() {
        let mut all: Vec<usize> = (1..=3).flat_map(|i| Shard::new(i, 3).unwrap().runs(8)).collect();
        all.sort_unstable();
        assert_eq!(all, (0..8).collect::<Vec<_>>());
        assert_eq!(Shard::new(9, 9).unwrap().runs(8), [0usize; 0]);
        assert_eq!((Shard::new(0, 2), Shard::new(3, 2)), (None, None));
    }
}
