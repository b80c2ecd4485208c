//! `prune-weights`: see `docs/passes/prune-weights.md`.

mod dense;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};

use rayon::prelude::*;

use crate::analysis::VectorMoments;
use crate::error::{Error, Result, err};
use crate::ir::Model;
use crate::math::rounding::{Feedback, damped};
use crate::math::sparsity::{lowest, sparsegpt, wanda};
use crate::passes::stored::{MOST_COLUMNS, in_chunks};
use crate::passes::{Context, Pass, Promise, Report};

pub use crate::math::sparsity::Zeros;

use dense::DenseLayer;

/// Which weights become zero.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Criterion {
    /// Those nearest to zero.
    #[default]
    Magnitude,
    /// Those that are least beside what they are multiplied with.
    Wanda,
    /// Those that cost least when the others make up for them, which they do.
    SparseGpt,
}

impl Criterion {
    /// All of them.
    pub const ALL: &[Self] = &[Self::Magnitude, Self::Wanda, Self::SparseGpt];

    /// The name, as options give it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Magnitude => "magnitude",
            Self::Wanda => "wanda",
            Self::SparseGpt => "sparsegpt",
        }
    }
}

/// Which weights are compared with each other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Scope {
    /// Those of a layer; for Wanda those of an output, as in its paper.
    #[default]
    Layer,
    /// Those of all layers.
    Global,
}

/// Sets single weights to zero. Shapes stay, and dense arithmetic gets no faster.
#[derive(Debug, Clone, PartialEq)]
pub struct PruneWeights {
    /// Which.
    pub criterion: Criterion,
    /// How many.
    pub zeros: Zeros,
    /// Compared with which.
    pub scope: Scope,
    /// Nodes that keep their weights: patterns.
    pub keep: Vec<String>,
}

impl Default for PruneWeights {
    fn default() -> Self {
        let (criterion, scope) = (Criterion::default(), Scope::default());
        Self { criterion, zeros: Zeros::Share(0.0), scope, keep: Vec::new() }
    }
}

/// Share of the mean of the diagonal of second moments that is added to it, as in SparseGPT.
const DAMPING: f64 = 0.01;

impl Pass for PruneWeights {
    fn name(&self) -> &'static str {
        "prune-weights"
    }

    fn summary(&self) -> &'static str {
        "Sets single weights to zero: a share of them, or all but N of each M."
    }

    fn promise(&self) -> Promise {
        Promise::Lossy
    }

    fn run(&self, model: &mut Model, cx: &Context<'_>) -> Result<Report> {
        let mut report = Report::default();
        if self.zeros == Zeros::Share(0.0) {
            return Ok(report);
        }
        if self.scope == Scope::Global
            && (self.criterion != Criterion::Magnitude || !matches!(self.zeros, Zeros::Share(_)))
        {
            return Err(self.not_global());
        }
        let layers = DenseLayer::all(model, &self.keep, &mut report);
        if self.criterion == Criterion::Magnitude {
            self.by_magnitude(model, &layers, &mut report);
            return Ok(report);
        }
        let Some(measure) = cx.measure else {
            for layer in &layers {
                let text = format!("{} needs samples", self.criterion.name());
                report.refuse(model.label(layer.node), text);
            }
            return Ok(report);
        };
        let products = self.criterion == Criterion::SparseGpt;
        // Wanda needs squares alone, but they come with the products.
        let (layers, wide): (Vec<_>, Vec<_>) =
            layers.into_iter().partition(|layer| layer.contraction.columns <= MOST_COLUMNS);
        for layer in &wide {
            let columns = layer.contraction.columns;
            let text = format!("{columns} inputs for each output are too many to measure");
            report.refuse(model.label(layer.node), text);
        }
        let mut found = HashMap::new();
        in_chunks(&layers, (model, measure), true, &mut report, |chunk, _| {
            let prune = |(layer, moments): &(&DenseLayer, VectorMoments)| {
                (layer.node, self.pruned(layer, moments, products))
            };
            found.par_extend(chunk.par_iter().map(prune));
        })?;
        for layer in &layers {
            match found.get(&layer.node) {
                Some(Some(values)) => layer.replace(model, values, &mut report),
                Some(None) => {
                    let text = "what it reads has no second moments that can be used";
                    report.refuse(model.label(layer.node), text);
                }
                // Those that nothing is known of were declined with the reason.
                None => {}
            }
        }
        Ok(report)
    }
}

impl PruneWeights {
    fn not_global(&self) -> Error {
        let name = self.criterion.name();
        err!(Usage, "{name} of these zeros compares weights of one layer alone")
            .help("compare all layers by magnitude and with a share")
    }

    fn by_magnitude(&self, model: &mut Model, layers: &[DenseLayer], report: &mut Report) {
        let all = layers.iter().flat_map(|layer| &layer.values).map(|x| x.abs());
        let together = match self.scope {
            Scope::Layer => None,
            Scope::Global => Some(lowest(&all.collect::<Vec<_>>(), 1, self.zeros)),
        };
        let mut start = 0;
        for layer in layers {
            let end = start + layer.values.len();
            let gone = match &together {
                Some(gone) => gone[start..end].to_vec(),
                None => {
                    let scores: Vec<f64> = layer.values.iter().map(|x| x.abs()).collect();
                    lowest(&scores, layer.contraction.columns, self.zeros)
                }
            };
            start = end;
            layer.replace(model, &masked(&layer.values, &gone), report);
        }
    }

    /// What the weights of a layer become; `None` when its moments cannot be used.
    fn pruned(
        &self,
        layer: &DenseLayer,
        moments: &VectorMoments,
        make_up: bool,
    ) -> Option<Vec<f64>> {
        let columns = layer.contraction.columns;
        let mut values = Vec::with_capacity(layer.values.len());
        let groups = layer.values.chunks((layer.contraction.rows * columns).max(1));
        for (matrix, moments) in groups.zip(&moments.fitting) {
            let second = moments.about(&vec![0.0; columns])?;
            if make_up {
                let feedback = Feedback::in_place(&damped(&second, columns, DAMPING), columns)?;
                values.extend(sparsegpt(matrix, columns, self.zeros, &feedback));
                continue;
            }
            let squares: Vec<f64> = second.iter().step_by(columns + 1).copied().collect();
            for row in matrix.chunks(columns) {
                let gone = lowest(&wanda(row, &squares), columns, self.zeros);
                values.extend(masked(row, &gone));
            }
        }
        Some(values)
    }
}

fn masked(values: &[f64], gone: &[bool]) -> Vec<f64> {
    values.iter().zip(gone).map(|(&x, &gone)| if gone { 0.0 } else { x }).collect()
}
