//! Progress on standard error: a bar in a terminal, nothing elsewhere.

use indicatif::{ProgressBar, ProgressStyle};
use onnxpress::calibrate::Progress;

/// A progress bar that hides itself when standard error is no terminal.
pub struct Bar(ProgressBar);

impl Bar {
    /// A bar with a word in front; `quiet` hides it.
    pub fn new(word: &'static str, quiet: bool) -> Self {
        let bar = if quiet { ProgressBar::hidden() } else { ProgressBar::new(0) };
        if let Ok(style) = ProgressStyle::with_template("{msg} {bar:40} {pos}/{len} {eta}") {
            bar.set_style(style);
        }
        bar.set_message(word);
        Self(bar)
    }
}

impl Progress for Bar {
    fn start(&self, runs: usize) {
        self.0.set_length(runs as u64);
        self.0.set_position(0);
    }

    fn step(&self) {
        self.0.inc(1);
    }

    fn finish(&self) {
        self.0.finish_and_clear();
    }
}
