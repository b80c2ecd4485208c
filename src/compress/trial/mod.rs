//! Models are tried on samples that nothing is fitted to.

pub(super) mod counted;
pub(super) mod downstream;
pub(super) mod held_out;
pub(super) mod noise;
pub(super) mod parted;
pub(super) mod score_trials;

pub use counted::{Counted, counted, counted_at};
pub use held_out::{FallBackLayers, Quantizer, Trial, Trials};
pub use parted::{Parted, folds, kept_aside};
