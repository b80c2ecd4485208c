//! Which operators take the time of two models.

use std::collections::{BTreeSet, HashMap};
use std::fmt::{self, Write};

use serde::Serialize;

use crate::report::Pair;
use crate::report::latency::SAME_TIME;
use crate::report::text::{grouped, shortened};
use crate::validate::timing::TIMED_RUNS;
use crate::validate::{NodeTime, Profile};

/// Where the time of one run goes, in both models.
#[derive(Debug, Clone, Serialize)]
pub struct ProfileReport {
    /// The engine that was measured, on its optimized form of the models; other runtimes differ.
    pub engine: String,
    /// Runs of each model that were timed, in turn, after one that was not.
    pub runs: usize,
    /// All operators of one run together.
    pub milliseconds: Pair<f64>,
    /// What takes more time than before, what less, and what conversions between integers and floats take.
    pub in_words: Vec<String>,
    /// The operators, those that take most first.
    pub by_operator: Vec<OperatorTimeReport>,
    /// The nodes, those that take most first; nodes of one name and operator are one row.
    pub by_node: Vec<NodeTimeReport>,
}

/// What all nodes of one operator take in one run.
#[derive(Debug, Clone, Serialize)]
pub struct OperatorTimeReport {
    /// The operator of the model, or the engine's for what it made of its own.
    pub op: String,
    /// Nodes that the engine runs; what it folds into others or computes beforehand is not there.
    pub nodes: Pair<usize>,
    /// Medians of the nodes, added up; 0 where there are none.
    pub milliseconds: Pair<f64>,
    /// Of the time of all operators.
    pub time_share: Pair<f64>,
    /// The operators of the engine that they became.
    pub kernels: Pair<BTreeSet<String>>,
}

/// What one node takes in one run.
#[derive(Debug, Clone, Serialize)]
pub struct NodeTimeReport {
    /// Its name, or that of its first output; the engine's for what it made of its own.
    pub name: String,
    /// The operator of the model, or the engine's for what it made of its own.
    pub op: String,
    /// Medians; 0 where a model has no such node, or the engine does not run it as one of its own.
    pub milliseconds: Pair<f64>,
    /// Of the time of all operators.
    pub time_share: Pair<f64>,
    /// The operators of the engine that it became.
    pub kernels: Pair<BTreeSet<String>>,
}

/// Both models' times of what has one key.
#[derive(Default)]
struct Row {
    nodes: [usize; 2],
    milliseconds: [f64; 2],
    kernels: [BTreeSet<String>; 2],
}

impl Row {
    fn longest(&self) -> f64 {
        self.milliseconds[0].max(self.milliseconds[1])
    }

    fn shares(&self, totals: [f64; 2]) -> Pair<f64> {
        pair([0, 1].map(|side| match totals[side] > 0.0 {
            true => self.milliseconds[side] / totals[side],
            false => 0.0,
        }))
    }
}

fn pair<T>([original, candidate]: [T; 2]) -> Pair<T> {
    Pair { original, candidate }
}

/// The rows by what `key` says, those that take most first.
fn rows<'a, K: std::hash::Hash + Eq + Copy>(
    profiles: &'a [Profile; 2],
    key: impl Fn(&'a NodeTime) -> K,
) -> Vec<(K, Row)> {
    let mut at = HashMap::new();
    let mut rows: Vec<(K, Row)> = Vec::new();
    for (side, profile) in profiles.iter().enumerate() {
        for node in &profile.nodes {
            let key = key(node);
            let at = *at.entry(key).or_insert(rows.len());
            if at == rows.len() {
                rows.push((key, Row::default()));
            }
            let row = &mut rows[at].1;
            row.nodes[side] += 1;
            row.milliseconds[side] += node.milliseconds;
            row.kernels[side].extend(node.kernels.iter().cloned());
        }
    }
    rows.sort_by(|(_, a), (_, b)| b.longest().total_cmp(&a.longest()));
    rows
}

