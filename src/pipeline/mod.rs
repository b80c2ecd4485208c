//! Decides what runs in which order, checks it, and collects what was done.

mod check;
mod declare;
mod inputs;
mod recipe;
mod run;

pub use check::{Check, Outcome};
pub use declare::declare_shapes;
pub use inputs::inputs;
pub use recipe::{QuantizeOptions, quantize};
pub use run::{Finished, Step, run};
