//! `diff`.

use std::path::PathBuf;

use clap::Args;
use onnxpress::Result;
use onnxpress::analysis::diff::{Diff, DiffOptions};
use onnxpress::report::DiffReport;

use super::{Ended, Talk, io};

/// Longest list that is shown unless `--all` is given.
const LONGEST: usize = 20;

/// Arguments of `diff`.
#[derive(Debug, Args)]
#[command(after_help = "Examples:
  onnxpress diff model.onnx model.int8.onnx
  onnxpress diff model.onnx model.int8.onnx --all
  onnxpress diff before.onnx after.onnx --exit-code > changes.txt || cat changes.txt
  onnxpress diff before.onnx after.onnx --json | jq '.counts.node'

A line starts with - for what only A has, + for what only B has, ~ for what both have and is not
the same. Nodes are paired by the names of their outputs, by their own names, and by their
neighbours, so that a renamed node is shown as renamed. The order of initializers and attributes
is ignored; documentation and metadata are, too, unless --metadata is given.

Exit status:
  0  done, whether or not the models differ
  1  failed
  2  wrong arguments
  3  done, and the models differ (only with --exit-code)")]
pub struct DiffCommand {
    /// The first model.
    a: PathBuf,
    /// The second model.
    b: PathBuf,
    /// Show whole lists; by default only the first 20 lines of each.
    #[arg(long)]
    all: bool,
    /// Compare documentation strings and metadata, too.
    #[arg(long)]
    metadata: bool,
    /// End with status 3 when the models differ.
    #[arg(long)]
    exit_code: bool,
    #[command(flatten)]
    talk: Talk,
}

impl DiffCommand {
    pub fn run(self) -> Result<Ended> {
        let a = io::load(&self.a, &self.talk.words)?;
        let b = io::load(&self.b, &self.talk.words)?;
        let options = DiffOptions { metadata: self.metadata };
        let diff = Diff::between_with(&a.model, &b.model, options);
        let longest = (!self.all).then_some(LONGEST);
        let name = |path: &std::path::Path| path.display().to_string();
        let report = DiffReport::new(&name(&self.a), &name(&self.b), &diff, longest);
        if self.talk.json {
            io::print(&io::report_json("diff", &report)?)?;
        } else {
            io::show(&report)?;
        }
        Ok(if self.exit_code && !report.equal { Ended::Different } else { Ended::Done })
    }
}
