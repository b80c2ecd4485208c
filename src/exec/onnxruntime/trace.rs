//! The trace that ONNX Runtime writes of the operators that it runs.

use std::collections::HashMap;
use std::fs::File;
use std::io::BufReader;
use std::path::PathBuf;
use std::time::Duration;

use serde::Deserialize;
use tempfile::TempDir;

use crate::error::{Error, Result, err};
use crate::exec::OperatorTimes;

/// A file for the trace, in a folder of its own.
pub(super) struct Trace {
    folder: TempDir,
    /// Open, where a file that is open needs no name.
    file: Option<File>,
}

/// An event of the trace, in the form that browsers draw; times in microseconds.
#[derive(Debug, Deserialize)]
struct Event {
    #[serde(default)]
    cat: String,
    #[serde(default)]
    name: String,
    #[serde(default)]
    ts: u64,
    #[serde(default)]
    dur: u64,
    #[serde(default)]
    args: Arguments,
}

#[derive(Debug, Default, Deserialize)]
struct Arguments {
    #[serde(default)]
    op_name: String,
}

/// What the event of an operator ends with, behind the name of the node.
const KERNEL: &str = "_kernel_time";

impl Trace {
    /// A folder for a session that is about to be made.
    pub(super) fn new() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("onnxpress-").tempdir();
        Ok(Self { folder: folder.map_err(|error| failed(&error))?, file: None })
    }

    /// What the name of the file begins with.
    pub(super) fn prefix(&self) -> PathBuf {
        self.folder.path().join("trace")
    }

    /// The session is there, and has opened the file: takes away its name where that is possible, so that
    /// nothing is left of it, however this process ends.
    pub(super) fn opened(&mut self) -> Result<()> {
        if cfg!(unix) {
            let path = self.path()?;
            self.file = Some(File::open(&path).map_err(|error| failed(&error))?);
            std::fs::remove_dir_all(self.folder.path()).map_err(|error| failed(&error))?;
        }
        Ok(())
    }

    fn path(&self) -> Result<PathBuf> {
        let mut entries = std::fs::read_dir(self.folder.path()).map_err(|error| failed(&error))?;
        let first = entries.next().ok_or_else(|| err!(Engine, "ONNX Runtime writes no trace"))?;
        Ok(first.map_err(|error| failed(&error))?.path())
    }

    /// The times of all operators; the session has written them.
    pub(super) fn read(mut self) -> Result<Vec<OperatorTimes>> {
        let file = match self.file.take() {
            Some(file) => file,
            None => File::open(self.path()?).map_err(|error| failed(&error))?,
        };
        let events: Vec<Event> =
            serde_json::from_reader(BufReader::new(file)).map_err(|error| failed(&error))?;
        Ok(times(events))
    }
}

fn failed(error: &dyn std::fmt::Display) -> Error {
    err!(Engine, "the trace of ONNX Runtime: {error}")
}

/// Adds up the events of each node in each run. Events within others belong to bodies, whose time is that
/// of the node that has them.
fn times(mut events: Vec<Event>) -> Vec<OperatorTimes> {
    let runs = events.iter().filter(|event| event.cat == "Session" && event.name == "model_run");
    let mut starts: Vec<u64> = runs.map(|event| event.ts).collect();
    starts.sort_unstable();
    events.retain(|event| event.cat == "Node" && event.name.ends_with(KERNEL));
    // An outer event comes before those within it that begin in the same microsecond.
    events.sort_by_key(|event| (event.ts, u64::MAX - event.dur));
    let mut found: Vec<OperatorTimes> = Vec::new();
    let mut known: HashMap<(String, String), usize> = HashMap::new();
    let mut end = 0;
    for Event { name, ts, dur, args: Arguments { op_name: op }, .. } in events {
        let run = starts.partition_point(|&start| start <= ts);
        if ts < end || run == 0 {
            continue;
        }
        end = ts.saturating_add(dur);
        let name = name.trim_end_matches(KERNEL).to_owned();
        let at = *known.entry((name.clone(), op.clone())).or_insert(found.len());
        if at == found.len() {
            found.push(OperatorTimes { name, op, runs: vec![Duration::ZERO; starts.len()] });
        }
        found[at].runs[run - 1] += Duration::from_micros(dur);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn events_are_added_up_by_run() {
        let trace = r#"[
            {"cat": "Session", "name": "session_initialization", "ts": 1, "dur": 9, "args": {}},
            {"cat": "Node", "name": "a_kernel_time", "ts": 11, "dur": 4, "args": {"op_name": "Conv"}},
            {"cat": "Node", "name": "body_kernel_time", "ts": 15, "dur": 2, "args": {"op_name": "Add"}},
            {"cat": "Node", "name": "loop_kernel_time", "ts": 15, "dur": 5, "args": {"op_name": "Loop"}},
            {"cat": "Node", "name": "a_fence_before", "ts": 20, "dur": 5},
            {"cat": "Session", "name": "model_run", "ts": 10, "dur": 10, "args": {}},
            {"cat": "Node", "name": "a_kernel_time", "ts": 31, "dur": 6, "args": {"op_name": "Conv"}},
            {"cat": "Session", "name": "model_run", "ts": 30, "dur": 10, "args": {}}]"#;
        let found = times(serde_json::from_str(trace).expect("events"));
        let runs = |at: usize| found[at].runs.iter().map(Duration::as_micros).collect::<Vec<_>>();
        let names: Vec<_> = found.iter().map(|found| (&*found.name, &*found.op)).collect();
        assert_eq!(names, [("a", "Conv"), ("loop", "Loop")]);
        assert_eq!((runs(0), runs(1)), (vec![4, 6], vec![5, 0]));
    }
}
