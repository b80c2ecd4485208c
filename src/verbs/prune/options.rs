//! Options of `prune`.

use serde::{Deserialize, Serialize};

use crate::analysis::channels::Options;
use crate::compress::{PrunePasses, Repair};
use crate::error::{Error, ErrorKind, Result};
use crate::passes::{
    Allocation, Amount, Budget, Growth, Importance, PruneChannels, Resource, Target,
};
use crate::verbs::Bounds;
use crate::verbs::budget::Remaining;
use crate::verbs::prune::sparsity::Sparsity;

/// How a budget is spread over the groups.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Spreading {
    /// The same share of each group.
    Uniform,
    /// What is least important for what it costs.
    Global,
    /// What changes the outputs least for what it costs.
    Sensitivity,
}

impl Spreading {
    /// The name on the command line.
    pub fn name(self) -> &'static str {
        match self {
            Self::Uniform => "uniform",
            Self::Global => "global",
            Self::Sensitivity => "sensitivity",
        }
    }
}

/// Options of [`prune`](crate::prune()).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PruneOptions {
    /// What may stay.
    pub remaining: Remaining,
    /// Which groups give how much; by default each the same share of [`Remaining::Channels`], else by what cutting each
    /// does to the outputs on samples, or without samples to weights.
    pub spreading: Option<Spreading>,
    /// Least share of the channels of each group that stays, whatever a budget asks for.
    pub floor: f64,
    /// It is pruned in so many steps, each judged; with bounds, the last model is taken that keeps them.
    pub steps: Option<u32>,
    /// Single weights become zero instead, and nothing is cut.
    pub sparsity: Option<Sparsity>,
    /// Which channels matter; by default [`Importance::Obs`] with samples, else [`Importance::L1`].
    pub importance: Option<Importance>,
    /// How what is left makes up for what was cut; by default [`Repair::LeastSquares`] with samples, else not.
    pub repair: Option<Repair>,
    /// Channels that stay are a multiple of this; heads are not rounded.
    pub multiple: usize,
    /// Least number of channels that stay in a group.
    pub minimum: usize,
    /// Nothing is cut that these nodes read or make: patterns on node names, `*` stands for any text.
    pub keep: Vec<String>,
    /// What a layer normalization takes its statistics over is cut, too.
    pub through_norms: bool,
    /// Of attention heads, some dimensions of all are cut instead of whole heads.
    pub head_dimensions: bool,
    /// Weights are set to zero that read what would be cut, and nothing is cut.
    pub mask: bool,
    /// What is left is quantized for this target, with the defaults of [`quantize`](crate::quantize()).
    pub quantize: Option<Target>,
    /// What the result is asked to keep.
    pub bounds: Bounds,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// How much folding constants may add.
    pub fold: Growth,
}

impl Default for PruneOptions {
    fn default() -> Self {
        Self {
            remaining: Remaining::Channels(1.0),
            spreading: None,
            floor: 0.125,
            steps: None,
            sparsity: None,
            importance: None,
            repair: None,
            multiple: 8,
            minimum: 1,
            keep: Vec::new(),
            through_norms: false,
            head_dimensions: false,
            mask: false,
            quantize: None,
            bounds: Bounds::default(),
            skip: Vec::new(),
            freeze_initializers: false,
            fold: Growth::default(),
        }
    }
}

impl PruneOptions {
    /// Refuses what contradicts itself or what will be there, whatever the model is: samples, and test samples.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self, samples: bool, test: bool) -> Result<()> {
        let usage = |text: &str| Err(Error::new(ErrorKind::Usage, text));
        if self.bounds.any() && !samples && !test {
            return usage("--max-drop and --min-sqnr need --data or --test");
        }
        if self.measures() && !samples {
            return usage("obs, wanda, activation and --repair lsq need --data");
        }
        if matches!(self.remaining, Remaining::Latency(_)) && !samples {
            return usage("--latency needs --data");
        }
        if self.quantize.is_some() && !samples {
            return usage("--quantize needs --data");
        }
        Ok(())
    }

    /// What was asked for needs samples.
    pub(super) fn measures(&self) -> bool {
        self.importance.is_some_and(Importance::needs_samples)
            || self.repair == Some(Repair::LeastSquares)
    }

    /// How a budget is spread, with or without samples to try groups on.
    pub(super) fn spreading(&self, remaining: Remaining, samples: bool) -> Spreading {
        self.spreading.unwrap_or(match (remaining, samples) {
            (Remaining::Channels(_), _) => Spreading::Uniform,
            (_, true) => Spreading::Sensitivity,
            (_, false) => Spreading::Global,
        })
    }

    /// The budget as it was given; nothing for a latency, or a share of each group that is cut at once.
    pub(super) fn budget(&self, remaining: Remaining, samples: bool) -> Option<Budget> {
        let plain =
            self.spreading(remaining, samples) == Spreading::Uniform && self.steps.is_none();
        let (resource, most) = match remaining {
            Remaining::Channels(ratio) if plain || ratio >= 1.0 => return None,
            Remaining::Channels(ratio) => (Resource::Channels, Amount::Share(ratio)),
            Remaining::Macs(most) => (Resource::Macs, most),
            Remaining::Parameters(most) => (Resource::Parameters, most),
            Remaining::Size(most) => (Resource::WeightBytes, most),
            Remaining::Latency(_) => return None,
        };
        Some(Budget { resource, most })
    }

    /// The passes that do it.
    pub(super) fn passes(&self, samples: bool, seed: u64) -> PrunePasses {
        let (importance, repair) = match samples {
            true => (Importance::Obs, Repair::LeastSquares),
            false => (Importance::L1, Repair::Off),
        };
        PrunePasses {
            pruning: PruneChannels {
                ratio: match self.remaining {
                    Remaining::Channels(ratio) => ratio,
                    _ => 1.0,
                },
                budget: None,
                // What tries groups measures how a budget is spread.
                allocation: match self.spreading(self.remaining, samples) {
                    Spreading::Uniform | Spreading::Sensitivity => Allocation::Uniform,
                    Spreading::Global => Allocation::Global,
                },
                floor: self.floor,
                importance: self.importance.unwrap_or(importance),
                multiple: self.multiple,
                minimum: self.minimum,
                keep: self.keep.clone(),
                seed,
                channels: Options { normalized: self.through_norms, heads: !self.head_dimensions },
                mask: self.mask,
                ..PruneChannels::default()
            },
            repair: match self.repair.unwrap_or(repair) {
                Repair::LeastSquares if self.mask => Repair::Off,
                repair => repair,
            },
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold,
        }
    }
}
