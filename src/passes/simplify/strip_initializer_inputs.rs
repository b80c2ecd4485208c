//! `strip-initializer-inputs`: see `docs/passes/strip-initializer-inputs.md`.

use crate::error::Result;
use crate::ir::{Def, Model};
use crate::passes::{Context, Pass, Promise, Report};

/// From this IR version on, an initializer need not be listed as a graph input; one that is listed
/// may be overridden by the caller.
const FIRST_FREE_IR: i64 = 4;

/// Takes initializers off the list of graph inputs, which makes them constants.
#[derive(Debug, Clone, Copy, Default)]
pub struct StripInitializerInputs {
    /// Also where the format did not force the listing (IR version 4 and later): then the listing
    /// is a promise to callers that they may override the value, and is kept unless asked.
    pub overridable: bool,
}

impl Pass for StripInitializerInputs {
    fn name(&self) -> &'static str {
        "strip-initializer-inputs"
    }

    fn summary(&self) -> &'static str {
        "Takes initializers off the list of graph inputs, where IR versions below 4 forced them."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, _: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let version = model.header.ir_version.unwrap_or(0);
        let listed: Vec<_> = model
            .graph(model.main())
            .inputs()
            .iter()
            .copied()
            .filter(|&input| matches!(model.value(input).def(), Def::Input { default: Some(_) }))
            .collect();
        if listed.is_empty() {
            return Ok(report);
        }
        if version >= FIRST_FREE_IR && !self.overridable {
            report.refuse("model", "callers may override the initializers among its inputs");
            report.warnings.push(format!(
                "{} initializers are graph inputs that callers may override, so they are no \
                 constants; `--freeze-initializers` makes them constants",
                listed.len()
            ));
            return Ok(report);
        }
        for &input in &listed {
            model.freeze_input(input);
        }
        model.header.ir_version = Some(version.max(FIRST_FREE_IR));
        report.did("model", format!("{} initializers are no longer graph inputs", listed.len()));
        Ok(report)
    }
}
