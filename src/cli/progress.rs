//! Progress on standard error: a bar in a terminal, nothing elsewhere.

use std::sync::{Mutex, PoisonError};

use indicatif::{ProgressBar, ProgressStyle};
use onnxpress::analysis::Progress;

/// A progress bar that hides itself when standard error is no terminal.
pub struct Bar {
    bar: ProgressBar,
    quiet: bool,
    /// The jobs that are going on, each within the one before.
    jobs: Mutex<Vec<Job>>,
}

/// A job, and where it was when another one began within it.
struct Job {
    work: &'static str,
    steps: u64,
    done: u64,
}

impl Bar {
    /// A bar; `quiet` hides it.
    pub fn new(quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        Self { bar, quiet, jobs: Mutex::default() }
    }

    /// Shows a job from where it is.
    fn show(&self, job: &Job) {
        self.bar.set_message(job.work);
        self.bar.set_length(job.steps);
        // A bar that was cleared shows nothing before it is reset, and what it had then.
        self.bar.reset();
        self.bar.set_position(job.done);
    }
}

impl Progress for Bar {
    fn start(&self, work: &'static str, steps: usize) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(outer) = jobs.last_mut() {
            outer.done = self.bar.position();
        }
        let job = Job { work, steps: steps as u64, done: 0 };
        self.show(&job);
        jobs.push(job);
    }

    fn step(&self) {
        self.bar.inc(1);
    }

    fn say(&self, text: &str) {
        if !self.quiet {
            self.bar.suspend(|| eprintln!("{text}"));
        }
    }

    fn finish(&self) {
        let mut jobs = self.jobs.lock().unwrap_or_else(PoisonError::into_inner);
        jobs.pop();
        match jobs.last() {
            Some(outer) => self.show(outer),
            None => self.bar.finish_and_clear(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn jobs_within_jobs() {
        let bar = Bar::new(true);
        bar.start("outer", 5);
        bar.step();
        bar.step();
        bar.start("inner", 9);
        bar.step();
        assert_eq!((bar.bar.position(), bar.bar.length()), (1, Some(9)));
        bar.finish();
        assert_eq!((bar.bar.position(), bar.bar.length()), (2, Some(5)));
        bar.finish();
        assert!(bar.bar.is_finished());
        bar.start("again", 3);
        assert!(!bar.bar.is_finished());
    }
}
