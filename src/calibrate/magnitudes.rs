//! Runs the samples and finds the largest magnitude of each channel.

use crate::calibrate::Calibration;
use crate::calibrate::view::Look;
use crate::error::Result;
use crate::exec::{Observation, Observe};
use crate::ir::{Model, ValueId};

/// Most runs that are looked at: the largest of all hardly differ from them.
const MOST_RUNS: usize = 64;

/// The largest magnitude of each channel, as far as it was seen; `None` when it cannot be known.
pub(super) type Channels = Option<Vec<f32>>;

impl Calibration<'_> {
    /// The largest magnitudes of the channels of values, each with its axis, over up to 64 runs spread
    /// over all; the same for any number of threads.
    pub(super) fn channel_magnitudes(
        &self,
        model: &Model,
        asked: &[(ValueId, usize)],
    ) -> Result<Vec<Channels>> {
        let look = |&(value, axis): &(ValueId, usize)| (value, Observe::Magnitudes(axis));
        let looks: Vec<Look> = asked.iter().map(look).collect();
        let all = self.samples.runs();
        let count = all.min(MOST_RUNS);
        let runs: Vec<usize> = (0..count).map(|i| i * all / count).collect();
        let mut found: Vec<Channels> = vec![Some(Vec::new()); asked.len()];
        self.observed(model, &looks, &runs, &mut |_, observed| {
            for (found, observed) in found.iter_mut().zip(observed) {
                for observed in observed {
                    *found = merged(found.take(), channels(observed));
                }
            }
        })?;
        let finite = |channels: &Vec<f32>| channels.iter().all(|x| x.is_finite());
        Ok(found.into_iter().map(|found| found.filter(finite)).collect())
    }
}

/// Of one run.
fn channels(observed: Option<Observation>) -> Channels {
    match observed {
        Some(Observation::Value(tensor)) => tensor.to_f32().ok().map(|found| found.to_vec()),
        _ => None,
    }
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
    fn the_largest_of_all_runs_counts() {
        let two = merged(Some(vec![1.0, 4.0]), Some(vec![2.0, 3.0]));
        assert_eq!(two, Some(vec![2.0, 4.0]));
        assert_eq!(merged(Some(vec![]), Some(vec![2.0])), Some(vec![2.0]));
        assert_eq!(merged(Some(vec![1.0]), Some(vec![2.0, 3.0])), None);
        assert!(merged(Some(vec![1.0]), Some(vec![f32::NAN])).unwrap()[0].is_nan());
    }
}
