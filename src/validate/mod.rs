//! Runs two models on the same samples and says how far apart they are.

mod accuracy;
mod compare;
mod divergence;
mod labels;
mod layers;
mod one_run;
mod profile;
mod slices;
pub mod timing;
mod worst;

pub use accuracy::{Accuracy, Score};
pub use compare::{
    Comparison, Options, OutputDrift, Unlike, compare, compare_telling, drift, drift_of, fed_at,
};
pub use divergence::Divergence;
pub use labels::check_labels;
pub use layers::{LayerDrifts, ValueDrift, layers};
pub use profile::{NodeTime, Profile, profile};
pub use slices::{Layout, Slices, WeakSlice, layouts};
pub use worst::{SampleDrift, Worst};
