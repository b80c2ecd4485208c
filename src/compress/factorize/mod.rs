//! What is split, by what that does to the outputs.

pub(super) mod factorized;

pub use factorized::{Factorized, LayerSensitivity, factorized};
