//! What layers read, and how they are best fitted when they read less of it, without running anything.

use std::collections::HashMap;

use rayon::prelude::*;

use crate::analysis::{Contraction, Measure, Shapes, VectorMoments, WEIGHT_SLOT, constant};
use crate::error::Result;
use crate::ir::{Model, Node, NodeId};
use crate::math::{Affine, Estimate, Shrink, Unfold};
use crate::passes::refit::correct_weights::Survivors;
use crate::passes::refit::correct_weights::layer::Layer;

/// Most columns of a layer whose inputs are weighed against each other.
const MOST_COLUMNS: usize = 2304;
/// Bytes of covariances that are kept; the layers beyond are not refitted.
const MOST_BYTES: usize = 1 << 30;

/// Mean and covariance of what the layers of a model read on samples.
pub struct InputMoments {
    layers: HashMap<NodeId, Whole>,
}

/// A layer before anything was cut: one matrix for each of its groups.
struct Whole {
    contraction: Contraction,
    groups: Vec<Shrink>,
}

impl InputMoments {
    /// Of the layers of `model`, on the samples that are not held out.
    ///
    /// # Errors
    /// When the model cannot be run on the samples.
    pub fn learn(model: &Model, measure: &dyn Measure) -> Result<Self> {
        let mut left = MOST_BYTES;
        let layer = |(node, entry): (NodeId, &Node)| {
            let tensor = constant(model, entry.input(WEIGHT_SLOT)?)?;
            let contraction = Contraction::of(model, node, tensor.dims()).ok()?;
            if contraction.columns > MOST_COLUMNS {
                return None;
            }
            left = left.checked_sub(contraction.moment_bytes())?;
            let weights = contraction.matrices(&tensor.to_f64().ok()?);
            Some((node, contraction, weights))
        };
        let layers: Vec<_> = model.nodes_of(model.main()).filter_map(layer).collect();
        let asked: Vec<_> = layers.iter().map(|(_, layer, _)| layer.vectors(true)).collect();
        let found = measure.moments(model, &asked)?;
        let known = layers.into_par_iter().zip(found);
        let known = known.filter_map(|((node, contraction, weights), found)| {
            let VectorMoments { fitting, held_out } = found.filter(VectorMoments::is_usable)?;
            let weights = weights.chunks((contraction.rows * contraction.columns).max(1));
            let inputs = fitting.iter().zip(&held_out);
            let groups = weights.zip(inputs).map(|(w, (fitting, held_out))| {
                Some(Shrink::of(w.to_vec(), Estimate::of_fitting(fitting, held_out)?))
            });
            let groups = groups.collect::<Option<_>>()?;
            Some((node, Whole { contraction, groups }))
        });
        Ok(Self { layers: known.collect() })
    }

    /// Fits each layer of `model`, which was cut out of `reference`, that reads fewer channels. What
    /// the channels that stay give is taken to be what it was.
    pub fn refit(
        &self,
        model: &mut Model,
        (reference, shapes): (&Model, &Shapes),
        survivors: &Survivors,
    ) {
        for (&node, whole) in &self.layers {
            let kept = whole.axis(shapes).and_then(|axis| {
                survivors.on(whole.contraction.input, axis).filter(|_| model.is_live(node))
            });
            let Some(kept) = kept else { continue };
            let layer = Layer::of(model, reference, node, (shapes, survivors)).ok().flatten();
            let fitted = layer.and_then(|layer| Some((whole.fitted(&layer, &kept)?, layer)));
            if let Some((fitted, layer)) = fitted {
                layer.put(model, &fitted);
            }
        }
    }
}

impl Whole {
    /// The axis of its input that it sums over.
    fn axis(&self, shapes: &Shapes) -> Option<usize> {
        match self.contraction.unfold {
            Unfold::Rows => shapes.rank(self.contraction.input)?.checked_sub(1),
            Unfold::Columns => Some(0),
            Unfold::Windows(_) => Some(1),
        }
    }

    /// What a layer that is left of it is best given, of whose input channels some are `kept`.
    fn fitted(&self, layer: &Layer, kept: &[usize]) -> Option<Vec<Affine>> {
        let (before, now) = (&self.contraction, &layer.contraction);
        if now.groups != before.groups {
            return None;
        }
        let places = now.columns.checked_div(kept.len() / now.groups)?;
        let inputs = before.columns.checked_div(places)?.max(1);
        let rows = match &layer.kept {
            Some(kept) => kept.clone(),
            None => (0..before.rows * before.groups).collect(),
        };
        let of_group = |(g, shrink): (usize, &Shrink)| {
            let within = kept.iter().filter(|&&channel| channel / inputs == g);
            let columns = within.flat_map(|&channel| {
                let first = channel % inputs * places;
                first..first + places
            });
            let columns: Vec<usize> = columns.collect();
            let rows = rows.iter().filter(|&&row| row / before.rows == g);
            let rows: Vec<usize> = rows.map(|&row| row % before.rows).collect();
            if columns.len() != now.columns || rows.len() != now.rows {
                return None;
            }
            let mut affine = layer.affine(g);
            shrink.correct(&mut affine, &rows, &columns, layer.is_free())?;
            Some(affine)
        };
        self.groups.iter().enumerate().map(of_group).collect()
    }
}
