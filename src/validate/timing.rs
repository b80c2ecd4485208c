//! How long runs of two models take.

use rayon::prelude::*;

use crate::error::Result;
use crate::exec::{Engine, Executed, Runner};
use crate::ir::Model;
use crate::tensor::Tensor;

/// Runs of each model that are timed, one at a time.
pub const TIMED_RUNS: usize = 21;
/// Rounds in which every thread times one run of each model.
const ROUNDS: usize = 5;

/// Times of runs of one model in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Timing {
    /// The median.
    pub median: f64,
    /// Half of the runs took between these.
    pub quartiles: [f64; 2],
    /// Runs that were timed.
    pub runs: usize,
    /// The most memory, in bytes, that the engine's process took; `None` when it has no process of its
    /// own, or the system does not tell.
    pub memory: Option<u64>,
}

/// Times runs of two models on the same inputs, one at a time and in turn, so that a drifting clock
/// meets both. A first round prepares the sessions and is not counted.
///
/// # Errors
/// When one of the models cannot be run.
pub fn one_at_a_time(
    engine: &dyn Engine,
    models: [&Model; 2],
    inputs: &[(String, Tensor)],
) -> Result<[Timing; 2]> {
    let runners = models.map(|model| Runner::new(engine, model, Vec::new()));
    let mut executed = [Vec::new(), Vec::new()];
    for round in 0..=TIMED_RUNS {
        for (runner, executed) in runners.iter().zip(&mut executed) {
            let run = runner.run(inputs)?;
            if round > 0 {
                executed.push(run);
            }
        }
    }
    timings(&runners, &executed)
}

/// The same with a run on each of `threads` threads at a time: how long one takes beside the others.
///
/// # Errors
/// When one of the models cannot be run.
pub fn side_by_side(
    engine: &dyn Engine,
    models: [&Model; 2],
    inputs: &[(String, Tensor)],
    threads: usize,
) -> Result<[Timing; 2]> {
    let runners = models.map(|model| Runner::new(engine, model, Vec::new()));
    let mut executed = [Vec::new(), Vec::new()];
    for round in 0..=ROUNDS {
        for (runner, executed) in runners.iter().zip(&mut executed) {
            let runs: Vec<Executed> =
                (0..threads).into_par_iter().map(|_| runner.run(inputs)).collect::<Result<_>>()?;
            if round > 0 {
                executed.extend(runs);
            }
        }
    }
    timings(&runners, &executed)
}

fn timings(runners: &[Runner<'_>; 2], executed: &[Vec<Executed>; 2]) -> Result<[Timing; 2]> {
    let of = |i: usize| -> Result<Timing> { Ok(Timing::of(&executed[i], runners[i].memory()?)) };
    Ok([of(0)?, of(1)?])
}

impl Timing {
    fn of(runs: &[Executed], memory: Option<u64>) -> Self {
        let mut times: Vec<f64> = runs.iter().map(|run| run.time.as_secs_f64() * 1e3).collect();
        times.sort_by(f64::total_cmp);
        let at = |share: f64| {
            let last = times.len().saturating_sub(1);
            times.get((last as f64 * share).round() as usize).copied().unwrap_or(0.0)
        };
        Self { median: at(0.5), quartiles: [at(0.25), at(0.75)], runs: times.len(), memory }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn medians_and_quartiles() {
        let run = |ms: u64| Executed {
            outputs: Vec::new(),
            observed: Vec::new(),
            time: Duration::from_millis(ms),
        };
        let timing = Timing::of(&[5, 1, 4, 2, 3].map(run), Some(50));
        assert_eq!((timing.median, timing.quartiles, timing.runs), (3.0, [2.0, 4.0], 5));
        assert_eq!(timing.memory, Some(50));
        assert_eq!(Timing::of(&[run(7)], None).quartiles, [7.0, 7.0]);
    }
}
