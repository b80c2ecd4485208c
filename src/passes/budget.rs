//! How much of a model may stay.

use serde::{Deserialize, Serialize};

use crate::analysis::{Assume, Cost, Shapes};
use crate::ir::Model;

/// What a budget counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Resource {
    /// Channels, hidden units and heads that can be cut, of all groups together.
    Channels,
    /// Multiply-accumulates of one sample.
    Macs,
    /// Stored elements.
    Parameters,
    /// Bytes of stored elements.
    WeightBytes,
}

impl Resource {
    /// The name, in words.
    pub fn name(self) -> &'static str {
        match self {
            Self::Channels => "channels",
            Self::Macs => "MACs",
            Self::Parameters => "parameters",
            Self::WeightBytes => "bytes of weights",
        }
    }

    /// How much of it `model` has with inputs as `at` says; nothing for channels, which only groups know.
    pub fn of(self, model: &Model, at: &Assume) -> Option<u64> {
        let cost = || Cost::of(model, &Shapes::infer(model, at));
        match self {
            Self::Channels => None,
            Self::Macs => Some(cost().macs),
            Self::Parameters => Some(cost().parameters),
            Self::WeightBytes => Some(cost().weight_bytes),
        }
    }
}

/// An upper bound on what stays.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Budget {
    /// What is counted.
    pub resource: Resource,
    /// How much of it.
    pub most: Amount,
}

/// How much.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Amount {
    /// A share of what the model has, at most 1.
    Share(f64),
    /// A number.
    Number(u64),
}

impl Amount {
    /// The number, of a whole.
    pub fn of(self, whole: u64) -> u64 {
        match self {
            Self::Share(share) => (share.clamp(0.0, 1.0) * whole as f64).floor() as u64,
            Self::Number(number) => number,
        }
    }
}

/// How a budget is spread over the groups.
#[derive(Debug, Clone, PartialEq, Default)]
pub enum Allocation {
    /// The same share of each stays.
    #[default]
    Uniform,
    /// Step by step goes what is least important for what it costs, wherever it is. With `s` the share of
    /// the importance of its group that stays, the product of `s` over all groups stays as large as it can:
    /// the score of a step is that of LAMP (Lee et al., "Layer-adaptive Sparsity for the
    /// Magnitude-based Pruning", 2021), for each unit of what the budget counts.
    Global,
    /// So many orbits of each group stay, in the order of groups.
    Counts(Vec<usize>),
}
