//! The pass manager: runs passes in order, checks each by execution, takes back what breaks its promise.

mod aligned;
mod check;
mod declare;
mod edits;
mod fix;
mod inputs;
mod parts;
mod probe;
mod run;
mod salvage;
mod settle;
mod shaken;
mod twins;
mod witness;

pub use aligned::{Renamed, aligned, check_fed};
pub use check::{Check, Inputs, Outcome};
pub(crate) use check::{Outputs, ROUNDING_DB};
pub use declare::declare_shapes;
pub(crate) use edits::Edits;
pub use fix::FixedAxes;
pub use inputs::inputs;
pub use probe::{lacking, probes};
pub use run::{Finished, Step, run};
pub use settle::{When, settle};