impl ProfileReport {
    /// The report of the profiles of original and candidate.
    pub fn new(profiles: &[Profile; 2], engine: &str) -> Self {
        let totals = [0, 1].map(|side: usize| profiles[side].milliseconds());
        let operators = rows(profiles, |node| &*node.op);
        let nodes = rows(profiles, |node| (&*node.name, &*node.op));
        let by_operator = operators.into_iter().map(|(op, row)| OperatorTimeReport {
            op: op.to_owned(),
            nodes: pair(row.nodes),
            time_share: row.shares(totals),
            milliseconds: pair(row.milliseconds),
            kernels: pair(row.kernels),
        });
        let by_operator: Vec<_> = by_operator.collect();
        let by_node = nodes.into_iter().map(|((name, op), row)| NodeTimeReport {
            name: name.to_owned(),
            op: op.to_owned(),
            time_share: row.shares(totals),
            milliseconds: pair(row.milliseconds),
            kernels: pair(row.kernels),
        });
        Self {
            engine: engine.to_owned(),
            runs: TIMED_RUNS,
            milliseconds: pair(totals),
            in_words: in_words(&by_operator, totals),
            by_node: by_node.collect(),
            by_operator,
        }
    }
}

/// Operators between floats and integers.
const CONVERSIONS: [&str; 3] = ["QuantizeLinear", "DequantizeLinear", "DynamicQuantizeLinear"];
/// Operators that a sentence names.
const NAMED: usize = 3;

fn in_words(operators: &[OperatorTimeReport], totals: [f64; 2]) -> Vec<String> {
    let mut said = Vec::new();
    // What changes the time of the whole by less is within what measurements vary.
    let least = SAME_TIME * totals[0];
    let change = |row: &OperatorTimeReport| row.milliseconds.candidate - row.milliseconds.original;
    let mut changed: Vec<_> = operators.iter().map(|row| (&row.op, change(row))).collect();
    changed.sort_by(|a, b| b.1.abs().total_cmp(&a.1.abs()));
    for (title, word, sign) in [("SLOWER", "more", 1.0), ("faster", "less", -1.0)] {
        let rows = changed.iter().filter(|(_, change)| sign * change >= least.max(f64::EPSILON));
        let rows = rows.take(NAMED).map(|(op, change)| format!("{op} {:.3} ms", change.abs()));
        let rows: Vec<String> = rows.collect();
        if !rows.is_empty() {
            said.push(format!("{title}: {word} time for {}", rows.join(", ")));
        }
    }
    let conversions = operators.iter().filter(|row| CONVERSIONS.contains(&&*row.op));
    let conversions = conversions.filter(|row| row.milliseconds.candidate > 0.0);
    let (names, shares): (Vec<&str>, Vec<f64>) =
        conversions.map(|row| (&*row.op, row.time_share.candidate)).unzip();
    let share: f64 = shares.iter().sum();
    if share >= SAME_TIME {
        let verb = if names.len() == 1 { "takes" } else { "take" };
        let names = names.join(" and ");
        said.push(format!("{names} {verb} {:.0} % of the candidate", 100.0 * share));
    }
    said
}

/// Nodes that the text shows; the other views have all.
const SHOWN_NODES: usize = 10;
/// Operators that the text shows.
const SHOWN_OPERATORS: usize = 20;
/// Characters for the name of what takes the time, so that a line has 80.
const NAME: usize = 35;

/// A line of the table.
fn line(
    f: &mut fmt::Formatter<'_>,
    name: &str,
    times: &Pair<f64>,
    shares: Option<&Pair<f64>>,
) -> fmt::Result {
    let name = shortened(name, NAME);
    let mut line = format!("  {name:<NAME$}");
    let shares = shares.map_or([None; 2], |pair| [Some(pair.original), Some(pair.candidate)]);
    for (time, share) in [times.original, times.candidate].into_iter().zip(shares) {
        match share {
            Some(share) if time > 0.0 => write!(line, "{time:>11.3}{:>8.1} %", 100.0 * share)?,
            None if time > 0.0 => write!(line, "{time:>11.3}{:>10}", "")?,
            _ => write!(line, "{:>11}{:>10}", "-", "")?,
        }
    }
    writeln!(f, "{}", line.trim_end())
}

