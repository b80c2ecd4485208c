//! What is looked at while a model runs. Reductions happen beside the engine: a run may compute
//! hundreds of values that are far larger than what anybody wants to know about them.

use std::borrow::Cow;

use crate::analysis::Range;
use crate::error::Result;
use crate::math::{Histogram, Moments, Unfold, magnitudes};
use crate::tensor::{DType, Tensor, TensorView};

/// A value to look at, and what to learn about it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Tap {
    /// Name of a value of the main graph.
    pub value: String,
    /// What to learn.
    pub observe: Observe,
}

/// What to learn about a value in one run.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Observe {
    /// Its range; only `float` values have one.
    Range,
    /// How its elements are spread; its range when that is not finite.
    Histogram,
    /// The value itself.
    Value,
    /// The vectors that a layer multiplies, at most so many: an array of groups, rows and columns. Only
    /// `float` and `float16` values have them.
    Rows(Unfold, usize),
    /// How many these vectors are, their sum and that of their squares, for each group.
    Moments(Unfold, usize),
    /// The largest magnitude of each channel along an axis; only `float` values have them.
    Magnitudes(usize),
}

/// What was learned.
#[derive(Debug, Clone, PartialEq)]
pub enum Observation {
    /// Of [`Observe::Range`].
    Range(Range),
    /// Of [`Observe::Histogram`].
    Histogram(Histogram),
    /// Of [`Observe::Value`], [`Observe::Rows`] and [`Observe::Magnitudes`].
    Value(Tensor),
    /// Of [`Observe::Moments`].
    Moments(Vec<Moments>),
}

impl Observe {
    /// Looks at a value; `None` when there is nothing to learn.
    pub(super) fn of(&self, view: TensorView<'_>) -> Result<Option<Observation>> {
        if *self == Self::Value {
            let copy = Tensor::new(view.dtype, view.dims.to_vec(), view.bytes.to_vec().into());
            return Ok(Some(Observation::Value(copy?)));
        }
        if let Self::Rows(unfold, most) | Self::Moments(unfold, most) = self {
            let elements = match view.dtype {
                DType::Float16 => Some(Cow::Owned(view.to_f32()?)),
                _ => view.as_f32(),
            };
            let Some(elements) = elements else { return Ok(None) };
            let rows = unfold.of(view.dims, &elements, *most);
            return Ok(rows.map(|rows| match self {
                Self::Moments(..) => Observation::Moments(rows.moments()),
                _ => {
                    let dims = [rows.groups, rows.rows, rows.columns];
                    Observation::Value(Tensor::from_f32(&dims, &rows.elements))
                }
            }));
        }
        let Some(elements) = view.as_f32() else { return Ok(None) };
        if let Self::Magnitudes(axis) = self {
            let found = magnitudes(view.dims, &elements, *axis);
            return Ok(
                found.map(|found| Observation::Value(Tensor::from_f32(&[found.len()], &found)))
            );
        }
        let Some(range) = Range::of(&elements) else { return Ok(None) };
        let finite = range.min.is_finite() && range.max.is_finite();
        Ok(Some(match self {
            Self::Histogram if finite => {
                Observation::Histogram(Histogram::of(&elements, range.min, range.max))
            }
            _ => Observation::Range(range),
        }))
    }
}

impl Observation {
    /// The range, when that or more was asked for.
    pub fn range(&self) -> Option<Range> {
        match self {
            Self::Range(range) => Some(*range),
            Self::Histogram(histogram) => {
                Some(Range { min: histogram.min(), max: histogram.max() })
            }
            Self::Value(_) | Self::Moments(_) => None,
        }
    }
}
