//! What can be cut out of a model, as `inspect --prunable` shows it.

use std::collections::BTreeMap;
use std::fmt;

use serde::Serialize;

use crate::analysis::channels::{AxisId, Channels, Group, Reason};
use crate::analysis::{Cost, constant, is_layer};
use crate::ir::{Def, Model, NodeId};
use crate::report::text::{grouped, percent};

/// Groups of channels, and why others cannot be cut.
#[derive(Debug, Clone, Serialize)]
pub struct ChannelsReport {
    /// Groups whose orbits can be cut.
    pub groups: Vec<GroupReport>,
    /// Share of the parameters that stand in tensors with channels that can be cut.
    pub parameters_share: f64,
    /// Share of the multiply-accumulates of layers with channels that can be cut; `null` when none are counted.
    pub macs_share: Option<f64>,
    /// Axes of weights that cannot be cut, whole or in part.
    pub frozen: Vec<FrozenReport>,
    /// Initializers that callers may override, so that they are no constants, and nothing that they
    /// touch is cut.
    pub overridable: usize,
    /// Layers in bodies of control flow, which are not looked at.
    pub in_bodies: usize,
}

/// Orbits that are alike.
#[derive(Debug, Clone, Serialize)]
pub struct GroupReport {
    /// Number of orbits: what can be cut one by one.
    pub size: usize,
    /// An orbit is an attention head.
    pub heads: bool,
    /// Layers that make or carry the channels.
    pub producers: Vec<String>,
    /// Layers that sum over them.
    pub consumers: Vec<String>,
    /// Axes that become shorter.
    pub members: Vec<MemberReport>,
    /// Parameters that one orbit carries.
    pub parameters: u64,
    /// Multiply-accumulates that one orbit carries; `null` when none are counted.
    pub macs: Option<u64>,
}

/// An axis that becomes shorter with each orbit.
#[derive(Debug, Clone, Serialize)]
pub struct MemberReport {
    /// Name of the value.
    pub value: String,
    /// Position of the axis.
    pub axis: usize,
    /// Extent of the axis.
    pub extent: usize,
    /// Indices that one orbit takes.
    pub indices: usize,
    /// The value is a constant.
    pub constant: bool,
}

/// An axis of a weight that cannot be cut.
#[derive(Debug, Clone, Serialize)]
pub struct FrozenReport {
    /// Name of the weight.
    pub value: String,
    /// Position of the axis.
    pub axis: usize,
    /// Extent of the axis.
    pub extent: usize,
    /// Indices that cannot be cut.
    pub indices: usize,
    /// Why.
    pub reason: String,
    /// The node that is the reason.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub node: Option<String>,
}

/// A weight axis of fewer than two dimensions follows others and explains nothing by itself.
const WEIGHT_RANK: usize = 2;

impl ChannelsReport {
    /// Describes `channels` of `model`, whose cost is `cost`.
    pub fn new(model: &Model, channels: &Channels, cost: &Cost) -> Self {
        let carried = channels.carried(model, cost);
        let counted = cost.unknown == 0 || cost.macs > 0;
        let groups = channels.groups.iter().zip(carried).map(|(group, carried)| {
            let names =
                |nodes: Vec<NodeId>| nodes.iter().map(|&n| model.name_of(n).to_owned()).collect();
            GroupReport {
                size: group.orbits.len(),
                heads: group.heads,
                producers: names(channels.producers(model, group)),
                consumers: names(channels.consumers(group)),
                members: members(model, channels, group),
                parameters: carried.parameters,
                macs: counted.then_some(carried.macs),
            }
        });
        let free: std::collections::BTreeSet<AxisId> =
            channels.groups.iter().flat_map(|group| &group.members).map(|m| m.axis).collect();
        let touched = |value| channels.axes_of(value).any(|(id, _)| free.contains(&id));
        let values = model.values().filter(|(id, _)| touched(*id));
        let parameters: usize =
            values.filter_map(|(id, _)| constant(model, id)).map(|tensor| tensor.len()).sum();
        let worked = |node: NodeId| {
            let entry = model.node(node);
            entry.inputs().iter().chain(entry.outputs()).flatten().any(|&value| touched(value))
        };
        let layers = cost.layers.iter().filter(|layer| worked(layer.node));
        let macs: u64 = layers.filter_map(|layer| layer.macs).sum();
        let all: u64 = cost.layers.iter().filter_map(|layer| layer.macs).sum();
        Self {
            groups: groups.collect(),
            parameters_share: share(parameters as u64, cost.parameters),
            macs_share: counted.then(|| share(macs, all)),
            frozen: frozen(model, channels),
            overridable: overridable(model),
            in_bodies: cost.layers.iter().filter(|l| in_body(model, l.node)).count(),
        }
    }

