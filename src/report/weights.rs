//! Weights as `inspect` shows them: how they are spread, and their outliers.

use std::fmt;

use serde::Serialize;

use crate::analysis::{constant, is_layer};
use crate::ir::{Model, NodeId};
use crate::math::Spread;
use crate::report::text::{finite, grouped, percent, row};

/// A constant that a layer reads.
#[derive(Debug, Clone, Serialize)]
pub struct WeightReport {
    /// Its name.
    pub name: String,
    /// The layer that reads it.
    pub layer: String,
    /// Element type.
    pub dtype: String,
    /// Extents.
    pub dims: Vec<usize>,
    /// Number of elements.
    pub elements: usize,
    /// Smallest element; `null` here and below when one is not finite.
    pub min: Option<f64>,
    /// Largest element.
    pub max: Option<f64>,
    /// Mean.
    pub mean: Option<f64>,
    /// Standard deviation.
    pub deviation: Option<f64>,
    /// The largest distance from the mean, in standard deviations.
    pub outlier: Option<f64>,
    /// Kurtosis: 3 for a normal distribution, more with heavy tails.
    pub kurtosis: Option<f64>,
    /// Share of zeros.
    pub zeros: Option<f64>,
    /// How many elements are in each of 64 equal parts from `min` to `max`.
    pub histogram: Option<Vec<u64>>,
}

/// Weights have at least two axes; vectors are biases and scales.
const RANK: usize = 2;

impl WeightReport {
    /// The weights of the layers of a model, in the order of `layers`. A weight of several layers is told
    /// once.
    pub fn all(model: &Model, layers: impl Iterator<Item = NodeId>) -> Vec<Self> {
        let mut seen = std::collections::BTreeSet::new();
        let mut found = Vec::new();
        for node in layers.filter(|&node| is_layer(model.node(node))) {
            for &value in model.node(node).inputs().iter().flatten() {
                let Some(tensor) = constant(model, value) else { continue };
                let weight = tensor.dims().len() >= RANK && tensor.dtype().is_float();
                if !weight || !seen.insert(value) {
                    continue;
                }
                let spread = tensor.to_f32().ok().and_then(|numbers| Spread::of(&numbers));
                let figure = |of: fn(&Spread) -> f64| spread.as_ref().map(of).and_then(finite);
                found.push(Self {
                    name: model.value(value).name().to_owned(),
                    layer: model.name_of(node).to_owned(),
                    dtype: tensor.dtype().to_string(),
                    dims: tensor.dims().to_vec(),
                    elements: tensor.len(),
                    min: figure(|spread| spread.min),
                    max: figure(|spread| spread.max),
                    mean: figure(|spread| spread.mean),
                    deviation: figure(|spread| spread.deviation),
                    outlier: figure(|spread| spread.outlier),
                    kurtosis: figure(|spread| spread.kurtosis),
                    zeros: figure(|spread| spread.zeros),
                    histogram: spread.map(|spread| spread.histogram),
                });
            }
        }
        found
    }
}

/// The rows of a table, with a heading.
pub(super) fn write(f: &mut fmt::Formatter<'_>, weights: &[WeightReport]) -> fmt::Result {
    writeln!(f, "weights count      min      max    sigma outlier kurtosis    zeros")?;
    let figure = |x: Option<f64>, digits: usize| x.map_or("-".into(), |x| format!("{x:.digits$}"));
    for weight in weights {
        let (count, zeros) = (grouped(weight.elements as u64), weight.zeros.map(percent));
        let (min, max) = (figure(weight.min, 4), figure(weight.max, 4));
        let (sigma, out) = (figure(weight.deviation, 4), figure(weight.outlier, 1));
        let (kurtosis, zeros) = (figure(weight.kurtosis, 1), zeros.unwrap_or_else(|| "-".into()));
        let range = format!("{count:>13}{min:>9}{max:>9}{sigma:>9}");
        let figures = format!("{range}{out:>8}{kurtosis:>9}{zeros:>9}  ");
        writeln!(f, "{}", row(&figures, &weight.name, ""))?;
    }
    Ok(())
}
