//! Slices in, slices out: pure functions that need no ONNX to follow.

pub mod allocate;
pub mod calibrate;
pub mod codebook;
mod distance;
mod estimate;
mod exact_sum;
mod fingerprint;
mod grid;
mod histogram;
pub mod lowrank;
mod magnitudes;
mod moments;
mod regression;
pub mod rounding;
pub mod separable;
mod shrink;
pub mod sparsity;
mod spread;
pub mod surgeon;
mod unfold;
mod union_find;

pub use distance::Distance;
pub use estimate::Estimate;
pub use exact_sum::ExactSum;
pub use fingerprint::Fingerprint;
pub use grid::Grid;
pub use histogram::{BINS, Bin, Histogram};
pub use magnitudes::magnitudes;
pub use moments::{CrossMoments, Moments, quadratic};
pub use regression::{Affine, Regression};
pub use shrink::Shrink;
pub use spread::Spread;
pub use unfold::{Padding, Unfold, Unfolded, Windows};
pub use union_find::UnionFind;
