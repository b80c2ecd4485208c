//! What layers read, and how they are best fitted when they read less of it, without running anything.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::analysis::{Contraction, Measure, Shapes, VectorMoments, WEIGHT_SLOT, constant};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::math::{Affine, Shrink, Unfold};
use crate::passes::correct_weights::Survivors;
use crate::passes::correct_weights::layer::Layer;

/// Most columns of a layer whose inputs are weighed against each other.
const MOST_COLUMNS: usize = 2304;
/// Bytes of covariances that are kept; the layers beyond are not refitted.
const MOST_BYTES: usize = 1 << 30;

/// Mean and covariance of what the layers of a model read on samples.
pub struct InputMoments {
    layers: HashMap<NodeId, Vec<Shrink>>,
    contractions: HashMap<NodeId, Contraction>,
}

impl InputMoments {
    /// Of the layers of `model`, on the samples that are not held out.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn learn(model: &Model, measure: &dyn Measure) -> Result<Self> {
        let mut left = MOST_BYTES;
        let layer = |(node, entry): (NodeId, &crate::ir::Node)| {
            let tensor = constant(model, entry.input(WEIGHT_SLOT)?)?;
            let contraction = Contraction::of(model, node, tensor.dims()).ok()?;
            left = left.checked_sub(contraction.moment_bytes())?;
            let weights = contraction.matrices(&tensor.to_f64().ok()?);
            (contraction.columns <= MOST_COLUMNS).then_some((node, contraction, weights))
        };
        let layers: Vec<_> = model.nodes_of(model.main()).filter_map(layer).collect();
        let asked: Vec<_> = layers.iter().map(|(_, layer, _)| layer.vectors(true)).collect();
        let found = measure.moments(model, &asked)?;
        let known = layers.into_par_iter().zip(found).filter_map(|((node, layer, weights), found)| {
            let VectorMoments { fitting, .. } = found.filter(VectorMoments::is_usable)?;
            let weights = weights.chunks(layer.rows * layer.columns);
            let groups = weights.zip(&fitting).map(|(weights, moments)| {
                Shrink::of(weights.to_vec(), moments)
            });
            let groups: Vec<Shrink> = groups.collect::<Option<_>>()?;
            Some((node, (groups, layer)))
        });
        let known: HashMap<NodeId, (Vec<Shrink>, Contraction)> = known.collect();
        let (mut layers, mut contractions) = (HashMap::new(), HashMap::new());
        for (node, (groups, layer)) in known {
            layers.insert(node, groups);
            contractions.insert(node, layer);
        }
        Ok(Self { layers, contractions })
    }

    /// Fits each layer of `model`, which was cut out of `reference`, that reads fewer channels.
    pub fn refit(&self, model: &mut Model, (reference, shapes): (&Model, &Shapes), survivors: &Survivors) {
        for (&node, groups) in &self.layers {
            let _ = self.refit_layer(model, (reference, shapes), survivors, node, groups);
        }
    }

    fn refit_layer(
        &self,
        model: &mut Model,
        (reference, shapes): (&Model, &Shapes),
        survivors: &Survivors,
        node: NodeId,
        groups: &[Shrink],
    ) -> Option<()> {
        let before = &self.contractions[&node];
        if !model.is_live(node) {
            return None;
        }
        let axis = match before.unfold {
            Unfold::Rows => shapes.rank(before.input)?.checked_sub(1)?,
            Unfold::Columns => 0,
            _ => 1,
        };
        let kept = survivors.on(before.input, axis)?;
        let layer = Layer::of(model, reference, node, (shapes, survivors)).ok()??;
        let now = &layer.contraction;
        if now.groups != before.groups {
            return None;
        }
        let (inputs, left) = (kept.len() / now.groups, now.columns);
        let places = left.checked_div(inputs)?;
        let all = before.columns / places;
        let rows_kept = layer.kept.clone().unwrap_or_else(|| (0..before.rows * before.groups).collect());
        let mut fitted = Vec::new();
        for (g, shrink) in groups.iter().enumerate() {
            let columns: Vec<usize> = kept
                .iter()
                .filter(|&&channel| channel / all == g)
                .flat_map(|&channel| channel % all * places..(channel % all + 1) * places)
                .collect();
            let rows: Vec<usize> = rows_kept
                .iter()
                .filter(|&&row| row / before.rows == g)
                .map(|&row| row % before.rows)
                .collect();
            if columns.len() != now.columns || rows.len() != now.rows {
                return None;
            }
            let mut affine: Affine = layer.affine(g);
            shrink.correct(&mut affine, &rows, &columns, layer.is_free())?;
            fitted.push(affine);
        }
        layer.put(model, &fitted);
        Some(())
    }
}
