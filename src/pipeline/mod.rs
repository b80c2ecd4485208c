//! Decides what runs in which order, checks it, and collects what was done.

mod check;
mod declare;
mod downstream;
mod edits;
mod equalized;
mod factorized;
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
mod sensitivity;
mod settle;
mod to_budget;
mod trial;
mod witness;

pub use check::{Check, Inputs, Outcome};
pub use declare::declare_shapes;
pub use equalized::{Equalized, Equalizing};
pub use factorized::{Factorized, LayerSensitivity, factorized};
pub use fall_back::{FallBack, FallBackOptions, Rank, Sensitivity, Wanted, fall_back};
pub use fix::FixedAxes;
pub use inputs::inputs;
pub use layers::{QuantizedLayer, quantized_layers};
pub use methods::Gain;
pub use probe::probes;
pub use pruned::{Pruned, pruned};
pub use quantized::{Quantized, Tries, quantized, quantized_on};
pub use recipe::{
    FactorizeOptions, PruneOptions, QuantizeOptions, Repair, SIMPLIFY_GROWTH, SimplifyOptions,
    factorize, prepare, prepare_factorize, prepare_prune, prune, quantize, simplify,
};
pub use remembered::Remembered;
pub use run::{Finished, Step, run};
pub use sensitivity::{Cutter, GroupSensitivity, spread};
pub use settle::{When, settle};
pub use to_budget::{Spread, Stepped, TryGroups, cut, pruned_to_budget, share_for_time, stepwise};
pub use trial::{FloatLayers, Quantizer, Trial, Trials};
