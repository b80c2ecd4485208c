//! What weights can be stored as.

use std::fmt;
use std::str::FromStr;

use crate::error::{Error, Result, err};
use crate::math::codebook::Alphabet;
use crate::tensor::DType;

/// What a weight is stored as, and how it becomes floats again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Storage {
    /// Integers on a grid, of the type and granularity that the options of quantization name.
    #[default]
    Integers,
    /// `float16` or `bfloat16` behind a Cast.
    Half(DType),
    /// Indices into a table of so many numbers, fitted to the weights of each tensor.
    Codebook(usize),
    /// -1, 0 or 1 times a scale.
    Ternary,
    /// -1 or 1 times a scale.
    Binary,
}

/// Most numbers in a table: an index is at most a byte.
const LARGEST_TABLE: usize = 256;

impl Storage {
    /// What an index can stand for; nothing where weights are no indices.
    pub(super) fn alphabet(self) -> Option<Alphabet> {
        match self {
            Self::Integers | Self::Half(_) => None,
            Self::Codebook(entries) => Some(Alphabet::Free(entries)),
            Self::Ternary => Some(Alphabet::Ternary),
            Self::Binary => Some(Alphabet::Binary),
        }
    }
}

impl fmt::Display for Storage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Integers => f.write_str("integers"),
            Self::Half(dtype) => f.write_str(dtype.name()),
            Self::Codebook(entries) => write!(f, "codebook:{entries}"),
            Self::Ternary => f.write_str("ternary"),
            Self::Binary => f.write_str("binary"),
        }
    }
}

impl FromStr for Storage {
    type Err = Error;

    /// What has this name, as it is displayed; `Integers` has none.
    ///
    /// # Errors
    /// When it is none, or a table is too small or too large.
    fn from_str(text: &str) -> Result<Self> {
        let known =
            [Self::Half(DType::Float16), Self::Half(DType::Bfloat16), Self::Ternary, Self::Binary];
        if let Some(storage) = known.into_iter().find(|storage| storage.to_string() == text) {
            return Ok(storage);
        }
        let entries = text.strip_prefix("codebook:").and_then(|count| count.parse().ok());
        let fits = |entries: &usize| (2..=LARGEST_TABLE).contains(entries);
        entries.filter(fits).map(Self::Codebook).ok_or_else(|| {
            err!(
                Usage,
                "expected float16, bfloat16, codebook:N with N from 2 to {LARGEST_TABLE}, ternary or \
                 binary, found `{text}`"
            )
        })
    }
}
