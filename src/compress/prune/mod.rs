//! What is cut, by what that does to the outputs.

pub(super) mod pruned;
pub(super) mod sensitivity;
pub(super) mod sparse_storage;
pub(super) mod to_budget;

pub use pruned::{Pruned, prepared_pruned, pruned};
pub use sensitivity::GroupSensitivity;
pub use sparse_storage::{SparseStorage, store_sparsely};
pub use to_budget::{Spread, Stepped, TryGroups, pruned_to_budget, share_for_time, stepwise};
