//! What is quantized, how, and what falls back, by what that does to the outputs.

pub(super) mod assigned;
pub(super) mod calibrated;
pub(super) mod equalized;
pub(super) mod fall_back;
pub(super) mod layers;
pub(super) mod methods;
pub(super) mod quantized;
pub(super) mod widened;

pub use assigned::{Aim, Assigned, AssignedLayer, FLOAT, Tried, Widths, width_name};
pub use calibrated::Calibrated;
pub use equalized::{Equalized, Equalizing};
pub use fall_back::{FallBack, FallBackOptions, Rank, Rung, Sensitivity, Wanted, fall_back};
pub use layers::{QuantizedLayer, quantized_layers};
pub use methods::Gain;
pub use quantized::{Quantized, Tries, quantized, quantized_on};
