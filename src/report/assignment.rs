//! The widths of weights, where layers differ in that.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::compress::{Assigned, AssignedLayer, width_name};
use crate::report::text::{decibel, finite_decibel, grouped, shortened};

/// How the weights of each layer are stored, and what other widths would do.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssignmentReport {
    /// For layers by name, the name of the width: `--assignment` takes it.
    pub widths: BTreeMap<String, String>,
    /// Bits of a weight in the mean over these layers, without scales.
    pub average_bits: f64,
    /// Whether what was asked for is met.
    pub reached: bool,
    /// The layers, in order.
    pub layers: Vec<AssignedLayerReport>,
}

/// A layer, or layers that share weights.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct AssignedLayerReport {
    /// In words.
    pub place: String,
    /// Numbers that are stored.
    pub weights: usize,
    /// What they are stored as.
    pub width: String,
    /// What each width does when this layer alone has it.
    pub tried: Vec<TriedWidth>,
}

/// One width of one layer.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct TriedWidth {
    /// Its name.
    pub width: String,
    /// Bytes that it saves.
    pub saved_bytes: u64,
    /// Signal-to-noise ratio in decibel: with samples of the outputs of the model, on those held out; without,
    /// of the weights.
    pub sqnr_db: f64,
}

impl AssignmentReport {
    /// The report.
    pub fn new(found: &Assigned) -> Self {
        Self {
            widths: found.by_name(),
            average_bits: found.average_bits(),
            reached: found.reached,
            layers: found.layers.iter().map(AssignedLayerReport::new).collect(),
        }
    }
}

impl AssignedLayerReport {
    fn new(layer: &AssignedLayer) -> Self {
        let tried = layer.tried.iter().map(|tried| TriedWidth {
            width: tried.width.to_string(),
            saved_bytes: tried.saved,
            sqnr_db: finite_decibel(-10.0 * tried.noise.log10()),
        });
        Self {
            place: layer.site.place.clone(),
            weights: layer.site.elements,
            width: width_name(layer.width.as_ref()),
            tried: tried.collect(),
        }
    }
}

/// Most characters of a place in the table.
const WIDEST: usize = 34;

impl fmt::Display for AssignmentReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{:<36}{:>11}  {:<10}alone", "weights stored in", "weights", "")?;
        for layer in &self.layers {
            let place = shortened(&layer.place, WIDEST);
            let alone = layer.tried.iter().find(|tried| tried.width == layer.width);
            let alone = alone.map_or(String::new(), |tried| decibel(tried.sqnr_db));
            let weights = grouped(layer.weights as u64);
            writeln!(f, "  {place:<34}{weights:>11}  {:<10}{alone}", layer.width)?;
        }
        writeln!(f, "  {:.2} bits for each weight in the mean, without scales", self.average_bits)
    }
}
