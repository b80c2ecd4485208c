//! The layers around a group.

use std::collections::BTreeSet;

use crate::analysis::channels::{Channels, Group};
use crate::analysis::is_layer;
use crate::ir::{Model, NodeId};

impl Channels {
    /// The layers that make the channels of a group, or carry them (depthwise convolutions), in the
    /// order of their ids.
    pub fn producers(&self, model: &Model, group: &Group) -> Vec<NodeId> {
        let made = group.members.iter().filter_map(|member| {
            let node = model.value(self.axes[member.axis].value).producer()?;
            is_layer(model.node(node)).then_some(node)
        });
        made.collect::<BTreeSet<_>>().into_iter().collect()
    }

    /// The layers that sum over the channels of a group.
    pub fn consumers(&self, group: &Group) -> Vec<NodeId> {
        let sums = self.sums(group).into_iter().map(|sum| sum.node);
        sums.collect::<BTreeSet<_>>().into_iter().collect()
    }
}
