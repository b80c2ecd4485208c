//! Runs the samples and collects statistics.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::analysis::{Asked, Measure, Range, VectorMoments, Vectors};
use crate::calibrate::moments::Gathered;
use crate::calibrate::observed::Ran;
use crate::calibrate::view::Look;
use crate::calibrate::{Calibration, Statistics, ValueStatistics};
use crate::data::Run;
use crate::error::{Result, err};
use crate::exec::Observe;
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
pub(super) struct Digested {
    pub samples: u64,
    pub runs: u64,
    /// Sum of the digests of the inputs, which has no order.
    pub inputs: u64,
    /// Runs that are held out.
    pub held_out: u64,
}

/// What a model is measured for.
pub(super) struct Wanted<'a> {
    pub ranges: &'a [Asked],
    /// How the elements of these are spread, too.
    pub spread: bool,
    /// Moments of these, too: they cost little when the samples are run anyway.
    pub vectors: &'a [Vectors],
}

/// What was measured; `None` for a value that cannot be observed.
pub(super) struct Values {
    pub ranges: Vec<Option<ValueStatistics>>,
    pub moments: Vec<Option<VectorMoments>>,
    pub samples: Digested,
}

impl Values {
    /// That none of what is wanted can be observed.
    pub fn nothing(wanted: &Wanted<'_>) -> Self {
        Self {
            ranges: vec![None; wanted.ranges.len()],
            moments: vec![None; wanted.vectors.len()],
            samples: Digested::default(),
        }
    }
}

impl Calibration<'_> {
    /// What is wanted of the values of a model, on the samples of a shard.
    pub(super) fn values(
        &self,
        model: &Model,
        wanted: &Wanted<'_>,
        shard: Shard,
    ) -> Result<Values> {
        let Wanted { ranges: asked, spread, vectors } = *wanted;
        let observe = if spread { Observe::Histogram } else { Observe::Range };
        let runs = shard.runs(self.samples.runs());
        let mut moments = Gathered::new(vectors, runs.len());
        let ends = asked.iter().map(|asked| (asked.value, observe.clone()));
        let looks: Vec<Look> = ends.chain(moments.looks().iter().cloned()).collect();
        let mut ranges: Vec<Option<ValueStatistics>> = vec![None; asked.len()];
        let mut samples = Digested::default();
        self.observed(model, &looks, &runs, &mut |ran, mut seen| {
            let held_out: Vec<bool> = ran.iter().map(Ran::is_held_out).collect();
            moments.add(seen.split_off(ranges.len()), &held_out);
            ranges.par_iter_mut().zip(seen).for_each(|(range, seen)| {
                for (seen, &held_out) in seen.into_iter().zip(&held_out) {
                    let found = seen.and_then(|seen| ValueStatistics::of(seen, held_out));
                    *range = ValueStatistics::merged(range.take(), found);
                }
            });
            ran.iter().for_each(|run| samples.add(run));
        })?;
        Ok(Values { ranges, moments: moments.finish(), samples })
    }
}

impl Digested {
    fn add(&mut self, run: &Ran) {
        self.samples += run.samples as u64;
        self.runs += 1;
        self.inputs = self.inputs.wrapping_add(run.digest);
        self.held_out += u64::from(run.is_held_out());
    }

    /// There are runs to fit something to, and others to judge it on.
    pub fn is_parted(&self) -> bool {
        (1..self.runs).contains(&self.held_out)
    }
}

/// Whether a run is held out of what is fitted: one of four, whatever the order of the samples.
pub fn held_out(run: &Run) -> bool {
    is_held_out(fingerprint(run))
}

/// The same by the digest of the run.
pub(super) fn is_held_out(digest: u64) -> bool {
    digest.is_multiple_of(HELD_OUT)
}

/// A digest of what goes into a run: whether it is held out depends on what it is, not on where it
/// stands.
pub fn fingerprint(run: &Run) -> u64 {
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
        let wanted = Wanted { ranges: asked, spread: true, vectors: &[] };
        let found = self.calibration.values(model, &wanted, self.shard)?;
        let names = asked.iter().map(|asked| model.path_of(asked.value));
        let values: BTreeMap<String, Option<ValueStatistics>> = names.zip(found.ranges).collect();
        let Digested { samples, runs, inputs, .. } = found.samples;
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
