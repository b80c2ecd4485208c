//! Decides what runs in which order, checks it, and collects what was done.

mod aligned;
mod assigned;
mod calibrated;
mod check;
mod counted;
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
mod noise;
mod parted;
mod parts;
mod possible;
mod probe;
mod pruned;
mod quantized;
mod recipe;
mod run;
mod salvage;
mod score_trials;
mod sensitivity;
mod settle;
mod shaken;
mod sparse_storage;
mod to_budget;
mod trial;
mod twins;
mod widened;
mod witness;

pub use aligned::{Renamed, aligned, check_fed};
pub use assigned::{Aim, Assigned, AssignedLayer, FLOAT, Tried, Widths, width_name};
pub use calibrated::Calibrated;
pub use check::{Check, Inputs, Outcome};
pub use counted::{Counted, counted, counted_at};
pub use declare::declare_shapes;
pub use equalized::{Equalized, Equalizing};
pub use factorized::{Factorized, LayerSensitivity, factorized};
pub use fall_back::{FallBack, FallBackOptions, Rank, Rung, Sensitivity, Wanted, fall_back};
pub use fix::FixedAxes;
pub use inputs::inputs;
pub use layers::{QuantizedLayer, quantized_layers};
pub use methods::Gain;
pub use parted::{Parted, folds, kept_aside};
pub use possible::{Possible, possible};
pub use probe::{lacking, probes};
pub use pruned::{Pruned, prepared_pruned, pruned};
pub use quantized::{Quantized, Tries, quantized, quantized_on};
pub use recipe::{
    FactorizeOptions, PruneOptions, QuantizeOptions, Repair, SIMPLIFY_GROWTH, SimplifyOptions,
    Stored, factorize, prepare, prepare_factorize, prepare_prune, prune, quantize, simplify,
};
pub use run::{Finished, Step, run};
pub use sensitivity::GroupSensitivity;
pub use settle::{When, settle};
pub use sparse_storage::{SparseStorage, store_sparsely};
pub use to_budget::{Spread, Stepped, TryGroups, pruned_to_budget, share_for_time, stepwise};
pub use trial::{FallBackLayers, Quantizer, Trial, Trials};
