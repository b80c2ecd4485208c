//! `simplify`.

use serde::{Deserialize, Serialize};

use crate::compress::{self, SIMPLIFY_GROWTH, SimplifyPasses};
use crate::error::{Error, ErrorKind, Result};
use crate::ir::{Model, ValueId};
use crate::passes::{Context, Growth, fitting};
use crate::pipeline::{self, Check, Finished, When};
use crate::read::Loaded;
use crate::report::{Pair, SimplificationReport};
use crate::verbs::undone::nothing_simplified;
use crate::verbs::warnings::{grew, taken_back, unfitted};
use crate::verbs::{Data, Outcome};

/// Options of [`simplify`].
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct SimplifyOptions {
    /// Nodes that stay as they are: patterns on node names, `*` stands for any text.
    pub keep: Vec<String>,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Names of the passes to run; all when empty.
    pub only: Vec<String>,
    /// Calls of model-local functions are replaced by their nodes.
    pub inline_functions: bool,
    /// The default operator set is raised to this version first.
    pub opset: Option<i64>,
    /// Operators of com.microsoft may be used.
    pub microsoft: bool,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// Original and result are executed on up to so many seeded inputs, or runs of the samples.
    pub check: usize,
    /// They are executed after every pass that changed something.
    pub bisect: bool,
    /// How much folding constants may add.
    pub fold: Growth,
}

impl Default for SimplifyOptions {
    fn default() -> Self {
        Self {
            keep: Vec::new(),
            skip: Vec::new(),
            only: Vec::new(),
            inline_functions: false,
            opset: None,
            microsoft: false,
            freeze_initializers: false,
            check: 2,
            bisect: false,
            fold: SIMPLIFY_GROWTH,
        }
    }
}

/// The model with fewer nodes that compute the same, executed beside the original.
///
/// # Errors
/// When an operator set was asked for that the model cannot have, or a pass leaves an invalid model.
pub fn simplify(
    original: &Loaded,
    options: &SimplifyOptions,
    data: &Data<'_>,
) -> Result<Outcome<SimplificationReport>> {
    let host = &data.host;
    let check = options.check(&original.model, data)?;
    let passes = compress::simplify(&options.passes());
    let cx = Context { evaluate: Some(&host.engine), ..Context::default() };
    let when = if options.bisect { When::EachPass } else { When::AtEnd };
    let mut model = original.model.clone();
    let kept = pin(&mut model, &options.keep);
    let mut finished = pipeline::settle(model, &passes, &cx, check.as_ref(), when)?;
    kept.into_iter().for_each(|value| finished.model.unpin(value));
    options.raised(&finished)?;
    let encoded = (host.encode)(&finished.model, original.external)?;
    let mut warnings = Vec::new();
    if options.check == 0 {
        warnings.push("not executed: --check 0".to_owned());
    } else if (finished.executed == 0 || finished.looked_at_nothing())
        && finished.promise().is_some()
        && !finished.unedited
    {
        warnings.push(format!("not executed: {}", why_not(&finished)));
    }
    // What passes warn of was not said here so far, but for edits that were taken back.
    let notes = finished.steps.iter().flat_map(|step| &step.report.warnings);
    warnings.extend(notes.filter(|note| note.contains("taken back")).cloned());
    // Pass by pass, the report names the first one, and the lines of the passes the others.
    if !options.bisect {
        warnings.extend(taken_back(&finished.steps));
    }
    let size_bytes = Pair { original: original.byte_size, candidate: encoded.len() as u64 };
    warnings.extend(grew(&size_bytes));
    warnings.extend(unfitted("--exclude", &options.keep, [&original.model, &finished.model]));
    let missed = nothing_simplified(&finished.steps);
    let report = SimplificationReport {
        size_bytes,
        warnings,
        missed: missed.clone(),
        passed: missed.is_empty(),
        seeded: data.samples.is_none(),
        ..SimplificationReport::new(&original.model, &finished)
    };
    Ok(Outcome { model: finished.model, encoded, report, missed })
}

impl SimplifyOptions {
    /// The passes that do it.
    fn passes(&self) -> SimplifyPasses {
        SimplifyPasses {
            freeze_initializers: self.freeze_initializers,
            inline_functions: self.inline_functions,
            opset: self.opset,
            fold: self.fold,
            microsoft: self.microsoft,
            skip: self.skip.clone(),
            only: self.only.clone(),
        }
    }

    /// An operator set that was asked for and is not there is an error.
    fn raised(&self, finished: &Finished) -> Result<()> {
        let found = finished.model.opset().unwrap_or(0);
        let Some(wanted) = self.opset.filter(|&wanted| found != wanted) else { return Ok(()) };
        let text = format!("the model stays at opset {found}, asked for is {wanted}");
        let step = finished.steps.iter().find(|step| step.name == "convert-opset");
        let reason = step.and_then(|step| step.report.refused.first());
        let error = Error::new(ErrorKind::Unsupported, text);
        Err(match reason {
            Some(note) => error.at(note.place.clone()).help(note.text.clone()),
            None => error,
        })
    }

    /// What the original and the result are executed on.
    fn check<'a>(&self, model: &Model, data: &Data<'a>) -> Result<Option<Check<'a>>> {
        if self.check == 0 {
            return Ok(None);
        }
        data.host.probing(data.samples, model, data.seed, self.check).map(Some)
    }
}

/// Why nothing was executed.
fn why_not(finished: &Finished) -> String {
    let steps = finished.steps.iter().filter_map(|step| match &step.outcome {
        Some(pipeline::Outcome::NotExecuted(reason)) => Some(reason.clone()),
        _ => None,
    });
    let parts = finished.parts.iter().map(|(reason, _)| reason.clone());
    parts.chain(steps).next().unwrap_or_else(|| "see the passes".to_owned())
}

/// Pins what the kept nodes read and make, so that no pass can touch them.
fn pin(model: &mut Model, keep: &[String]) -> Vec<ValueId> {
    let mut pinned = Vec::new();
    for node in model.all_nodes() {
        if fitting(model, node, keep).is_some() {
            let entry = model.node(node);
            pinned.extend(entry.inputs().iter().chain(entry.outputs()).flatten());
        }
    }
    pinned.iter().for_each(|&value| model.pin(value));
    pinned
}
