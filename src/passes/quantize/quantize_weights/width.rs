//! One of several ways in which the weights of a layer can be stored.

use std::collections::BTreeSet;
use std::fmt;

use crate::passes::{Format, Granularity, QuantizeStatic, QuantizeWeights, Storage};

/// How a weight is stored, where layers differ in that.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Width {
    /// As what.
    pub storage: Storage,
    /// On which grid; of integers alone.
    pub format: Format,
    /// How many weights share a scale.
    pub granularity: Granularity,
}

impl Width {
    /// Bits of a weight, without scales and tables.
    pub fn bits(&self) -> f64 {
        // As many numbers in base N as a byte has room for.
        let digits = |base: usize| 8.0 / (8.0 / (base as f64).log2()).floor().max(1.0);
        match self.storage {
            Storage::Integers => self.format.dtype.bits() as f64,
            Storage::Half(dtype) => dtype.bits() as f64,
            Storage::Codebook(entries) => digits(entries),
            Storage::Ternary => digits(3),
            Storage::Binary => digits(2),
        }
    }

    /// The pass that stores the weights of some layers so, and leaves all others alone.
    pub fn pass(&self, options: &QuantizeStatic, layers: BTreeSet<String>) -> QuantizeWeights {
        let options = QuantizeStatic {
            weights: Some(self.format),
            granularity: self.granularity,
            only: Some(layers),
            // Widths are put into a model one after the other.
            existing: crate::passes::Existing::Complete,
            ..options.clone()
        };
        QuantizeWeights::new(options, self.storage)
    }
}

impl fmt::Display for Width {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.storage {
            Storage::Integers => f.write_str(self.format.dtype.name()),
            other => other.fmt(f),
        }
    }
}
