//! Decides what runs in which order, checks it, and collects what was done.

mod check;
mod declare;
mod fix;
mod inputs;
mod probe;
mod recipe;
mod resume;
mod run;
mod settle;

pub use check::{Check, Inputs, Outcome};
pub use declare::declare_shapes;
pub use fix::FixedAxes;
pub use inputs::inputs;
pub use probe::probes;
pub use recipe::{QuantizeOptions, SIMPLIFY_GROWTH, SimplifyOptions, quantize, simplify};
pub use run::{Finished, Step, run};
pub use settle::{When, settle};
