//! What is looked at while a model runs. Reductions happen beside the engine: a run may compute
//! hundreds of values that are far larger than what anybody wants to know about them.

use crate::analysis::Range;
use crate::error::Result;
use crate::tensor::{Tensor, TensorView};

/// A value to look at, and what to learn about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// Name of a value of the main graph.
    pub value: String,
    /// What to learn.
    pub observe: Observe,
}

/// What to learn about a value in one run.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Observe {
    /// Its range; only `float` values have one.
    Range,
    /// The value itself.
    Value,
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// Of [`Observe::Range`].
    Range(Range),
    /// Of [`Observe::Value`].
    Value(Tensor),
}

impl Observe {
    /// Looks at a value; `None` when there is nothing to learn.
    pub(super) fn of(self, view: TensorView<'_>) -> Result<Option<Observation>> {
        Ok(match self {
            Self::Range => {
                let range = view.as_f32().and_then(|elements| Range::of(&elements));
                range.map(Observation::Range)
            }
            Self::Value => {
                let copy = Tensor::new(view.dtype, view.dims.to_vec(), view.bytes.to_vec().into());
                Some(Observation::Value(copy?))
            }
        })
    }
}

impl Observation {
    /// The range, when that was asked for.
    pub fn range(&self) -> Option<Range> {
        match self {
            Self::Range(range) => Some(*range),
            Self::Value(_) => None,
        }
    }
}
