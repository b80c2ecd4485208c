//! How long each operator of a model takes.

use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// What a session times.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Clock {
    /// Each run as a whole.
    #[default]
    Runs,
    /// Each of its operators, too.
    Operators,
}

/// The times of one operator of a model as the engine runs it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OperatorTimes {
    /// The engine's name for the node. Engines rewrite models: it begins with the name of the node of the
    /// model that it is made of, where it is made of one.
    pub name: String,
    /// The engine's name for the operator.
    pub op: String,
    /// The time that it took in each run, with what runs within it.
    pub runs: Vec<Duration>,
}

/// Adds up the times of the operators of a plan.
#[derive(Debug)]
pub(super) struct Stopwatch {
    /// Names of nodes and operators.
    operators: Vec<(String, String)>,
    runs: Mutex<Vec<Lap>>,
}

/// The times of one run, by the position of the operator.
#[derive(Debug, Clone)]
pub(super) struct Lap(Vec<Duration>);

impl Stopwatch {
    pub(super) fn new(operators: Vec<(String, String)>) -> Self {
        Self { operators, runs: Mutex::default() }
    }

    /// For a run that begins.
    pub(super) fn lap(&self) -> Lap {
        Lap(vec![Duration::ZERO; self.operators.len()])
    }

    /// Takes in a run that has ended.
    pub(super) fn keep(&self, lap: Lap) {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).push(lap);
    }

    /// The times of the operators that took any.
    pub(super) fn times(&self) -> Vec<OperatorTimes> {
        let runs = self.runs.lock().unwrap_or_else(PoisonError::into_inner);
        let operators = self.operators.iter().enumerate();
        let times = operators.map(|(at, (name, op))| OperatorTimes {
            name: name.clone(),
            op: op.clone(),
            runs: runs.iter().filter_map(|lap| lap.0.get(at).copied()).collect(),
        });
        times.filter(|operator| operator.runs.iter().any(|time| !time.is_zero())).collect()
    }
}

impl Lap {
    /// Adds the time since `start` to that of an operator.
    pub(super) fn add(&mut self, operator: usize, start: Instant) {
        if let Some(time) = self.0.get_mut(operator) {
            *time += start.elapsed();
        }
    }
}
