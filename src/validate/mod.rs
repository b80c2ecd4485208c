//! Runs two models on the same samples and says how far apart they are.

mod accuracy;
mod compare;

pub use accuracy::{Accuracy, Score};
pub use compare::{Comparison, Options, OutputDrift, compare, drift};
