//! Zeros among weights instead of cuts.

use std::io::Write;

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use flate2::Compression;
use flate2::write::DeflateEncoder;
use onnxpress::analysis::constant;
use onnxpress::compress;
use onnxpress::compress::SparseStorage;
use onnxpress::emit::Encoded;
use onnxpress::ir::Model;
use onnxpress::passes::{Criterion, PruneWeights, Scope, Zeros};
use onnxpress::report::{Pair, SparsityReport};

use super::compare::share;

/// What becomes zero.
#[derive(Debug, Clone, Args)]
pub struct SparsityArgs {
    /// Cut nothing, but set single weights to zero: those nearest to zero, those that are least beside
    /// what they are multiplied with, or those that cost least when the others make up for them. The last
    /// two need --data. Shapes stay, and runtimes for dense weights get no faster.
    #[arg(long, value_name = "HOW", value_parser = criterion(), conflicts_with_all = ["budget", "steps", "mask"])]
    pub unstructured: Option<Criterion>,
    /// Share of the weights of layers that become zero.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "unstructured", conflicts_with = "budget", default_value_if("unstructured", clap::builder::ArgPredicate::IsPresent, Some("50%")))]
    sparsity: Option<f64>,
    /// Instead of a share, keep N of each M neighbouring inputs of an output, e.g. 2:4.
    #[arg(long, value_name = "N:M", value_parser = blocks, requires = "unstructured", conflicts_with = "budget")]
    n_m: Option<(usize, usize)>,
    /// Compare weights within a layer, or, by magnitude, those of all layers.
    #[arg(
        long,
        value_name = "SCOPE",
        value_enum,
        requires = "unstructured",
        conflicts_with = "budget"
    )]
    scope: Option<ScopeName>,
    /// How weights with zeros are written: with them (dense), or, where that takes fewer bytes, as sparse
    /// initializers. An index takes 8 bytes, so float weights need more than two thirds of zeros. Not every
    /// runtime reads sparse initializers, and those that do spell them out.
    #[arg(
        long,
        value_name = "HOW",
        value_enum,
        requires = "unstructured",
        conflicts_with = "budget",
        default_value_if("unstructured", clap::builder::ArgPredicate::IsPresent, Some("dense"))
    )]
    storage: Option<StorageName>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StorageName {
    Dense,
    Sparse,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum ScopeName {
    Layer,
    Global,
}

/// The names of all criteria.
fn criterion() -> impl TypedValueParser<Value = Criterion> {
    let names = Criterion::ALL.iter().map(|criterion| criterion.name());
    PossibleValuesParser::new(names).map(|name| {
        let named = Criterion::ALL.iter().find(|criterion| criterion.name() == name);
        named.copied().unwrap_or_default()
    })
}

/// `2:4`.
fn blocks(text: &str) -> Result<(usize, usize), String> {
    let numbers = text
        .split_once(':')
        .and_then(|(kept, of)| Some((kept.trim().parse().ok()?, of.trim().parse().ok()?)));
    let numbers = numbers.filter(|&(kept, of): &(usize, usize)| 0 < kept && kept < of);
    numbers.ok_or_else(|| format!("`{text}`; expected N:M with N below M, such as 2:4"))
}

impl SparsityArgs {
    /// The pass, when weights are to become zero.
    pub fn pass(&self, keep: &[String]) -> Option<PruneWeights> {
        let zeros = match self.n_m {
            Some((kept, of)) => Zeros::Blocks { kept, of },
            None => Zeros::Share(self.sparsity.unwrap_or_default()),
        };
        let scope = match self.scope {
            Some(ScopeName::Global) => Scope::Global,
            _ => Scope::Layer,
        };
        let criterion = self.unstructured?;
        Some(PruneWeights { criterion, zeros, scope, keep: keep.to_vec() })
    }

    /// The model as it is to be written, when that is with sparse weights, and which these are.
    pub fn stored(&self, model: &Model) -> Option<(Model, SparseStorage)> {
        let mut stored = (self.storage == Some(StorageName::Sparse)).then(|| model.clone())?;
        let storage = compress::store_sparsely(&mut stored);
        Some((stored, storage))
    }
}

/// What zeros are worth: how many there are in (dense) models, and how small the files become when they are
/// compressed.
pub fn worth(models: [&Model; 2], encoded: [&Encoded; 2]) -> SparsityReport {
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

#[cfg(test)]
mod tests {
    use super::blocks;

    #[test]
    fn blocks_keep_some_but_not_all() {
        assert_eq!(blocks("2:4"), Ok((2, 4)));
        assert!(["4:4", "0:4", "2", "a:b", "5:4"].iter().all(|text| blocks(text).is_err()));
    }
}
