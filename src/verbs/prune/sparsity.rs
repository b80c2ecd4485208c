//! Zeros among weights instead of cuts.

use std::io::Write;

use flate2::Compression;
use flate2::write::DeflateEncoder;
use serde::{Deserialize, Serialize};

use crate::analysis::constant;
use crate::compress::{self, SparseStorage};
use crate::emit::Encoded;
use crate::ir::Model;
use crate::passes::{Criterion, PruneWeights, Scope, Zeros};
use crate::report::{Pair, SparsityReport};

/// What becomes zero where nothing is cut.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sparsity {
    /// Which weights.
    pub criterion: Criterion,
    /// How many.
    pub zeros: Zeros,
    /// What they are compared with.
    #[serde(default)]
    pub scope: Scope,
    /// Weights are written as sparse initializers where that takes fewer bytes.
    #[serde(default)]
    pub sparse: bool,
}

impl Sparsity {
    /// The pass.
    pub(super) fn pass(&self, keep: &[String]) -> PruneWeights {
        let Self { criterion, zeros, scope, .. } = *self;
        PruneWeights { criterion, zeros, scope, keep: keep.to_vec() }
    }

    /// The model as it is to be written, when that is with sparse weights, and which these are.
    pub(super) fn stored(&self, model: &Model) -> Option<(Model, SparseStorage)> {
        let mut stored = self.sparse.then(|| model.clone())?;
        let storage = compress::store_sparsely(&mut stored);
        Some((stored, storage))
    }
}

/// What zeros are worth: how many there are in (dense) models, and how small the files become when they are
/// compressed.
pub(super) fn worth(models: [&Model; 2], encoded: [&Encoded; 2]) -> SparsityReport {
    let [a, b] = models.map(zeros);
    let [c, d] = encoded.map(compressed);
    SparsityReport {
        zeros: Pair { original: a, candidate: b },
        compressed_bytes: Pair { original: c, candidate: d },
        storage: None,
    }
}

/// Share of zeros in all stored floats of at least two axes.
fn zeros(model: &Model) -> f64 {
    let tensors = model.values().filter_map(|(id, _)| constant(model, id));
    let weights = tensors.filter(|tensor| tensor.dtype().is_float() && tensor.dims().len() > 1);
    let counts = weights.filter_map(|tensor| {
        let elements = tensor.to_f32().ok()?;
        Some((elements.iter().filter(|&&x| x == 0.0).count(), elements.len()))
    });
    let (zeros, all) = counts.fold((0, 0), |sum, count| (sum.0 + count.0, sum.1 + count.1));
    zeros as f64 / all.max(1) as f64
}

/// Bytes of the files when they are deflated, as in a package.
fn compressed(encoded: &Encoded) -> u64 {
    let mut writer = DeflateEncoder::new(Counted(0), Compression::default());
    let data = encoded.data.iter().map(|(_, data)| data);
    for part in std::iter::once(&encoded.model).chain(data) {
        // Counting cannot fail.
        let _ = writer.write_all(&part.to_bytes());
    }
    writer.finish().map_or(0, |counted| counted.0)
}

/// Counts what is written.
struct Counted(u64);

impl Write for Counted {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0 += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
