//! Runs the samples and finds the largest magnitude of each channel.

use std::sync::{Mutex, PoisonError};

use rayon::prelude::*;

use crate::calibrate::Calibration;
use crate::error::Result;
use crate::exec::{Observation, Observe, Runner, Tap};
use crate::ir::{Model, ValueId};
use crate::tensor::Tensor;

/// Most runs that are looked at: whole values come out of the engine for this.
const MOST_RUNS: usize = 64;

/// The largest magnitude of each channel, as far as it was seen; `None` when it cannot be known.
type Channels = Option<Vec<f32>>;

impl Calibration<'_> {
    /// The largest magnitudes of the channels of values, each with its axis, over up to 64 runs spread
    /// over all; the same for any number of threads.
    pub(super) fn channel_magnitudes(
        &self,
        model: &Model,
        asked: &[(ValueId, usize)],
    ) -> Result<Vec<Channels>> {
        let main = model.main();
        let seen: Vec<usize> =
            (0..asked.len()).filter(|&i| model.value(asked[i].0).graph() == main).collect();
        let name = |&i: &usize| model.value(asked[i].0).name().to_owned();
        let tap = |i: &usize| Tap { value: name(i), observe: Observe::Value };
        let runner = Runner::new(self.engine, model, seen.iter().map(tap).collect());
        let found: Vec<Mutex<Channels>> = seen.iter().map(|_| Mutex::new(Some(vec![]))).collect();
        let runs = self.samples.runs().min(MOST_RUNS);
        self.progress.start("measuring", runs);
        let ran = (0..runs).into_par_iter().try_for_each(|i| -> Result<()> {
            let run = self.samples.run(i * self.samples.runs() / runs)?;
            let observed = runner.run(&run.inputs)?.observed;
            for ((found, i), observed) in found.iter().zip(&seen).zip(observed) {
                let new = match observed {
                    Some(Observation::Value(tensor)) => channels(&tensor, asked[*i].1),
                    _ => None,
                };
                let mut found = found.lock().unwrap_or_else(PoisonError::into_inner);
                *found = merged(found.take(), new);
            }
            self.progress.step();
            Ok(())
        });
        self.progress.finish();
        ran?;
        let mut all = vec![None; asked.len()];
        for (i, found) in seen.into_iter().zip(found) {
            let found = found.into_inner().unwrap_or_else(PoisonError::into_inner);
            all[i] = found.filter(|channels| channels.iter().all(|x| x.is_finite()));
        }
        Ok(all)
    }
}

/// Of one tensor.
fn channels(tensor: &Tensor, axis: usize) -> Channels {
    let extent = *tensor.dims().get(axis)?;
    let elements = tensor.view().as_f32()?;
    let inner: usize = tensor.dims()[axis + 1..].iter().product();
    let mut largest = vec![0f32; extent];
    for (i, row) in elements.chunks(inner.max(1)).enumerate() {
        let channel = &mut largest[i % extent.max(1)];
        for x in row {
            // A NaN stays.
            *channel = if x.abs() > *channel || x.is_nan() { x.abs() } else { *channel };
        }
    }
    Some(largest)
}

/// Of both; nothing was seen when there are no channels.
fn merged(a: Channels, b: Channels) -> Channels {
    let (mut a, b) = (a?, b?);
    if a.is_empty() {
        return Some(b);
    }
    if a.len() != b.len() {
        return None;
    }
    for (a, b) in a.iter_mut().zip(b) {
        *a = if b > *a || b.is_nan() { b } else { *a };
    }
    Some(a)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_are_on_their_axis() {
        let tensor = Tensor::from_f32(&[2, 2, 2], &[1.0, -5.0, 2.0, 0.0, 3.0, 1.0, -4.0, 1.0]);
        assert_eq!(channels(&tensor, 1), Some(vec![5.0, 4.0]));
        assert_eq!(channels(&tensor, 2), Some(vec![4.0, 5.0]));
        assert_eq!(channels(&tensor, 3), None);
        let two = merged(Some(vec![1.0, 4.0]), Some(vec![2.0, 3.0]));
        assert_eq!(two, Some(vec![2.0, 4.0]));
        assert_eq!(merged(Some(vec![]), Some(vec![2.0])), Some(vec![2.0]));
        assert_eq!(merged(Some(vec![1.0]), Some(vec![2.0, 3.0])), None);
        assert!(merged(Some(vec![1.0]), Some(vec![f32::NAN])).unwrap()[0].is_nan());
    }
}
