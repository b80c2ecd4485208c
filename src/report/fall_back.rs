//! Layers that are quantized less, and how sensitive layers are.

use std::fmt;

use serde::Serialize;

use crate::compress::{FallBack, FallBackLayers};
use crate::report::text::{decibel, finite_decibel, shortened};

/// Which layers are quantized less for the accuracy of the outputs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct FallBackReport {
    /// Names of the layers that stay in float.
    pub kept: Vec<String>,
    /// Names of the layers that compute with floats, with weights stored as integers.
    pub stored: Vec<String>,
    /// Names of the layers that compute with 16-bit activations.
    pub wide: Vec<String>,
    /// Signal-to-noise ratio of the outputs on held-out calibration samples when all layers are
    /// quantized, in decibel.
    pub before_db: f64,
    /// The same as it is now.
    pub after_db: f64,
    /// Whether the bounds asked for hold on these samples.
    pub reached: bool,
    /// The layers that were ranked, the most sensitive first: all when somebody asked for it or a bound is to be
    /// met, else those that are small enough to be spared.
    pub ranking: Vec<Layer>,
    /// Show the ranking in the text view.
    #[serde(skip)]
    pub verbose: bool,
}

/// What quantizing one layer alone does.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Layer {
    /// Node name, or that of its first output.
    pub name: String,
    /// Operator.
    pub op: String,
    /// Signal-to-noise ratio of the outputs, in decibel.
    pub sqnr_db: f64,
    /// Share of the multiply-accumulates of the layers; of their parameters, when the work of one is unknown.
    pub macs: f64,
    /// Share of their parameters.
    pub parameters: f64,
}

impl FallBackReport {
    /// The report; `None` when all layers are quantized and nobody asked for a ranking.
    pub fn new(found: &FallBack) -> Option<Self> {
        if found.ranking.is_empty() && found.layers == FallBackLayers::default() {
            return None;
        }
        let layer = |layer: &crate::compress::Sensitivity| Layer {
            name: layer.layer.clone(),
            op: layer.op.clone(),
            sqnr_db: finite_decibel(layer.sqnr_db),
            macs: layer.macs,
            parameters: layer.parameters,
        };
        Some(Self {
            kept: found.layers.kept.clone(),
            stored: found.layers.stored.clone(),
            wide: found.layers.wide.clone(),
            before_db: finite_decibel(found.before_db),
            after_db: finite_decibel(found.after_db),
            reached: found.reached,
            ranking: found.ranking.iter().map(layer).collect(),
            verbose: false,
        })
    }

    /// The ranking as a table.
    fn table(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(
            f,
            "{:<40}{:<14}{:>9}{:>8}{:>8}",
            "quantized alone", "operator", "outputs", "MACs", "weights"
        )?;
        for layer in &self.ranking {
            let marks =
                [(&self.kept, "  float"), (&self.stored, "  spared"), (&self.wide, "  16 bits")];
            let mark = marks.iter().find(|(names, _)| names.contains(&layer.name));
            let mark = mark.map_or("", |(_, mark)| mark);
            writeln!(
                f,
                "  {:<38}{:<14}{:>9}{:>7.1}%{:>7.1}%{mark}",
                shortened(&layer.name, WIDEST),
                layer.op,
                decibel(layer.sqnr_db),
                100.0 * layer.macs,
                100.0 * layer.parameters
            )?;
        }
        Ok(())
    }
}

/// Most characters of a name in a table.
const WIDEST: usize = 37;

impl fmt::Display for FallBackReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.verbose {
            self.table(f)?;
        }
        let kinds = [
            (&self.kept, "floats"),
            (&self.stored, "floats, weights stored as integers"),
            (&self.wide, "16-bit activations"),
        ];
        for (names, what) in kinds.iter().filter(|(names, _)| !names.is_empty()) {
            writeln!(f, "computed with {what}: {}", names.join(", "))?;
        }
        if kinds.iter().any(|(names, _)| !names.is_empty()) {
            let (before, after) = (decibel(self.before_db), decibel(self.after_db));
            writeln!(f, "  outputs on held-out samples: {before} before, {after} with these")?;
        }
        Ok(())
    }
}
