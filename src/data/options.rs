//! What the caller says: the inputs of the model, limits, and how to read the data.

use std::collections::BTreeMap;

use crate::data::Preprocess;
use crate::error::{Result, err};
use crate::tensor::DType;

/// One input of a model, as far as data must know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InputSpec {
    /// Name of the input; with several inputs, also the name of its array.
    pub name: String,
    /// Element type that the input takes.
    pub dtype: DType,
    /// Extents, `None` for a free one; the first axis is the batch. `None` as a whole when not
    /// even the rank is declared; empty for a scalar.
    pub dims: Option<Vec<Option<usize>>>,
}

/// Bounds that keep a small hostile file from taking all memory.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Most members of an `.npz` file.
    pub entries: usize,
    /// Most bytes of arrays that one file may put into memory.
    pub array_bytes: u64,
    /// Most times that a deflated array of more than [`Limits::resident_bytes`] may be larger than
    /// its member.
    pub expansion: u64,
    /// Arrays up to so many bytes are read into memory; larger ones, if they are stored as they
    /// are and row by row, stay in the file and are read sample by sample.
    pub resident_bytes: u64,
    /// Most bytes that one input of one run may take (a model may declare any batch), and that
    /// one `.pb` file may have.
    pub run_bytes: u64,
    /// Most pixels of an image, before and after it is scaled.
    pub pixels: u64,
}

impl Limits {
    /// Default of [`Limits::entries`]: far above the number of inputs of any known model.
    pub const ENTRIES: usize = 4096;
    /// Default of [`Limits::array_bytes`]: 1 GiB.
    pub const ARRAY_BYTES: u64 = 1 << 30;
    /// Default of [`Limits::expansion`]: 100. Deflate can reach 1032; samples that carry
    /// information stay below 20.
    pub const EXPANSION: u64 = 100;
    /// Default of [`Limits::resident_bytes`]: 64 MiB.
    pub const RESIDENT_BYTES: u64 = 64 << 20;
    /// Default of [`Limits::run_bytes`]: 1 GiB.
    pub const RUN_BYTES: u64 = 1 << 30;
    /// Default of [`Limits::pixels`]: 64 Mi, as in 8192 x 8192.
    pub const PIXELS: u64 = 64 << 20;

    /// Refuses `needed` bytes of an array when `taken` bytes of others are in memory.
    pub(super) fn check_arrays(&self, needed: u64, taken: u64) -> Result<()> {
        if needed <= self.array_bytes.saturating_sub(taken) {
            return Ok(());
        }
        let others = if taken > 0 {
            format!(", after {taken} bytes of other arrays")
        } else {
            String::new()
        };
        let most = self.array_bytes;
        Err(err!(Limit, "{needed} bytes{others}; at most {most} are read into memory").help(FEWER))
    }

    /// Refuses `needed` bytes of an array that is deflated to `packed` bytes, when that is more
    /// than samples deflate.
    pub(super) fn check_expansion(&self, needed: u64, packed: u64) -> Result<()> {
        let most = packed.saturating_mul(self.expansion).max(self.resident_bytes);
        if needed <= most {
            return Ok(());
        }
        Err(err!(Limit, "{needed} bytes from a member of {packed}; at most {most} are inflated")
            .help(FEWER))
    }
}

const FEWER: &str = "read fewer samples with --samples, or allow more with --max-data-bytes";

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: Self::ENTRIES,
            array_bytes: Self::ARRAY_BYTES,
            expansion: Self::EXPANSION,
            resident_bytes: Self::RESIDENT_BYTES,
            run_bytes: Self::RUN_BYTES,
            pixels: Self::PIXELS,
        }
    }
}

/// How [`Samples::open`](crate::data::Samples::open) reads its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Name of the array of labels; without it no array is taken for labels. Images in one
    /// sub-folder for each class have labels anyway, and any name asks for those.
    pub labels: Option<String>,
    /// Use only so many samples, from the first on; all by default.
    pub samples: Option<usize>,
    /// Samples of one run when the model's batch is free; 1 by default. A fixed batch wins.
    pub batch: usize,
    /// What is done to the values on their way into the model.
    pub preprocess: Preprocess,
    /// Bounds on what is read and built.
    pub limits: Limits,
    /// Seed of `random:N`; equal seeds give equal samples.
    pub seed: u64,
    /// Extent that `random:N` gives to every free axis other than the batch; 8 by default,
    /// large enough for a short sequence and divisible by the usual strides.
    pub free_dim: usize,
    /// `random:N` draws the elements of integer inputs from `0..random_below`; 8 by default,
    /// so that they are valid indices into nearly every embedding, and below [`Self::tables`].
    pub random_below: u64,
    /// For inputs whose elements look up the rows of a table, how many rows it has.
    pub tables: BTreeMap<String, u64>,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            labels: None,
            samples: None,
            batch: 1,
            preprocess: Preprocess::default(),
            limits: Limits::default(),
            seed: 0,
            free_dim: 8,
            random_below: 8,
            tables: BTreeMap::new(),
        }
    }
}
