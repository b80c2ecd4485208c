//! A model that the engine runs once exact passes have changed it.

use crate::error::Result;
use crate::passes::{Context, Pass, Promise};
use crate::pipeline::Check;
use crate::pipeline::run::Finished;
use crate::pipeline::settle::{When, settle};

/// Goes on with all passes when what the exact ones left can be executed: a Loop may be gone that the
/// engine does not know. What it is compared with is the model that they left.
pub(super) fn resume(
    exact: Finished,
    passes: &[Box<dyn Pass + '_>],
    cx: &Context<'_>,
    check: &Check<'_>,
    when: When,
) -> Result<Finished> {
    let changed = exact.steps.iter().any(|step| step.report.changed());
    if !changed || check.outputs(&exact.model).is_err() {
        return Ok(exact);
    }
    let mut finished = settle(exact.model, passes, cx, Some(check), when)?;
    for (step, before) in finished.steps.iter_mut().zip(exact.steps) {
        // The others were only told that they cannot be checked.
        if step.promise == Promise::Exact {
            let after = std::mem::replace(&mut step.report, before.report);
            if !after.changed() {
                step.outcome = before.outcome;
            }
            step.report.extend(after);
            step.time += before.time;
        }
    }
    Ok(finished)
}
