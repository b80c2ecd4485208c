//! The report of `compare`.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::report::text::{bytes, decibel, finite, finite_decibel, grouped, percent};
use crate::validate::Comparison;

/// Two models side by side. The field names are the contract of `compare --json`.
#[derive(Debug, Clone, Serialize)]
pub struct ComparisonReport {
    /// Samples compared; 0 when the models were not run.
    pub samples: usize,
    /// The samples are seeded noise, which says nothing about real inputs.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub random: bool,
    /// Drift of each output.
    pub outputs: Vec<OutputReport>,
    /// `top1`, `top5`, …: accuracy and agreement; empty without labels.
    pub accuracy: BTreeMap<String, Top>,
    /// File sizes.
    pub size_bytes: Pair<u64>,
    /// Numbers of weights.
    pub parameters: Pair<u64>,
    /// Multiply-accumulates for batch 1, of the layers whose shapes are known.
    pub macs: Pair<u64>,
    /// Median time of one run in the engine; only when asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub latency_ms: Option<Latency>,
    /// Why the models were not run, when they were not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub not_validated: Option<String>,
    /// The bounds that were missed, in words.
    pub missed: Vec<String>,
    /// True when every bound was met.
    pub passed: bool,
}

/// Drift of one output.
#[derive(Debug, Clone, Serialize)]
pub struct OutputReport {
    /// Name.
    pub name: String,
    /// Signal-to-noise ratio in decibel; 300 stands for equal outputs, -300 for NaN.
    pub sqnr_db: f64,
    /// Cosine similarity.
    pub cosine: f64,
    /// Largest absolute difference; `null` when one side is not finite.
    pub max_abs: Option<f64>,
    /// Mean absolute difference.
    pub mean_abs: f64,
}

/// Shares of the samples.
#[derive(Debug, Clone, Serialize)]
pub struct Top {
    /// Accuracy of the original.
    pub original: f64,
    /// Accuracy of the candidate.
    pub candidate: f64,
    /// Share of samples on which both choose the same.
    pub agreement: f64,
}

/// A figure of both models.
#[derive(Debug, Clone, Serialize)]
pub struct Pair<T> {
    /// Of the original.
    pub original: T,
    /// Of the candidate.
    pub candidate: T,
}

/// Median milliseconds of one run.
#[derive(Debug, Clone, Serialize)]
pub struct Latency {
    /// Of the original.
    pub original: f64,
    /// Of the candidate.
    pub candidate: f64,
    /// Candidate by original.
    pub ratio: f64,
    /// The engine that was measured; other runtimes differ.
    pub engine: String,
}

/// Ratios this close to 1 are within what measurements vary.
const SAME_TIME: f64 = 0.05;

impl Latency {
    /// Whether the candidate is faster, and how much.
    pub fn in_words(&self) -> String {
        match self.ratio {
            ratio if ratio > 1.0 + SAME_TIME => format!("SLOWER, {ratio:.2} times the time"),
            ratio if ratio < 1.0 - SAME_TIME => format!("faster, {ratio:.2} of the time"),
            ratio => format!("no difference, {ratio:.2} of the time"),
        }
    }
}

impl ComparisonReport {
    /// Fills in what execution measured.
    pub fn measured(&mut self, comparison: &Comparison) {
        self.samples = comparison.samples;
        let outputs = comparison.outputs.iter().map(|output| OutputReport {
            name: output.name.clone(),
            sqnr_db: finite_decibel(output.distance.sqnr_db()),
            cosine: output.distance.cosine(),
            max_abs: finite(output.distance.max_abs()),
            mean_abs: output.distance.mean_abs(),
        });
        self.outputs = outputs.collect();
        for (k, counts) in &comparison.accuracy {
            let score = counts.score();
            let top = Top {
                original: score.original,
                candidate: score.candidate,
                agreement: score.agreement,
            };
            self.accuracy.insert(format!("top{k}"), top);
        }
    }

    /// Checks the bounds: least signal-to-noise ratio of every output in decibel, and largest fall
    /// of top-1 accuracy as a share of all samples.
    pub fn judge(&mut self, min_sqnr: Option<f64>, max_drop: Option<f64>) {
        let bounded = min_sqnr.is_some() || max_drop.is_some();
        if let (true, Some(reason)) = (bounded, &self.not_validated) {
            self.missed.push(format!("the bounds could not be checked: {reason}"));
        }
        if let Some(bound) = min_sqnr {
            for output in self.outputs.iter().filter(|output| output.sqnr_db < bound) {
                let found = decibel(output.sqnr_db);
                self.missed
                    .push(format!("output `{}`: {found}, asked for {bound} dB", output.name));
            }
        }
        if max_drop.is_some() && self.not_validated.is_none() && !self.accuracy.contains_key("top1")
        {
            self.missed.push("the fall of top-1 could not be checked: there are no labels".into());
        }
        if let (Some(bound), Some(top)) = (max_drop, self.accuracy.get("top1")) {
            let drop = top.original - top.candidate;
            // Half a sample of slack for the representation of shares.
            if drop > bound + 0.5 / self.samples.max(1) as f64 * 1e-6 {
                let (drop, bound) = (percent(drop), percent(bound));
                self.missed.push(format!("top-1 falls by {drop}, allowed are {bound}"));
            }
        }
        self.passed = self.missed.is_empty();
    }
}

/// The ratio of two sizes as a percentage.
pub(super) fn share(original: u64, candidate: u64) -> String {
    if original == 0 { "-".into() } else { percent(candidate as f64 / original as f64) }
}

impl fmt::Display for ComparisonReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let row =
            |f: &mut fmt::Formatter<'_>, what: &str, pair: &Pair<u64>, unit: fn(u64) -> String| {
                let ratio = share(pair.original, pair.candidate);
                writeln!(
                    f,
                    "{what:<12}{} -> {} ({ratio})",
                    grouped(pair.original),
                    unit(pair.candidate)
                )
            };
        row(f, "size", &self.size_bytes, bytes)?;
        row(f, "parameters", &self.parameters, grouped)?;
        row(f, "MACs", &self.macs, grouped)?;
        if let Some(reason) = &self.not_validated {
            return writeln!(f, "NOT VALIDATED BY EXECUTION: {reason}");
        }
        writeln!(f, "samples     {}", grouped(self.samples as u64))?;
        for (name, top) in &self.accuracy {
            writeln!(
                f,
                "{name:<12}{} -> {}, agreement {}",
                percent(top.original),
                percent(top.candidate),
                percent(top.agreement)
            )?;
        }
        for output in &self.outputs {
            let largest = output.max_abs.map_or("not finite".into(), |x| format!("{x:.4}"));
            writeln!(
                f,
                "output      `{}`: SQNR {}, cosine {:.5}, largest error {largest}, mean error {:.5}",
                output.name,
                decibel(output.sqnr_db),
                output.cosine,
                output.mean_abs
            )?;
        }
        if let Some(latency) = &self.latency_ms {
            writeln!(
                f,
                "latency     {:.3} ms -> {:.3} ms in {}: {}",
                latency.original,
                latency.candidate,
                latency.engine,
                latency.in_words()
            )?;
        }
        for missed in &self.missed {
            writeln!(f, "MISSED      {missed}")?;
        }
        Ok(())
    }
}
