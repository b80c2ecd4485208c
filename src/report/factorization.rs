//! The report of `factorize`.

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

use crate::compress::{Factorized, LayerSensitivity};
use crate::passes::{Form, Ranks, Split};
use crate::report::text::percent;
use crate::report::{ComparisonReport, StepReport, decibel};

/// What the layers of a model became, and how far its outputs moved.
#[derive(Debug, Clone, Serialize)]
pub struct FactorizationReport {
    /// The file read.
    pub input: String,
    /// The file written.
    pub output: String,
    /// One entry for each pass, in order.
    pub passes: Vec<StepReport>,
    /// The layers that could be split.
    pub layers: Vec<SplitLayer>,
    /// For layers by name, what they became: `--ranks` takes it.
    pub ranks: BTreeMap<String, SplitReport>,
    /// What the budget counts, in words, of the original and of the result.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub budget: Option<BudgetReport>,
    /// Original and result.
    pub drift: ComparisonReport,
    /// What the user must know.
    pub warnings: Vec<String>,
    /// Show every edit in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

/// What a budget counts.
#[derive(Debug, Clone, Serialize)]
pub struct BudgetReport {
    /// In words.
    pub counts: String,
    /// Of the model before.
    pub original: u64,
    /// What may stay.
    pub most: u64,
    /// What stays.
    pub left: u64,
}

/// What a layer became.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct SplitReport {
    /// Name of the form.
    pub form: String,
    /// Channels between the parts.
    pub ranks: Vec<usize>,
}

/// A layer, what splitting it alone does, and what it became.
#[derive(Debug, Clone, Serialize)]
pub struct SplitLayer {
    /// The layer.
    pub place: String,
    /// What it became; nothing when it stays whole.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub split: Option<SplitReport>,
    /// Share of its cost that is left.
    pub cost: f64,
    /// Share of what it gives that is lost, before layers are refitted.
    pub lost: f64,
    /// Trials: the share that was lost, and the signal-to-noise ratio of the outputs of the model on
    /// held-out samples, in decibel.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub tried: Vec<(f64, f64)>,
}

impl From<&Split> for SplitReport {
    fn from(split: &Split) -> Self {
        Self { form: split.form.name().to_owned(), ranks: split.ranks.clone() }
    }
}

impl SplitReport {
    /// What it says, when it says what a layer can become.
    pub fn split(&self) -> Option<Split> {
        let form = Form::named(&self.form)?;
        let fits = self.ranks.len() == form.ranks() && self.ranks.iter().all(|&rank| rank > 0);
        fits.then(|| Split { form, ranks: self.ranks.clone() })
    }
}

/// Ranks as the report gives them; the name of the first layer of which that cannot be made.
///
/// # Errors
/// That name.
pub fn ranks(given: &BTreeMap<String, SplitReport>) -> Result<Ranks, String> {
    let one = |(name, split): (&String, &SplitReport)| {
        split.split().map(|split| (name.clone(), split)).ok_or_else(|| name.clone())
    };
    given.iter().map(one).collect()
}

impl SplitLayer {
    fn of(layer: &LayerSensitivity) -> Self {
        let chosen = layer.chosen.and_then(|at| layer.layer.candidates.get(at));
        let tried = layer.tried.iter().map(|&(lost, noise)| (lost, -10.0 * noise.log10()));
        Self {
            place: layer.layer.place.clone(),
            split: chosen.map(|(split, ..)| split.into()),
            cost: chosen.map_or(1.0, |chosen| chosen.1),
            lost: chosen.map_or(0.0, |chosen| chosen.2),
            tried: tried.filter(|tried| tried.1.is_finite()).collect(),
        }
    }
}

impl FactorizationReport {
    /// The report of a run, `input` to `output`.
    pub fn new(
        input: String,
        output: String,
        factorized: &Factorized,
        drift: ComparisonReport,
    ) -> Self {
        let ranks = factorized.layers.iter().filter_map(|layer| {
            let (split, ..) = layer.layer.candidates.get(layer.chosen?)?;
            Some((layer.layer.name.clone(), split.into()))
        });
        Self {
            input,
            output,
            passes: factorized.finished.steps.iter().map(StepReport::new).collect(),
            layers: factorized.layers.iter().map(SplitLayer::of).collect(),
            ranks: ranks.collect(),
            budget: None,
            drift,
            warnings: Vec::new(),
            verbose: false,
        }
    }
}

impl fmt::Display for SplitLayer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.split {
            None => write!(f, "whole: {}", self.place)?,
            Some(SplitReport { form, ranks }) => {
                let ranks: Vec<String> = ranks.iter().map(ToString::to_string).collect();
                let (cost, lost) = (percent(self.cost), percent(self.lost));
                write!(
                    f,
                    "{form} {}: {}; cost {cost}, lost {lost}",
                    ranks.join(" and "),
                    self.place
                )?;
            }
        }
        let tried: Vec<String> = self
            .tried
            .iter()
            .map(|&(lost, ratio)| format!("{} with {} lost", decibel(ratio), percent(lost)))
            .collect();
        match tried.is_empty() {
            true => Ok(()),
            false => write!(f, "; alone {}", tried.join(", ")),
        }
    }
}

impl fmt::Display for FactorizationReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} -> {}", self.input, self.output)?;
        self.drift.warn(f)?;
        writeln!(f, "passes")?;
        for step in self.passes.iter().filter(|step| self.verbose || step.mattered()) {
            step.write(f, self.verbose || step.pass == "factorize")?;
        }
        if self.verbose {
            for layer in &self.layers {
                writeln!(f, "layer {layer}")?;
            }
        }
        if let Some(BudgetReport { counts, original, most, left }) = &self.budget {
            writeln!(f, "{counts}: {left} of {original} left, {most} may be")?;
        }
        writeln!(f, "original and result")?;
        for line in self.drift.to_string().lines() {
            writeln!(f, "  {line}")?;
        }
        for warning in &self.warnings {
            writeln!(f, "warning: {warning}")?;
        }
        Ok(())
    }
}
