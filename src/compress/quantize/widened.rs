//! Layers so small that more bits for their weights cost next to nothing.

use std::collections::BTreeSet;

use crate::compress::recipe::{QuantizePasses, Stored};
use crate::error::Result;
use crate::ir::Model;
use crate::passes::{Format, Granularity, QuantizeWeights, Report, Storage, WeightSite, Width};
use crate::tensor::DType;

/// Bits that are enough for any layer: rounding then brings less noise than a percent of the signal.
const ENOUGH: f64 = 8.0;
/// Bits of a scale.
const SCALE: f64 = 32.0;

/// Which layers of `prepared` have their weights stored in 8 bits instead of fewer: the smallest, as long as all
/// together cost at most `options.widen` of what the weights would take without. `None` where that is none, or
/// weights have as many bits anyway.
///
/// Rounding to so many bits brings noise relative to the output of a layer, whatever the number of its weights;
/// so a bit gains most for what it costs where weights are fewest.
///
/// # Errors
/// When weights cannot be looked for.
pub(in crate::compress) fn widened(
    prepared: &Model,
    options: &QuantizePasses,
) -> Result<Option<Vec<Stored>>> {
    let usual = options.width();
    if !options.quantization.weights_only || options.dynamic || usual.bits() >= ENOUGH {
        return Ok(None);
    }
    let wide = wider(&usual);
    let mut sites =
        QuantizeWeights::sites(&options.quantization, prepared, &mut Report::default())?;
    // Others have more bits as it is.
    let bits = |site: &WeightSite| stored_bits(if site.admits(&usual) { &usual } else { &wide });
    let all: f64 = sites.iter().map(|site| bits(site) * site.elements as f64).sum();
    sites.retain(|site| site.admits(&usual));
    let small = smallest(&sites, stored_bits(&wide) - stored_bits(&usual), options.widen * all);
    if small.is_empty() {
        return Ok(None);
    }
    // All others are looked at as without: what is declined is still named.
    let all = prepared.all_nodes().into_iter().map(|node| prepared.name_of(node).to_owned());
    let others = all.filter(|name| !small.contains(name)).collect();
    Ok(Some(vec![(wide, small), (usual, others)]))
}

/// The names of the smallest layers, those further on in the model first of equals, for whose weights `added` bits
/// each are at most `most` together.
fn smallest(sites: &[WeightSite], added: f64, most: f64) -> BTreeSet<String> {
    let mut order: Vec<&WeightSite> = sites.iter().rev().collect();
    order.sort_by_key(|site| site.elements);
    let mut left = most;
    let fits = |site: &&WeightSite| {
        left -= added.max(0.0) * site.elements as f64;
        left >= 0.0
    };
    order.into_iter().take_while(fits).flat_map(|site| site.names.clone()).collect()
}

/// 8 bits, as the target reads them anywhere.
fn wider(usual: &Width) -> Width {
    let unsigned = [DType::Uint2, DType::Uint4].contains(&usual.format.dtype);
    let dtype = if unsigned { DType::Uint8 } else { DType::Int8 };
    let granularity = match (usual.storage, usual.granularity) {
        (Storage::Integers, Granularity::Tensor) => Granularity::Tensor,
        _ => Granularity::Channel,
    };
    Width { storage: Storage::Integers, format: Format { dtype, ..usual.format }, granularity }
}

/// Bits of a weight with its share of a scale.
fn stored_bits(width: &Width) -> f64 {
    let scale = match width.granularity {
        Granularity::Block(size) => SCALE / size.max(1) as f64,
        Granularity::Tensor | Granularity::Channel => 0.0,
    };
    width.bits() + scale
}

/// Gives nodes without a name the one that they go by, so that it lasts when what they make is renamed.
pub(in crate::compress) fn name_nodes(model: &mut Model) {
    for node in model.all_nodes() {
        let name = model.name_of(node).to_owned();
        if model.node(node).name().is_empty() && !name.is_empty() {
            model.set_node_name(node, &name);
        }
    }
}
