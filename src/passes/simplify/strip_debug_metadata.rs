//! `strip-debug-metadata`: see `docs/passes/strip-debug-metadata.md`.

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, Report};

/// Removes notes that exporters leave on nodes and values for debugging the export.
#[derive(Debug, Clone, Copy, Default)]
pub struct StripDebugMetadata;

/// Keys that PyTorch's exporter and its rewriter write: stack traces, module names, graph
/// signatures. No runtime reads them; in small models they can be a tenth of the file.
const PREFIXES: &[&str] = &["pkg.torch.", "pkg.onnxscript."];
/// A key of the same exporter without a prefix.
const KEYS: &[&str] = &["namespace"];

impl Pass for StripDebugMetadata {
    fn name(&self) -> &'static str {
        "strip-debug-metadata"
    }

    fn summary(&self) -> &'static str {
        "Removes notes of PyTorch's exporter on nodes and values: stack traces, module names."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let debug = |key: &str| KEYS.contains(&key) || PREFIXES.iter().any(|p| key.starts_with(p));
        let bytes = model.retain_metadata(&|key| !debug(key));
        if bytes > 0 {
            report.did("model", format!("removed {bytes} bytes of the exporter's notes"));
        }
        Ok(report)
    }
}
