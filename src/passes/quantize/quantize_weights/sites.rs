//! Layers that may differ in how their weights are stored.

use std::collections::{BTreeMap, BTreeSet};

use crate::error::Result;
use crate::ir::{Model, NodeId, ValueId};
use crate::math::UnionFind;
use crate::passes::{Context, QuantizeStatic, QuantizeWeights, Report, Storage, Width};

/// Weights that are stored in one way: those of a layer, or of layers that share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WeightSite {
    /// Names of the nodes that read them.
    pub names: BTreeSet<String>,
    /// The first of these in words.
    pub place: String,
    /// The weights, with a node that reads each and the slot where it does.
    pub weights: Vec<(ValueId, NodeId, usize)>,
    /// Numbers.
    pub elements: usize,
    /// Rows of them are looked up.
    pub table: bool,
    /// Such a table can be packed in 4 bits.
    packed: bool,
}

impl WeightSite {
    /// Whether the weights can have this width: tables of integers have at least 8 bits, as Gather reads no
    /// narrower ones, or 4 where that is packed.
    pub fn admits(&self, width: &Width) -> bool {
        !self.table
            || width.storage != Storage::Integers
            || width.bits() >= 8.0
            || self.packed && width.bits() == 4.0
    }
}

impl QuantizeWeights {
    /// The layers and tables of `model` whose weights this pass, with whatever storage, finds; the others are
    /// in the report.
    ///
    /// # Errors
    /// As the pass itself.
    pub fn sites(
        options: &QuantizeStatic,
        model: &Model,
        report: &mut Report,
    ) -> Result<Vec<WeightSite>> {
        let options = QuantizeStatic { weights_only: true, ..options.clone() };
        let weights = options.storable(model, &Context::default(), report)?;
        let mut first: BTreeMap<NodeId, usize> = BTreeMap::new();
        let mut sets = UnionFind::new(weights.len());
        for (i, weight) in weights.iter().enumerate() {
            for &node in &weight.layers {
                sets.join(i, *first.entry(node).or_insert(i));
            }
        }
        let mut sites: BTreeMap<usize, WeightSite> = BTreeMap::new();
        for (i, weight) in weights.iter().enumerate() {
            let (Some(&layer), Some(&(node, slot))) =
                (weight.layers.first(), weight.readers.first())
            else {
                continue;
            };
            let site = sites.entry(sets.find(i)).or_insert_with(|| WeightSite {
                names: BTreeSet::new(),
                place: model.label(layer),
                weights: Vec::new(),
                elements: 0,
                table: true,
                packed: options.packed_tables,
            });
            let names = weight.layers.iter().map(|&node| model.name_of(node).to_owned());
            site.names.extend(names);
            // Rows alone are looked up nowhere else.
            site.table &= weight.layers.iter().all(|&node| model.node(node).is("Gather"));
            site.weights.push((weight.value, node, slot));
            site.elements += weight.tensor.len();
        }
        Ok(sites.into_values().collect())
    }
}
