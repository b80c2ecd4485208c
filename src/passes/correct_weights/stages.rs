//! In which order layers are fitted: each after those that it reads from.

use std::collections::BTreeMap;

use crate::analysis::constant;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::correct_weights::Survivors;

/// For each node that reads something a cut may have moved: the number of `layers` that stand before it,
/// on the longest way from a cut. Layers of one number do not depend on each other.
pub(super) fn stages(
    model: &Model,
    survivors: &Survivors,
    layers: &[NodeId],
) -> BTreeMap<NodeId, usize> {
    let mut moved: BTreeMap<ValueId, usize> = BTreeMap::new();
    let mut stages = BTreeMap::new();
    for (node, entry) in model.nodes_of(model.main()) {
        // Channels that are left are what they were, but what is made of all of them together is not.
        let reads = |&value: &ValueId| match moved.get(&value) {
            Some(&stage) => Some(stage),
            None => (survivors.cut(value) && constant(model, value).is_none()).then_some(0),
        };
        let Some(stage) = entry.inputs().iter().flatten().filter_map(reads).max() else { continue };
        stages.insert(node, stage);
        let after = stage + usize::from(layers.contains(&node));
        moved.extend(entry.outputs().iter().flatten().map(|&output| (output, after)));
    }
    stages
}
