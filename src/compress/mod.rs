//! Decides what is done to a model: which passes, how much, and where it does not pay.

mod factorize;
mod possible;
mod prune;
mod quantize;
mod recipe;
mod trial;

pub use factorize::*;
pub use possible::{Possible, possible};
pub use prune::*;
pub use quantize::*;
pub use recipe::{
    FactorizePasses, PrunePasses, QuantizePasses, Repair, SIMPLIFY_GROWTH, SimplifyPasses, Stored,
    factorize, prepare, prepare_factorize, prepare_prune, prune, quantize, simplify,
};
pub use trial::*;
