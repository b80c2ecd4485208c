//! How a budget was spread over groups, and what each step of pruning gave.

use std::fmt;

use serde::Serialize;

use crate::compress::{GroupSensitivity, SparseStorage};
use crate::report::comparison::share;
use crate::report::text::{bytes, finite_decibel, grouped, percent};
use crate::report::{ComparisonReport, Pair, decibel};

/// A group of channels, what cutting it alone does, and how much of it stays.
#[derive(Debug, Clone, Serialize)]
pub struct GroupShare {
    /// The layers that make its channels.
    pub place: String,
    /// Orbits.
    pub orbits: usize,
    /// How many stay.
    pub left: usize,
    /// Numbers of orbits with which it was tried alone.
    pub tried: Vec<Tried>,
}

/// One trial.
#[derive(Debug, Clone, Serialize)]
pub struct Tried {
    /// Orbits that were left.
    pub left: usize,
    /// Smallest signal-to-noise ratio of the outputs on held-out samples, in decibel.
    pub sqnr_db: f64,
}

/// What zeros among weights are worth.
#[derive(Debug, Clone, Serialize)]
pub struct SparsityReport {
    /// Share of zeros in all weights.
    pub zeros: Pair<f64>,
    /// Bytes of the files as a general compressor (deflate) leaves them.
    pub compressed_bytes: Pair<u64>,
    /// Which weights are stored sparsely, when that was asked for.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage: Option<StorageReport>,
}

/// How weights with zeros are stored.
#[derive(Debug, Clone, Serialize)]
pub struct StorageReport {
    /// Names of weights that are stored sparsely.
    pub sparse: Vec<String>,
    /// Names of weights that stay dense, and why.
    pub dense: Vec<StaysDense>,
}

/// A weight that is stored with its zeros.
#[derive(Debug, Clone, Serialize)]
pub struct StaysDense {
    /// Its name.
    pub name: String,
    /// Why.
    pub reason: String,
}

impl From<SparseStorage> for StorageReport {
    fn from(storage: SparseStorage) -> Self {
        let dense = storage.dense.into_iter();
        let dense = dense.map(|(name, reason)| StaysDense { name, reason }).collect();
        Self { sparse: storage.sparse, dense }
    }
}

impl fmt::Display for SparsityReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { zeros, compressed_bytes: compressed, storage } = self;
        writeln!(f, "zeros       {} -> {}", percent(zeros.original), percent(zeros.candidate))?;
        let (before, after) = (compressed.original, compressed.candidate);
        writeln!(
            f,
            "compressed  {} -> {} ({}; deflate)",
            grouped(before),
            bytes(after),
            share(before, after)
        )?;
        let Some(storage) = storage else {
            return writeln!(
                f,
                "the file itself is no smaller, and runtimes for dense weights no faster"
            );
        };
        writeln!(f, "sparse      {} weights, dense {}", storage.sparse.len(), storage.dense.len())?;
        for StaysDense { name, reason } in &storage.dense {
            writeln!(f, "  dense     `{name}`: {reason}")?;
        }
        writeln!(
            f,
            "only the file is smaller: runtimes for dense weights spell sparse ones out, and get no faster"
        )
    }
}

/// A step of pruning.
#[derive(Debug, Clone, Serialize)]
pub struct PruningStep {
    /// The model after it beside the original.
    pub drift: ComparisonReport,
}

impl From<&GroupSensitivity> for GroupShare {
    fn from(group: &GroupSensitivity) -> Self {
        let tried = group.tried.iter();
        let tried = tried.map(|&(left, db)| Tried { left, sqnr_db: finite_decibel(db) }).collect();
        Self { place: group.place.clone(), orbits: group.orbits, left: group.left, tried }
    }
}

impl fmt::Display for GroupShare {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { place, orbits, left, tried } = self;
        let tried: Vec<String> =
            tried.iter().map(|t| format!("{} at {}", decibel(t.sqnr_db), t.left)).collect();
        write!(f, "{left} of {orbits} stay: {place}; alone {}", tried.join(", "))
    }
}

impl fmt::Display for PruningStep {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let drift = &self.drift;
        write!(f, "MACs {}", share(drift.macs.original, drift.macs.candidate))?;
        write!(f, ", parameters {}", share(drift.parameters.original, drift.parameters.candidate))?;
        for (name, top) in &drift.accuracy {
            write!(f, ", {name} {}", percent(top.candidate))?;
        }
        let numbers = drift.outputs.iter().filter(|output| output.is_measured());
        let worst = numbers.map(|output| output.sqnr_db).fold(f64::INFINITY, f64::min);
        if worst.is_finite() {
            write!(f, ", SQNR {}", decibel(worst))?;
        }
        if !drift.passed {
            write!(f, "; {}", drift.missed.join("; "))?;
        }
        Ok(())
    }
}
