//! Fewer channels, or weights of zero.

pub(super) mod prune_channels;
pub(super) mod prune_weights;

pub use prune_channels::{
    Fitted, Importance, Loss, Measured, Part, PruneChannels, Surveyed, separate_vectors,
};
pub use prune_weights::{Criterion, PruneWeights, Scope, Zeros};
