//! Decides what runs in which order, checks it, and collects what was done.

mod check;
mod inputs;
mod recipe;
mod run;

pub use check::{Check, Outcome};
pub use inputs::inputs;
pub use recipe::{QuantizeOptions, quantize};
pub use run::{Finished, Step, run};
