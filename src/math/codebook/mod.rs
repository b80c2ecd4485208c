//! Tables that weights are indices into.

mod fit;
mod kmeans;
mod tune;

pub use fit::{Alphabet, Member, fit};
pub use kmeans::centroids;
pub use tune::tuned;
