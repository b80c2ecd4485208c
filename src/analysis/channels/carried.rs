//! What one orbit of a group costs.

use std::collections::{BTreeMap, HashMap};

use crate::analysis::channels::{AxisId, Channels, Group};
use crate::analysis::{Cost, constant};
use crate::ir::{Model, NodeId, ValueId};

/// Parameters and multiply-accumulates that go with one orbit, while the others stay.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Carried {
    /// Elements of constants.
    pub parameters: u64,
    /// Multiply-accumulates.
    pub macs: u64,
}

impl Channels {
    /// What one orbit of each group carries, in the order of the groups. `cost` is that of the model.
    pub fn carried(&self, model: &Model, cost: &Cost) -> Vec<Carried> {
        let constants: HashMap<ValueId, usize> = self
            .axes
            .iter()
            .filter_map(|axis| Some((axis.value, constant(model, axis.value)?.len())))
            .collect();
        let layers: Vec<(u64, Vec<AxisId>)> = cost
            .layers
            .iter()
            .filter_map(|layer| Some((layer.macs?, self.work_axes(model, layer.node))))
            .collect();
        let mut worked: HashMap<AxisId, Vec<usize>> = HashMap::new();
        for (layer, (_, axes)) in layers.iter().enumerate() {
            axes.iter().for_each(|&axis| worked.entry(axis).or_default().push(layer));
        }
        let of = |group: &Group| {
            let mut kept: BTreeMap<ValueId, f64> = BTreeMap::new();
            for member in &group.members {
                let axis = &self.axes[member.axis];
                if constants.contains_key(&axis.value) {
                    *kept.entry(axis.value).or_insert(1.0) *=
                        1.0 - member.indices as f64 / axis.extent as f64;
                }
            }
            let parameters =
                kept.iter().map(|(value, kept)| (1.0 - kept) * constants[value] as f64);
            let mut work: BTreeMap<usize, f64> = BTreeMap::new();
            for member in &group.members {
                let left = 1.0 - member.indices as f64 / self.axes[member.axis].extent as f64;
                for &layer in worked.get(&member.axis).into_iter().flatten() {
                    *work.entry(layer).or_insert(1.0) *= left;
                }
            }
            let macs = work.iter().map(|(&layer, left)| (1.0 - left) * layers[layer].0 as f64);
            Carried {
                parameters: parameters.sum::<f64>().round() as u64,
                macs: macs.sum::<f64>().round() as u64,
            }
        };
        self.groups.iter().map(of).collect()
    }

    /// Axes whose extents the work of a layer is proportional to: those of its output, and of one
    /// operand of each sum. The work of a recurrent layer is that of its recurrence.
    fn work_axes(&self, model: &Model, node: NodeId) -> Vec<AxisId> {
        let entry = model.node(node);
        let recurrent = ["GRU", "LSTM", "RNN"].iter().any(|op| entry.is(op));
        let value = if recurrent { entry.input(2) } else { entry.output(0) };
        let axes = value.into_iter().flat_map(|value| self.axes_of(value).map(|(id, _)| id));
        let mut axes: Vec<AxisId> = axes.collect();
        let sums = self.contractions.iter().filter(|sum| sum.node == node && !recurrent);
        axes.extend(sums.filter_map(|sum| sum.operands.last()?.id));
        axes
    }
}
