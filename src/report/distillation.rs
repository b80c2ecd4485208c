//! The report of `distill`.

use std::fmt;

use serde::Serialize;

use crate::distill::Distilled;
use crate::report::ComparisonReport;
use crate::report::text::percent;

/// What a student learned.
#[derive(Debug, Clone, Serialize)]
pub struct DistillationReport {
    /// The student that was read.
    pub input: String,
    /// The teacher.
    pub teacher: String,
    /// The file written.
    pub output: String,
    /// Better on samples held out; else the student was written as it was.
    pub improved: bool,
    /// What was minimized.
    pub losses: Vec<String>,
    /// Steps that were made.
    pub steps: usize,
    /// Samples of a step.
    pub batch: usize,
    /// Samples that were learned from.
    pub learned_from: usize,
    /// Samples that only decided which state is the best.
    pub held_out: usize,
    /// Seconds of the steps.
    pub seconds: f64,
    /// Samples in a second.
    pub samples_per_second: f64,
    /// Times that the run went astray and began again at half the rate.
    pub restarts: usize,
    /// The student on samples held out.
    pub before: HeldOutReport,
    /// The result on samples held out.
    pub after: HeldOutReport,
    /// Looks at the run.
    pub curve: Vec<MomentReport>,
    /// Constants that were trained, by how far they moved.
    pub moved: Vec<MovedReport>,
    /// Constants that were not trained, and why.
    pub not_trained: Vec<NotTrainedReport>,
    /// Signal-to-noise ratio between what was trained and what the engine computes, in decibel.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub agreement_db: Option<f64>,
    /// Teacher and result.
    pub drift: ComparisonReport,
    /// What the user must know.
    pub warnings: Vec<String>,
    /// Show every constant in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

/// A state on samples held out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct HeldOutReport {
    /// Loss of the outputs.
    pub loss: f64,
    /// Share of samples with the class of the teacher, when the output gives classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_class: Option<f64>,
}

/// A look at the run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct MomentReport {
    /// After so many steps.
    pub step: usize,
    /// Mean loss since the last look.
    pub loss: f64,
    /// Loss of the outputs on samples held out.
    pub held_out_loss: f64,
    /// Share of them with the class of the teacher, when the output gives classes.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub same_class: Option<f64>,
}

/// A constant that was trained.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MovedReport {
    /// Its name.
    pub constant: String,
    /// Root mean square of its change, relative to its own.
    pub change: f64,
}

/// A constant that was not trained.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct NotTrainedReport {
    /// Its name.
    pub constant: String,
    /// Why.
    pub reason: String,
}

impl DistillationReport {
    /// The report of a run; the files of the student, the teacher and the result have no names yet.
    pub fn new(distilled: &Distilled, drift: ComparisonReport) -> Self {
        let held_out =
            |&(loss, same_class): &(f64, Option<f64>)| HeldOutReport { loss, same_class };
        let visits = (distilled.steps * distilled.batch) as f64;
        let rate = visits / distilled.seconds.max(f64::MIN_POSITIVE);
        let curve = distilled.curve.iter().map(|moment| MomentReport {
            step: moment.step,
            loss: moment.loss,
            held_out_loss: moment.held_out,
            same_class: moment.agreement,
        });
        let moved = distilled.moved.iter();
        let moved = moved.map(|m| MovedReport { constant: m.name.clone(), change: m.by });
        let frozen = distilled.frozen.iter().map(|(constant, reason)| NotTrainedReport {
            constant: constant.clone(),
            reason: reason.clone(),
        });
        Self {
            input: String::new(),
            teacher: String::new(),
            output: String::new(),
            improved: distilled.improved,
            losses: distilled.losses.clone(),
            steps: distilled.steps,
            batch: distilled.batch,
            learned_from: distilled.train,
            held_out: distilled.held_out,
            seconds: distilled.seconds,
            samples_per_second: rate,
            restarts: distilled.restarts,
            before: held_out(&distilled.before),
            after: held_out(&distilled.after),
            curve: curve.collect(),
            moved: moved.collect(),
            not_trained: frozen.collect(),
            agreement_db: distilled.agreement_db,
            drift,
            warnings: distilled.warnings.clone(),
            verbose: false,
        }
    }
}

impl fmt::Display for HeldOutReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "loss {:.5}", self.loss)?;
        match self.same_class {
            Some(share) => write!(f, ", same class {}", percent(share)),
            None => Ok(()),
        }
    }
}

impl fmt::Display for DistillationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        /// Constants that are named unless all are asked for.
        const NAMED: usize = 5;
        writeln!(f, "{} -> {}", self.input, self.output)?;
        writeln!(f, "teacher {}", self.teacher)?;
        for loss in &self.losses {
            writeln!(f, "loss {loss}")?;
        }
        writeln!(
            f,
            "{} steps of {} samples, {:.0} samples per second; learned from {}, held out {}",
            self.steps, self.batch, self.samples_per_second, self.learned_from, self.held_out
        )?;
        writeln!(f, "samples held out, before: {}", self.before)?;
        writeln!(f, "samples held out, after:  {}", self.after)?;
        let shown = if self.verbose { usize::MAX } else { NAMED };
        if self.verbose {
            for moment in &self.curve {
                let state =
                    HeldOutReport { loss: moment.held_out_loss, same_class: moment.same_class };
                writeln!(f, "step {}: loss {:.5}; held out {state}", moment.step, moment.loss)?;
            }
        }
        for moved in self.moved.iter().take(shown) {
            writeln!(f, "moved by {}: {}", percent(moved.change), moved.constant)?;
        }
        for constant in self.not_trained.iter().take(shown) {
            writeln!(f, "not trained: {}: {}", constant.constant, constant.reason)?;
        }
        writeln!(f, "teacher and result")?;
        for line in self.drift.to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
