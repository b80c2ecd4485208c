//! The states of a run: the best is kept, and a run that went astray starts again from it.

use crate::distill::score::Score;

/// Times the loss of the start at which a run has gone astray.
const ASTRAY: f64 = 3.0;
/// Times that a run starts again before it is given up.
const RESTARTS: usize = 4;
/// How slowly the mean of the loss moves.
const SLOW: f64 = 0.9;

/// What happens next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    GoOn,
    /// From the best state, at half the rate.
    StartAgain,
    GiveUp,
}

/// The best state, and how the run goes.
#[derive(Debug, Clone)]
pub struct Guard {
    pub start: Score,
    pub best: Score,
    /// The best parameters; nothing as long as nothing is better than the start.
    pub parameters: Option<Vec<Vec<f32>>>,
    pub restarts: usize,
    first: Option<f64>,
    mean: f64,
    /// States must name the classes of the teacher at least as often as the start.
    classes: bool,
}

impl Guard {
    /// At the start.
    pub fn new(start: Score, classes: bool) -> Self {
        Self { start, best: start, parameters: None, restarts: 0, first: None, mean: 0.0, classes }
    }

    /// Looks at a state; keeps it when it is the best so far.
    pub fn see(&mut self, score: Score, parameters: &[Vec<f32>]) -> bool {
        let agrees = !self.classes || score.agreed >= self.start.agreed;
        let better = score.output.is_finite() && score.output < self.best.output && agrees;
        if better {
            self.best = score;
            self.parameters = Some(parameters.to_vec());
        }
        better
    }

    /// Looks at the loss of a step.
    pub fn judge(&mut self, loss: f64) -> Verdict {
        let first = *self.first.get_or_insert(loss);
        if self.mean == 0.0 {
            self.mean = loss;
        }
        self.mean = SLOW * self.mean + (1.0 - SLOW) * loss;
        let astray = !loss.is_finite() || self.mean > ASTRAY * first && first > 0.0;
        match astray {
            false => Verdict::GoOn,
            true if self.restarts == RESTARTS => Verdict::GiveUp,
            true => {
                self.restarts += 1;
                self.mean = 0.0;
                Verdict::StartAgain
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_better_states_are_kept() {
        let score =
            |output: f64, agreed: usize| Score { loss: output, output, agreed, samples: 10 };
        let mut guard = Guard::new(score(2.0, 8), true);
        assert!(!guard.see(score(3.0, 9), &[]) && !guard.see(score(1.0, 7), &[]));
        assert!(guard.parameters.is_none());
        assert!(guard.see(score(1.5, 8), &[vec![1.0]]) && !guard.see(score(1.6, 10), &[]));
        assert!(!guard.see(score(f64::NAN, 10), &[]));
        assert_eq!(guard.parameters, Some(vec![vec![1.0]]));
    }

    #[test]
    fn a_run_that_goes_astray_starts_again_and_is_given_up_in_the_end() {
        let mut guard = Guard::new(Score::default(), false);
        assert_eq!(guard.judge(1.0), Verdict::GoOn);
        assert_eq!(guard.judge(2.0), Verdict::GoOn);
        for _ in 0..4 {
            assert_eq!(guard.judge(f64::NAN), Verdict::StartAgain);
        }
        assert_eq!(guard.judge(1e9), Verdict::GiveUp);
    }
}
