//! What was found for layers, so that nothing is looked for twice.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::math::Fingerprint;
use crate::math::rounding::Points;
use crate::passes::quantize::round_weights::{Decision, RoundWeights};
use crate::passes::stored::StoredLayer;

/// Remembers decisions; clones share what they know. Only for models quantized from one and the same, with
/// the same samples.
#[derive(Debug, Clone, Default)]
pub struct Decisions(Arc<Mutex<HashMap<u64, Option<Decision>>>>);

impl Decisions {
    /// What identifies a layer as it is now.
    pub(super) fn key(&self, layer: &StoredLayer, pass: &RoundWeights) -> u64 {
        let mut digest = Fingerprint::default();
        digest.add(format!("{:?} {} {}", layer.node, pass.method, pass.biases_follow).as_bytes());
        digest.add(layer.before.bytes());
        digest.add(bytemuck::cast_slice(&layer.weight.integers));
        match &layer.weight.points {
            Points::Grids(grids) => {
                for grid in grids {
                    digest.add(&grid.scale.to_le_bytes());
                    digest.add(&grid.zero_point.to_le_bytes());
                }
            }
            Points::Table { numbers, scales } => {
                digest.add(bytemuck::cast_slice(numbers));
                digest.add(bytemuck::cast_slice(scales));
            }
        }
        digest.add(&[u8::from(layer.bias.is_ok())]);
        digest.finish()
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<u64, Option<Decision>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(super) fn knows(&self, key: u64) -> bool {
        self.lock().contains_key(&key)
    }

    pub(super) fn get(&self, key: u64) -> Option<Decision> {
        self.lock().get(&key).cloned().flatten()
    }

    pub(super) fn put(&self, key: u64, decision: Option<Decision>) {
        self.lock().insert(key, decision);
    }
}
