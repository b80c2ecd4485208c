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
    pub fn bits(&self) -> u32 {
        match self.storage {
            Storage::Integers => self.format.dtype.bits() as u32,
            Storage::Half(dtype) => dtype.bits() as u32,
            Storage::Codebook(entries) => entries.next_power_of_two().ilog2(),
            Storage::Ternary => 2,
            Storage::Binary => 1,
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
