//! In which order layers are fitted: each after those that it reads from.

use std::collections::BTreeMap;

use crate::analysis::constant;
use crate::ir::{Model, NodeId, ValueId};
use crate::passes::refit::correct_weights::Survivors;

/// How many layers, on the longest way from a cut, have to be fitted before something is what it will be.
#[derive(Debug, Default)]
pub(super) struct Stages {
    /// Before what a node reads is. Nodes that read nothing that a cut may have moved are left out;
    /// layers of one number do not depend on each other.
    pub nodes: BTreeMap<NodeId, usize>,
    values: BTreeMap<ValueId, usize>,
}

impl Stages {
    /// Of `model`, of which `layers` will be fitted.
    pub fn of(model: &Model, survivors: &Survivors, layers: &[NodeId]) -> Self {
        let mut found = Self::default();
        for (node, entry) in model.nodes_of(model.main()) {
            // Channels that are left are what they were; what is made of all of them together is not.
            let reads = |&value: &ValueId| match found.values.get(&value) {
                Some(&stage) => Some(stage),
                None => (survivors.cut(value) && constant(model, value).is_none()).then_some(0),
            };
            let Some(stage) = entry.inputs().iter().flatten().filter_map(reads).max() else {
                continue;
            };
            found.nodes.insert(node, stage);
            let after = stage + usize::from(layers.contains(&node));
            found.values.extend(entry.outputs().iter().flatten().map(|&output| (output, after)));
        }
        found
    }

    /// Whether a value is what it will be when the layers of all stages before `stage` are fitted.
    pub fn is_settled(&self, value: ValueId, stage: usize) -> bool {
        self.values.get(&value).is_none_or(|&settled| settled <= stage)
    }
}
