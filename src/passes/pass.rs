//! What a pass is.

use std::fmt;

use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Context, Report};

/// An edit of a model.
pub trait Pass {
    /// Kebab-case name, verb first: also the name of its file, page, tests and report.
    fn name(&self) -> &'static str;

    /// What it does, in one sentence.
    fn summary(&self) -> &'static str;

    /// How far outputs may move; checked by execution.
    fn promise(&self) -> Promise;

    /// How many nodes downstream of an edit this pass may now find something to do.
    fn reach(&self) -> usize {
        1
    }

    /// Makes up for what the pass before it lost: both are judged together.
    fn mends(&self) -> bool {
        false
    }

    /// Edits `model` and says what was done and what was refused.
    ///
    /// # Errors
    /// When the user asked for the impossible. "Does not apply here" is a note, not an error.
    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report>;
}

/// How far the outputs of a model may move under a pass.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
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
