//! What the caller says: the inputs of the model, limits, and how to read the data.

use crate::data::Preprocess;
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
    /// Most bytes that all arrays read from one `.npz` file may take once inflated.
    pub inflated_bytes: u64,
    /// Most bytes that one input of one run may take (a model may declare any batch).
    pub run_bytes: u64,
}

impl Limits {
    /// Default of [`Limits::entries`]: far above the number of inputs of any known model.
    pub const ENTRIES: usize = 4096;
    /// Default of [`Limits::inflated_bytes`]: 1 GiB; deflate makes that from 1 MB.
    pub const INFLATED_BYTES: u64 = 1 << 30;
    /// Default of [`Limits::run_bytes`]: 1 GiB.
    pub const RUN_BYTES: u64 = 1 << 30;
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            entries: Self::ENTRIES,
            inflated_bytes: Self::INFLATED_BYTES,
            run_bytes: Self::RUN_BYTES,
        }
    }
}

/// How [`Samples::open`](crate::data::Samples::open) reads its data.
#[derive(Debug, Clone, PartialEq)]
pub struct Options {
    /// Name of the array of labels; without it no array is taken for labels.
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
    /// so that they are valid indices into nearly every embedding.
    pub random_below: u64,
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
        }
    }
}
