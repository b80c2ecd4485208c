//! Repairs behind a cut: weights are fitted to what layers gave before.

pub(super) mod correct_weights;

pub use correct_weights::{CorrectWeights, InputMoments, Survivors};
