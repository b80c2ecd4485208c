//! Decides what runs in which order, checks it, and collects what was done.

mod check;
mod declare;
mod downstream;
mod edits;
mod fall_back;
mod fix;
mod inputs;
mod layers;
mod methods;
mod parts;
mod probe;
mod pruned;
mod quantized;
mod recipe;
mod remembered;
mod run;
mod settle;
mod trial;
mod witness;

pub use check::{Check, Inputs, Outcome};
pub use declare::declare_shapes;
pub use fall_back::{FallBack, FallBackOptions, Rank, Sensitivity, Wanted, fall_back};
pub use fix::FixedAxes;
pub use inputs::inputs;
pub use layers::{QuantizedLayer, quantized_layers};
pub use methods::Gain;
pub use probe::probes;
pub use pruned::{Pruned, pruned};
pub use quantized::quantized;
pub use recipe::{
    PruneOptions, QuantizeOptions, Repair, SIMPLIFY_GROWTH, SimplifyOptions, prepare,
    prepare_prune, prune, quantize, simplify,
};
pub use remembered::Remembered;
pub use run::{Finished, Step, run};
pub use settle::{When, settle};
pub use trial::{FloatLayers, Quantizer, Trial, Trials};
