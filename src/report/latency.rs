//! How long runs of two models take, in words.

use std::fmt;

use serde::Serialize;

use crate::report::Pair;
use crate::report::text::bytes;
use crate::validate::timing::Timing;

/// Milliseconds of one run, when runs come one after the other.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Median of the original.
    pub original: f64,
    /// Median of the candidate.
    pub candidate: f64,
    /// Candidate by original.
    pub ratio: f64,
    /// Half of the runs took between these two.
    pub quartiles: Pair<[f64; 2]>,
    /// Runs of each model that were timed, in turn, after one that was not.
    pub runs: usize,
    /// The engine that was measured; other runtimes differ.
    pub engine: String,
    /// The most memory in bytes that the engine's process took, where the system tells.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub memory_bytes: Option<Pair<u64>>,
    /// The same with several runs at a time, when that was measured.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parallel: Option<Parallel>,
}

/// Milliseconds of one run, when several run at a time.
#[derive(Debug, Clone, Serialize)]
pub struct Parallel {
    /// How many at a time.
    pub threads: usize,
    /// Median of the original.
    pub original: f64,
    /// Median of the candidate.
    pub candidate: f64,
    /// Candidate by original.
    pub ratio: f64,
    /// Half of the runs took between these two.
    pub quartiles: Pair<[f64; 2]>,
}

/// Ratios this close to 1 are within what measurements vary.
pub(super) const SAME_TIME: f64 = 0.05;

/// Half of the runs further apart than this share of their median say little about it.
const UNSTEADY: f64 = 0.5;

/// Whether a candidate that takes `ratio` of the time is faster, and how much.
fn in_words(ratio: f64) -> String {
    match ratio {
        ratio if ratio > 1.0 + SAME_TIME => format!("SLOWER, {ratio:.2} times the time"),
        ratio if ratio < 1.0 - SAME_TIME => format!("faster, {ratio:.2} of the time"),
        ratio => format!("no difference, {ratio:.2} of the time"),
    }
}

impl Latency {
    /// The report of runs one at a time.
    pub fn new([a, b]: [Timing; 2], engine: &str) -> Self {
        let memory = a.memory.zip(b.memory);
        Self {
            original: a.median,
            candidate: b.median,
            ratio: b.median / a.median,
            quartiles: Pair { original: a.quartiles, candidate: b.quartiles },
            runs: a.runs,
            engine: engine.to_owned(),
            memory_bytes: memory.map(|(original, candidate)| Pair { original, candidate }),
            parallel: None,
        }
    }

    /// Whether the candidate is faster, and how much.
    pub fn in_words(&self) -> String {
        in_words(self.ratio)
    }
}

impl Parallel {
    /// The report of `threads` runs at a time.
    pub fn new([a, b]: [Timing; 2], threads: usize) -> Self {
        Self {
            threads,
            original: a.median,
            candidate: b.median,
            ratio: b.median / a.median,
            quartiles: Pair { original: a.quartiles, candidate: b.quartiles },
        }
    }
}

impl fmt::Display for Latency {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { original, candidate, engine, quartiles, runs, .. } = self;
        let verdict = self.in_words();
        writeln!(f, "latency     {original:.3} ms -> {candidate:.3} ms in {engine}: {verdict}")?;
        let Pair { original: [a, b], candidate: [c, d] } = quartiles;
        writeln!(f, "  half of {runs} runs between {a:.3} and {b:.3} ms -> {c:.3} and {d:.3} ms")?;
        let wide = |[low, high]: [f64; 2], median: f64| high - low > UNSTEADY * median;
        if wide(quartiles.original, *original) || wide(quartiles.candidate, *candidate) {
            writeln!(
                f,
                "  UNSTEADY: repeat it on a machine that does nothing else, or with --threads 1"
            )?;
        }
        if let Some(Parallel { threads, original, candidate, ratio, .. }) = &self.parallel {
            let verdict = in_words(*ratio);
            let at = format!("{threads} at once");
            writeln!(f, "  {at:<10}{original:.3} ms -> {candidate:.3} ms: {verdict}")?;
        }
        if let Some(Pair { original, candidate }) = &self.memory_bytes {
            writeln!(f, "  memory    {} -> {}", bytes(*original), bytes(*candidate))?;
        }
        Ok(())
    }
}