    /// Reasons, and how many axes of weights each freezes.
    pub fn reasons(&self) -> BTreeMap<&str, usize> {
        let mut reasons = BTreeMap::new();
        for frozen in &self.frozen {
            *reasons.entry(frozen.reason.as_str()).or_insert(0) += 1;
        }
        reasons
    }
}

fn overridable(model: &Model) -> usize {
    let inputs = model.graph(model.main()).inputs().iter();
    inputs.filter(|&&i| matches!(model.value(i).def(), Def::Input { default: Some(_) })).count()
}

fn in_body(model: &Model, node: NodeId) -> bool {
    model.node(node).graph() != model.main()
}

fn share(part: u64, whole: u64) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

fn members(model: &Model, channels: &Channels, group: &Group) -> Vec<MemberReport> {
    let report = |member: &crate::analysis::channels::Member| {
        let axis = &channels.axes[member.axis];
        MemberReport {
            value: model.value(axis.value).name().to_owned(),
            axis: axis.axis,
            extent: axis.extent,
            indices: member.indices,
            constant: constant(model, axis.value).is_some(),
        }
    };
    group.members.iter().map(report).collect()
}

/// Frozen axes of the weights of layers; kernel positions are no channels, and not told.
fn frozen(model: &Model, channels: &Channels) -> Vec<FrozenReport> {
    let mut reports = Vec::new();
    for (&id, (frozen, indices)) in &channels.frozen {
        let axis = &channels.axes[id];
        let value = model.value(axis.value);
        let read = value.consumers().any(|(node, _)| is_layer(model.node(node)));
        let weight = constant(model, axis.value).is_some_and(|t| t.dims().len() >= WEIGHT_RANK);
        if !read || !weight || matches!(frozen.reason, Reason::Positions(_)) {
            continue;
        }
        reports.push(FrozenReport {
            value: value.name().to_owned(),
            axis: axis.axis,
            extent: axis.extent,
            indices: *indices,
            reason: frozen.reason.to_string(),
            node: frozen.node.map(|node| model.name_of(node).to_owned()),
        });
    }
    reports
}

/// Names shown of a list; the others are counted.
const SHOWN: usize = 3;

fn some(names: &[String]) -> String {
    let shown = names.iter().take(SHOWN).map(|name| format!("`{name}`"));
    let text = shown.collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(SHOWN) {
        0 if names.is_empty() => "nothing that multiplies".to_owned(),
        0 => text,
        more => format!("{text} and {more} more"),
    }
}

impl fmt::Display for ChannelsReport {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let macs =
            self.macs_share.map(|share| format!(" and layers with {} of the MACs", percent(share)));
        writeln!(
            f,
            "channels    {} groups, in tensors with {} of the parameters{}",
            self.groups.len(),
            percent(self.parameters_share),
            macs.unwrap_or_default()
        )?;
        for group in &self.groups {
            let most = group.members.iter().map(|member| member.indices).max().unwrap_or(1);
            let unit = match (group.heads, most) {
                (true, _) => format!("heads of {most}"),
                (false, 1) => "cut 1".to_owned(),
                (false, most) => format!("up to {most} indices at once"),
            };
            let macs = group.macs.map(|macs| format!(", {} MACs", grouped(macs)));
            writeln!(
                f,
                "  {} × {unit}: {} -> {}; each {} parameters{}",
                group.size,
                some(&group.producers),
                some(&group.consumers),
                grouped(group.parameters),
                macs.unwrap_or_default()
            )?;
            for member in group.members.iter().filter(|member| member.constant) {
                let MemberReport { value, axis, extent, indices, .. } = member;
                writeln!(f, "      `{value}` axis {axis}: {indices} of {extent}")?;
            }
        }
        for frozen in &self.frozen {
            let FrozenReport { value, axis, extent, indices, reason, node } = frozen;
            let node = node.as_ref().map(|node| format!(" (`{node}`)")).unwrap_or_default();
            writeln!(f, "  frozen `{value}` axis {axis}: {indices} of {extent}: {reason}{node}")?;
        }
        if self.overridable > 0 {
            let n = self.overridable;
            writeln!(
                f,
                "  frozen {n} initializers that callers may override (--freeze-initializers)"
            )?;
        }
        if self.in_bodies > 0 {
            writeln!(f, "  frozen {} layers in bodies of control flow", self.in_bodies)?;
        }
        Ok(())
    }
}
