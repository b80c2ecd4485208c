//! Edits: each pass changes a model in one way. Passes open no files and know no engine.

mod convert_opset;
mod eliminate_dead;
mod eliminate_identity;
mod fold_constant;
mod fuse_batch_norm;
mod inline_functions;
mod quantize_static;
mod registry;
mod rule;
mod strip_debug_metadata;
mod strip_initializer_inputs;

pub use convert_opset::ConvertOpset;
pub use eliminate_dead::EliminateDead;
pub use eliminate_identity::EliminateIdentity;
pub use fold_constant::FoldConstant;
pub use fuse_batch_norm::FuseBatchNorm;
pub use inline_functions::InlineFunctions;
pub use quantize_static::{Granularity, QuantizeStatic};
pub use registry::{Entry, PASSES, find};
pub use rule::{Match, Rule};
pub use strip_debug_metadata::StripDebugMetadata;
pub use strip_initializer_inputs::StripInitializerInputs;

use std::fmt;

use crate::analysis::{Evaluate, Measure};
use crate::error::Result;
use crate::ir::Model;

/// An edit of a model.
pub trait Pass {
    /// Kebab-case name, verb first: also the name of its file, page, tests and report.
    fn name(&self) -> &'static str;

    /// What it does, in one sentence.
    fn summary(&self) -> &'static str;

    /// How far outputs may move; checked by execution.
    fn promise(&self) -> Promise;

    /// Edits `model` and says what was done and what was refused.
    ///
    /// # Errors
    /// When the user asked for the impossible. "Does not apply here" is a note, not an error.
    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report>;
}

/// How far the outputs of a model may move under a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Promise {
    /// Same arithmetic on the same numbers.
    Exact,
    /// Mathematically equal; differs by floating-point rounding.
    Rounding,
    /// Approximates the model.
    Lossy,
}

impl fmt::Display for Promise {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Exact => "exact",
            Self::Rounding => "rounding",
            Self::Lossy => "lossy",
        })
    }
}

/// What passes may ask for: facts that only running a model gives.
#[derive(Clone, Copy, Default)]
pub struct Context<'a> {
    /// Computes constant expressions.
    pub evaluate: Option<&'a dyn Evaluate>,
    /// Measures values over the calibration samples.
    pub measure: Option<&'a dyn Measure>,
}

/// What a pass did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Edits made, in order.
    pub done: Vec<Note>,
    /// Edits declined, in order.
    pub refused: Vec<Note>,
    /// What the user must know, e.g. that the operator set was raised.
    pub warnings: Vec<String>,
}

/// One edit made or declined.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Note {
    /// Place in words, e.g. ``node `conv1` (Conv)``.
    pub place: String,
    /// What was done, or why it was not.
    pub text: String,
}

impl Report {
    /// Records an edit.
    pub fn did(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.done.push(Note { place: place.into(), text: text.into() });
    }

    /// Records an edit that was declined, with the reason.
    pub fn refuse(&mut self, place: impl Into<String>, text: impl Into<String>) {
        self.refused.push(Note { place: place.into(), text: text.into() });
    }

    /// True when the model was edited.
    pub fn changed(&self) -> bool {
        !self.done.is_empty()
    }
}