impl fmt::Display for ProfileReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { engine, runs, milliseconds, .. } = self;
        writeln!(f, "profile     of the graphs as {engine} optimizes them")?;
        writeln!(f, "  milliseconds, medians of {runs} runs")?;
        writeln!(f, "  {:<NAME$}{:>11}{:>21}", "operators", "original", "candidate")?;
        for row in self.by_operator.iter().take(SHOWN_OPERATORS) {
            let count = row.nodes.original.max(row.nodes.candidate);
            let name = if count > 1 { format!("{count} × {}", row.op) } else { row.op.clone() };
            line(f, &name, &row.milliseconds, Some(&row.time_share))?;
        }
        rest(f, "operators", self.by_operator.len(), SHOWN_OPERATORS)?;
        line(f, "all", milliseconds, None)?;
        writeln!(f, "  nodes")?;
        for row in self.by_node.iter().take(SHOWN_NODES) {
            let own = row.op == row.name;
            let name = if own { row.op.clone() } else { format!("{} {}", row.op, row.name) };
            line(f, &name, &row.milliseconds, Some(&row.time_share))?;
        }
        rest(f, "nodes", self.by_node.len(), SHOWN_NODES)?;
        self.in_words.iter().try_for_each(|said| writeln!(f, "  {said}"))
    }
}

/// How many rows are left out.
fn rest(f: &mut fmt::Formatter<'_>, what: &str, all: usize, shown: usize) -> fmt::Result {
    match all.saturating_sub(shown) {
        0 => Ok(()),
        left => writeln!(f, "  and {} {what} that take less", grouped(left as u64)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn profile(nodes: &[(&str, &str, f64)]) -> Profile {
        let node = |&(name, op, milliseconds): &(&str, &str, f64)| NodeTime {
            name: name.into(),
            op: op.into(),
            kernels: BTreeSet::from([op.to_owned()]),
            milliseconds,
        };
        Profile { nodes: nodes.iter().map(node).collect() }
    }

    #[test]
    fn both_models_side_by_side() {
        let a = profile(&[("c1", "Conv", 6.0), ("c2", "Conv", 3.0), ("r", "Relu", 1.0)]);
        let long = "x".repeat(90);
        let quantized = [
            ("c1", "Conv", 2.0),
            ("c2", "Conv", 1.0),
            ("x_q", "QuantizeLinear", 1.5),
            (&long, "DequantizeLinear", 0.5),
        ];
        let report = ProfileReport::new(&[a, profile(&quantized)], "tract");
        insta::assert_snapshot!(report, @r"
        profile     of the graphs as tract optimizes them
          milliseconds, medians of 21 runs
          operators                             original            candidate
          2 × Conv                                 9.000    90.0 %      3.000    60.0 %
          QuantizeLinear                               -                1.500    30.0 %
          Relu                                     1.000    10.0 %          -
          DequantizeLinear                             -                0.500    10.0 %
          all                                     10.000                5.000
          nodes
          Conv c1                                  6.000    60.0 %      2.000    40.0 %
          Conv c2                                  3.000    30.0 %      1.000    20.0 %
          QuantizeLinear x_q                           -                1.500    30.0 %
          Relu r                                   1.000    10.0 %          -
          …xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx          -                0.500    10.0 %
          SLOWER: more time for QuantizeLinear 1.500 ms, DequantizeLinear 0.500 ms
          faster: less time for Conv 6.000 ms, Relu 1.000 ms
          QuantizeLinear and DequantizeLinear take 40 % of the candidate
        ");
        assert!(report.to_string().lines().all(|line| line.chars().count() <= 80));
        let conv = &report.by_operator[0];
        assert_eq!((conv.nodes.original, conv.time_share.candidate), (2, 0.6));
        assert_eq!(report.by_node.len(), 5);
    }

    #[test]
    fn what_got_slower_is_said() {
        let [a, b] = [4.0, 5.0].map(|time| profile(&[("c", "Conv", time), ("r", "Relu", 1.0)]));
        let slower = ProfileReport::new(&[a.clone(), b], "tract").in_words;
        assert_eq!(slower, ["SLOWER: more time for Conv 1.000 ms"]);
        assert!(ProfileReport::new(&[a.clone(), a], "tract").in_words.is_empty());
    }
}
