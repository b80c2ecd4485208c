//! What rules are written with: patterns, looks around a node, detours, axes, linear layers and their neighbours.

pub(super) mod axes;
pub(super) mod bypass;
pub(super) mod linear;
pub(super) mod look;
pub(super) mod pattern;
pub(super) mod shared_constants;
pub(super) mod summand;

pub use pattern::fitting;
