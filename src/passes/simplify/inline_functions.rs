//! `inline-functions`: calls of model-local functions become the nodes of the functions.

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Pass, Promise, Report};

/// Replaces calls of model-local functions by the nodes of the functions; see
/// [`Model::inline_functions`].
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct InlineFunctions;

impl Pass for InlineFunctions {
    fn name(&self) -> &'static str {
        "inline-functions"
    }

    fn summary(&self) -> &'static str {
        "Replaces calls of model-local functions by the nodes of the functions."
    }

    fn promise(&self) -> Promise {
        Promise::Exact
    }

    fn run(&self, model: &mut Model, _cx: &Context<'_>) -> Result<Report> {
        let inlined = model.inline_functions();
        let mut report = Report::default();
        inlined.done.into_iter().for_each(|(place, text)| report.did(place, text));
        inlined.refused.into_iter().for_each(|(place, text)| report.refuse(place, text));
        Ok(report)
    }
}
