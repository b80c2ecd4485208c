//! `round-weights`: see `docs/passes/round-weights.md`.

mod by_weights;
mod choose;
mod decisions;

pub use decisions::Decisions;

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use rayon::prelude::*;

use crate::analysis::VectorMoments;
use crate::error::{Error, Result, err};
use crate::ir::Model;
use crate::math::rounding::{Rounded, Weights};
use crate::passes::stored::{StoredLayer, in_chunks};
use crate::passes::{Context, LayerNote, Pass, Promise, Report};

use by_weights::Which;
use choose::Task;

/// How the integers of weights are chosen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Rounding {
    /// For each layer whichever of the others is best on held-out samples.
    #[default]
    Auto,
    /// To the nearest number of the grid.
    Nearest,
    /// To the nearest number, of the grid whose scale costs the outputs least.
    Scale,
    /// One weight after the other, errors made up for by those that follow (GPTQ).
    Gptq,
    /// GPTQ, and then each weight in turn to what is best beside all others.
    Descent,
    /// Up or down, learned by gradients (AdaRound).
    Adaround,
}

impl Rounding {
    /// All, in the order of the documentation.
    pub const ALL: &[Self] =
        &[Self::Auto, Self::Nearest, Self::Scale, Self::Gptq, Self::Descent, Self::Adaround];

    /// The name on the command line and in reports.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Nearest => "nearest",
            Self::Scale => "scale",
            Self::Gptq => "gptq",
            Self::Descent => "descent",
            Self::Adaround => "adaround",
        }
    }
}

impl fmt::Display for Rounding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

impl FromStr for Rounding {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let found = Self::ALL.iter().find(|method| method.name() == text);
        found.copied().ok_or_else(|| err!(Usage, "`{text}` is no way of rounding"))
    }
}

/// Chooses the integers of quantized weights so that the outputs of each layer change least.
#[derive(Debug, Clone)]
pub struct RoundWeights {
    /// How.
    pub method: Rounding,
    /// Weights with more bits are left alone.
    pub most_bits: u32,
    /// `correct-bias` runs next: what changes the mean of an output alone costs nothing.
    pub biases_follow: bool,
    /// What was found before, for runs on models that differ in other layers.
    pub decisions: Decisions,
}

/// Integers of more bits have an error that methods do not lower by what they cost.
const FEW_BITS: u32 = 4;

impl Default for RoundWeights {
    fn default() -> Self {
        let decisions = Decisions::default();
        Self { method: Rounding::Auto, most_bits: 16, biases_follow: false, decisions }
    }
}

impl RoundWeights {
    /// A method as the command line means it: `auto` is for weights of few bits, a method that is named
    /// for all.
    pub fn named(method: Rounding) -> Self {
        let most_bits = if method == Rounding::Auto { FEW_BITS } else { 16 };
        Self { method, most_bits, ..Self::default() }
    }
}

impl Pass for RoundWeights {
    fn name(&self) -> &'static str {
        "round-weights"
    }

    fn summary(&self) -> &'static str {
        "Chooses integers and scales of quantized weights by their error in the outputs of the layer."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn mends(&self) -> bool {
        true
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        let Some(reference) = cx.reference.filter(|_| self.method != Rounding::Nearest) else {
            return Ok(report);
        };
        if [Rounding::Auto, Rounding::Scale].contains(&self.method) {
            let which = if cx.measure.is_some() { Which::Tables } else { Which::All };
            let which = (self.most_bits, which);
            by_weights::rescale(model, reference, which, &mut report);
        }
        let Some(measure) = cx.measure else { return Ok(report) };
        let layers = StoredLayer::all(model, reference, self.most_bits, &mut report);
        let (wide, layers): (Vec<_>, Vec<_>) =
            layers.into_iter().partition(StoredLayer::is_too_wide);
        for layer in wide {
            let columns = layer.contraction.columns;
            report.refuse(
                model.label(layer.node),
                format!("rounded to nearest: {columns} inputs for each output are too many"),
            );
        }
        let (known, unknown): (Vec<_>, Vec<_>) = layers
            .into_iter()
            .map(|layer| (self.decisions.key(&layer, self), layer))
            .partition(|(key, _)| self.decisions.knows(*key));
        for (key, layer) in &known {
            self.decide(model, layer, self.decisions.get(*key), &mut report);
        }
        let (keys, unknown): (Vec<_>, Vec<_>) = unknown.into_iter().unzip();
        let mut found = Vec::new();
        let progress = cx.progress();
        progress.start("rounding", unknown.len());
        let rounded = in_chunks(&unknown, (reference, measure), true, &mut report, |chunk, _| {
            let decide = |(layer, moments): &(&StoredLayer, VectorMoments)| {
                let best = self.best(layer, moments);
                progress.step();
                (layer.node, best)
            };
            found.par_extend(chunk.par_iter().map(decide));
        });
        progress.finish();
        rounded?;
        for (key, layer) in keys.into_iter().zip(&unknown) {
            // Those that nothing is known of were declined with the reason.
            if let Some((_, decision)) = found.iter_mut().find(|(node, _)| *node == layer.node) {
                self.decisions.put(key, decision.clone());
                self.decide(model, layer, decision.take(), &mut report);
            }
        }
        Ok(report)
    }
}

/// Integers that are better than those that were there.
#[derive(Debug, Clone, PartialEq)]
struct Decision {
    method: Rounding,
    rounded: Rounded,
    /// Mean squared error of an output on held-out samples, before and after.
    errors: (f64, f64),
    /// Mean square of an output there.
    signal: f64,
}

impl RoundWeights {
    fn best(&self, layer: &StoredLayer, moments: &VectorMoments) -> Option<Decision> {
        self.task(layer, |task| task.best(moments))
    }

    fn task(
        &self,
        layer: &StoredLayer,
        best: impl FnOnce(&Task<'_>) -> Option<Decision>,
    ) -> Option<Decision> {
        let integers = layer.contraction.matrices(&layer.weight.integers);
        let grid_of = layer.contraction.matrices(&layer.weight.part_of);
        let (points, floats) = (&layer.weight.points, layer.floats());
        let least = match &layer.bias {
            Ok((bias, before)) => bias.least(before, points.grids()),
            Err(_) => vec![0.0; points.parts()],
        };
        let weights = Weights {
            rows: layer.contraction.rows,
            columns: layer.contraction.columns,
            values: &floats,
            grid_of: &grid_of,
        };
        best(&Task {
            weights,
            current: Rounded { integers, points: points.clone() },
            least,
            free: layer.weight.freedom(),
            centred: self.biases_follow && layer.bias.is_ok(),
            method: self.method,
        })
    }

    fn decide(
        &self,
        model: &mut Model,
        layer: &StoredLayer,
        decision: Option<Decision>,
        report: &mut Report,
    ) {
        let place = model.label(layer.node);
        let Some(Decision { method, rounded, errors, signal }) = decision else {
            return report.refuse(place, "stays as it is: nothing that was tried is better");
        };
        let integers = layer.contraction.tensor(&rounded.integers);
        if let Ok((bias, before)) = &layer.bias
            && rounded.points != layer.weight.points
        {
            let (old, new) = (layer.weight.points.grids(), rounded.points.grids());
            let follow = bias.following(model, layer.node, old, new);
            if follow.is_some() {
                bias.replace(model, before, follow);
            }
        }
        layer.weight.replace(model, &integers, &rounded.points);
        let removed = 100.0 * (1.0 - errors.1 / errors.0);
        report.did(&place, format!("{method}: {removed:.0} % less error"));
        report.layers.push(LayerNote { place, method: method.name(), errors, signal });
    }
}
