//! Zeros among weights instead of cuts.

use clap::builder::{PossibleValuesParser, TypedValueParser};
use clap::{Args, ValueEnum};
use onnxpress::passes::{Criterion, Scope, Zeros};
use onnxpress::verbs::Sparsity;

use super::compare::share;

/// What becomes zero.
#[derive(Debug, Clone, Args)]
pub struct SparsityArgs {
    /// Cut nothing, but set single weights to zero: those nearest to zero, those that are least beside
    /// what they are multiplied with, or those that cost least when the others make up for them. The last
    /// two need --data. Shapes stay, and runtimes for dense weights get no faster.
    #[arg(long, value_name = "HOW", value_parser = criterion(), conflicts_with_all = ["budget", "steps", "mask"])]
    unstructured: Option<Criterion>,
    /// Share of the weights of layers that become zero.
    #[arg(long, value_name = "SHARE", value_parser = share, requires = "unstructured", conflicts_with = "budget", default_value_if("unstructured", clap::builder::ArgPredicate::IsPresent, Some("50%")))]
    sparsity: Option<f64>,
    /// Instead of a share, keep N of each M neighbouring inputs of an output, e.g. 2:4.
    #[arg(long = "nm", alias = "n-m", value_name = "N:M", value_parser = blocks, requires = "unstructured", conflicts_with = "budget")]
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
    /// What becomes zero, when anything does.
    pub fn sparsity(&self) -> Option<Sparsity> {
        let zeros = match self.n_m {
            Some((kept, of)) => Zeros::Blocks { kept, of },
            None => Zeros::Share(self.sparsity.unwrap_or_default()),
        };
        let scope = match self.scope {
            Some(ScopeName::Global) => Scope::Global,
            _ => Scope::Layer,
        };
        let sparse = self.storage == Some(StorageName::Sparse);
        Some(Sparsity { criterion: self.unstructured?, zeros, scope, sparse })
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
