//! Layers whose weights became integers.

use crate::analysis::{Contraction, Measure, VectorMoments, WEIGHT_SLOT, float_weight};
use crate::error::Result;
use crate::ir::{Model, NodeId};
use crate::passes::Report;
use crate::passes::stored::{Bias, StoredWeight};
use crate::tensor::Tensor;

/// A layer in a quantized model, and its weights before.
pub(in crate::passes) struct StoredLayer {
    pub node: NodeId,
    pub contraction: Contraction,
    pub weight: StoredWeight,
    /// The weights before.
    pub before: Tensor,
    /// Bias as it is, and as it was.
    pub bias: Result<(Bias, Vec<f64>), String>,
}

/// Most columns of a layer whose second moments are taken: 600 MB for the two matrices of them.
pub(in crate::passes) const MOST_COLUMNS: usize = 6144;
/// Bytes of the second moments of layers that are worked on at once.
const CHUNK: usize = 256 << 20;

impl StoredLayer {
    /// The layers of `model` with integers of at most `bits` whose weights were constant floats in
    /// `reference`, of which `model` is an edited copy. What cannot be handled is declined in `report`.
    pub fn all(model: &Model, reference: &Model, bits: u32, report: &mut Report) -> Vec<Self> {
        let mut layers = Vec::new();
        for node in model.all_nodes() {
            let entry = model.node(node);
            if !entry.is_linear() || !stands_in(model, reference, node) {
                continue;
            }
            match Self::of(model, reference, node, bits) {
                Ok(found) => layers.extend(found),
                Err(reason) => report.refuse(model.label(node), reason),
            }
        }
        layers
    }

    /// One of them; nothing when its weights are not stored so.
    ///
    /// # Errors
    /// Why it cannot be handled.
    pub fn of(
        model: &Model,
        reference: &Model,
        node: NodeId,
        bits: u32,
    ) -> Result<Option<Self>, String> {
        let Some(before) = float_weight(reference, node) else { return Ok(None) };
        let Some(weight) = StoredWeight::of(model, node)? else { return Ok(None) };
        if weight.bits() > bits {
            return Ok(None);
        }
        if before.dims() != weight.dims {
            return Err("its weights have other dims than before".into());
        }
        let contraction = Contraction::of(reference, node, &weight.dims)?;
        let channels = contraction.groups * contraction.rows;
        let bias = Bias::of(model, node, channels, &weight).and_then(|bias| {
            let before = bias.before(reference, channels, node);
            Ok((bias, before.ok_or("its bias was no constant")?))
        });
        Ok(Some(Self { node, contraction, weight, before, bias }))
    }

    /// The weights before, in the order of the matrices.
    pub fn floats(&self) -> Vec<f64> {
        let elements = self.before.view().as_f32().unwrap_or_default();
        self.contraction.matrices(&elements).into_iter().map(f64::from).collect()
    }

    /// What was added to the weights, in the order of the matrices.
    pub fn change(&self) -> Vec<f64> {
        let elements = self.before.view().as_f32().unwrap_or_default();
        let mut change = vec![0.0; self.contraction.weights()];
        for (flat, (now, &before)) in self.weight.floats().zip(&*elements).enumerate() {
            change[self.contraction.place(flat)] = now - f64::from(before);
        }
        change
    }

    /// The least number of columns for which nothing is learned: too many to measure.
    pub fn is_too_wide(&self) -> bool {
        self.contraction.columns > MOST_COLUMNS
    }

    /// `W x` for a vector of each group: one number for each output channel.
    pub fn product(&self, matrices: &[f64], vectors: &[Vec<f64>]) -> Vec<f64> {
        let Contraction { rows, columns, .. } = self.contraction;
        let groups = matrices.chunks((rows * columns).max(1)).zip(vectors);
        let dot = |row: &[f64], vector: &[f64]| row.iter().zip(vector).map(|(a, b)| a * b).sum();
        let products = groups.flat_map(|(matrix, vector)| {
            matrix.chunks(columns.max(1)).map(move |row| dot(row, vector))
        });
        products.collect()
    }
}

/// A layer whose weights were constant floats, and are not any more.
pub(in crate::passes) struct ChangedLayer {
    pub node: NodeId,
    contraction: Contraction,
}

impl ChangedLayer {
    /// Those of `model`, an edited copy of `reference`.
    pub fn all(model: &Model, reference: &Model) -> Vec<Self> {
        let weight = |model: &Model, node: NodeId| model.node(node).input(WEIGHT_SLOT);
        let changed = |&(node, _): &(NodeId, Contraction)| {
            stands_in(model, reference, node) && weight(model, node) != weight(reference, node)
        };
        let layers = Contraction::all(reference).filter(changed);
        layers.map(|(node, contraction)| Self { node, contraction }).collect()
    }
}

/// Whether a node stands in both models as the same operator.
fn stands_in(model: &Model, other: &Model, node: NodeId) -> bool {
    model.is_live(node) && other.is_live(node) && model.node(node).op() == other.node(node).op()
}

/// A layer that is a product with a matrix.
pub(in crate::passes) trait Linear {
    fn node(&self) -> NodeId;
    fn contraction(&self) -> &Contraction;
}

impl Linear for ChangedLayer {
    fn node(&self) -> NodeId {
        self.node
    }

    fn contraction(&self) -> &Contraction {
        &self.contraction
    }
}

impl Linear for StoredLayer {
    fn node(&self) -> NodeId {
        self.node
    }

    fn contraction(&self) -> &Contraction {
        &self.contraction
    }
}

/// Gives `see` the layers with the moments of what they read in `reference`; of as many at once as fit
/// into memory. Layers without moments are declined.
pub(in crate::passes) fn in_chunks<L: Linear>(
    layers: &[L],
    (reference, measure): (&Model, &dyn Measure),
    products: bool,
    report: &mut Report,
    mut see: impl FnMut(&[(&L, VectorMoments)], &mut Report),
) -> Result<()> {
    let mut start = 0;
    while start < layers.len() {
        let (mut end, mut bytes) = (start, 0);
        while end < layers.len() && (end == start || bytes <= CHUNK) {
            bytes += if products { layers[end].contraction().moment_bytes() } else { 0 };
            end += 1;
        }
        let chunk = &layers[start..end];
        let vectors: Vec<_> =
            chunk.iter().map(|layer| layer.contraction().vectors(products)).collect();
        let moments = measure.moments(reference, &vectors)?;
        let mut usable = Vec::new();
        for (layer, moments) in chunk.iter().zip(moments) {
            match moments.filter(VectorMoments::is_usable) {
                Some(moments) => usable.push((layer, moments)),
                None => report.refuse(
                    reference.label(layer.node()),
                    "nothing is known of what it reads: no samples, or no finite floats",
                ),
            }
        }
        see(&usable, report);
        start = end;
    }
    Ok(())
}
