//! Options of `factorize`.

use serde::{Deserialize, Serialize};

use crate::compress::FactorizePasses;
use crate::error::{Error, ErrorKind, Result};
use crate::passes::{Aim, Amount, Factorize, Growth, Layers, Method, Ranks};
use crate::verbs::Bounds;
use crate::verbs::budget::Remaining;

/// How far layers are split.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Goal {
    /// Until no more than this remains. Channels are no goal: nothing is cut.
    Remaining(Remaining),
    /// Each layer keeps this share of what it gives: with samples of its squares there, else of those of the weights.
    Energy(f64),
    /// These layers get these ranks.
    Ranks(Ranks),
}

/// Options of [`factorize`](crate::factorize()).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FactorizeOptions {
    /// How far layers are split.
    pub goal: Goal,
    /// What counts as near; by default [`Method::Whitened`] with samples, else [`Method::Svd`].
    pub method: Option<Method>,
    /// Whether layers are fitted to what they gave before; by default with samples.
    pub refit: Option<bool>,
    /// Ranks are multiples of this.
    pub multiple: usize,
    /// Which layers may be split.
    pub layers: Layers,
    /// What the result is asked to keep.
    pub bounds: Bounds,
    /// Names of passes to leave out.
    pub skip: Vec<String>,
    /// Overridable initializers become constants.
    pub freeze_initializers: bool,
    /// How much folding constants may add.
    pub fold: Growth,
}

impl Default for FactorizeOptions {
    fn default() -> Self {
        Self {
            goal: Goal::Remaining(Remaining::Macs(Amount::Share(1.0))),
            method: None,
            refit: None,
            multiple: 4,
            layers: Layers::default(),
            bounds: Bounds::default(),
            skip: Vec::new(),
            freeze_initializers: false,
            fold: Growth::default(),
        }
    }
}

impl FactorizeOptions {
    /// Refuses what contradicts itself or what will be there, whatever the model is: samples, and test samples.
    ///
    /// # Errors
    /// Then.
    pub fn check(&self, samples: bool, test: bool) -> Result<()> {
        let usage = |text: &str| Err(Error::new(ErrorKind::Usage, text));
        if self.bounds.any() && !samples && !test {
            return usage("--max-drop and --min-sqnr need --data");
        }
        if self.measures() && !samples {
            return usage("whitened, pca and --refit lsq need --data");
        }
        match self.goal {
            Goal::Remaining(Remaining::Channels(_)) => {
                usage("factorizing cuts no channels; ask for MACs, parameters or bytes")
            }
            Goal::Remaining(Remaining::Latency(_)) if !samples => usage("--latency needs --data"),
            _ => Ok(()),
        }
    }

    /// What was asked for needs samples.
    pub(super) fn measures(&self) -> bool {
        let measured = self.method.is_some_and(|method| method != Method::Svd);
        measured || self.refit == Some(true)
    }

    /// What may stay, when that is the goal.
    pub(super) fn remaining(&self) -> Option<Remaining> {
        match self.goal {
            Goal::Remaining(remaining) => Some(remaining),
            Goal::Energy(_) | Goal::Ranks(_) => None,
        }
    }

    /// The passes that do it.
    pub(super) fn passes(&self, samples: bool) -> FactorizePasses {
        let default = if samples { Method::Whitened } else { Method::Svd };
        FactorizePasses {
            factorize: Factorize {
                method: self.method.unwrap_or(default),
                aim: match &self.goal {
                    Goal::Ranks(ranks) => Aim::Ranks(ranks.clone()),
                    Goal::Energy(energy) => Aim::Energy(*energy),
                    // A budget is put in when the model is known.
                    Goal::Remaining(_) => Aim::Energy(1.0),
                },
                multiple: self.multiple,
                layers: self.layers.clone(),
                ..Factorize::default()
            },
            refit: self.refit.unwrap_or(samples),
            freeze_initializers: self.freeze_initializers,
            skip: self.skip.clone(),
            fold: self.fold,
        }
    }
}
